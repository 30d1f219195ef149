"""What attackers do to a gateway, all of them at once, each in a process of its own.

Every attack is a function of a `Target` that goes on until it is ended. Attackers know ports and have
tokens of their own, or none.
"""

import contextlib
import itertools
import multiprocessing
import os
import socket
import threading
import time
from typing import NamedTuple

import frames
import stage


class Target(NamedTuple):
    port: int
    admin: int
    tokens: list


def run(attack, target):
    """In a process of its own; what is measured comes first on the processors."""
    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    os.nice(10)
    stage.many_files()
    attack(target)


def end_with(parent):
    """Nobody goes on attacking when who began it has gone, however he went."""
    parent.join()
    os._exit(1)


def again(times, what, *arguments):
    """So many threads that do it again and again, whatever comes of it."""

    def go_on(at):
        while True:
            with contextlib.suppress(OSError):
                what(at, *arguments)
            time.sleep(0.05)

    threads = [threading.Thread(target=go_on, args=(at,), daemon=True) for at in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def connect(port, timeout=30):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def head(method, path, token=None, more=""):
    field = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n{field}{more}\r\n".encode()


def read_all(connection):
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def costly_paths(target):
    """Paths that are long and encoded over and over, without a token."""

    def once(at):
        with connect(target.port) as connection:
            for _ in range(20):
                connection.sendall(head("POST", "/koodrive/" + "%2525" * 5900))
                connection.recv(65536)

    again(8, once)


def slow_batches(target):
    """Preverify batches that come four bytes a second."""

    def once(at):
        token = target.tokens[at % 4]
        with connect(target.port) as connection:
            more = "Content-Type: application/json\r\nContent-Length: 1000000\r\n"
            connection.sendall(head("POST", stage.PREVERIFY, token, more))
            for _ in range(1000):
                connection.sendall(b"    ")
                time.sleep(1)

    again(64, once)


def slow_uploads(target):
    """Uploads that never end, of which a little comes at once."""

    def once(at):
        with connect(target.port) as connection:
            more = "Content-Length: 100000000\r\n"
            connection.sendall(
                head("POST", "/koodrive/ose/v1/files/create", target.tokens[4 + at % 4], more)
            )
            for _ in range(1000):
                connection.sendall(bytes(64))
                time.sleep(0.5)

    again(200, once)


def unread_answers(target):
    """Preverify calls and downloads whose answers nobody reads."""

    def once(at):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", target.port))
            token = target.tokens[8 + at % 2]
            more = f"Content-Type: application/json\r\nContent-Length: {len(stage.GOOD_BATCH)}\r\n"
            if at % 2:
                connection.sendall(head("POST", stage.PREVERIFY, token, more) + stage.GOOD_BATCH)
            else:
                connection.sendall(head("GET", "/koodrive/test/bytes/100000000", token))
            time.sleep(20)

    again(100, once)


def unread_streams(target):
    """HTTP/2 streams without a window: downloads and batches wait for ever."""

    def once(at):
        token = target.tokens[10 + at % 2]
        window = b"\0\x04" + frames.number(0)
        path = b"/koodrive/test/bytes/10000000"
        with connect(target.port) as connection:
            connection.sendall(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, window))
            block = frames.block(frames.request(token, path=path))
            for stream in range(1, 200, 2):
                flags = frames.END_STREAM | frames.END_HEADERS
                connection.sendall(frames.frame(frames.HEADERS, flags, stream, block))
            time.sleep(20)

    again(8, once)


def idle_connections(target):
    """Connections that say nothing, and heads that come byte by byte."""

    def once(at):
        with connect(target.port) as connection:
            if at % 2:
                for byte in head("GET", stage.ECHO, None, "X: y\r\n" * 100):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.5)
            else:
                time.sleep(60)

    again(500, once)


def admin_visitors(target):
    """Visitors of the admin port who ask and do not read, more than it has places for."""

    def once(at):
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(("127.0.0.1", target.admin))
            for path in itertools.islice(itertools.cycle(("/metrics", "/config", "/livez")), 30):
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: rebound.example\r\n\r\n".encode())
            time.sleep(20)

    again(100, once)


def unknown_routes(target):
    """Refused calls in numbers, without a token: each one is a span and a line."""

    def once(at):
        with connect(target.port) as connection:
            for number in range(200):
                name = f"/nowhere/{at}/{number}/" + "x" * 500
                connection.sendall(head("GET", name, None, f"User-Agent: {'y' * 500}\r\n"))
                connection.recv(65536)

    again(8, once)


def forged_tokens(target):
    """Tokens whose signature does not fit, or whose key nobody knows."""
    good = target.tokens[12]
    first, payload, signature = good.split(".")

    def once(at):
        with connect(target.port) as connection:
            for number in range(100):
                flipped = signature[: 10 + number] + "AB"[number % 2] * 4 + signature[14 + number :]
                connection.sendall(head("GET", stage.ECHO, f"{first}.{payload}.{flipped}"))
                connection.recv(65536)

    again(4, once)


def many_callers(target):
    """Good tokens of very many callers, each once: every one is verified, traded and remembered."""
    tokens = itertools.cycle(target.tokens[20:])
    lock = threading.Lock()

    def once(at):
        with connect(target.port) as connection:
            for _ in range(50):
                with lock:
                    token = next(tokens)
                connection.sendall(head("GET", "/koodrive/test/status/200", token))
                connection.recv(65536)

    again(4, once)


def floods(target):
    """Frames of HTTP/2 that cost more to take than to send."""
    token = target.tokens[13]
    block = frames.block(frames.request(token))
    endings = (
        lambda stream: frames.frame(frames.RST_STREAM, 0, stream, frames.number(8)),
        lambda stream: frames.frame(frames.WINDOW_UPDATE, 0, stream, frames.number(0)),
        lambda stream: frames.frame(frames.DATA, 0, stream, b"x"),
        lambda stream: frames.frame(frames.PRIORITY, 0, stream, b"x"),
    )

    def once(at):
        with connect(target.port, 2) as connection:
            connection.sendall(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, b""))
            for stream in range(1, 4000, 2):
                flags = frames.END_STREAM | frames.END_HEADERS
                connection.sendall(
                    frames.frame(frames.HEADERS, flags, stream, block) + endings[at % 4](stream)
                )

    again(4, once)


def malformed_batches(target):
    """Batches that are refused late: large, deep, with a mistake at the very end."""
    user = b'{"personalCapacity":10,"isAllocateCapacity":true},'
    body = b'{"curDeptId":1,"users":[' + user * 990 + b"{}]}"

    def once(at):
        with connect(target.port) as connection:
            more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            for _ in range(5):
                connection.sendall(
                    head("POST", stage.PREVERIFY, target.tokens[14 + at % 4], more) + body
                )
                connection.recv(65536)
            time.sleep(1)

    again(8, once)


ALL = (
    costly_paths,
    slow_batches,
    slow_uploads,
    unread_answers,
    unread_streams,
    idle_connections,
    admin_visitors,
    unknown_routes,
    forged_tokens,
    many_callers,
    floods,
    malformed_batches,
)
