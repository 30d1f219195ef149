"""What the claims are made of: overlays applied, secrets given, calls made, output followed."""

import json
import re
import shutil
import subprocess
import time

import bases
from cluster import OUTSIDE, TOOL
from containers import BATCH, PREVERIFY
from parts import HERE, ROOT, attempt, until

TOOLS, ALONE = "internal-tools", "koodrive-gateway"
HOST = "koodrive-gateway.koodrive-gateway.svc"


def overlays(c):
    """A copy of deploy/kubernetes, for claims to change, with workloads of every kind beside it."""
    folder = c.folder / "overlays"
    if not folder.exists():
        shutil.copytree(ROOT / "deploy/kubernetes", folder)
        shutil.copytree(HERE / "workloads", folder / "workloads")
        shutil.copy(folder / "example/gateway.toml", folder / "workloads")
    return folder


def prepare(c):
    for namespace, overlay in [(TOOLS, "example"), (ALONE, "standalone")]:
        c.kubectl("apply", "--filename", str(overlays(c) / overlay / "namespace.yaml"))
        secrets(c, namespace)


def secrets(c, namespace):
    if c.attempt("--namespace", namespace, "get", "secret", "koodrive-gateway").returncode != 0:
        c.kubectl("--namespace", namespace, "create", "secret", "generic", "koodrive-gateway", "--from-literal=client-secret=secret")


def workloads(c):
    prepare(c)
    c.kubectl("apply", "--kustomize", str(overlays(c) / "workloads"))


def alone(c):
    prepare(c)
    if c.attempt("--namespace", ALONE, "get", "secret", "koodrive-gateway-tls").returncode != 0:
        tls_secret(c)
    c.kubectl("apply", "--kustomize", str(overlays(c) / "standalone"))
    rolled_out(c, ALONE, f"deployment/{ALONE}", 240)
    # The autoscaler adds the second.
    until(lambda: 2 <= c.get("--namespace", ALONE, "deployment", ALONE)["status"].get("readyReplicas", 0), 120, "two replicas are ready")


def tls_secret(c, namespace=ALONE):
    name = f"tls-{time.monotonic_ns()}"
    bases.certificate(c.folder, name, [HOST], days=30)
    made = c.kubectl("--namespace", namespace, "create", "secret", "tls", "koodrive-gateway-tls", f"--cert={c.folder / name}.crt", f"--key={c.folder / name}.key", "--dry-run=client", "--output=yaml")
    c.apply(made)


def rolled_out(c, namespace, what, seconds=180):
    c.kubectl("--namespace", namespace, "rollout", "status", what, f"--timeout={seconds}s", seconds=seconds + 20)


def failing(pod):
    return any(one["restartCount"] or "terminated" in one["state"] for one in pod["status"].get("initContainerStatuses", []))


def restarts(c, pod):
    """Of the gateway in a tool's pod, so far."""
    return c.get("--namespace", TOOLS, "pod", pod)["status"]["initContainerStatuses"][0]["restartCount"]


def pod_of(name, namespace):
    security = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": name, "image": TOOL, "command": ["sleep", "3600"], "securityContext": security}]},
    }


def sso_token(c, subject):
    return sso_ask(c, f"/realms/tools/demo-token?subject={subject}")


def sso_ask(c, path):
    return c.world.curl("--insecure", "--resolve", f"sso.example.com:443:{OUTSIDE}", f"https://sso.example.com{path}")[1]


def give_secret(c, text):
    c.kubectl("--namespace", TOOLS, "patch", "secret", "koodrive-gateway", "--patch", json.dumps({"stringData": {"client-secret": text}}))


def fresh_caller(c, pod):
    """The status of a call from within the pod that needs an exchange."""
    call = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", f"Authorization: Bearer {sso_token(c, time.monotonic_ns())}"]
    return c.kubectl("--namespace", TOOLS, "exec", pod, "--container", "tool", "--", *call, "http://127.0.0.1:8080/koodrive/ose/v1/userList")


def preverify(c, address, token):
    options = ["--cacert", str(c.folder / "ca.crt"), "--resolve", f"{HOST}:8443:{address}"]
    return c.world.curl(*options, "--header", f"Authorization: Bearer {token}", "--json", BATCH, f"https://{HOST}:8443{PREVERIFY}")[0]


def call_until(c, over, statuses):
    """One connection per call, to the Service."""
    address = c.get("--namespace", ALONE, "service", ALONE)["spec"]["clusterIP"]
    token = sso_token(c, "alice")
    options = ["--cacert", str(c.folder / "ca.crt"), "--resolve", f"{HOST}:443:{address}", "--header", f"Authorization: Bearer {token}"]
    while not over.is_set():
        status, body = c.world.curl(*options, f"https://{HOST}/koodrive/ose/v1/userList", ok=range(256))
        statuses.append(status if status == 200 else (status, body[:200]))
        time.sleep(0.05)


def fingerprint(c):
    address = c.pods(ALONE, "app=koodrive-gateway")[0]["status"]["podIP"]
    shown = attempt(*c.world.network.inside("timeout", "5", "openssl", "s_client", "-connect", f"{address}:8443", "-servername", HOST), stdin="").stdout
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", shown, re.S)
    return found[0] if found else ""


class Following:
    """The output of a container, to the end of its pod."""

    def __init__(self, c, namespace, pod, container):
        words = ["kubectl", "--kubeconfig", str(c.folder / "admin"), "--namespace", namespace, "logs", "--follow", pod, "--container", container]
        self.path = c.folder / f"{pod}.{container}.log"
        self.file = open(self.path, "w")
        self.process = subprocess.Popen(c.world.network.inside(*words), stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.DEVNULL)

    def finish(self):
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.file.close()
        return self.path.read_text().splitlines()
