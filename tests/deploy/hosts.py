"""Steps with systemd 252 as PID 1 in a clean Debian root: the unit, its socket, the package."""

import re
import threading

from bases import packages, scratch
from parts import CACHE, ROOT, Failed, check, go_program, run, until

UNIT = "koodrive-gateway"
CALLS = """
token=$(curl --silent --fail 'http://127.0.0.1:9400/realms/tools/demo-token?subject=alice') || exit 1
end=$(($(date +%s) + $1)); good=0; bad=0
while :; do
    status=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 \
        --header "Authorization: Bearer $token" http://127.0.0.1:8080/koodrive/ose/v1/userList)
    if [ "$status" = 200 ]; then good=$((good + 1)); else bad=$((bad + 1)); echo "status $status"; fi
    # Once at least, however late in its second this began.
    [ "$(date +%s)" -lt "$end" ] || break
done
echo "good $good bad $bad"
"""


def systemd(world):
    """the unit by its first lines: start, reload, mistakes, restart behind its socket, stop"""
    gateway, _ = world.binaries()
    with Host(world) as host:
        host.simulator()
        host.lay("/src/target/release/koodrive-gateway", gateway, "0755")
        host.copy(ROOT / "deploy/systemd", "/src/deploy/systemd")
        host.write("/src/gateway.toml", host.configuration())
        host.write("/src/client-secret", "demo-client-secret\n")
        host.sh("cd /src && " + " && ".join(documented("koodrive-gateway.service")))
        check(host.show("ActiveState") == "active", host.status())
        check(host.show("StatusText") == "serving on 127.0.0.1:8080", host.status())
        check("good 0" not in host.calls(1), "calls")

        host.write("/etc/koodrive-gateway/gateway.toml", host.configuration() + "[limit]\ncalls_per_minute = 61\n")
        host.sh(f"systemctl reload {UNIT}")
        until(lambda: host.show("StatusText") == "serving on 127.0.0.1:8080", 10, "the address stands in the status again")
        host.write("/etc/koodrive-gateway/gateway.toml", host.configuration() + "[limit]\ncalls_per_minute = 0\n")
        host.sh(f"systemctl reload {UNIT}")
        until(lambda: "limit.calls_per_minute" in host.show("StatusText"), 10, "the refused change stands in the status")
        check("good 0" not in host.calls(1), "a refused change serves on")

        host.sh(f"systemctl restart {UNIT} || true")
        until(lambda: host.show("ActiveState") == "failed", 20, "a mistake fails the unit")
        status = host.status()
        check("limit.calls_per_minute" in status and "gateway.toml:" in status, status)

        host.write("/etc/koodrive-gateway/gateway.toml", host.configuration())
        host.sh(f"systemctl reset-failed {UNIT} && systemctl start {UNIT}")
        journal = host.sh(f"journalctl --unit {UNIT} --output cat --invocation=0 2>/dev/null || journalctl --unit {UNIT} --output cat")
        check("[accept]" not in journal, "the journal holds the configuration")
        behind_its_socket(host)

        host.sh(f"systemctl kill --signal KILL {UNIT}")
        until(lambda: host.show("ActiveState") == "active" and host.show("NRestarts") != "0", 20, "it is started again")
        host.sh("systemctl stop koodrive-gateway.socket koodrive-gateway.service")
        check(host.show("Result") == "success", host.status())


def behind_its_socket(host):
    """Calls all the time while the service restarts."""
    for command in documented("koodrive-gateway.socket"):
        host.sh(f"cd /src && {command}")
    check("good 0" not in host.calls(1), "calls through the socket")
    told = []
    calling = threading.Thread(target=lambda: told.append(host.calls(14)))
    calling.start()
    host.sh(f"sleep 2; systemctl restart {UNIT}")
    calling.join()
    good, bad = map(int, re.search(r"good (\d+) bad (\d+)", told[0]).groups())
    check(bad == 0 and 10 < good, told[0])


