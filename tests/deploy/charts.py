"""The Helm chart, held to the kustomize bases that it is made of."""

import json
import re
import shutil

from parts import ROOT, Missing, attempt, check, go_program, run

CHART = ROOT / "deploy/helm/koodrive-gateway"
KUBERNETES = ["--kube-version", "1.33.0"]


def helm(world):
    """the chart: lint, the same as kustomize renders, the schema of its values, the sidecar template"""
    binary = helm_program()
    run(binary, "lint", CHART)
    mine = rendered(run(binary, *template("--skip-tests")))
    theirs = kustomized("standalone")
    del theirs["Namespace", "koodrive-gateway"]  # `helm install --create-namespace` makes it
    check(mine.keys() == theirs.keys(), mine.keys() ^ theirs.keys())
    for name, manifest in theirs.items():
        check(mine[name] == manifest, f"{name}: {json.dumps(mine[name])} is not {json.dumps(manifest)}")
    monitored = rendered(run(binary, *template("--set", "standalone.podMonitor=true")))
    check(("PodMonitor", "koodrive-gateway") in monitored, monitored.keys())

    for wrong, word in [("config.limit.calls_per_minut=60", "calls_per_minut"), ("config.limit.calls_per_minute=many", "calls_per_minute"), ("standalone.replicas=2", "replicas")]:
        done = attempt(binary, *template("--set", wrong))
        check(done.returncode != 0 and word in done.stderr, f"{wrong}: {done.stderr}")
    laid_over(world, binary)
    sidecar(world, binary)


def laid_over(world, binary):
    """Values become the TOML that the gateway reads: whole numbers, lists, tables, odd names."""
    values = world.folder / "values.yaml"
    values.write_text(
        "config:\n  limit: {calls_per_minute: 120}\n  telemetry: {sample_ratio: 0.5, log_format: text}\n"
        "  forward: {refused_statuses: [401, 419]}\n  token: {client_secret_file: /dev/null}\n"
        "  listen: {tls_certificate_file: '', tls_key_file: ''}\n"
        "  accept:\n    issuers:\n    - {issuer: 'https://sso.example.com/a', audiences: [one, two], required_claims: {groups: 'a \"quoted\" <name>'}}\n"
    )
    text = rendered(run(binary, *template("--values", values)))["ConfigMap", "koodrive-gateway"]["data"]["gateway.toml"]
    file = world.folder / "from-values.toml"
    secret = world.folder / "helm-secret"
    secret.write_text("secret\n")
    file.write_text(text.replace("/dev/null", str(secret)))
    said = run(world.binaries()[0], "check-config", "--config", file)
    for line in ["calls_per_minute = 120", "sample_ratio = 0.5", "[401, 419]", "total_calls_per_second = 50", 'a \\"quoted\\" <name>']:
        check(line in said or line.replace('\\"', '"') in said, f"no {line} in {said}")


def sidecar(world, binary):
    """A tool's chart that depends on ours gets the pod that the kustomize component makes."""
    tool = world.folder / "tool-chart"
    shutil.rmtree(tool, ignore_errors=True)
    (tool / "templates").mkdir(parents=True)
    (tool / "charts").mkdir()
    # What is documented, in a chart of the example's tool.
    readme = (ROOT / "deploy/README.md").read_text()
    spec = re.search(r"```yaml\n(spec:.*?)```", readme, re.S)[1]
    dependency = re.search(r"```yaml\n(dependencies:.*?)```", readme, re.S)[1]
    version = re.search(r"^version: (.*)", (CHART / "Chart.yaml").read_text(), re.M)[1]
    (tool / "Chart.yaml").write_text(f"apiVersion: v2\nname: internal-tool\nversion: 1.0.0\n{dependency}")
    check(f"version: {version}" in dependency, dependency)
    (tool / "values.yaml").write_text(re.search(r"```yaml\n(koodrive-gateway:.*?)```", readme, re.S)[1])
    shutil.copytree(CHART, tool / "charts/koodrive-gateway")
    (tool / "templates/pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: internal-tool\n" + spec)
    made = rendered(run(binary, "template", "internal-tool", tool, *KUBERNETES))
    check(set(made) == {("Pod", "internal-tool")}, made.keys())
    mine = made["Pod", "internal-tool"]["spec"]
    theirs = kustomized("example")["Deployment", "internal-tool"]["spec"]["template"]["spec"]
    check(mine["initContainers"] == theirs["initContainers"], json.dumps(mine["initContainers"]))
    check(mine["volumes"] == theirs["volumes"], json.dumps(mine["volumes"]))


CHARTS = [helm]


def helm_program():
    return go_program("helm", "helm", "v3.19.0", "helm.sh/helm/v3/cmd/helm")


def template(*more):
    return ["template", "koodrive-gateway", CHART, "--namespace", "koodrive-gateway", *KUBERNETES, *more]


def kustomized(overlay):
    folder = ROOT / "deploy/kubernetes" / overlay
    if shutil.which("kubectl"):
        return rendered(run("kubectl", "kustomize", folder))
    kustomize = go_program("kustomize", "kustomize", "v5.7.1", "sigs.k8s.io/kustomize/kustomize/v5")
    return rendered(run(kustomize, "build", folder))


def rendered(text):
    """Kind and name → manifest."""
    try:
        import yaml
    except ImportError:
        raise Missing("PyYAML: install python3-yaml, or pip install pyyaml") from None
    manifests = filter(None, yaml.safe_load_all(text))
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
