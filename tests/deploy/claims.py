"""What README and comments promise of deploy/kubernetes and deploy/helm, one claim after the other."""

import json
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.parse

from asking import ALONE, TOOLS, Following, alone, call_until, failing, fingerprint, fresh_caller, give_secret, overlays, pod_of
from asking import prepare, preverify, restarts, rolled_out, secrets, sso_ask, sso_token, tls_secret, workloads
from charts import CHART, helm_program
from cluster import COLLECTOR, REDIS, TOOL
from parts import HERE, Failed, attempt, check, run, say, until


def accepted(c):
    """`apply --dry-run=server` takes every manifest, in namespaces that enforce `restricted`"""
    prepare(c)
    for overlay in ("example", "standalone", "workloads"):
        said = c.kubectl("apply", "--kustomize", str(overlays(c) / overlay), "--dry-run=server", seconds=180)
        check("created" in said and "Warning" not in said, said)


def start_order(c):
    """the tool starts once the gateway is ready, and its first call succeeds"""
    prepare(c)
    c.kubectl("--namespace", "outside", "scale", "deployment/outside", "--replicas=0")
    try:
        # To the last one on its way out: where none is ready, a Service sends to those as well.
        until(lambda: not c.get("--namespace", "outside", "pods", "--selector", "app=outside")["items"], 90, "the SSO is away")
        c.kubectl("apply", "--kustomize", str(overlays(c) / "example"))
        state = lambda: c.pods(TOOLS, "app=internal-tool")[0]["status"]  # noqa: E731
        until(lambda: c.pods(TOOLS, "app=internal-tool") and state().get("initContainerStatuses", [{}])[0].get("state", {}).get("running"), 120, "the gateway runs")
        time.sleep(5)
        check("waiting" in state()["containerStatuses"][0]["state"], state()["containerStatuses"])
    finally:
        c.kubectl("--namespace", "outside", "scale", "deployment/outside", "--replicas=1")
    rolled_out(c, TOOLS, "deployment/internal-tool")
    pod = c.pods(TOOLS, "app=internal-tool")[0]["metadata"]["name"]
    first = until(lambda: c.logs(TOOLS, pod, "tool"), 60, "the tool calls").splitlines()[0]
    check(first.endswith("status 200"), first)


def own_init_container(c):
    """a tool's own init container can call already"""
    workloads(c)
    rolled_out(c, TOOLS, "statefulset/stateful")
    calls = c.logs(TOOLS, "stateful-0", "before").splitlines()
    check(len(calls) == 3 and all(line.endswith("status 200") for line in calls), calls)


def jobs_complete(c):
    """Job and CronJob complete: the gateway ends with the tool"""
    workloads(c)
    c.kubectl("--namespace", TOOLS, "delete", "job", "from-cron-job", "--ignore-not-found")
    c.kubectl("--namespace", TOOLS, "create", "job", "from-cron-job", "--from=cronjob/nightly")
    for job in ("once", "from-cron-job"):
        c.kubectl("--namespace", TOOLS, "wait", "--for=condition=complete", f"job/{job}", "--timeout=180s", seconds=200)
        pod = c.pods(TOOLS, f"job-name={job}")[0]
        ended = pod["status"]["initContainerStatuses"][0]["state"]["terminated"]
        check(ended["exitCode"] == 0, ended)
        lines = c.logs(TOOLS, pod["metadata"]["name"], "tool").splitlines()
        check(5 <= len(lines) and all(line.endswith("status 200") for line in lines), lines)


def every_node(c):
    """a DaemonSet gains the sidecar as well"""
    workloads(c)
    rolled_out(c, TOOLS, "daemonset/everywhere")


