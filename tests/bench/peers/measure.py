"""Starts the peers, puts the same load on each in turn, and says what a request cost."""

import os
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
from loads import Failed, load
from processes import (
    MIB,
    Processes,
    answers,
    ask,
    family,
    free_ports,
    memory,
    processor_seconds,
    program,
)
from rest import memory_table, start_table
from rows import ALL, ROWS, Row
from scene import LOAD_CORE, PROXY_CORE, batch
from variants import PREVERIFY, Place, Variant

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
        if variant.tls or variant.http2:
            return post(self, port, variant, f"Bearer {token}") == 200
        # Without a process for each try: how long a start takes is measured by this.
        try:
            return ask(port, "POST", PREVERIFY, token, batch(1), timeout=5)[0] == 200
        except OSError:
            return False

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

    def has_ended(self):
        return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"

    def processor_seconds(self):
        return sum(processor_seconds(pid) for pid in family(self.pid))

    def memory(self):
        return sum(memory(pid) for pid in family(self.pid))


def run(bench, told):
    known = ["check", "rows", "latency", "start", "memory"]
    parts = told.parts or known
    wanted = [part for part in parts if part not in known]
    rows = [row for row in ROWS if not wanted or row.name.startswith(tuple(wanted))]
    if told.smoke:
        parts, rows = (
            ["check", "rows"],
            [row for row in ROWS if row.name in ("T2, 1 user", "GET of 1 KB")],
        )
        told.rounds, told.seconds = 1, 0.5
    texts, well = [], True
    # What this process sends itself is load too; whatever it starts has a core of its own choice.
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as directory, Processes() as processes:
        around = Around(bench, Path(directory), processes)
        if "check" in parts:
            well = check_all(around, rows)
        if "rows" in parts:
            lines = [table(row, *measure(around, row, told.rounds, told.seconds)) for row in rows]
            texts.append("\n".join([HEAD, *lines]))
        if "latency" in parts:
            texts.append(latency(around, told.seconds))
        if "start" in parts:
            texts.append(start_table(around, 3 * told.rounds))
        if "memory" in parts:
            texts.append(memory_table(around, told.seconds))
    text = "\n\n".join(texts) + "\n"
    (bench / "table.md").write_text(text)
    print(f"\n{text}\nwritten to {bench / 'table.md'}")
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
    """Of each peer: microseconds of processor time per request in each round, the last load, memory,
    and why there is none of these where the peer could not serve."""
    costs, loads, sizes, failures = {peer: [] for peer in row.peers}, {}, {}, {}
    running = {peer: around.proxy(peer, row.variant) for peer in row.peers}

    def one_round(peer):
        if row.is_new:
            around.end(running[peer])
            running[peer] = around.proxy(peer, row.variant)
        before = running[peer].processor_seconds()
        loads[peer] = load(around, row, running[peer], seconds)
        if running[peer].has_ended():
            raise Failed("ended under the load")
        spent = running[peer].processor_seconds() - before
        costs[peer].append(spent / loads[peer].requests * 1e6)

    def unless_failed(peer, do):
        try:
            if peer not in failures:
                do(peer)
        except Failed as why:
            failures[peer] = str(why)

    for peer in row.peers:
        unless_failed(peer, lambda peer: load(around, row, running[peer], min(1, seconds), warm=True))
    for at in range(rounds):
        # Slow noise cancels when every second round goes backwards.
        for peer in row.peers[:: 1 if at % 2 == 0 else -1]:
            unless_failed(peer, one_round)
    for peer in row.peers:
        if peer not in failures:
            sizes[peer] = running[peer].memory()
        around.end(running[peer])
    told = [
        f"{peer} {failures.get(peer) or f'{statistics.median(costs[peer]):.1f}'}"
        for peer in row.peers
    ]
    print(f"{row.name}: {', '.join(told)}", flush=True)
    return costs, loads, sizes, failures


HEAD = "| row | peer | µs per request: median | lowest – highest | gateway's ratio to it | requests/s | failed | resident, MiB |\n|---|---|---|---|---|---|---|---|"


def table(row, costs, loads, sizes, failures):
    lines = []
    for peer in row.peers:
        if peer in failures:
            lines.append(f"| {row.name} | {peer} | does not serve it: {failures[peer]} | | | | | |")
            continue
        mine, ratio = costs[peer], ""
        if peer != "gateway" and "gateway" not in failures:
            ratios = [own / theirs for own, theirs in zip(costs["gateway"], mine)]
            ratio = f"{statistics.median(ratios):.2f}"
        lines.append(
            f"| {row.name} | {peer} | {statistics.median(mine):.1f} | {min(mine):.1f} – {max(mine):.1f} "
            f"| {ratio} | {loads[peer].rate:.0f} | {loads[peer].failed} | {sizes[peer] / MIB:.0f} |"
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
    return "\n".join(lines)


def wait(fact, what, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fact():
            return True
        time.sleep(0.001)
    if what:
        sys.exit(f"{what} does not come up")
    return False
