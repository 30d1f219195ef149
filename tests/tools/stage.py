#!/usr/bin/env python3
"""Puts the release gateway on stage between simulators, for checks by hand.

    tests/tools/stage.py COMMAND...       runs COMMAND beside a gateway on a plain port and one on a
                                          TLS port; it finds HOST, PORT, TLS_PORT, TOKEN,
                                          GATEWAY_PID and GATEWAY_LOG in its environment

Other tools import it. SSO and KooDrive are the simulators of the demo. Both programs are built
first, unless GATEWAY_BIN and DEMO_BIN name ready ones. Everything is on loopback.
"""

import contextlib
import http.client
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from processes import MIB, ask, free_ports, processor_seconds, program, status_line, wait_for  # noqa: E402

ECHO = "/koodrive/test/echo"
PREVERIFY = "/koodrive/ose/v1/users/batchimport/preverify"
GOOD_BATCH = (
    b'{"curDeptId":1575416580416769793,"users":[{"personalCapacity":10,"isAllocateCapacity":true}]}'
)


class Gateway:
    """One that runs: its ports, and how to ask it."""

    def __init__(self, port, admin, sso, process, log, group):
        self.port, self.admin, self.sso = port, admin, sso
        self.process, self.log, self.group = process, log, group

    def token(self, subject):
        return ask(self.sso, "GET", f"/realms/tools/demo-token?subject={subject}")[1].decode()

    def resident(self):
        return status_line(self.process.pid, "VmRSS")

    def resident_peak(self):
        return status_line(self.process.pid, "VmHWM")

    def metric(self, name):
        """The sum over all labels."""
        text = ask(self.admin, "GET", "/metrics")[1].decode()
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)

    def processor_seconds(self):
        return processor_seconds(self.process.pid)

    def memory(self):
        """What the process and, where it has one, its control group use, for people."""
        told = f"RSS {self.resident() / MIB:.1f} MiB (peak {self.resident_peak() / MIB:.1f})"
        if self.group:
            told += (
                f", cgroup {self.group.usage() / MIB:.1f} MiB (peak {self.group.peak() / MIB:.1f}"
            )
            told += f", limit {self.group.limit / MIB:.0f}, OOM kills {self.group.oom_kills()})"
        return told

    def alive(self):
        return self.process.poll() is None


class MemoryGroup:
    """A control group with a memory limit and no swap; version 1 or 2."""

    def __init__(self, limit):
        self.limit = limit
        base = Path("/sys/fs/cgroup")
        self.v1 = (base / "memory").is_dir()
        self.path = (base / "memory" if self.v1 else base) / f"koodrive-gateway-{os.getpid()}"
        self.path.mkdir()
        if self.v1:
            self.write("memory.limit_in_bytes", limit)
            with contextlib.suppress(OSError):  # a kernel without swap accounting
                self.write("memory.memsw.limit_in_bytes", limit)
        else:
            self.write("memory.max", limit)
            with contextlib.suppress(OSError):
                self.write("memory.swap.max", 0)

    def write(self, name, value):
        (self.path / name).write_text(str(value))

    def number(self, v1, v2):
        return int((self.path / (v1 if self.v1 else v2)).read_text())

    def usage(self):
        return self.number("memory.usage_in_bytes", "memory.current")

    def peak(self):
        return self.number("memory.max_usage_in_bytes", "memory.peak")

    def oom_kills(self):
        text = (self.path / ("memory.oom_control" if self.v1 else "memory.events")).read_text()
        found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
        return int(found.group(1)) if found else 0

    def adopt_me(self):
        self.write("cgroup.procs", os.getpid())

    def remove(self):
        # The last process may still be on its way out.
        for _ in range(50):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.1)


@contextlib.contextmanager
def simulators():
    """SSO and KooDrive, whatever gateways there are; their ports."""
    with tempfile.TemporaryDirectory() as directory:
        sso, koodrive, listen, admin = free_ports(4)
        config = write_config(Path(directory), sso, koodrive, listen, admin, "")
        process = start(
            program("DEMO_BIN", "example", "demo"), "--only", "sso,koodrive", "--config", config
        )
        try:
            wait_for(sso, "/realms/tools/jwks")
            yield sso, koodrive
        finally:
            end(process)