def own_tool(c):
    """an own tool by the steps of deploy/README.md: overlay, check-config, apply, then the secret; `check-config --online` in its pod"""
    own, image = "my-tool", TOOL.rpartition("/")[2]
    folder = overlays(c) / own
    shutil.copytree(overlays(c) / "example", folder)
    for file in folder.iterdir():
        text = file.read_text().replace(TOOLS, own).replace("internal-tool", own)
        file.write_text(text.replace(image.replace("internal-tool", own), image))
    (folder / "internal-tool.yaml").rename(folder / f"{own}.yaml")
    gateway, _ = c.world.binaries()
    checked = attempt(gateway, "check-config", "--config", str(folder / "gateway.toml"))
    check(checked.returncode == 2 and "client-secret" in checked.stderr, checked.stderr)
    (folder / "client-secret").write_text("secret\n")
    run(gateway, "check-config", "--config", str(folder / "gateway.toml"))
    c.kubectl("apply", "--kustomize", str(folder))
    waiting = lambda: [pod for pod in c.pods(own, f"app={own}") if "initContainerStatuses" not in pod["status"] or "waiting" in pod["status"]["initContainerStatuses"][0]["state"]]  # noqa: E731
    until(waiting, 60, "the pod waits for the secret")
    c.kubectl("--namespace", own, "create", "secret", "generic", "koodrive-gateway", f"--from-file={folder / 'client-secret'}")
    rolled_out(c, own, f"deployment/{own}")
    inside = ["exec", f"deploy/{own}", "--container", "koodrive-gateway", "--", "koodrive-gateway"]
    said = c.kubectl("--namespace", own, *inside, "check-config", "--online")
    check("ok     collector" in said and "FAILED" not in said, said)
    pod = c.pods(own, f"app={own}")[0]["metadata"]["name"]
    first = until(lambda: c.logs(own, pod, "tool"), 60, "the tool calls").splitlines()[0]
    check(first.endswith("status 200"), first)
    c.kubectl("delete", "--kustomize", str(folder))


def traces(c):
    """a sidecar's calls are in Jaeger, each with its stages and the name of its pod"""
    prepare(c)
    c.kubectl("apply", "--kustomize", str(overlays(c) / "example"))
    rolled_out(c, TOOLS, "deployment/internal-tool")
    pod = c.pods(TOOLS, "app=internal-tool")[0]["metadata"]["name"]
    tags = urllib.parse.quote(json.dumps({"http.response.status_code": "200"}))
    asked = f"http://{COLLECTOR}:16686/api/traces?service=koodrive-gateway&limit=200&tags={tags}"

    def of_pod():
        found = json.loads(c.world.curl(asked)[1])["data"]
        named = lambda trace: {tag["value"] for process in trace["processes"].values() for tag in process["tags"] if tag["key"] == "k8s.pod.name"}  # noqa: E731
        return [trace for trace in found if pod in named(trace)]

    names = {span["operationName"] for span in until(of_pod, 60, f"a call of {pod} is in Jaeger")[0]["spans"]}
    check({"accept", "token", "forward", "forward.attempt"} <= names, names)


def rolling_update(c):
    """a rolling update of the tool fails no call, and the gateway stops after the tool"""
    prepare(c)
    c.kubectl("apply", "--kustomize", str(overlays(c) / "example"))
    c.kubectl("--namespace", TOOLS, "scale", "deployment/internal-tool", "--replicas=3")
    rolled_out(c, TOOLS, "deployment/internal-tool")
    followed = {}
    for pod in c.pods(TOOLS, "app=internal-tool"):
        name = pod["metadata"]["name"]
        for container in ("tool", "koodrive-gateway"):
            followed[name, container] = Following(c, TOOLS, name, container)
    c.kubectl("--namespace", TOOLS, "set", "image", "deployment/internal-tool", f"tool={TOOL.replace('1.0.0', '1.0.1')}")
    rolled_out(c, TOOLS, "deployment/internal-tool")
    calls = 0
    for (name, container), following in followed.items():
        lines = following.finish()
        if container == "tool":
            bad = [line for line in lines if not line.endswith("status 200")]
            check(lines and not bad, bad)
            calls += len(lines)
            stopping = [json.loads(line) for line in followed[name, "koodrive-gateway"].finish() if '"stopping"' in line]
            check(len(stopping) == 1, f"{name}: {stopping}")
            last = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(float(lines[-1].split()[0])))
            check(last <= stopping[0]["time"], f"last call {last}, gateway {stopping[0]['time']}")
    check(30 < calls, calls)


