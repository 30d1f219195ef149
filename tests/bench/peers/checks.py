"""Whether a peer does what its tier promises, so that nobody is measured at less work."""

import json
import subprocess

from processes import ask
from scene import batch
from variants import PREVERIFY, UPSTREAM_TOKEN

BATCH = batch(1)
# What a peer's own checks cannot see.
UNSEEN = {"envoy": ("no users",), "haproxy": ("JSON cut off",)}


def check(around, running):
    """Everything that is wrong, in words."""
    variant, wrong = running.variant, []
    good = around.keys.tokens(variant.algorithm, 1, 1).read_text().strip()

    def call(field, body=BATCH):
        return post(around, running.port, variant, field, body)

    def seen():
        if variant.tls:
            command = ["curl", "-sk", f"https://127.0.0.1:{around.upstream_tls}/seen"]
            return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return json.loads(ask(around.upstream, "GET", "/seen")[1])

    def expect(what, allowed, status):
        if status not in allowed:
            wrong.append(f"{what}: {status}")

    before = seen()["calls"]
    expect("a good call", (200,), call(f"Bearer {good}"))
    first = seen()
    if first["calls"] != before + 1 or first["body"] != len(BATCH):
        wrong.append(f"the upstream saw {first}")
    large = batch(1000)
    expect("a large batch", (200,), call(f"Bearer {good}", large))
    second = seen()
    if second["body"] != len(large):
        wrong.append("a large batch arrives otherwise")
    if variant.tier == 0:
        return wrong
    for one in (first, second):
        if one["authorization"] != f"Bearer {UPSTREAM_TOKEN}":
            wrong.append(f"Authorization upstream: {one['authorization']}")
        if len(one["trace_id"] or "") != 58 or "callers" in one["trace_id"]:
            wrong.append(f"X-Traceid upstream: {one['trace_id']}")
    if first["trace_id"] == second["trace_id"]:
        wrong.append("the same X-Traceid twice")
    for what, token in around.keys.bad(variant.algorithm).items():
        expect(
            f"a token with {what}",
            (401, 403) if "audience" in what else (401,),
            call(f"Bearer {token}"),
        )
    expect("no token", (401,), call(None))
    expect("a token of another kind", (401,), call("Basic eDp5"))
    if variant.tier == 2:
        for what, body in BAD_BATCHES.items():
            allowed = (200,) if what in UNSEEN.get(running.peer, ()) else (400, 403, 422)
            expect(f"a batch: {what}", allowed, call(f"Bearer {good}", body))
    arrived = seen()["calls"] - second["calls"]
    if arrived != (len(UNSEEN.get(running.peer, ())) if variant.tier == 2 else 0):
        wrong.append(f"{arrived} refused calls arrived upstream")
    return wrong


def post(around, port, variant, field, body=BATCH):
    """The status of a preverify call; 0 where there was no answer."""
    file = around.directory / "curl-body"
    file.write_bytes(body)
    command = ["curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"]
    command += [
        "--data-binary",
        f"@{file}",
        "-H",
        "Content-Type: application/json",
        "-H",
        "Expect:",
    ]
    command += ["-H", "X-Traceid: the-callers"]
    command += ["-H", f"Authorization: {field}"] if field else []
    command += ["--http2-prior-knowledge"] * variant.http2
    url = f"{'https' if variant.tls else 'http'}://127.0.0.1:{port}{PREVERIFY}"
    # Over HTTP/2 curl now and then tells no status where the refusal comes before it has sent the body.
    for _ in range(10):
        status = int(subprocess.run([*command, url], capture_output=True, check=False).stdout)
        if status or not variant.http2:
            break
    return status


BAD_BATCHES = {
    "no JSON": b"hello",
    "JSON cut off": BATCH[:-3],
    "no users": b'{"curDeptId":1}',
    "no curDeptId": b'{"users":[]}',
}
