"""A network namespace of our own, and a way out of it to package registries."""

import ctypes
import os
import select
import socket
import threading

from parts import attempt, run

CLONE_NEWNET = 0x40000000
CONNECTS_MAX = 256


class Network:
    """Gone when it is closed, with every bridge, rule and port in it."""

    def __init__(self):
        self.name = f"koodrive-gateway-{os.getpid()}"
        run("ip", "netns", "add", self.name)
        run(*self.inside("ip", "link", "set", "lo", "up"))
        self.proxy = None

    def inside(self, *command):
        # Not `ip netns exec`, which hides the control groups.
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def listen(self, address, port):
        """A listening socket in the namespace, for a thread outside."""
        made = []

        def make():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.name}") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    made.append(OSError(ctypes.get_errno(), "setns"))
                    return
                made.append(socket.create_server((address, port)))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def way_out(self, address, port):
        """Serves CONNECT at this address of the namespace, for cargo in a build container."""
        if self.proxy is None:
            self.proxy = self.listen(address, port)
            threading.Thread(target=serve, args=(self.proxy,), daemon=True).start()
        return f"http://{address}:{port}"

    def close(self):
        if self.proxy is not None:
            self.proxy.close()
        attempt("ip", "netns", "del", self.name)


def serve(listener):
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=connect, args=(caller,), daemon=True).start()


def connect(caller):
    with caller:
        caller.settimeout(60)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 8192:
            read = caller.recv(4096)
            if not read:
                return
            head += read
        words = head.split(b" ")
        if words[0] != b"CONNECT":
            caller.sendall(b"HTTP/1.1 405 CONNECT only\r\n\r\n")
            return
        host, _, port = words[1].decode().rpartition(":")
        try:
            server = socket.create_connection((host, int(port)), timeout=60)
        except OSError:
            caller.sendall(b"HTTP/1.1 502 not reached\r\n\r\n")
            return
        with server:
            caller.sendall(b"HTTP/1.1 200 connected\r\n\r\n")
            pump(caller, server)


def pump(one, other):
    ends = {one: other, other: one}
    while True:
        ready, _, _ = select.select(list(ends), [], [], 120)
        if not ready:
            return
        for end in ready:
            data = end.recv(65536)
            if not data:
                return
            ends[end].sendall(data)