def configuration(c):
    """a changed ConfigMap is taken over without a restart; a bad one is refused, logged, and fails new pods only"""
    prepare(c)
    folder = overlays(c) / "example"
    c.kubectl("apply", "--kustomize", str(folder))
    rolled_out(c, TOOLS, "deployment/internal-tool")
    pod = c.pods(TOOLS, "app=internal-tool")[0]["metadata"]["name"]
    restarted = restarts(c, pod)
    log = lambda: c.logs(TOOLS, pod, "koodrive-gateway")  # noqa: E731
    good = (folder / "gateway.toml").read_text()
    try:
        (folder / "gateway.toml").write_text(good.replace("[limit]", "[limit]\ncalls_per_minute = 61"))
        c.kubectl("apply", "--kustomize", str(folder))
        until(lambda: '"configuration reloaded"' in log(), 180, "the ConfigMap is taken over")
        (folder / "gateway.toml").write_text(good.replace("[limit]", "[limit]\ncalls_per_minute = 0"))
        c.kubectl("apply", "--kustomize", str(folder))
        until(lambda: "limit.calls_per_minute" in log(), 180, "the bad ConfigMap is refused")
        before = len(c.logs(TOOLS, pod, "tool").splitlines())
        until(lambda: len(c.logs(TOOLS, pod, "tool").splitlines()) > before + 3, 30, "calls go on")
        check(c.logs(TOOLS, pod, "tool").splitlines()[-1].endswith("status 200"), "calls succeed")
        check(restarts(c, pod) == restarted, "the gateway was restarted")
        c.kubectl("--namespace", TOOLS, "rollout", "restart", "deployment/internal-tool")
        fresh = lambda: [one for one in c.pods(TOOLS, "app=internal-tool") if failing(one)]  # noqa: E731
        name = until(fresh, 120, "a new pod fails")[0]["metadata"]["name"]
        said = until(lambda: c.attempt("--namespace", TOOLS, "logs", name, "--container", "koodrive-gateway", "--previous").stdout or c.logs(TOOLS, name, "koodrive-gateway"), 60, "it says why")
        check("limit.calls_per_minute" in said and "gateway.toml:" in said, said)
    finally:
        (folder / "gateway.toml").write_text(good)
        c.kubectl("apply", "--kustomize", str(folder))
        rolled_out(c, TOOLS, "deployment/internal-tool", 300)


def secret(c):
    """a changed Secret is taken over without a restart"""
    prepare(c)
    c.kubectl("apply", "--kustomize", str(overlays(c) / "example"))
    rolled_out(c, TOOLS, "deployment/internal-tool")
    pod = c.pods(TOOLS, "app=internal-tool")[0]["metadata"]["name"]
    restarted = restarts(c, pod)
    try:
        sso_ask(c, "/client-secret?is=renewed")
        check(fresh_caller(c, pod) == "502", "the token endpoint refuses the old secret")
        give_secret(c, "renewed")
        until(lambda: fresh_caller(c, pod) == "200", 180, "the new secret is used")
        check(restarts(c, pod) == restarted, "the gateway was restarted")
    finally:
        sso_ask(c, "/client-secret")
        give_secret(c, "secret")
    until(lambda: fresh_caller(c, pod) == "200", 180, "the old secret is back")


