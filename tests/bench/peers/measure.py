"""Starts the peers, puts the same load on each in turn, and says what a request cost."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import configs
from checks import check, post
from envoy_config import envoy
from keys import Keys
from processes import (
    MIB,
    Processes,
    answers,
    family,
    free_ports,
    memory,
    processor_seconds,
    program,
)
from scene import LOAD_CORE, PROXY_CORE, batch
from variants import PREVERIFY, Place, Variant

HERE = Path(__file__).parent
CALLERS = 100
# More than a round can use up; where tokens are to be new each time, proxies are too in each round.
NEW_TOKENS, NEW_SECONDS = 60_000, 3
GET = "/koodrive/ose/v1/files/bytes/1024"
ALL = ("gateway", "envoy", "nginx", "haproxy", "floor")


@dataclass(frozen=True)
class Row:
    """A line of the table: the same load for each of these peers."""

    name: str
    variant: Variant = Variant()
    users: int | None = 1
    tokens: tuple = ("RS256", CALLERS, CALLERS)
    connections: int = 64
    peers: tuple = ALL

    @property
    def is_new(self):
        return self.tokens[1] == NEW_TOKENS


ROWS = (
    Row("T1, RS256 seen before", Variant(tier=1)),
    Row("T1, RS256 new", Variant(tier=1, cache=False), tokens=("RS256", NEW_TOKENS, CALLERS)),
    Row(
        "T1, ES256 new",
        Variant(tier=1, algorithm="ES256", cache=False),
        tokens=("ES256", NEW_TOKENS, CALLERS),
        peers=ALL[:4],
    ),
    Row("T2, 1 user"),
    Row("T2, 100 users", users=100),
    Row("T2, 1000 users", users=1000),
    Row("GET of 1 KB", Variant(tier=1), users=None),
    Row(
        "HTTP/2 in, 4 connections of 64 streams",
        Variant(http2=True),
        tokens=("RS256", 1, 1),
        connections=4,
        peers=ALL[:4],
    ),
    Row("TLS in and out", Variant(tls=True), peers=ALL[:4]),
    Row("T2, 1 caller", tokens=("RS256", 1, 1)),
    Row("T2, 10 000 tokens", tokens=("RS256", 10_000, CALLERS)),
    Row(
        "T2, 100 000 callers",
        Variant(algorithm="ES256"),
        tokens=("ES256", 100_000, 100_000),
        peers=("gateway", "envoy", "nginx"),
    ),
    Row("T2, 1 connection", connections=1),
    Row("T2, 1000 connections", connections=1000),
    Row("T2, 10 000 connections", connections=10_000),
    Row("T2 with an access log", Variant(access_log=True), peers=("gateway", "envoy", "nginx")),
    Row("T2 with traces, 1 %", Variant(traces=0.01), peers=("gateway", "envoy")),
    Row("T2 with traces, 100 %", Variant(traces=1), peers=("gateway", "envoy")),
    Row("T2, two workers", Variant(workers=2), peers=("gateway", "envoy", "nginx", "haproxy")),
)


class Around:
    """The upstream, plain and with TLS, and the proxies that were started."""

    def __init__(self, bench, directory, processes):
        self.keys, self.directory, self.processes = Keys(bench / "keys"), directory, processes
        self.floor = program("FLOOR_BIN", "example", "floor")
        gateway = program("GATEWAY_BIN", "bin", "koodrive-gateway")
        self.commands = {
            "gateway": partial(configs.gateway, gateway),
            "envoy": envoy,
            "nginx": configs.nginx,
            "haproxy": configs.haproxy,
            "floor": partial(configs.floor, self.floor),
        }
        self.upstream, self.upstream_tls = free_ports(2)
        serve = (*LOAD_CORE, self.floor, "serve")
        processes.start(*serve, f"127.0.0.1:{self.upstream}", self.keys.jwks)
        files = (self.keys.certificate, self.keys.key)
        processes.start(*serve, f"127.0.0.1:{self.upstream_tls}", self.keys.jwks, *files)
        self.started = {}
        wait(lambda: answers(self.upstream, "/seen"), "the upstream")

    def proxy(self, peer, variant):
        """A running one; the same again for the same variant."""
        if (peer, variant) not in self.started:
            self.started[peer, variant] = self.start(peer, variant)
        return self.started[peer, variant]

    def start(self, peer, variant):
        place = Place(self.directory, *free_ports(2), self.upstream, self.upstream_tls, self.keys)
        command = self.commands[peer](variant, place)
        core = ("taskset", "-c", "0,1") if 1 < variant.workers else PROXY_CORE
        log = (self.directory / f"{peer}-{place.port}.log").open("wb")
        begun = time.monotonic()
        process = self.processes.start(*core, *command, stdout=log, stderr=log)
        ready = lambda: self.served(place.port, variant) or process.poll() is not None
        if not wait(ready, None) or process.poll() is not None:
            sys.exit(f"{peer} does not come up:\n{Path(log.name).read_text()[-2000:]}")
        return Running(peer, variant, process.pid, place.port, time.monotonic() - begun)

    def served(self, port, variant):
        token = self.keys.tokens(variant.algorithm, 1, 1).read_text().strip()
        return post(self, port, variant, f"Bearer {token}") == 200

    def end(self, running):
        del self.started[running.peer, running.variant]
        self.processes.end(running.pid)


@dataclass(frozen=True)
class Running:
    peer: str
    variant: Variant
    pid: int
    port: int
    start_seconds: float

    def processor_seconds(self):
        return sum(processor_seconds(pid) for pid in family(self.pid))

    def memory(self):
        return sum(memory(pid) for pid in family(self.pid))


def run(bench, told):
    parts = told.parts or ["check", "rows", "latency", "start"]
    known = {"check", "rows", "latency", "start"}
    wanted = [part for part in parts if part not in known]
    rows = [row for row in ROWS if not wanted or row.name.startswith(tuple(wanted))]
    if told.smoke:
        parts, rows = (
            ["check", "rows"],
            [row for row in ROWS if row.name in ("T2, 1 user", "GET of 1 KB")],
        )
        told.rounds, told.seconds = 1, 0.5
    texts, well = [], True
    with tempfile.TemporaryDirectory() as directory, Processes() as processes:
        around = Around(bench, Path(directory), processes)
        if "check" in parts:
            well = check_all(around, rows)
        if "rows" in parts:
            texts += [table(row, *measure(around, row, told.rounds, told.seconds)) for row in rows]
            texts = ["\n".join([HEAD, *texts])]
            print(f"\n{texts[0]}")
        if "latency" in parts:
            texts.append(latency(around, told.seconds))
        if "start" in parts:
            texts.append(start(around, told.rounds))
    (bench / "table.md").write_text("\n\n".join(texts) + "\n")
    print(f"\nwritten to {bench / 'table.md'}")
    return 0 if well else 1


def check_all(around, rows):
    well = True
    for peer, variant in dict.fromkeys((peer, row.variant) for row in rows for peer in row.peers):
        running = around.start(peer, variant)
        wrong = check(around, running)
        print(
            f"{'well ' if not wrong else 'WRONG'} {peer} {variant}"
            + "".join(f"\n      {why}" for why in wrong),
            flush=True,
        )
        well &= not wrong
        around.processes.end(running.pid)
    return well


def measure(around, row, rounds, seconds):
    """Of each peer: microseconds of processor time per request in each round, and the last load."""
    costs = {peer: [] for peer in row.peers}
    loads = {}
    running = {peer: around.proxy(peer, row.variant) for peer in row.peers}
    for peer in row.peers:
        load(around, row, running[peer], min(1, seconds), warm=True)
    for at in range(rounds):
        # Slow noise cancels when every second round goes backwards.
        for peer in row.peers[:: 1 if at % 2 == 0 else -1]:
            if row.is_new:
                around.end(running[peer])
                running[peer] = around.proxy(peer, row.variant)
            before = running[peer].processor_seconds()
            loads[peer] = load(around, row, running[peer], seconds)
            spent = running[peer].processor_seconds() - before
            costs[peer].append(spent / loads[peer].requests * 1e6)
    sizes = {peer: running[peer].memory() for peer in row.peers}
    for peer in row.peers:
        around.end(running[peer])
    print(
        f"{row.name}: "
        + ", ".join(f"{peer} {statistics.median(costs[peer]):.1f}" for peer in row.peers),
        flush=True,
    )
    return costs, loads, sizes


@dataclass
class Load:
    requests: int
    rate: float
    failed: int


def load(around, row, running, seconds, warm=False):
    if row.variant.http2:
        return load_http2(around, row, running, seconds)
    tokens = around.keys.tokens(*row.tokens)
    # Every token must have been seen before, but where new ones are what is measured.
    passes = row.tokens[1] if warm and row.variant.cache else 0
    script = around.directory / "load.lua"
    body = "" if row.users is None else batch(row.users).decode()
    if row.is_new:
        seconds = min(seconds, NEW_SECONDS)
    script.write_text(
        (HERE / "load.lua").read_text()
        % {
            "tokens": tokens,
            "body": body,
            "method": "GET" if row.users is None else "POST",
            "path": GET if row.users is None else PREVERIFY,
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
            "8s",
        ]
        command += ["-s", script, f"{protocol}://127.0.0.1:{running.port}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"^counted (\d+) (\d+) (\d+)$", told, re.MULTILINE)
        requests, microseconds, failed = (int(number) for number in found.groups())
        if requests <= failed:
            sys.exit(f"{running.peer}: calls fail\n{told}")
        if row.is_new and NEW_TOKENS < requests:
            sys.exit(f"{running.peer}: {requests} calls in a round, and only {NEW_TOKENS} tokens")
        passes -= requests
        if passes <= 0 or not warm:
            return Load(requests, requests / microseconds * 1e6, failed)


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
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{running.port}{PREVERIFY}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    succeeded = int(re.search(r"(\d+) succeeded", told)[1])
    refused = sum(int(number) for number in re.findall(r"(\d+) [345]xx", told))
    rate = float(re.search(r"([\d.]+) req/s", told)[1])
    if not succeeded or refused:
        sys.exit(f"{running.peer}: calls fail\n{told}")
    return Load(succeeded, rate, refused)


HEAD = "| row | peer | µs per request: median | lowest – highest | gateway's ratio to it | requests/s | failed | resident, MiB |\n|---|---|---|---|---|---|---|---|"


def table(row, costs, loads, sizes):
    lines = []
    for peer in row.peers:
        mine = costs[peer]
        ratio = statistics.median(own / theirs for own, theirs in zip(costs["gateway"], mine))
        lines.append(
            f"| {row.name} | {peer} | {statistics.median(mine):.1f} | {min(mine):.1f} – {max(mine):.1f} "
            f"| {'' if peer == 'gateway' else f'{ratio:.2f}'} | {loads[peer].rate:.0f} | {loads[peer].failed} "
            f"| {sizes[peer] / MIB:.0f} |"
        )
    return "\n".join(lines)


def latency(around, seconds):
    """At a fixed rate far below what any of them can do."""
    rate, connections = 1500, 15
    row = Row("latency")
    lines = ["| at 1500 requests/s | p50 ms | p99 ms |", "|---|---|---|"]
    token = around.keys.tokens(*row.tokens).read_text().split()[0]
    body, log = around.directory / "body", around.directory / "h2load.log"
    body.write_bytes(batch(1))
    for peer in ("direct", *ALL):
        port = around.upstream if peer == "direct" else around.proxy(peer, row.variant).port
        command = [
            *LOAD_CORE,
            "h2load",
            "--h1",
            f"-c{connections}",
            f"--rps={rate / connections}",
            f"-D{max(2, round(2 * seconds))}",
        ]
        command += [
            f"--log-file={log}",
            "-d",
            body,
            "-H",
            f"authorization: Bearer {token}",
            "-H",
            "content-type: application/json",
        ]
        log.unlink(missing_ok=True)
        subprocess.run(
            [*command, f"http://127.0.0.1:{port}{PREVERIFY}"], check=True, capture_output=True
        )
        took = sorted(
            int(line.split()[2]) / 1000
            for line in log.read_text().splitlines()
            if line.split()[1] == "200"
        )
        lines.append(f"| {peer} | {took[len(took) // 2]:.2f} | {took[len(took) * 99 // 100]:.2f} |")
        if peer != "direct":
            around.end(around.proxy(peer, row.variant))
    print("\n" + "\n".join(lines), flush=True)
    return "\n".join(lines)


def start(around, times):
    """From the start of the process to the first 200, keys and token fetched; memory at rest."""
    lines = [
        "| peer | start to the first 200, ms: median | resident at rest, MiB |",
        "|---|---|---|",
    ]
    for peer in ALL:
        seconds, sizes = [], []
        for _ in range(times):
            running = around.start(peer, Variant())
            seconds.append(running.start_seconds)
            sizes.append(running.memory())
            around.processes.end(running.pid)
        lines.append(
            f"| {peer} | {statistics.median(seconds) * 1000:.0f} | {statistics.median(sizes) / MIB:.1f} |"
        )
    print("\n" + "\n".join(lines), flush=True)
    return "\n".join(lines)


def wait(fact, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fact():
            return True
        time.sleep(0.005)
    if what:
        sys.exit(f"{what} does not come up")
    return False
