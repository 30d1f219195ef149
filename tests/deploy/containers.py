"""Steps with Docker: the Dockerfile, the README's `docker run`, compose."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
import time

from bases import authority
from docker import BRIDGE
from parts import CACHE, HERE, ROOT, check, run, say, until

PREVERIFY = "/koodrive/ose/v1/users/batchimport/preverify"
BATCH = '{"curDeptId":1575416580416769793,"users":[{"personalCapacity":10,"isAllocateCapacity":true}]}'
GATEWAY = "koodrive-gateway"
JAEGER = re.search(r"image: (jaegertracing/\S+)", (ROOT / "deploy/compose.yaml").read_text())[1]
# Of the layers that are ours: as they are pulled, and unpacked.
PULLED_MAX, UNPACKED_MAX = 12_000_000, 18_000_000


def last_stage(world):
    """the Dockerfile's last stages, with binaries from cargo's cache; made again, the layers are the same"""
    last_stages(world, "gateway", GATEWAY)
    looks_right(world)
    before = world.docker.image(GATEWAY)["RootFS"]["Layers"]
    last_stages(world, "gateway", GATEWAY, "--no-cache")
    check(world.docker.image(GATEWAY)["RootFS"]["Layers"] == before, "the layers differ")


def image(world):
    """docker build as the Dockerfile says, every stage"""
    build(world, "gateway", GATEWAY)
    looks_right(world)


def umask(world):
    """a checkout under umask 077 makes an image that starts"""
    world.bases.for_gateway()
    last_stages(world, "gateway", "koodrive-gateway-umask", private=True)
    said = world.docker("run", "--rm", "--read-only", "koodrive-gateway-umask", "config-schema")
    check('"$schema"' in said, said[:200])
    # Its configuration can be read: what is missing is what every start needs, and only that.
    done = world.docker.attempt("run", "--rm", "--read-only", "koodrive-gateway-umask", "check-config")
    check(done.returncode == 2 and "permission" not in done.stderr, done.stderr)
    check("accept.issuers" in done.stderr, done.stderr)


def docker_run(world):
    """`docker run` of deploy/README.md word for word: calls, a replaced secret, stop with a call in flight"""
    gateway_image(world)
    secrets = world.folder / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "client-secret").write_text("secret\n")
    (secrets / "client-secret").chmod(0o444)
    with StandIn(world) as sso:
        words = documented_run(world.folder)
        name, log = "documented", world.folder / "documented.log"
        client = world.docker.start(log, "run", "--name", name, *sso.hosts, *words)
        over = lambda: client.poll() is not None  # noqa: E731
        until(lambda: over() or world.docker.health_of(name) == "healthy", 60, "the container is healthy")
        check(not over(), log.read_text())
        token = sso.token("alice")
        calls(world, "http://127.0.0.1:8080", token)

        # Replaced, as editors and secret stores do it.
        sso.secret("renewed")
        (secrets / "new").write_text("renewed\n")
        (secrets / "new").chmod(0o444)
        (secrets / "new").rename(secrets / "client-secret")
        until(lambda: "configuration reloaded" in log.read_text(), 30, "the new secret is read")
        check(call(world, "http://127.0.0.1:8080", sso.token("bob"))[0] == 200, "bob's exchange with the new secret")

        # `docker stop` as it is typed.
        slow = []
        waiting = threading.Thread(
            target=lambda: slow.append(call(world, "http://127.0.0.1:8080", token, "/koodrive/slow?delay=14")),
        )
        waiting.start()
        until(lambda: int(sso.counts()["calls"]) >= 4, 10, "the slow call is at KooDrive")
        world.docker("stop", name, seconds=60)
        waiting.join()
        check(slow[0][0] == 200, f"the call in flight got {slow[0]}")
        check(client.wait(30) == 0, f"exit code {client.returncode}: {log.read_text()[-400:]}")
        check(world.docker.attempt("inspect", name).returncode != 0, "--rm has removed it")


def health_elsewhere(world):
    """the image's health check follows admin.address of a mounted configuration"""
    gateway_image(world)
    folder = world.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    text = (ROOT / "deploy/kubernetes/example/gateway.toml").read_text()
    (folder / "gateway.toml").write_text(text + '\n[admin]\naddress = "127.0.0.1:9999"\n')
    (folder / "client-secret").write_text("secret\n")
    with StandIn(world) as sso:
        mount = f"{folder}:/etc/koodrive-gateway:ro"
        world.docker("run", "--detach", "--name", "elsewhere", *sso.hosts, "--volume", mount, "--read-only", GATEWAY)
        try:
            until(lambda: world.docker.health_of("elsewhere") == "healthy", 30, "the container is healthy")
        finally:
            world.docker("rm", "--force", "elsewhere")