def idle(c):
    """a sidecar at rest, probed by the kubelet, takes less than 4 thousandths of a processor"""
    workloads(c)
    rolled_out(c, TOOLS, "deployment/idle")
    pod = c.pods(TOOLS, "app=idle")[0]["status"]
    container = pod["initContainerStatuses"][0]["containerID"].rpartition("/")[2]
    path = until(lambda: next(pathlib.Path("/sys/fs/cgroup").glob(f"cpuacct/koodrive-gateway-pods/**/{container}/cpuacct.usage"), None), 10, "its control group")
    began, used = time.monotonic(), int(path.read_text())
    time.sleep(120)  # what is measured is a rate
    thousandths = (int(path.read_text()) - used) / 1e6 / (time.monotonic() - began)
    resident = re.search(r"^total_rss (\d+)", next(pathlib.Path("/sys/fs/cgroup/memory/koodrive-gateway-pods").glob(f"**/{container}/memory.stat")).read_text(), re.M)
    say(f"     a sidecar at rest: {thousandths:.1f} mCPU, {int(resident[1]) / 1024 / 1024:.1f} MiB resident")
    check(thousandths < 4, f"{thousandths:.1f} mCPU")


def standalone(c):
    """`standalone` comes up with two replicas, and a rolling restart fails no call"""
    alone(c)
    check(c.get("--namespace", ALONE, "hpa", ALONE)["spec"]["minReplicas"] == 2, "minReplicas")
    until(lambda: len(c.pods(ALONE, "app=koodrive-gateway")) == 2, 120, "two replicas")
    rolled_out(c, ALONE, f"deployment/{ALONE}")
    statuses = []
    over = threading.Event()
    callers = [threading.Thread(target=call_until, args=(c, over, statuses)) for _ in range(2)]
    for caller in callers:
        caller.start()
    c.kubectl("--namespace", ALONE, "rollout", "restart", f"deployment/{ALONE}")
    rolled_out(c, ALONE, f"deployment/{ALONE}", 300)
    over.set()
    for caller in callers:
        caller.join()
    bad = [status for status in statuses if status != 200]
    check(20 < len(statuses) and not bad, f"{len(statuses)} calls, {bad}")


