"""The real parts of the end-to-end run: where each comes from, how it is started, how it is ended.

A part that cannot be had raises `Missing`, whose text says what to install or to set.
Everything listens on loopback only, and every process started here is ended by `Parts.stop`.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile

from keys import Authority
from keys import ec_key
from keys import public_key
from keys import rsa_key

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "koodrive-gateway-e2e"
KEYCLOAK_VERSION = "26.7.3"
BUILD_SECONDS = 1500
FETCH_SECONDS = 600
START_SECONDS = 180
STOP_SECONDS = 20


class Missing(Exception):
    """A part that cannot be had here."""


# ── where they come from ─────────────────────────────────────────────────────────────────────────


def jaeger_binary(say):
    """JAEGER_BIN, or the release that jaeger/go.mod pins, built once through the Go module proxy."""
    given = os.environ.get("JAEGER_BIN")
    if given:
        if not os.access(given, os.X_OK):
            raise Missing(f"Jaeger: JAEGER_BIN={given} is not an executable file")
        return pathlib.Path(given).resolve()
    sums = (HERE / "jaeger/go.sum").read_bytes() + (HERE / "jaeger/go.mod").read_bytes()
    binary = CACHE / f"jaeger-{hashlib.sha256(sums).hexdigest()[:12]}"
    if binary.exists():
        return binary
    if not shutil.which("go"):
        raise Missing("Jaeger: no `go` to build it with; install Go 1.25 or later, or set JAEGER_BIN")
    say("building Jaeger (once; some minutes) …")
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_name(f"{binary.name}.{os.getpid()}")
    build = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(fresh), "github.com/jaegertracing/jaeger/cmd/jaeger"]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"}
    run_tool("Jaeger: its build failed; set JAEGER_BIN to a ready one", build, BUILD_SECONDS, HERE / "jaeger", environment)
    fresh.rename(binary)
    return binary


def keycloak_home(say):
    """KEYCLOAK_HOME, or the distribution from Maven Central, fetched and unpacked once."""
    given = os.environ.get("KEYCLOAK_HOME")
    if given:
        home = pathlib.Path(given).resolve()
        if not (home / "bin/kc.sh").is_file():
            raise Missing(f"Keycloak: KEYCLOAK_HOME={given} has no bin/kc.sh")
    else:
        home = CACHE / f"keycloak-{KEYCLOAK_VERSION}"
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise Missing("Keycloak: no `java` to run it with; install a Java 17 or later")
    if home.exists():
        return home
    if not shutil.which("mvn"):
        raise Missing("Keycloak: no `mvn` to fetch it with; install Maven, or set KEYCLOAK_HOME")
    say(f"fetching Keycloak {KEYCLOAK_VERSION} (once; 170 MB) …")
    fresh = CACHE / f"fetching-{os.getpid()}"
    fresh.mkdir(parents=True, exist_ok=True)
    try:
        artifact = f"org.keycloak:keycloak-quarkus-dist:{KEYCLOAK_VERSION}:zip"
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={fresh}"]
        run_tool("Keycloak: Maven Central did not give it; set KEYCLOAK_HOME to a ready one", copy, FETCH_SECONDS, fresh)
        with zipfile.ZipFile(fresh / f"keycloak-quarkus-dist-{KEYCLOAK_VERSION}.zip") as archive:
            archive.extractall(fresh)
        (fresh / f"keycloak-{KEYCLOAK_VERSION}").rename(home)
    finally:
        shutil.rmtree(fresh)
    return home


def oidc_provider(say):
    """The folder of npm's oidc-provider, installed once."""
    lock = (HERE / "oidc-provider/package-lock.json").read_bytes()
    home = CACHE / f"oidc-provider-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not shutil.which("node"):
        raise Missing("oidc-provider: no `node` to run it with; install Node.js 20 or later")
    if not home.exists():
        if not shutil.which("npm"):
            raise Missing("oidc-provider: no `npm` to fetch it with; install it beside Node.js")
        fresh = home.with_name(f"{home.name}.{os.getpid()}")
        shutil.copytree(HERE / "oidc-provider", fresh)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run_tool("oidc-provider: the npm registry did not give it", install, FETCH_SECONDS, fresh)
        fresh.rename(home)
    shutil.copy(HERE / "oidc-provider/server.mjs", home)
    return home


