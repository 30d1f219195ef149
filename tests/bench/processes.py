"""Programs started on loopback for a measurement, and what they cost."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024


class Processes:
    """Everything started here ends with it, the last first."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
            process.wait()

    def end(self, pid):
        """This one now."""
        [process] = [process for process in self.running if process.pid == pid]
        self.running.remove(process)
        process.terminate()
        process.wait()

    def start(self, *command, stdin=None, stdout=subprocess.DEVNULL, stderr=None):
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
        self.running.append(process)
        return process


def program(variable, kind, name):
    """The path in the environment `variable`, else what cargo builds."""
    if given := os.environ.get(variable):
        return given
    command = ["cargo", "build", "--release", "--locked", f"--{kind}", name]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release")
    return target / "examples" / name if kind == "example" else target / name


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def ask(port, method, target, token=None, body=None, timeout=30):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(port, target):
    for _ in range(300):
        if answers(port, target):
            return
        time.sleep(0.1)
    sys.exit(f"nothing answers {target}")


def answers(port, target):
    try:
        return ask(port, "GET", target)[0] == 200
    except OSError:
        return False


def family(pid):
    """The process and its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def memory(pid):
    """What the process has in RAM, in bytes."""
    return status_line(pid, "VmRSS")


def most_memory(pid):
    """The most memory the process ever had in RAM, in bytes."""
    return status_line(pid, "VmHWM")


def status_line(pid, name):
    """A size in `/proc/<pid>/status`, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def processor_seconds(pid):
    """Of all its threads, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