def compose(world):
    """docker compose up: calls, their traces in Jaeger, down without a trace"""
    world.docker.compose_plugin()
    jaeger(world)
    world.bases.for_tool()
    for target, name in [("simulator", "koodrive-gateway-simulator"), ("local", "koodrive-gateway-local"), ("tool", "koodrive-gateway-tool")]:
        (last_stages if world.fast else build)(world, target, name)
    patient(world)
    words = ["compose", "--file", str(ROOT / "deploy/compose.yaml")]
    world.docker(*words, "up", "--detach", "--no-build", seconds=180)
    try:
        answered = lambda: world.docker(*words, "logs", "--no-log-prefix", "tool").count("200 X-Traceid") >= 5  # noqa: E731
        until(answered, 60, "the tool's calls are answered")
        said = world.docker(*words, "logs", "--no-log-prefix", "tool")
        check("X-Traceid" in said and "curl:" not in said, said[-400:])
        trace_id = re.search(r"200 X-Traceid (\w{32})", said)[1]
        found = lambda: world.curl(f"http://127.0.0.1:16686/api/traces/{trace_id}")  # noqa: E731
        status, body = until(lambda: (answer := found())[0] == 200 and answer, 30, "the trace is in Jaeger")
        names = {span["operationName"] for span in json.loads(body)["data"][0]["spans"]}
        check({"accept", "token", "forward", "forward.attempt"} <= names, names)
        began = time.monotonic()
        world.docker(*words, "stop", seconds=90)
        check(time.monotonic() - began < 30, "stopping takes long")
        states = world.docker(*words, "ps", "--all", "--format", "json")
        exits = {row["Service"]: row["ExitCode"] for row in map(json.loads, states.splitlines())}
        check(exits["gateway"] == 0, exits)
    finally:
        world.docker(*words, "down", "--volumes", seconds=90)
    check(world.docker("ps", "--all", "--quiet") == "", "down has left containers")


def patient(world):
    """Without an SSO the tool goes on asking; the simulators tell how to start a gateway for them."""
    world.docker("run", "--detach", "--name", "patient", "koodrive-gateway-tool")
    until(lambda: 2 <= logs(world, "patient").count("curl: (7)"), 30, "the tool asks again")
    world.docker("rm", "--force", "patient")
    world.docker("run", "--detach", "--name", "told", "koodrive-gateway-simulator")
    said = until(lambda: "--config" in (text := logs(world, "told")) and text, 30, "the simulators tell of the gateway")
    check("koodrive-gateway run --config" in said and "cargo" not in said, said)
    world.docker("rm", "--force", "told")


CONTAINERS = [last_stage, image, umask, docker_run, health_elsewhere, compose]


# ── building ─────────────────────────────────────────────────────────────────────────────────────


def gateway_image(world):
    """Unless a step before has made it."""
    if GATEWAY not in world.made:
        (last_stages if world.fast else build)(world, "gateway", GATEWAY)


def commit():
    return run("git", "rev-parse", "HEAD", cwd=ROOT).strip()


def build(world, target, name):
    """As documented, plus the way out to the crate registry."""
    world.bases.for_build()
    world.bases.for_gateway()
    world.made.add(name)
    proxy = world.network.way_out(BRIDGE, 3128)
    arguments = [word for key in ("https_proxy", "HTTPS_PROXY") for word in ("--build-arg", f"{key}={proxy}")]
    world.docker(
        "build", "--file", "deploy/Dockerfile", "--target", target, "--tag", name,
        "--build-arg", f"COMMIT={commit()}", *arguments, ".", cwd=ROOT, seconds=3600,
    )