def gateway_binary(say):
    """GATEWAY_BIN, or this repository's own, built."""
    given = os.environ.get("GATEWAY_BIN")
    if given:
        if not os.access(given, os.X_OK):
            raise Missing(f"the gateway: GATEWAY_BIN={given} is not an executable file")
        return pathlib.Path(given).resolve()
    if not shutil.which("cargo"):
        raise Missing("the gateway: no `cargo` to build it with; install Rust, or set GATEWAY_BIN")
    say("building the gateway …")
    build = ["cargo", "build", "--locked", "--bin", "koodrive-gateway", "--message-format=json-render-diagnostics"]
    told = run_tool("the gateway: its build failed", build, BUILD_SECONDS, ROOT)
    for line in told.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            return pathlib.Path(message["executable"])
    raise Missing("the gateway: cargo built no binary")


def run_tool(otherwise, command, seconds, folder, environment=None):
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=seconds, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{otherwise} (`{command[0]}` took longer than {seconds} s)") from None
    if done.returncode != 0:
        words = (done.stdout + done.stderr).strip().splitlines()
        raise Missing("\n  ".join([f"{otherwise}; `{command[0]}` said:", *words[-8:]]))
    return done.stdout


# ── how they run ─────────────────────────────────────────────────────────────────────────────────


