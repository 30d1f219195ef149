"""The lines of the table: what load, on which peers, doing what."""

from dataclasses import dataclass

from variants import PREVERIFY, Variant

CALLERS = 100
# More than a round can use up; where tokens are to be new each time, proxies are too in each round.
NEW_TOKENS, NEW_SECONDS = 60_000, 3
ALL = ("gateway", "envoy", "nginx", "haproxy", "floor")
SMALL = "/koodrive/ose/v1/files/bytes/1024"
LARGE_BYTES = 64 * 1024 * 1024
LARGE = f"/koodrive/ose/v1/files/bytes/{LARGE_BYTES}"


@dataclass(frozen=True)
class Row:
    """A line of the table: the same load for each of these peers."""

    name: str
    variant: Variant = Variant()
    # In a batch; None for a body of so many bytes, or for a GET.
    users: int | None = 1
    body_bytes: int = 0
    path: str = PREVERIFY
    tokens: tuple = ("RS256", CALLERS, CALLERS)
    connections: int = 64
    peers: tuple = ALL

    @property
    def is_new(self):
        return self.tokens[1] == NEW_TOKENS


# Each makes a proxy do something else.
WORK = (
    Row("T1, RS256 seen before", Variant(tier=1)),
    Row("T1, RS256 new", Variant(tier=1, cache=False), tokens=("RS256", NEW_TOKENS, CALLERS)),
    Row(
        "T1, ES256 new",
        Variant(tier=1, algorithm="ES256", cache=False),
        tokens=("ES256", NEW_TOKENS, CALLERS),
        peers=ALL[:4],
    ),
    Row("T2, 1 user"),
    Row("T2, RS256 new", Variant(cache=False), tokens=("RS256", NEW_TOKENS, CALLERS)),
    Row(
        "T2, ES256 new",
        Variant(algorithm="ES256", cache=False),
        tokens=("ES256", NEW_TOKENS, CALLERS),
        peers=ALL[:4],
    ),
    Row("T2, 100 users", users=100),
    Row("T2, 1000 users", users=1000),
    Row("GET of 1 KB", Variant(tier=1), users=None, path=SMALL),
    Row(
        "64 MiB down",
        Variant(tier=1),
        users=None,
        path=LARGE,
        tokens=("RS256", 1, 1),
        connections=4,
    ),
    # nginx keeps a body on disk before it sends it on.
    Row(
        "64 MiB up",
        Variant(tier=1),
        users=None,
        body_bytes=LARGE_BYTES,
        path="/koodrive/ose/v1/files/create",
        tokens=("RS256", 1, 1),
        peers=("gateway", "envoy", "haproxy", "floor"),
    ),
    Row(
        "HTTP/2 in, 4 connections of 64 streams",
        Variant(http2=True),
        tokens=("RS256", 1, 1),
        connections=4,
        peers=ALL[:4],
    ),
    Row("TLS in and out", Variant(tls=True), peers=ALL[:4]),
    Row("T2 with an access log", Variant(access_log=True), peers=("gateway", "envoy", "nginx")),
    Row("T2 with traces, 1 %", Variant(traces=0.01), peers=("gateway", "envoy")),
    Row("T2 with traces, 100 %", Variant(traces=1), peers=("gateway", "envoy")),
)
# The same again with more or fewer callers, connections or workers.
NUMBERS = (
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
    Row("T2, two workers", Variant(workers=2), peers=("gateway", "envoy", "nginx", "haproxy")),
)
ROWS = WORK + NUMBERS