def debian_package(world):
    """the Debian package: install, upgrade, remove, purge"""
    gateway, _ = world.binaries()
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    packages = [package(world, gateway, version), package(world, gateway, f"{version}+1")]
    with Host(world) as host:
        host.simulator()
        for number, made in enumerate(packages):
            host.lay(f"/src/{number}.deb", made, "0644")
        host.sh("dpkg --install /src/0.deb")
        check(host.show("ActiveState") == "inactive", "nothing starts before it is configured")
        check("koodrive-gateway" in host.sh("getent passwd koodrive-gateway"), "the user")
        check(version in host.sh("koodrive-gateway --version"), "the binary")
        for file in ["man/man1/koodrive-gateway.1.gz", "man/man1/koodrive-gateway-run.1.gz", "bash-completion/completions/koodrive-gateway"]:
            host.sh(f"test -s /usr/share/{file}")
        check(host.sh("stat --format '%a %G' /etc/koodrive-gateway").strip() == "750 koodrive-gateway", "the folder of the secret")

        host.write("/etc/koodrive-gateway/gateway.toml", host.configuration())
        host.sh("printf demo-client-secret > /etc/koodrive-gateway/client-secret; chgrp koodrive-gateway /etc/koodrive-gateway/client-secret; chmod 640 /etc/koodrive-gateway/client-secret")
        host.sh(f"systemctl enable --now {UNIT}")
        check("good 0" not in host.calls(1), "calls")

        before = host.show("MainPID")
        host.sh("dpkg --install /src/1.deb")
        check(host.show("ActiveState") == "active" and host.show("MainPID") != before, "an upgrade restarts it")
        check("9400" in host.sh("cat /etc/koodrive-gateway/gateway.toml"), "an upgrade keeps the configuration")
        check("good 0" not in host.calls(1), "calls")

        host.sh("dpkg --remove koodrive-gateway")
        check(host.show("ActiveState") != "active", "removal stops it")
        host.sh("test -e /etc/koodrive-gateway/gateway.toml && test ! -e /usr/bin/koodrive-gateway")
        host.sh("dpkg --purge koodrive-gateway")
        host.sh("test ! -e /etc/koodrive-gateway/gateway.toml")


HOSTS = [systemd, debian_package]


def package(world, gateway, version):
    """As deploy/debian/build makes it."""
    made = world.folder / f"koodrive-gateway_{version}.deb"
    environment = {"GATEWAY_BIN": str(gateway), "NFPM": str(go_program("nfpm", "nfpm", "v2.43.0", "github.com/goreleaser/nfpm/v2/cmd/nfpm"))}
    run(ROOT / "deploy/debian/build", made, version, environment=environment, seconds=1200)
    return made


def documented(unit):
    """The commands in the first lines of a unit."""
    lines = (ROOT / "deploy/systemd" / unit).read_text().split("[Unit]")[0].splitlines()
    found = [line.removeprefix("#     ") for line in lines if line.startswith("#     ")]
    known = ("install", "systemd-sysusers", "systemctl")
    return [line for line in found if line.startswith(known) and "reload koodrive-gateway" not in line]


class Host:
    """A clean Debian root with systemd as PID 1."""

    def __init__(self, world):
        self.world = world
        self.name = f"host-{id(self)}"

    def __enter__(self):
        podman = self.world.podman
        tar = CACHE / "systemd.tar"
        if not tar.exists():
            with scratch() as folder:
                packages(folder, "systemd,systemd-sysv,dbus,curl,procps").rename(tar)
        if podman.attempt("image", "exists", "host").returncode != 0:
            podman("import", tar, "host")
        podman(
            "run", "--detach", "--name", self.name, "--systemd=always", "--privileged", "--network", "none",
            "--cgroup-parent", f"/koodrive-gateway-host-{self.world.folder.name}", "host", "/sbin/init",
        )
        until(lambda: self.attempt("systemctl is-system-running --wait").stdout.strip() in ("running", "degraded"), 60, "systemd is up")
        return self

    def __exit__(self, *_):
        self.world.podman.attempt("rm", "--force", "--time", "5", self.name)

    def attempt(self, script, *words):
        return self.world.podman.attempt("exec", self.name, "sh", "-c", script, "sh", *words, seconds=120)

    def sh(self, script, *words):
        done = self.attempt(script, *words)
        if done.returncode != 0:
            raise Failed(f"`{script[:200]}` ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
        return done.stdout

    def lay(self, path, source, mode):
        self.sh(f"mkdir -p {path.rpartition('/')[0]}")
        self.world.podman("cp", str(source), f"{self.name}:{path}")
        self.sh(f"chmod {mode} {path}")

    def copy(self, source, path):
        self.sh(f"mkdir -p {path}")
        self.world.podman("cp", f"{source}/.", f"{self.name}:{path}")

    def write(self, path, text):
        """In place: owner and mode stay."""
        self.sh('printf %s "$2" > "$1"', path, text)

    def configuration(self):
        local = (ROOT / "config/local.toml").read_text()
        return local.replace("local.client-secret", "client-secret")

    def simulator(self):
        _, demo = self.world.binaries()
        self.lay("/usr/local/bin/koodrive-demo", demo, "0755")
        self.copy(ROOT / "config", "/etc/simulator")
        self.sh("systemd-run --quiet --unit simulator koodrive-demo --config /etc/simulator/local.toml --only sso,koodrive")
        until(lambda: self.attempt("curl --silent --fail http://127.0.0.1:9400/realms/tools/jwks").returncode == 0, 20, "the simulator answers")

    def show(self, name):
        return self.attempt(f"systemctl show --property {name} --value {UNIT}").stdout.strip()

    def status(self):
        return self.attempt(f"systemctl status --no-pager --lines 20 {UNIT}").stdout

    def calls(self, seconds):
        return self.sh(CALLS, str(seconds))
