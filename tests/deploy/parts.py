"""What the steps are made of: programs and where they come from, and how commands are run."""

import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "koodrive-gateway-deploy"

# Program → package of Debian 12.
PROGRAMS = {
    "dockerd": "docker.io", "docker-init": "tini", "podman": "podman", "catatonit": "catatonit",
    "mmdebstrap": "mmdebstrap", "iptables": "iptables", "ip": "iproute2", "nsenter": "util-linux",
    "openssl": "openssl", "curl": "curl", "redis-server": "redis-server", "etcd": "etcd-server",
    "ipset": "ipset", "conntrack": "conntrack",
}


class Missing(Exception):
    """Something this machine does not have."""


class Failed(Exception):
    """Something is not as promised."""


def say(text):
    print(text, flush=True)


def check(holds, text):
    if not holds:
        raise Failed(text)


def run(*command, seconds=600, cwd=None, environment=None, stdin=None, ok=(0,)):
    """Standard output of a command that must end with one of `ok`."""
    done = attempt(*command, seconds=seconds, cwd=cwd, environment=environment, stdin=stdin)
    if done.returncode not in ok:
        words = (done.stdout + done.stderr).strip().splitlines()[-12:]
        raise Failed("\n  ".join([f"`{' '.join(map(str, command))[:300]}` ended with {done.returncode}:", *words]))
    return done.stdout


def attempt(*command, seconds=600, cwd=None, environment=None, stdin=None):
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env={**os.environ, **(environment or {})}, timeout=seconds, text=True, check=False,
        input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def until(holds, seconds, what):
    """The first true answer of `holds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = holds()
        if answer:
            return answer
        if deadline < time.monotonic():
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def programs(*names):
    """Makes sure that they are there, by Debian's package where one is missing."""
    if os.geteuid() != 0:
        raise Missing("root: containers and network namespaces need it")
    missing = sorted({PROGRAMS[name] for name in names if not shutil.which(name)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Missing(f"{', '.join(missing)}: install them, this is not Debian")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    lock = ["-o", "DPkg::Lock::Timeout=600"]
    attempt("apt-get", *lock, "update", "-qq", environment=quiet)
    install = ["apt-get", *lock, "install", "-y", "-qq", "--no-install-recommends", *missing]
    done = attempt(*install, environment=quiet, seconds=900)
    if done.returncode != 0:
        raise Missing(f"{', '.join(missing)}: apt-get did not install them: {done.stderr.strip()[-300:]}")


def go_program(name, module, version, package, cgo="0"):
    """A program built once through the Go module proxy."""
    binary = CACHE / "bin" / f"{name}-{version}"
    if binary.exists():
        return binary
    if not shutil.which("go"):
        raise Missing(f"{name}: no `go` to build it with; install Go 1.26 or later")
    say(f"building {name} {version} (once; some minutes) …")
    work = CACHE / f"build-{name}-{os.getpid()}"
    work.mkdir(parents=True)
    binary.parent.mkdir(exist_ok=True)
    try:
        (work / "go.mod").write_text(f"module {name}\n\ngo 1.24.0\n")
        environment = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": cgo}
        run("go", "get", "-tool", f"{package}@{version}", cwd=work, environment=environment, seconds=1200)
        fresh = binary.with_name(f"{binary.name}.{os.getpid()}")
        build = ["nice", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", fresh, package]
        run(*build, cwd=work, environment=environment, seconds=2400)
        fresh.rename(binary)
    except Failed as failed:
        raise Missing(f"{name}: its build failed: {failed}") from None
    finally:
        shutil.rmtree(work)
    return binary


def target():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def binaries():
    """The gateway and the demo, released, built by cargo or named by GATEWAY_BIN and DEMO_BIN."""
    given = os.environ.get("GATEWAY_BIN"), os.environ.get("DEMO_BIN")
    if all(given):
        return tuple(map(pathlib.Path, given))
    run("cargo", "build", "--release", "--locked", "--bin", "koodrive-gateway", "--example", "demo", cwd=ROOT, seconds=2400)
    release = target() / "release"
    return release / "koodrive-gateway", release / "examples/demo"