class Parts:
    """The processes of one run, and the folder they write into."""

    def __init__(self, folder, secrets):
        self.folder = folder
        self.secrets = secrets
        self.running = {}
        self.keys = {"rsa": rsa_key(folder / "rsa.pem", "rsa"), "ec": ec_key(folder / "ec.pem", "ec")}
        self.authority = Authority(folder / "authority")
        self.otlp, self.query, self.sso, self.sso_tls, self.gateway, self.admin = free_ports(6)
        self.issuer = f"http://127.0.0.1:{self.sso}/realms/tools"
        self.koodrive_issuer = f"http://127.0.0.1:{self.sso}/realms/koodrive"

    def log_of(self, name):
        return self.folder / f"{name}.log"

    def start_jaeger(self, binary):
        environment = {
            **os.environ,
            "E2E_OTLP_PORT": str(self.otlp),
            "E2E_QUERY_PORT": str(self.query),
            "E2E_UI_ASSETS": os.environ.get("JAEGER_UI_ASSETS", ""),
        }
        config = f"--config={HERE / 'jaeger/config.yaml'}"
        self.start("jaeger", [str(binary), config], environment, f"http://127.0.0.1:{self.query}/api/services")

    def start_keycloak(self, home):
        mine = self.folder / "keycloak"
        if not mine.exists():
            lay_keycloak(home, mine)
        certificate, key = self.authority.server("sso")
        environment = {
            **os.environ,
            **{f"E2E_{name.upper()}": value for name, value in self.secrets.items()},
            "E2E_ISSUER": self.issuer,
            "E2E_KOODRIVE_ISSUER": self.koodrive_issuer,
            # It lands within a JSON string.
            "E2E_GATEWAY_JWKS": json.dumps(json.dumps({"keys": list(self.keys.values())}))[1:-1],
            "E2E_WORKLOADS_KEY": public_key(self.folder / "rsa.pem"),
            # Starts in half the time; nothing here runs long enough to want more.
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        }
        command = [
            "sh", str(mine / "bin/kc.sh"), "start-dev", "--db=dev-mem", "--cache=local", "--import-realm",
            "--features=jwt-authorization-grant",
            "--http-host=127.0.0.1", f"--http-port={self.sso}", f"--hostname=http://127.0.0.1:{self.sso}",
            f"--https-port={self.sso_tls}", f"--https-certificate-file={certificate}",
            f"--https-certificate-key-file={key}", "--https-client-auth=request",
            f"--truststore-paths={self.authority.certificate}",
        ]
        self.start("keycloak", command, environment, f"{self.issuer}/.well-known/openid-configuration")
        keep_augmentation(home, mine)

    def start_oidc_provider(self, home):
        """Starts it; its issuer."""
        (port,) = free_ports(1)
        issuer = f"http://127.0.0.1:{port}"
        settings = self.folder / "oidc-provider.json"
        words = {
            "port": port, "issuer": issuer, "secret": self.secrets["gateway_secret"],
            "koodriveSecret": self.secrets["koodrive_secret"], "jwks": {"keys": [self.keys["ec"]]},
        }
        settings.write_text(json.dumps(words))
        command = ["node", str(home / "server.mjs"), str(settings)]
        self.start("oidc-provider", command, None, f"{issuer}/.well-known/openid-configuration")
        return issuer

    def start_gateway(self, binary, config):
        self.run_gateway("gateway", binary, config, self.admin, {})

    def start_another_gateway(self, binary, config, settings):
        """One more gateway beside the first, `settings` written over its configuration; its port."""
        port, admin = free_ports(2)
        addresses = {"listen.address": f"127.0.0.1:{port}", "admin.address": f"127.0.0.1:{admin}"}
        self.run_gateway("another", binary, config, admin, {**addresses, **settings})
        return port

    def run_gateway(self, name, binary, config, admin, settings):
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "KOODRIVE_GATEWAY"))},
            **{f"KOODRIVE_GATEWAY__{key.upper().replace('.', '__')}": value for key, value in settings.items()},
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        command = [str(binary), "run", "--config", str(config)]
        self.start(name, command, environment, f"http://127.0.0.1:{admin}/readyz")

    def start(self, name, command, environment, ready):
        """Starts a process of its own group and waits until `ready` answers 200."""
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        self.running[name] = process
        give_up = time.monotonic() + START_SECONDS
        while status_of(ready) != 200:
            if process.poll() is not None:
                raise Missing(f"{name} ended with {process.returncode} at its start:\n{self.tail(name)}")
            if give_up < time.monotonic():
                raise Missing(f"{name} was not ready within {START_SECONDS} s:\n{self.tail(name)}")
            time.sleep(0.1)

    def tail(self, name):
        lines = self.log_of(name).read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-12:])

    def signal(self, name, number):
        os.killpg(self.running[name].pid, number)

    def end(self, name):
        """Asks a part to end, waits, and gives its exit code; one that will not is killed."""
        process = self.running.pop(name)
        try:
            process.terminate()
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            kill_group(process)

    def stop(self):
        for process in self.running.values():
            kill_group(process)
        self.running.clear()


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def lay_keycloak(home, mine):
    """A home of this run's own: Keycloak writes into its home, and several runs may share `home`."""
    (mine / "lib").mkdir(parents=True)
    for name in ("bin", "conf", "providers", "lib/app", "lib/quarkus"):
        shutil.copytree(home / name, mine / name)
    for name in ("themes", "lib/lib"):
        (mine / name).symlink_to((home / name).resolve())
    shutil.copy(home / "lib/quarkus-run.jar", mine / "lib")
    (mine / "data/import").mkdir(parents=True)
    for realm in HERE.glob("realm*.json"):
        shutil.copy(realm, mine / "data/import")


def keep_augmentation(home, mine):
    """Keeps what the first start worked out in the cached home, so that later starts are short."""
    kept = home / "lib/quarkus"
    if home.parent != CACHE or same_bytes(kept, mine / "lib/quarkus"):
        return
    fresh = home / f"lib/quarkus.{os.getpid()}"
    shutil.copytree(mine / "lib/quarkus", fresh)
    shutil.rmtree(kept)
    fresh.rename(kept)


def same_bytes(one, other):
    digests = [
        [(file.name, hashlib.sha256(file.read_bytes()).digest()) for file in sorted(folder.iterdir())]
        for folder in (one, other)
    ]
    return digests[0] == digests[1]


def status_of(url):
    """The status that `url` answers with; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