def last_stages(world, target, name, *words, private=False):
    """The Dockerfile from its first base of distroless on; what it copies from the builders is at hand."""
    world.made.add(name)
    world.bases.for_gateway()
    world.bases.for_tool()
    gateway, demo = world.binaries()
    context = world.folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    for made, binary in [("target/release/koodrive-gateway", gateway), ("target/release/examples/demo", demo)]:
        (context / made).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(binary, context / made)
        run("strip", "--strip-debug", context / made)
    shutil.copytree(ROOT / "config", context / "config")
    (context / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/compose-tool.sh", context / "deploy")
    text = (ROOT / "deploy/Dockerfile").read_text()
    # Any base with coreutils will do for the stage that lays out the files.
    built = "WORKDIR /build\nCOPY config config\nCOPY target target\n"
    builders = "".join(f"FROM {world.bases.curl} AS {name}\nUSER root\n{built}" for name in ("build", "build-simulator"))
    (context / "Dockerfile").write_text(builders + text[text.index("FROM gcr.io/distroless"):])
    if private:
        run("chmod", "-R", "go-rwx", context)
    world.docker("build", *words, "--target", target, "--tag", name, "--build-arg", f"COMMIT={commit()}", ".", cwd=context)


def looks_right(world):
    """One binary and one file of ours, nobody's but the base's shell, labels with version and commit."""
    made = world.docker.image(GATEWAY)
    base = world.docker.image(world.bases.distroless)
    check(len(made["RootFS"]["Layers"]) == len(base["RootFS"]["Layers"]) + 1, "one layer is ours")
    pulled, unpacked = pulled_size(world), made["Size"] - base["Size"]
    say(f"        ours: {pulled / 1e6:.1f} MB pulled, {unpacked / 1e6:.1f} MB unpacked")
    if "GATEWAY_BIN" not in os.environ:  # which may be one for debugging
        check(pulled <= PULLED_MAX and unpacked <= UNPACKED_MAX, (pulled, unpacked))
    labels = made["Config"]["Labels"]
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    check(labels["org.opencontainers.image.version"] == version, labels)
    check(labels["org.opencontainers.image.revision"] == commit(), labels)
    check(made["Config"]["User"] == "65532:65532", made["Config"]["User"])
    shell = world.docker.attempt("run", "--rm", "--entrypoint", "sh", GATEWAY)
    check(shell.returncode != 0, "there is a shell")
    files = set(world.docker("run", "--rm", GATEWAY, "--version").split())
    check(version in files, files)


def pulled_size(world):
    """Of the last layer, compressed as registries keep it."""
    saved = world.folder / "saved.tar"
    world.docker("save", "--output", str(saved), GATEWAY)
    with tarfile.open(saved) as image:
        layer = json.load(image.extractfile("manifest.json"))[0]["Layers"][-1]
        size = len(gzip.compress(image.extractfile(layer).read(), 6))
    saved.unlink()
    return size


def jaeger(world):
    if world.docker.has(JAEGER):
        return
    binary = CACHE / "bin/jaeger-all-in-one"
    work = CACHE / "build-jaeger"
    work.mkdir(parents=True, exist_ok=True)
    for file in ["go.mod", "go.sum"]:
        shutil.copy(HERE.parent / "e2e/jaeger" / file, work)
    environment = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "0"}
    if not binary.exists():
        build = ["nice", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "github.com/jaegertracing/jaeger/cmd/all-in-one"]
        run(*build, cwd=work, environment=environment, seconds=2400)
    module = run("go", "list", "-m", "-f", "{{.Dir}}", "github.com/jaegertracing/jaeger", cwd=work, environment=environment).strip()
    context = world.folder / "jaeger"
    context.mkdir(exist_ok=True)
    shutil.copy(binary, context / "all-in-one")
    shutil.copy(f"{module}/cmd/all-in-one/sampling_strategies.json", context)
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY --chmod=0555 all-in-one /go/bin/all-in-one-linux\nCOPY --chmod=0444 sampling_strategies.json /etc/jaeger/\n"
        'USER 10001\nENTRYPOINT ["/go/bin/all-in-one-linux"]\nCMD ["--sampling.strategies-file=/etc/jaeger/sampling_strategies.json"]\n'
    )
    world.docker("build", "--tag", JAEGER, ".", cwd=context)


# ── calling ──────────────────────────────────────────────────────────────────────────────────────


class StandIn:
    """SSO and KooDrive on the bridge of the namespace, where containers find them by name."""

    def __init__(self, world):
        self.world = world
        self.folder = world.folder / "stand-in"
        self.folder.mkdir(exist_ok=True)
        for name, path in authority().items():
            if name.startswith("server"):
                shutil.copy(path, self.folder)
        run("openssl", "genrsa", "-out", self.folder / "sso.key", "2048")
        self.secret("secret")
        self.hosts = [word for host in ("sso.example.com", "cn.myhuaweicloud-koodrive.com") for word in ("--add-host", f"{host}:{BRIDGE}")]

    def secret(self, text):
        (self.folder / "client-secret").write_text(text)

    def __enter__(self):
        command = self.world.network.inside("python3", str(HERE / "stand_in.py"), str(self.folder))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until(lambda: self.ask("/counts", ok=(0, 7))[0] == 200, 20, "the stand-in answers")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, ok=(0,)):
        options = ["--cacert", str(authority()["ca.crt"]), "--resolve", f"sso.example.com:443:{BRIDGE}"]
        return self.world.curl(*options, f"https://sso.example.com{path}", ok=ok)

    def token(self, subject):
        return self.ask(f"/realms/tools/demo-token?subject={subject}")[1]

    def counts(self):
        return json.loads(self.ask("/counts")[1])


def documented_run(folder):
    """The words of deploy/README.md behind `docker run`, this folder for `$PWD`."""
    text = (ROOT / "deploy/README.md").read_text()
    block = re.search(r"^    docker run (.*?)\n\n", text, re.M | re.S)[1]
    # As a shell reads it.
    words = run("bash", "-c", f"printf '%s\\n' {block}", cwd=folder).splitlines()
    check(words[-1] == GATEWAY, words)
    return words


def call(world, gateway, token, path="/koodrive/ose/v1/userList"):
    return world.curl("--header", f"Authorization: Bearer {token}", gateway + path)


def calls(world, gateway, token):
    status, body = call(world, gateway, token)
    check((status, json.loads(body)["caller"]) == (200, "alice"), (status, body))
    status, body = world.curl("--header", f"Authorization: Bearer {token}", "--json", BATCH, gateway + PREVERIFY)
    check((status, json.loads(body)["bytes"]) == (200, len(BATCH)), (status, body))
    status, body = world.curl("--header", f"Authorization: Bearer {token}", "--json", BATCH.replace("10,", '"10",'), gateway + PREVERIFY)
    check((status, json.loads(body)["reason"]) == (400, "batch_malformed"), (status, body))


def logs(world, name):
    done = world.docker.attempt("logs", name)
    return done.stdout + done.stderr
