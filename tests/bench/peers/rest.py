"""What peers take beside processor time: the time to their first answer, and memory."""

import socket
import statistics
import time

from loads import load
from processes import MIB
from rows import ALL, CALLERS, Row
from scene import batch
from variants import PREVERIFY, Variant

IDLE_CONNECTIONS = 2000


def start_table(around, times):
    """From the start of the process to the first 200, keys and token fetched."""
    lines = ["| peer | start to the first 200, ms: median | lowest – highest |", "|---|---|---|"]
    for peer in ALL:
        took = []
        for _ in range(times):
            running = around.start(peer, Variant())
            took.append(running.start_seconds * 1000)
            around.processes.end(running.pid)
        lines.append(
            f"| {peer} | {statistics.median(took):.1f} | {min(took):.1f} – {max(took):.1f} |"
        )
    return "\n".join(lines)


def memory_table(around, seconds):
    """Resident memory: at rest, under load, and what each further thing takes."""
    lines = [
        "| peer | at rest, MiB | 64 connections | 64 with 1000 users each | 10 000 tokens more "
        "| KiB for a connection never asked | between calls |",
        "|---|---|---|---|---|---|---|",
    ]
    for peer in ALL:
        rest, silent, between = connections(around, peer)
        small, large, tokens = loaded(around, peer, seconds)
        lines.append(
            f"| {peer} | {rest / MIB:.1f} | {small / MIB:.1f} | {large / MIB:.1f} "
            f"| + {tokens / MIB:.1f} | {silent / 1024:.1f} | {between / 1024:.1f} |"
        )
    return "\n".join(lines)


def connections(around, peer):
    """At rest; and for each of many connections, before its first call and after it."""
    running = around.start(peer, Variant())
    time.sleep(1)
    rest = running.memory()
    opened = [
        socket.create_connection(("127.0.0.1", running.port), timeout=20)
        for _ in range(IDLE_CONNECTIONS)
    ]
    time.sleep(1)
    silent = running.memory() - rest
    token = around.keys.tokens("RS256", 1, 1).read_text().strip()
    body = batch(1)
    head = f"POST {PREVERIFY} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for one in opened:
        one.sendall(head.encode() + body)
        if not one.recv(65536).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{peer} does not serve a connection that waited")
    time.sleep(1)
    between = running.memory() - rest
    for one in opened:
        one.close()
    around.processes.end(running.pid)
    return rest, silent / IDLE_CONNECTIONS, between / IDLE_CONNECTIONS


def loaded(around, peer, seconds):
    """After 64 connections' small calls, after their large ones, and for 10 000 tokens more."""
    few = Row("few tokens")
    running = around.start(peer, few.variant)
    load(around, few, running, seconds)
    small = running.memory()
    load(around, Row("many tokens", tokens=("RS256", 10_000, CALLERS)), running, seconds, warm=True)
    tokens = running.memory() - small
    around.processes.end(running.pid)
    running = around.start(peer, few.variant)
    load(around, Row("large bodies", users=1000), running, seconds)
    large = running.memory()
    around.processes.end(running.pid)
    return small, large, tokens
