"""The load of a row on a peer, by wrk or, for HTTP/2, h2load."""

import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from rows import NEW_SECONDS, NEW_TOKENS
from scene import LOAD_CORE, batch
from variants import PREVERIFY

HERE = Path(__file__).parent
PIECE = bytes(256 * 1024)


class Failed(Exception):
    """A peer does not serve a load: that is told in its row, and the run goes on."""


@dataclass
class Load:
    """What came of it."""

    requests: int
    rate: float
    failed: int


def load(around, row, running, seconds, warm=False):
    """Puts a row's load on a running peer for so many seconds."""
    if row.variant.http2:
        return load_http2(around, row, running, seconds)
    if row.body_bytes:
        return load_uploads(around, row, running, seconds)
    # Every token must have been seen before, but where new ones are what is measured.
    passes = row.tokens[1] if warm and row.variant.cache else 0
    script = around.directory / "load.lua"
    if row.is_new:
        seconds = min(seconds, NEW_SECONDS)
    script.write_text(
        (HERE / "load.lua").read_text()
        % {
            "tokens": around.keys.tokens(*row.tokens),
            "body": "" if row.users is None else batch(row.users).decode(),
            "method": "GET" if row.users is None else "POST",
            "path": row.path,
        }
    )
    protocol = "https" if row.variant.tls else "http"
    while True:
        command = [
            *LOAD_CORE,
            "wrk",
            "-t1",
            f"-c{row.connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "20s",
        ]
        command += ["-s", script, f"{protocol}://127.0.0.1:{running.port}"]
        found = re.search(r"^counted (\d+) (\d+) (\d+)$", output(command), re.MULTILINE)
        requests, microseconds, failed = (int(number) for number in found.groups())
        if requests <= failed:
            raise Failed(f"{failed} of {requests} calls failed")
        if row.is_new and NEW_TOKENS < requests:
            raise Failed(f"{requests} calls in a round, and only {NEW_TOKENS} tokens")
        passes -= requests
        if passes <= 0 or not warm:
            return Load(requests, requests / microseconds * 1e6, failed)


def output(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"the load gave up: {done.stderr.strip() or done.stdout.strip()}"[:200])
    return done.stdout


def load_http2(around, row, running, seconds):
    body = around.directory / "body"
    body.write_bytes(batch(row.users))
    token = around.keys.tokens(*row.tokens).read_text().split()[0]
    command = [
        *LOAD_CORE,
        "h2load",
        f"-c{row.connections}",
        "-m64",
        f"-D{max(1, round(seconds))}",
        "-d",
        body,
    ]
    command += ["-H", f"authorization: Bearer {token}", "-H", "content-type: application/json"]
    told = output([*command, f"http://127.0.0.1:{running.port}{PREVERIFY}"])
    succeeded = int(re.search(r"(\d+) succeeded", told)[1])
    refused = sum(int(number) for number in re.findall(r"(\d+) [345]xx", told))
    rate = float(re.search(r"([\d.]+) req/s", told)[1])
    if not succeeded or refused:
        raise Failed(f"{refused} calls refused, {succeeded} served")
    return Load(succeeded, rate, refused)


def load_uploads(around, row, running, seconds):
    """One large body after the other."""
    token = around.keys.tokens(*row.tokens).read_text().split()[0]
    head = f"POST {row.path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {token}\r\nContent-Length: {row.body_bytes}\r\n\r\n"
    begun, uploads = time.monotonic(), 0
    while not uploads or time.monotonic() < begun + seconds:
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
            connection.sendall(head.encode())
            left = row.body_bytes
            while left:
                left -= connection.send(PIECE[:left])
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise Failed("an upload was not served")
        uploads += 1
    return Load(uploads, uploads / (time.monotonic() - begun), 0)
