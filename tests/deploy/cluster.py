"""A Kubernetes cluster of one node, made of its published sources."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

from bases import authority
from containers import JAEGER, jaeger, last_stages
from parts import CACHE, HERE, ROOT, Failed, Missing, attempt, go_program, programs, run, say, until

VERSION = os.environ.get("KUBERNETES_VERSION", "1.33.13")
PARTS = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"]
# All of the range for benchmarks (RFC 2544 appendix C.2.2), and none of it leaves the namespace.
NODE, PODS, SERVICES = "198.18.0.1", "198.18.10.0/24", "198.18.20.0/24"
DNS, OUTSIDE, REDIS, COLLECTOR = "198.18.20.53", "198.18.20.100", "198.18.20.90", "198.18.20.43"
GATEWAY = "registry.example.com/koodrive-gateway"
TOOL = "registry.example.com/internal-tool:1.0.0"
PAUSE = "registry.k8s.io/pause:3.10"


class Cluster:
    def __init__(self, world):
        self.world = world
        self.folder = world.folder / "kubernetes"
        self.running = []
        self.namespaces_before = set(namespaces())

    def __enter__(self):
        programs("etcd", "ipset", "conntrack", "openssl", "iptables")
        if not shutil.which("kubectl"):
            raise Missing("kubectl: install it")
        if not pathlib.Path("/usr/lib/cni/bridge").exists():
            run("apt-get", "install", "-y", "-qq", "containernetworking-plugins")
        self.bin = kubernetes_programs()
        self.kube_router = go_program(
            "kube-router", "kube-router", "v2.1.0", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        )
        self.folder.mkdir()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.end_shims()
        # The network plugin's, one for each pod.
        for name in set(namespaces()) - self.namespaces_before:
            if name.startswith("cni-"):
                attempt("ip", "netns", "del", name)
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            where = line.split()[1]
            if where.startswith(str(self.folder)):
                attempt("umount", "--lazy", where)
        for controller in os.listdir("/sys/fs/cgroup"):
            for folder, _, _ in os.walk(f"/sys/fs/cgroup/{controller}/koodrive-gateway-pods", topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass

    def end_shims(self):
        """Each is a container's parent, started by our containerd: its socket says so."""
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
                if str(self.folder) in " ".join(words) and "containerd-shim" in words[0]:
                    children = run("ps", "--ppid", process, "-o", "pid=", ok=(0, 1)).split()
                    for one in [*children, process]:
                        os.kill(int(one), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    def spawn(self, name, *command):
        log = open(self.folder / f"{name}.log", "w")
        words = ["nice", "-n", "5", *map(str, command)]
        process = subprocess.Popen(self.world.network.inside(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.running.append(process)

    def start(self):
        inside = self.world.network.inside
        for words in (["add", "k8snode", "type", "bridge"], ["set", "k8snode", "up"]):
            run(*inside("ip", "link", *words))
        run(*inside("ip", "addr", "add", f"{NODE}/16", "dev", "k8snode"))
        run(*inside("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"), ok=(0, 1, 255))
        self.papers()
        self.containerd()
        images = self.images()
        self.world.end_docker()
        self.control_plane()
        for image in images:
            run("ctr", "--address", self.folder / "containerd.sock", "--namespace", "k8s.io", "images", "import", image, seconds=300)
            image.unlink()
        self.node()
        self.neighbours()

    def papers(self):
        """Keys, tokens and configurations that the parts know each other by."""
        files = self.folder
        shutil.copy(authority()["ca.crt"], files / "ca.crt")
        shutil.copy(authority()["ca.key"], files / "ca.key")
        for name, subject in [("apiserver", "/CN=apiserver"), ("kubelet-client", "/CN=apiserver/O=system:masters")]:
            run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=files)
            (files / "ext").write_text(f"subjectAltName=IP:{NODE},IP:198.18.20.1,DNS:kubernetes.default.svc\n")
            run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "ext", "-out", f"{name}.crt", cwd=files)
        run("openssl", "genrsa", "-out", "accounts.key", "2048", cwd=files)
        (files / "tokens").write_text('admin,admin,1,"system:masters"\nnode,system:node:node1,2,"system:nodes"\n')
        for user in ("admin", "node"):
            (files / user).write_text(json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "it",
                "clusters": [{"name": "it", "cluster": {"server": f"https://{NODE}:6443", "certificate-authority": str(files / "ca.crt")}}],
                "users": [{"name": "it", "user": {"token": user}}], "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }))

    def containerd(self):
        files = self.folder
        (files / "cni").mkdir()
        (files / "cni/10-bridge.conflist").write_text(json.dumps({
            "cniVersion": "0.4.0", "name": "bridge", "plugins": [
                {"type": "bridge", "bridge": "kube-bridge", "isGateway": True, "hairpinMode": True, "ipMasq": False,
                 "ipam": {"type": "host-local", "dataDir": str(files / "ipam"), "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }))
        (files / "containerd.toml").write_text(
            f'version = 2\nroot = "{files}/containerd"\nstate = "{files}/containerd-state"\noom_score = 0\n'
            f'[grpc]\naddress = "{files}/containerd.sock"\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "{PAUSE}"\n'
            f'restrict_oom_score_adj = true\ndisable_apparmor = true\n[plugins."io.containerd.grpc.v1.cri".cni]\n'
            f'bin_dir = "/usr/lib/cni"\nconf_dir = "{files}/cni"\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
            f'runtime_type = "io.containerd.runc.v2"\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = false\n'
        )
        self.spawn("containerd", "containerd", "--config", files / "containerd.toml")
        address = ["ctr", "--address", files / "containerd.sock"]
        until(lambda: attempt(*address, "version").returncode == 0, 60, "containerd answers")

    def images(self):
        """Under the names of the manifests, saved to files."""
        world, docker = self.world, self.world.docker
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        last_stages(world, "gateway", f"{GATEWAY}:{version}")
        world.bases.for_stand_in()
        world.bases.for_tool()
        jaeger(world)
        context = self.folder / "images"
        context.mkdir()
        (context / "pause.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
        run("gcc", "-static", "-Os", "-o", "pause", "pause.c", cwd=context)
        shutil.copy(HERE / "stand_in.py", context)
        shutil.copy(HERE / "tool.sh", context)
        for name, text in [
            (PAUSE, 'FROM scratch\nCOPY pause /pause\nUSER 65535\nENTRYPOINT ["/pause"]\n'),
            ("stand-in:1", f"FROM {world.bases.python}\nCOPY --chmod=0444 stand_in.py /stand_in.py\n"),
            (TOOL, f'FROM {world.bases.curl}\nCOPY --chmod=0444 tool.sh /tool.sh\nENTRYPOINT ["sh", "/tool.sh"]\n'),
            (TOOL.replace("1.0.0", "1.0.1"), f'FROM {world.bases.curl}\nCOPY --chmod=0444 tool.sh /tool.sh\nENV NEXT=1\nENTRYPOINT ["sh", "/tool.sh"]\n'),
        ]:
            docker("build", "--tag", name, "--file", "-", str(context), stdin=text)
        names = [f"{GATEWAY}:{version}", PAUSE, "stand-in:1", TOOL, TOOL.replace("1.0.0", "1.0.1"), JAEGER]
        saved = []
        for number, name in enumerate(names):
            saved.append(context / f"{number}.tar")
            docker("save", "--output", str(saved[-1]), name)
        return saved

    def control_plane(self):
        files = self.folder
        self.spawn("etcd", "etcd", "--data-dir", files / "etcd", "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync")
        self.spawn(
            "apiserver", self.bin / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={NODE}", f"--advertise-address={NODE}",
            "--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key", "--client-ca-file=ca.crt",
            f"--service-cluster-ip-range={SERVICES}", "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=accounts.key", "--service-account-signing-key-file=accounts.key", "--token-auth-file=tokens",
            "--authorization-mode=Node,RBAC", "--allow-privileged", "--kubelet-client-certificate=kubelet-client.crt",
            "--kubelet-client-key=kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            # So that it may hand requests for metrics on to metrics-server.
            "--requestheader-client-ca-file=ca.crt", "--requestheader-allowed-names=apiserver", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=kubelet-client.crt", "--proxy-client-key-file=kubelet-client.key", "--enable-aggregator-routing",
        )
        until(lambda: self.attempt("get", "--raw", "/readyz").returncode == 0, 180, "the API server is ready")
        admin = [f"--{part}kubeconfig={files / 'admin'}" for part in ("", "authentication-", "authorization-")]
        self.spawn(
            "controllers", self.bin / "kube-controller-manager", *admin, "--leader-elect=false", "--root-ca-file=ca.crt",
            "--service-account-private-key-file=accounts.key", "--use-service-account-credentials", f"--cluster-cidr={PODS}",
            # A pod's first five minutes do not count by default.
            "--horizontal-pod-autoscaler-cpu-initialization-period=30s", "--horizontal-pod-autoscaler-initial-readiness-delay=10s",
        )
        self.spawn("scheduler", self.bin / "kube-scheduler", *admin, "--leader-elect=false")

    def node(self):
        files = self.folder
        for controller in os.listdir("/sys/fs/cgroup"):
            try:
                os.makedirs(f"/sys/fs/cgroup/{controller}/koodrive-gateway-pods", exist_ok=True)
            except OSError:
                pass
        for name in ("cpuset.cpus", "cpuset.mems"):
            value = pathlib.Path("/sys/fs/cgroup/cpuset", name)
            if value.exists():
                (value.parent / "koodrive-gateway-pods" / name).write_text(value.read_text())
        (files / "resolv.conf").write_text("")
        (files / "kubelet.json").write_text(json.dumps({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": NODE, "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/koodrive-gateway-pods", "featureGates": {"KubeletInUserNamespace": True}, "oomScoreAdj": 0, "failSwapOn": False,
            "localStorageCapacityIsolation": False, "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"}, "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": str(files / "resolv.conf"),
            "containerRuntimeEndpoint": f"unix://{files}/containerd.sock", "syncFrequency": "20s", "enforceNodeAllocatable": [], "failCgroupV1": False,
            "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%"},
        }))
        self.spawn("kubelet", self.bin / "kubelet", "--kubeconfig", files / "node", "--config", files / "kubelet.json", "--hostname-override=node1", f"--node-ip={NODE}", "--root-dir", files / "kubelet")
        (files / "proxy.json").write_text(json.dumps({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables", "clusterCIDR": PODS,
            "oomScoreAdj": 0, "clientConnection": {"kubeconfig": str(files / "admin")}, "conntrack": {"maxPerCore": 0, "min": 0},
        }))
        self.spawn("proxy", self.bin / "kube-proxy", "--config", files / "proxy.json", "--hostname-override=node1")
        ready = '{.status.conditions[?(@.type=="Ready")].status}'
        until(lambda: self.attempt("get", "node", "node1", "--output", f"jsonpath={ready}").stdout == "True", 180, "the node is ready")

    def neighbours(self):
        """The policies' engine, DNS, Jaeger, and SSO and KooDrive behind one address."""
        # kube-router wants to know which pods are on the node.
        self.kubectl("patch", "node", "node1", "--type=merge", "--patch", json.dumps({"spec": {"podCIDR": PODS, "podCIDRs": [PODS]}}), ok=(0, 1))
        self.spawn(
            "policies", "env", "NODE_NAME=node1", self.kube_router, "--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
            f"--kubeconfig={self.folder / 'admin'}", "--hostname-override=node1", f"--service-cluster-ip-range={SERVICES}",
        )
        secrets = self.folder / "outside"
        secrets.mkdir()
        for name in ("server.crt", "server.key"):
            shutil.copy(authority()[name], secrets)
        run("openssl", "genrsa", "-out", secrets / "sso.key", "2048")
        (secrets / "client-secret").write_text("secret\n")
        self.kubectl("create", "namespace", "outside")
        self.kubectl("--namespace", "outside", "create", "secret", "generic", "files", f"--from-file={secrets}")
        text = (HERE / "neighbours.yaml").read_text()
        for name, value in [("DNS", DNS), ("OUTSIDE", OUTSIDE), ("COLLECTOR", COLLECTOR), ("JAEGER", JAEGER)]:
            text = text.replace(f"${name}", value)
        self.apply(text)
        for namespace, name in [("kube-system", "dns"), ("outside", "outside"), ("observability", "jaeger")]:
            self.kubectl("--namespace", namespace, "rollout", "status", f"deployment/{name}", "--timeout=180s", seconds=200)

    def metrics(self):
        """metrics-server beside the node, known to the API server by an address."""
        server = go_program("metrics-server", "metrics-server", "v0.8.0", "sigs.k8s.io/metrics-server/cmd/metrics-server")
        admin = [f"--{part}kubeconfig={self.folder / 'admin'}" for part in ("", "authentication-", "authorization-")]
        self.spawn(
            "metrics", server, *admin, f"--bind-address={NODE}", "--secure-port=10443", f"--cert-dir={self.folder / 'metrics'}",
            "--kubelet-insecure-tls", "--kubelet-preferred-address-types=InternalIP", "--metric-resolution=15s",
        )
        self.apply((HERE / "metrics.yaml").read_text().replace("$NODE", NODE))
        until(lambda: self.attempt("top", "pods", "--all-namespaces").returncode == 0, 180, "there are metrics")

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    def kubectl(self, *words, seconds=120, stdin=None, ok=(0,)):
        command = self.world.network.inside("kubectl", "--kubeconfig", str(self.folder / "admin"), *words)
        return run(*command, seconds=seconds, stdin=stdin, ok=ok)

    def attempt(self, *words, seconds=120):
        return attempt(*self.world.network.inside("kubectl", "--kubeconfig", str(self.folder / "admin"), *words), seconds=seconds)

    def apply(self, text, *words):
        return self.kubectl("apply", "--filename", "-", *words, stdin=text)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "--output", "json"))

    def pods(self, namespace, label):
        """Without those that are on their way out."""
        found = self.get("--namespace", namespace, "pods", "--selector", label)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def logs(self, namespace, pod, container):
        return self.attempt("--namespace", namespace, "logs", pod, "--container", container).stdout


def namespaces():
    return os.listdir("/run/netns")


def kubernetes_programs():
    """kube-apiserver and the others, from the module k8s.io/kubernetes."""
    home = CACHE / f"kubernetes-{VERSION}"
    if all((home / part).exists() for part in PARTS):
        return home
    if not shutil.which("go"):
        raise Missing("Kubernetes: no `go` to build it with; install Go 1.26 or later")
    say(f"building Kubernetes {VERSION} (once; a quarter of an hour and more) …")
    work = CACHE / f"build-kubernetes-{VERSION}"
    work.mkdir(parents=True, exist_ok=True)
    environment = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "1"}
    told = json.loads(run("go", "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}", cwd=work))
    module = (pathlib.Path(told["Dir"]) / "go.mod").read_text()
    staging = re.findall(r"^\s*(k8s\.io/\S+) => ", module, re.M)
    # `tool` takes Go 1.24, whatever an older version asks for.
    go = max(re.search(r"^go (\S+)", module, re.M)[1], "1.24.0", key=lambda text: list(map(int, text.split("."))))
    minor = VERSION.split(".")[1]
    lines = ["module cluster", f"go {go}", "godebug default=go1.24", f"require k8s.io/kubernetes v{VERSION}"]
    lines += [f"replace {name} => {name} v0.{VERSION.split('.', 1)[1]}" for name in staging]
    lines += [f"tool k8s.io/kubernetes/cmd/{part}" for part in PARTS]
    (work / "go.mod").write_text("\n".join(lines) + "\n")
    shutil.copyfile(pathlib.Path(told["Dir"]) / "go.sum", work / "go.sum")
    run("go", "mod", "tidy", "-e", cwd=work, environment=environment, seconds=1200)
    flags = "-s -w" + "".join(
        f" -X {package}.{name}={value}" for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in [("gitVersion", f"v{VERSION}"), ("gitMajor", "1"), ("gitMinor", minor), ("gitTreeState", "clean")]
    )
    try:
        for part in PARTS:
            run("nice", "go", "build", "-trimpath", "-ldflags", flags, "-o", work / "bin" / part, f"k8s.io/kubernetes/cmd/{part}", cwd=work, environment=environment, seconds=5400)
    except Failed as failed:
        raise Missing(f"Kubernetes: its build failed: {failed}") from None
    (work / "bin").rename(home)
    shutil.rmtree(work)
    return home
