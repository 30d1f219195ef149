#!/usr/bin/env python3
"""Stands before peers on loopback and lets them misbehave: slow, narrow, closing slowly, resetting,
silent.

Runs as a process of its own (`Moods`), so that what it is busy with slows nobody else. Command lines
on its standard input: a peer's name and a mood.

toxiproxy was tried for it: its interface stopped answering when its toxics were changed while
connections through it were not read, and attackers who do not read are what it would stand before.
"""

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

import stage  # puts the folder of `processes` on the path
from processes import free_ports

PIECE = 16 * 1024
SLOW_SECONDS, NARROW_BYTES_PER_SECOND, CLOSING_SECONDS = 0.3, 256 * 1024, 2
WELL, SLOW, NARROW, CLOSING, RESETTING, SILENT = (
    "well",
    "slow",
    "narrow",
    "closing slowly",
    "resetting",
    "silent",
)


class Moods:
    """The running process; `ports` has the port that stands before each peer."""

    def __init__(self, processes, peers):
        self.ports = dict(zip(peers, free_ports(len(peers)), strict=True))
        pairs = {name: (self.ports[name], port) for name, port in peers.items()}
        command = (sys.executable, Path(__file__), json.dumps(pairs))
        self.process = processes.start(*command, stdin=subprocess.PIPE)

    @contextlib.contextmanager
    def misbehaving(self, peer, mood):
        self.tell(peer, mood)
        try:
            yield
        finally:
            self.tell(peer, WELL)

    def tell(self, peer, mood):
        self.process.stdin.write(f"{peer} {mood}\n".encode())
        self.process.stdin.flush()


class Peer:
    """What one of them does now."""

    def __init__(self, port):
        self.port, self.mood = port, WELL
        self.changed = asyncio.Event()
        self.writers = set()

    def feel(self, mood):
        self.mood = mood
        self.changed.set()
        self.changed = asyncio.Event()
        if mood == RESETTING:
            for writer in self.writers:
                reset(writer)

    async def serve(self, reader, writer):
        if self.mood == RESETTING:
            return reset(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return reset(writer)
        self.writers |= {writer, there[1]}
        try:
            await asyncio.gather(self.pump(reader, there[1]), self.pump(there[0], writer))
        finally:
            for each in (writer, there[1]):
                self.writers.discard(each)
                each.close()

    async def pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                while self.mood == SILENT:
                    await self.changed.wait()
                if self.mood == SLOW:
                    await asyncio.sleep(SLOW_SECONDS)
                if self.mood == NARROW:
                    await asyncio.sleep(len(data) / NARROW_BYTES_PER_SECOND)
                writer.write(data)
                await writer.drain()
            if self.mood == CLOSING:
                await asyncio.sleep(CLOSING_SECONDS)
            writer.write_eof()


def reset(writer):
    """Closes with RST."""
    # It may be gone already.
    with contextlib.suppress(OSError):
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def run(pairs):
    peers = {name: Peer(port) for name, (_, port) in pairs.items()}
    for name, (listen, _) in pairs.items():
        await asyncio.start_server(peers[name].serve, "127.0.0.1", listen)
    commands = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(commands)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await commands.readline():
        name, _, mood = line.decode().strip().partition(" ")
        peers[name].feel(mood)


if __name__ == "__main__":
    stage.many_files()
    asyncio.run(run(json.loads(sys.argv[1])))