def autoscaler(c):
    """the autoscaler adds replicas under load"""
    alone(c)
    c.metrics()
    # Handshakes are what costs a gateway most.
    load = [subprocess.Popen(c.world.network.inside("openssl", "s_time", "-connect", f"{pod['status']['podIP']}:8443", "-new", "-time", "300"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for pod in c.pods(ALONE, "app=koodrive-gateway") for _ in range(2)]
    try:
        ready = lambda: c.get("--namespace", ALONE, "deployment", ALONE)["status"].get("readyReplicas", 0)  # noqa: E731
        until(lambda: 2 < ready(), 280, "a third replica is ready")
        metrics = c.get("--namespace", ALONE, "hpa", ALONE)["status"]["currentMetrics"]
        say(f"     cpu {metrics[0]['resource']['current']['averageUtilization']}% of the request, {ready()} replicas")
    finally:
        for one in load:
            one.terminate()
            one.wait()


def certificate(c):
    """a renewed certificate is served without a restart"""
    alone(c)
    before = fingerprint(c)
    tls_secret(c)
    until(lambda: fingerprint(c) not in ("", before), 180, "the new certificate is served")


def disruption_budget(c):
    """the disruption budget lets one of two replicas go, and not the second"""
    alone(c)
    rolled_out(c, ALONE, f"deployment/{ALONE}")
    until(lambda: c.get("--namespace", ALONE, "pdb", ALONE)["status"].get("disruptionsAllowed") == 1, 60, "one may go")
    results = []
    for pod in c.pods(ALONE, "app=koodrive-gateway")[:2]:
        name = pod["metadata"]["name"]
        eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": ALONE}})
        (c.folder / "eviction").write_text(eviction)
        results.append(c.attempt("create", "--raw", f"/api/v1/namespaces/{ALONE}/pods/{name}/eviction", "--filename", str(c.folder / "eviction")))
    check(results[0].returncode == 0 and "disruption budget" in results[1].stderr, [result.stderr for result in results])
    rolled_out(c, ALONE, f"deployment/{ALONE}")


def policies(c):
    """NetworkPolicies let marked namespaces call and nobody else"""
    alone(c)
    address = c.pods(ALONE, "app=koodrive-gateway")[0]["status"]["podIP"]
    for namespace, labels, port, expected in [
        ("callers", "koodrive-gateway=caller", 8443, True), ("callers", "koodrive-gateway=caller", 9901, False),
        ("strangers", "nothing=special", 8443, False), ("strangers", "nothing=special", 9901, False),
        ("monitoring", "nothing=special", 9901, True),
    ]:
        c.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": dict([labels.split("=")])}}))
        c.apply(json.dumps(pod_of("caller", namespace)))
        c.kubectl("--namespace", namespace, "wait", "--for=condition=ready", "pod/caller", "--timeout=120s", seconds=150)
        scheme = "https" if port == 8443 else "http"
        ask = ["exec", "--namespace", namespace, "caller", "--", "curl", "--insecure", "--silent", "--max-time", "4", "--output", "/dev/null", f"{scheme}://{address}:{port}/livez"]
        # The engine needs a moment to learn of a new pod.
        until(lambda: (c.attempt(*ask).returncode == 0) == expected, 60, f"{namespace} → {port} is {'open' if expected else 'closed'}")


def shared_limits(c):
    """two replicas hold a caller's limit together, through a Redis in the cluster"""
    prepare(c)
    folder = overlays(c) / "standalone"
    good = (folder / "gateway.toml").read_text()
    c.apply((HERE / "redis.yaml").read_text().replace("$REDIS", REDIS))
    rolled_out(c, "redis", "deployment/redis")
    alone(c)
    try:
        (folder / "gateway.toml").write_text(good.replace("[limit]", f'[limit]\nstore = "redis://{REDIS}:6379"\ncalls_per_minute = 6\ncalls_burst = 10\n'))
        c.kubectl("apply", "--kustomize", str(folder))
        c.kubectl("--namespace", ALONE, "rollout", "restart", f"deployment/{ALONE}")
        rolled_out(c, ALONE, f"deployment/{ALONE}", 300)
        addresses = until(lambda: len(found := [pod["status"]["podIP"] for pod in c.pods(ALONE, "app=koodrive-gateway")]) == 2 and found, 120, "two replicas")
        token = sso_token(c, f"caller-{time.time()}")
        began = time.monotonic()
        statuses = [preverify(c, addresses[number % 2], token) for number in range(24)]
        passed = statuses.count(200)
        most = 10 + (time.monotonic() - began) / 10 + 1  # the burst, and one in ten seconds
        check(10 <= passed <= most and set(statuses) == {200, 429}, f"{passed} of {statuses} within {most:.1f}")
    finally:
        (folder / "gateway.toml").write_text(good)


def helm_test(c):
    """the chart installs, serves, and its own test passes"""
    namespace = "helmed"
    c.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))
    secrets(c, namespace)
    tls_secret(c, namespace)
    helm = [str(helm_program()), "--kubeconfig", str(c.folder / "admin"), "--namespace", namespace]
    inside = c.world.network.inside
    run(*inside(*helm, "upgrade", "--install", ALONE, str(CHART), "--wait", "--timeout", "240s"), seconds=300)
    tested = attempt(*inside(*helm, "test", ALONE, "--timeout", "120s"), seconds=180)
    if tested.returncode != 0:  # then its pod stays
        raise Failed(tested.stdout + tested.stderr + c.logs(namespace, "koodrive-gateway-ready", "check-config"))
    run(*inside(*helm, "uninstall", ALONE, "--wait"), seconds=180)


CLAIMS = [
    accepted, start_order, own_init_container, jobs_complete, every_node, own_tool, traces, rolling_update, configuration, secret, idle,
    standalone, certificate, disruption_budget, policies, shared_limits, helm_test, autoscaler,
]
