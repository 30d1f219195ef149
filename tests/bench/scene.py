"""What every measurement needs around the proxies: tool tokens, a KooDrive that costs little, a collector.

The SSO is the demo's, KooDrive is the server of `floor.rs`; everything is on loopback and ends with
the scene.
"""

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from processes import Processes, ask, free_ports, program, wait_for

PREVERIFY = "/koodrive/ose/v1/users/batchimport/preverify"
# Proxies have the one core, what loads and answers them the other.
PROXY_CORE, LOAD_CORE = ("taskset", "-c", "0"), ("taskset", "-c", "1")


class Proxy(NamedTuple):
    """One that runs. The plain hyper proxy has no admin port."""

    pid: int
    port: int
    admin: int | None


class Scene:
    """SSO and KooDrive run; proxies are put between them."""

    def __init__(self, directory, processes):
        self.directory, self.processes = directory, processes
        self.floor = program("FLOOR_BIN", "example", "floor")
        self.sso, self.upstream = free_ports(2)
        (directory / "client-secret").write_text("not a secret\n")
        config = self.configuration("simulators", 0, 0, "")
        demo = program("DEMO_BIN", "example", "demo")
        processes.start(*LOAD_CORE, demo, "--only", "sso", "--config", config)
        processes.start(*LOAD_CORE, self.floor, "serve", f"127.0.0.1:{self.upstream}")
        wait_for(self.sso, "/realms/tools/jwks")

    def configuration(self, name, listen, admin, settings):
        """Of a gateway with one worker; `settings` is TOML by dotted keys, one a line."""
        file = self.directory / f"{name}.toml"
        ports = {"listen": listen, "admin": admin, "sso": self.sso, "upstream": self.upstream}
        file.write_text(f"{COMMON.format(**ports)}\n{settings}\n")
        return file

    def token(self, subject):
        return ask(self.sso, "GET", f"/realms/tools/demo-token?subject={subject}")[1].decode()

    def gateway(self, name, settings="", under=PROXY_CORE):
        """Starts one, run by the command `under`, and waits until it is ready."""
        binary = program("GATEWAY_BIN", "bin", "koodrive-gateway")
        listen, admin = free_ports(2)
        config = self.configuration(name, listen, admin, settings)
        process = self.processes.start(*under, binary, "run", "--config", config)
        wait_for(admin, "/readyz")
        return Proxy(process.pid, listen, admin)

    def plain_proxy(self, under=PROXY_CORE):
        [listen] = free_ports(1)
        upstream = f"127.0.0.1:{self.upstream}"
        process = self.processes.start(*under, self.floor, "proxy", f"127.0.0.1:{listen}", upstream)
        wait_for(listen, "/")
        return Proxy(process.pid, listen, None)


@contextlib.contextmanager
def scene():
    with tempfile.TemporaryDirectory() as directory, Processes() as processes:
        yield Scene(Path(directory), processes)


class Collector(threading.Thread):
    """A collector in one of its moods; it answers nothing but how it behaves."""

    def __init__(self, mood="well"):
        super().__init__(daemon=True)
        self.mood, self.batches = mood, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        if mood == "refusing":
            self.listener.close()
        else:
            self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            self.answer_all(connection)

    def answer_all(self, connection):
        reader = connection.makefile("rb")
        while head := self.head(reader):
            length = int(head.get(b"content-length", b"0"))
            if self.mood == "hanging":
                time.sleep(3600)
            while length:
                length -= len(reader.read(min(length, 1 << 16)))
            if self.mood == "slow":
                time.sleep(2)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self.batches += 1

    def head(self, reader):
        if not reader.readline().strip():
            return None
        fields = {}
        while line := reader.readline().strip():
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        return fields or {b"": b""}


def batch(users):
    """A good preverify batch, as programs write it."""
    user = '{"targetDeptName":"Dept","personalCapacity":10,"isAllocateCapacity":true}'
    return f'{{"curDeptId":1575416580416769793,"users":[{",".join([user] * users)}]}}'.encode()


# With every check on, and limits that nobody reaches.
COMMON = """
listen.address = "127.0.0.1:{listen}"
listen.workers = 1
admin.address = "127.0.0.1:{admin}"
accept.issuers = [
    {{ issuer = "http://127.0.0.1:{sso}/realms/tools", audiences = ["koodrive-gateway"] }},
]
limit.calls_per_minute = 1000000000
limit.calls_burst = 1000000000
limit.users_per_minute = 1000000000
limit.users_burst = 1000000000
limit.total_calls_per_second = 1000000000
limit.total_burst = 1000000000
limit.concurrent = 1000
token.endpoint = "http://127.0.0.1:{sso}/realms/tools/token"
token.client_id = "koodrive-gateway"
token.client_secret_file = "client-secret"
forward.upstream = "http://127.0.0.1:{upstream}"
lifecycle.linger = "0s"
"""