@contextlib.contextmanager
def gateway(
    sso, koodrive, settings="", tls=False, memory_limit=None, keys=None, token=None, under=()
):
    """The gateway between them, ready. `settings` is TOML by dotted keys, one a line. `keys` and
    `token` are the ports where it finds keys and token endpoint, if not the SSO's own. `under` is a
    command that runs it."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        listen, admin = free_ports(2)
        if tls:
            certificate(directory)
            settings += (
                "\nlisten.tls_certificate_file = 'server.pem'\nlisten.tls_key_file = 'key.pem'"
            )
        config = write_config(
            directory, sso, koodrive, listen, admin, settings, keys or sso, token or sso
        )
        group = MemoryGroup(memory_limit) if memory_limit else None
        log = directory / "log"
        process = keeper = None
        try:
            # Somebody else keeps the log, as a container runtime does: the pages of its file are
            # none of the gateway's memory.
            with log.open("wb") as out:
                keeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
            process = subprocess.Popen(
                [
                    *under,
                    program("GATEWAY_BIN", "bin", "koodrive-gateway"),
                    "run",
                    "--config",
                    config,
                ],
                stdout=keeper.stdin,
                preexec_fn=group.adopt_me if group else None,
            )
            keeper.stdin.close()
            wait_for(admin, "/readyz")
            yield Gateway(listen, admin, sso, process, log, group)
        finally:
            if process:
                end(process)
            if keeper:
                keeper.wait()
            if group:
                group.remove()


def write_config(directory, sso, koodrive, listen, admin, settings, keys=None, token=None):
    (directory / "client-secret").write_text("not a secret\n")
    path = directory / "gateway.toml"
    path.write_text(
        f"""
listen.address = "127.0.0.1:{listen}"
admin.address = "127.0.0.1:{admin}"
accept.issuers = [
    {{ issuer = "http://127.0.0.1:{sso}/realms/tools", jwks_url = "http://127.0.0.1:{keys or sso}/realms/tools/jwks", audiences = ["koodrive-gateway"] }},
]
token.endpoint = "http://127.0.0.1:{token or sso}/realms/tools/token"
token.client_id = "koodrive-gateway"
token.client_secret_file = "client-secret"
forward.upstream = "http://127.0.0.1:{koodrive}"
lifecycle.linger = "100ms"
{settings}
"""
    )
    return path


def certificate(directory):
    """For 127.0.0.1, signed by itself, as short-lived as Mozilla wants them."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", directory / "key.pem", "-out", directory / "server.pem"]
    subprocess.run([*command.split(), *files], check=True, stderr=subprocess.DEVNULL)


def timed(port, method, target, token, body=None, timeout=10):
    """Status (or what went wrong) and seconds of one call over a new connection."""
    begun = time.monotonic()
    try:
        status = ask(port, method, target, token, body, timeout)[0]
    except (OSError, http.client.HTTPException) as error:
        status = type(error).__name__
    return status, time.monotonic() - begun


def wait_until(fact, within=60):
    """Whether it came to that in time."""
    deadline = time.monotonic() + within
    while not fact():
        if deadline < time.monotonic():
            return False
        time.sleep(0.1)
    return True


def many_files():
    """Lets this process and its children have as many connections as the system allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(program, *arguments):
    return subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)


def end(process):
    process.terminate()
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main():
    many_files()
    settings = 'limit.mode = "off"'
    with simulators() as (sso, koodrive), gateway(sso, koodrive, settings) as plain:
        with gateway(sso, koodrive, settings, tls=True) as secure:
            variables = {
                "HOST": "127.0.0.1",
                "PORT": plain.port,
                "TLS_PORT": secure.port,
                "TOKEN": plain.token("alice"),
                "GATEWAY_PID": plain.process.pid,
                "GATEWAY_LOG": plain.log,
                "GATEWAY_TLS_LOG": secure.log,
            }
            environment = os.environ | {name: str(value) for name, value in variables.items()}
            return subprocess.run(sys.argv[1:], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
