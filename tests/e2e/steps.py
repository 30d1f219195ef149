"""What is proved, one step after the other; later steps find the world as the earlier left it.

Every call is looked up in Jaeger by the X-Traceid of its answer and by nothing else, as a person
would who has only an error message, and its trace must have exactly the spans drawn here.
"""

import concurrent.futures
import hashlib
import json
import secrets
import signal
import threading
import time
import urllib.request

from canary import assert_absent
from canary import parts
from tool import BATCH
from traces import GATEWAY
from traces import shape_of

PREVERIFY = "POST /koodrive/ose/v1/users/batchimport/preverify"
OTHER = "GET /koodrive/*"
# The API page's own example: it lacks the comma after curDeptId.
PAGE_EXAMPLE = b"""{
  "curDeptId": 1575416580416769793
  "users": [
    {
      "targetDeptName": "xxx",
      "personalCapacity": 10,
      "isAllocateCapacity": true
    }
  ]
}"""
STEPS = []
REMAINS = []


def step(function):
    STEPS.append(function)
    return function


def remains(function):
    """Comes after everything else."""
    REMAINS.append(function)
    return function


# ── when all is well ─────────────────────────────────────────────────────────────────────────────


@step
def first_call(world):
    """a first preverify shows every stage, its exchange and its attempt, and reaches KooDrive as written"""
    world.alice = world.sso.token("alice")
    answer = world.tool.preverify(world.alice)
    expect(answer, 200)
    assert answer.json["data"] == [{"isSuccess": 0}, {"isSuccess": 0}], answer
    assert "Set-Cookie" not in answer.headers, "KooDrive's session cookie reached the caller"
    trace = expect_trace(world, answer, f"""
        {PREVERIFY}
          accept
          authorize
          limit
          validate
          token
            token.exchange
          forward
            forward.attempt
        """)
    server = trace.server(answer.x_trace_id)
    assert answer.x_trace_id.startswith(trace.id + server.id), "the first 48 characters do not name the span"
    assert (server["gateway.call"], server["http.response.status_code"]) == ("preverify", 200), server.tags
    assert (trace.one("token.exchange").kind, trace.one("forward.attempt").kind) == ("client", "client")
    assert not [span.name for span in trace.spans if span.failed], f"nothing failed, yet:\n{trace}"
    (call,) = world.koodrive.calls_of(answer.x_trace_id)
    assert call.user == "alice" and call.token != world.alice, "KooDrive saw another user, or the SSO token"
    assert call.body_sha256 == hashlib.sha256(BATCH).hexdigest(), "the batch changed on its way"
    ids = (trace.id, trace.one("forward.attempt").id)
    assert (call.trace_id, call.parent_span_id) == ids, "the attempt's ids did not reach KooDrive"


@step
def second_call(world):
    """the next preverify of the same caller costs no exchange"""
    answer = expect(world.tool.preverify(world.alice), 200)
    trace = expect_trace(world, answer, f"""
        {PREVERIFY}
          accept
          authorize
          limit
          validate
          token
          forward
            forward.attempt
        """)
    assert trace.one("token")["gateway.token_source"] == "cached", trace.one("token").tags


@step
def passthrough(world):
    """another call passes, and an X-Traceid of the caller's own finds its trace byte for byte"""
    world.bob = world.sso.token("bob")
    mine = f"my-tool_{secrets.token_hex(25)}"
    answer = expect(world.tool.quota(world.bob, **{"X-Traceid": mine}), 200)
    assert answer.x_trace_id == mine, "the caller's X-Traceid was not kept"
    assert answer.json["data"]["user"] == "bob", answer
    expect_trace(world, answer, f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
          forward
            forward.attempt
        """)
    assert len(world.koodrive.calls_of(mine)) == 1


@step
def traced_caller(world):
    """the trace of a tool that is traced itself goes on in the gateway"""
    trace_id, span_id, began = secrets.token_hex(16), secrets.token_hex(8), time.time()
    answer = expect(world.tool.quota(world.bob, traceparent=f"00-{trace_id}-{span_id}-01"), 200)
    world.jaeger.tell("internal-tool", "show quota", trace_id, span_id, began, time.time())
    assert answer.x_trace_id.startswith(trace_id), "the X-Traceid does not begin with the caller's trace"
    trace = world.trace_of(answer, lambda trace: trace.named("show quota") and trace.named("forward.attempt"))
    assert trace.id == trace_id
    server = trace.server(answer.x_trace_id)
    assert server.parent == trace.one("show quota").id, f"the SERVER span is no child of the tool's:\n{trace}"
    assert {span.service for span in trace.spans} == {"internal-tool", GATEWAY}, trace


@step
def upstream_error(world):
    """an error of KooDrive's passes as it is and shows in the attempt"""
    answer = expect(world.tool.call("GET", "/koodrive/ose/v1/files/nowhere", world.bob), 404)
    assert answer.json == {"code": 40010404, "msg": "The resource does not exist."}, answer
    trace = expect_trace(world, answer, f"""
        {OTHER}
          accept
          authorize
          token
          forward
            forward.attempt
        """)
    assert trace.one("forward.attempt")["http.response.status_code"] == 404
    assert trace.server(answer.x_trace_id)["gateway.reason"] is None, "KooDrive's error is no refusal of ours"


@step
def joined(world):
    """cold calls of one caller share one exchange, and each one's trace links to it"""
    token = world.sso.token("carol")
    world.parts.signal("keycloak", signal.SIGSTOP)
    thaw = threading.Timer(0.7, world.parts.signal, ("keycloak", signal.SIGCONT))
    thaw.start()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: expect(world.tool.quota(token), 200), range(12)))
    thaw.join()
    traces = [world.trace_of(answer, lambda trace: trace.named("forward.attempt")) for answer in answers]
    exchanges = {(span.trace_id, span.id) for trace in traces for span in trace.named("token.exchange")}
    assert len(exchanges) == 1, f"{len(exchanges)} exchanges for one caller"
    waited = [trace.one("token") for trace in traces if not trace.named("token.exchange")]
    assert [span["gateway.token_source"] for span in waited] == ["joined"] * 11, [span.tags for span in waited]
    for span in waited:
        assert set(span.links) == exchanges, f"a waiter links to {span.links}, the exchange is {exchanges}"


# ── when the caller is wrong ─────────────────────────────────────────────────────────────────────


@step
def bad_json(world):
    """the API page's own example is refused with line and column, and KooDrive hears nothing of it"""
    world.erin = world.sso.token("erin")
    answer = expect_refusal(world, lambda: world.tool.preverify(world.erin, PAGE_EXAMPLE), 400, "batch_not_json")
    assert (answer.json["errors"][0]["line"], answer.json["errors"][0]["column"]) == (3, 3), answer
    expect_refused_trace(world, answer, "batch_not_json", "validate", f"""
        {PREVERIFY}
          accept
          authorize
          limit
          validate
        """)


@step
def bad_batch(world):
    """a malformed batch is refused with all its findings, in the caller's language"""
    batch = b'{"curDeptId": "7", "users": [{"personalCapacity": -1, "isAllocateCapacity": 1}]}'
    call = lambda: world.tool.preverify(world.erin, batch, language="zh-CN")
    answer = expect_refusal(world, call, 400, "batch_malformed")
    pointers = {finding["pointer"] for finding in answer.json["errors"]}
    assert pointers == {"/curDeptId", "/users/0/personalCapacity", "/users/0/isAllocateCapacity"}, pointers
    assert any("\u4e00" <= letter <= "\u9fff" for letter in answer.json["msg"]), answer
    expect_refused_trace(world, answer, "batch_malformed", "validate", f"""
        {PREVERIFY}
          accept
          authorize
          limit
          validate
        """)


@step
def no_token(world):
    """a call without an SSO token is refused at the first stage"""
    answer = expect_refusal(world, lambda: world.tool.preverify(None), 401, "token_missing")
    expect_refused_trace(world, answer, "token_missing", "accept", f"{PREVERIFY}\n  accept")


@step
def wrong_audience(world):
    """a token that Keycloak made out to others is refused"""
    token = world.sso.token("erin", tool="other-tool")
    answer = expect_refusal(world, lambda: world.tool.quota(token), 401, "token_audience_mismatch")
    expect_refused_trace(world, answer, "token_audience_mismatch", "accept", f"{OTHER}\n  accept")


@step
def denied(world):
    """a call that a rule forbids is refused with its reason, and its trace names the rule"""
    token = world.sso.token("erin")
    call = lambda: world.tool.call("DELETE", "/koodrive/ose/v1/users/7", token)
    answer = expect_refusal(world, call, 403, "call_denied")
    assert answer.json["origin"] == "caller", answer
    trace = expect_refused_trace(world, answer, "call_denied", "authorize", f"""
        DELETE /koodrive/*
          accept
          authorize
        """)
    span = trace.one("authorize")
    assert (span["gateway.rule"], span["gateway.verdict"]) == ("nobody deletes users", "denied"), span.tags


@step
def too_often(world):
    """a caller beyond its rate is refused before its batch is read"""
    token = world.sso.token("frank")
    for _ in range(5):
        expect(world.tool.preverify(token), 200)
    answer = expect_refusal(world, lambda: world.tool.preverify(token), 429, "limit_calls")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10, answer.headers["Retry-After"]
    expect_refused_trace(world, answer, "limit_calls", "limit", f"""
        {PREVERIFY}
          accept
          authorize
          limit
        """)


# ── when a token is revoked ──────────────────────────────────────────────────────────────────────


@step
def revoked(world):
    """a KooDrive token revoked at Keycloak costs one exchange and one replay, and the caller notices nothing"""
    stolen = world.koodrive.last_token_of("alice")
    world.sso.revoke(stolen)
    answer = expect(world.tool.preverify(world.alice), 200)
    trace = expect_trace(world, answer, f"""
        {PREVERIFY}
          accept
          authorize
          limit
          validate
          token
            token.exchange
          forward
            forward.attempt
            forward.attempt
        """)
    attempts = trace.named("forward.attempt")
    assert [span["http.response.status_code"] for span in attempts] == [401, 200], f"\n{trace}"
    assert [span.failed for span in attempts] == [True, False], f"\n{trace}"
    refused, replayed = world.koodrive.calls_of(answer.x_trace_id)
    assert (refused.status, refused.token, replayed.status) == (401, stolen, 200)
    assert refused.body_sha256 == replayed.body_sha256 == hashlib.sha256(BATCH).hexdigest()
    assert replayed.token != stolen, "the revoked token was sent again"


@step
def signed_out(world):
    """a user who signed out at Keycloak is told so, though the SSO token still looks good"""
    token = world.sso.token("dave")
    world.sso.sign_out("dave")
    answer = expect_refusal(world, lambda: world.tool.quota(token), 403, "caller_denied")
    trace = expect_refused_trace(world, answer, "caller_denied", "token", f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
        """)
    exchange = trace.one("token.exchange")
    assert exchange.failed and exchange["http.response.status_code"] == 400, exchange.tags


@step
def signed_out_later(world):
    """one who signs out between two calls is refused by KooDrive and then by Keycloak"""
    world.sso.sign_out("bob")
    answer = expect(world.tool.quota(world.bob), 403)
    assert answer.json["reason"] == "caller_denied", answer
    trace = expect_trace(world, answer, f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
          forward
            forward.attempt
        """)
    assert trace.one("forward.attempt")["http.response.status_code"] == 401
    assert trace.server(answer.x_trace_id)["gateway.reason"] == "caller_denied"


# ── when Keycloak goes away ──────────────────────────────────────────────────────────────────────


@step
def frozen(world):
    """while Keycloak hangs, a newcomer gets 504 in time and callers with a token are served"""
    world.grace, world.heidi = world.sso.token("grace"), world.sso.token("heidi")
    world.parts.signal("keycloak", signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = expect_refusal(world, lambda: world.tool.quota(world.grace), 504, "token_endpoint_timeout")
        assert time.monotonic() - began < 4, "the newcomer waited longer than token.timeout"
        expect(world.tool.quota(world.alice), 200)
        expect_ready(world)
    finally:
        world.parts.signal("keycloak", signal.SIGCONT)
    trace = expect_refused_trace(world, answer, "token_endpoint_timeout", "token", f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
        """)
    assert trace.one("token.exchange").failed and trace.server(answer.x_trace_id).failed


@step
def stopped(world):
    """with Keycloak stopped, a newcomer gets 503 with Retry-After and callers with a token are served"""
    assert world.parts.end("keycloak") is not None, "Keycloak did not stop"
    call = lambda: world.tool.quota(world.heidi)
    answer = expect_refusal(world, call, 503, "token_endpoint_unavailable")
    assert 1 <= int(answer.headers["Retry-After"]), answer.headers["Retry-After"]
    assert answer.json["origin"] == "token_endpoint", answer
    served = expect(world.tool.quota(world.alice), 200)
    expect_ready(world)
    expect_refused_trace(world, answer, "token_endpoint_unavailable", "token", f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
        """)
    expect_trace(world, served, f"""
        {OTHER}
          accept
          authorize
          token
          forward
            forward.attempt
        """)


@step
def back(world):
    """when Keycloak is back with new keys, the first new token fetches them and is served"""
    world.parts.start_keycloak(world.keycloak_home)
    world.ivan = world.sso.token("ivan")
    answer = expect(world.tool.quota(world.ivan), 200)
    trace = expect_trace(world, answer, f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
          forward
            forward.attempt
        """)
    accept = trace.one("accept")
    # Keys are fetched once for all who wait, so the fetch is a trace of its own.
    fetches = world.jaeger.spans_named("jwks.fetch")
    during = [span for span in fetches if accept.start <= span.start and span.end <= accept.end]
    assert len(during) == 1, f"{len(during)} of {len(fetches)} key fetches lie within\n{trace}"
    assert during[0].kind == "client" and not during[0].failed, during[0].tags


# ── what is left behind ──────────────────────────────────────────────────────────────────────────


@remains
def admin(world):
    """the admin page names the refused calls and links each to its trace"""
    answer = expect_refusal(world, lambda: world.tool.quota(None), 401, "token_missing")
    listed = {refusal["traceid"] for refusal in read_json(f"{world.admin}/refusals")}
    assert answer.x_trace_id in listed, f"{answer.x_trace_id} is not in /refusals"
    link = f"http://127.0.0.1:{world.parts.query}/trace/{answer.x_trace_id[:32]}"
    assert link in read(f"{world.admin}/"), f"the page has no link {link}"
    world.trace_of(answer)
    assert world.jaeger.by_trace_id(answer.x_trace_id[:32]), "the link leads nowhere"


@remains
def nothing_dropped(world):
    """no span was dropped, and nothing arrived at KooDrive that a gateway must not send"""
    lines = [line for line in read(f"{world.admin}/metrics").splitlines() if "spans_dropped_total" in line]
    values = [float(line.split()[1]) for line in lines if not line.startswith("#")]
    assert values and sum(values) == 0, lines
    assert not world.koodrive.faults, world.koodrive.faults


@remains
def no_secret(world):
    """no token and no secret stands in any metric or admin page"""
    pages = {f"/{name}": read(f"{world.admin}/{name}") for name in ("", "metrics", "config", "refusals")}
    assert_absent(secrets_of(world), pages)


@remains
def goodbye(world):
    """stopped by SIGTERM, the gateway exits with 0 and the last call's trace is in Jaeger"""
    answer = expect(world.tool.quota(world.ivan), 200)
    code = world.parts.end("gateway")
    assert code == 0, f"the gateway exited with {code}"
    expect_trace(world, answer, f"""
        {OTHER}
          accept
          authorize
          token
          forward
            forward.attempt
        """)
    assert answer.x_trace_id in world.parts.log_of("gateway").read_text(), "the access log lacks the call"


@remains
def no_secret_left(world):
    """no token and no secret stands in anything the gateways logged until they ended, nor in any trace"""
    kept = {f"the log of {name}": world.parts.log_of(name).read_text() for name in ("gateway", "another")}
    kept["Jaeger"] = repr(world.jaeger.get("traces", service=GATEWAY, limit=1000))
    assert all(trace_id in kept["Jaeger"] for trace_id in world.seen), "Jaeger gave not all traces"
    assert_absent(secrets_of(world), kept)


def secrets_of(world):
    """Everything secret that this run made up, was given, or saw at a KooDrive."""
    tokens = {*world.sso.tokens, *world.sso.refresh_tokens.values()}
    tokens |= {*world.spent, *(call.token for call in world.koodrive.calls if call.token)}
    found = {*world.parts.secrets.values(), *(part for token in tokens for part in parts(token))}
    assert 20 < len(found) and world.alice in found
    return found


# ── how it is judged ─────────────────────────────────────────────────────────────────────────────


def expect(answer, status):
    assert answer.status == status, f"expected {status}, got {answer}"
    return answer


def expect_refusal(world, call, status, reason):
    """The gateway's own refusal, of which KooDrive hears nothing."""
    before = world.koodrive.count()
    answer = expect(call(), status)
    assert answer.headers["Content-Type"] == "application/problem+json", answer.headers["Content-Type"]
    assert answer.json["reason"] == reason, answer
    assert answer.json["traceId"] == answer.x_trace_id, answer
    assert world.koodrive.count() == before, "KooDrive heard of a refused call"
    return answer


def expect_trace(world, answer, drawing):
    expected = shape_of(drawing)

    def shape(trace):
        return trace.shape(trace.server(answer.x_trace_id))

    trace = world.trace_of(answer, lambda trace: shape(trace) == expected)
    assert shape(trace) == expected, f"the trace has not the spans\n{drawing.rstrip()}\nbut\n{trace}"
    return trace


def expect_refused_trace(world, answer, reason, stage, drawing):
    """The trace of a refused call says why at its top, and which stage said no."""
    trace = expect_trace(world, answer, drawing)
    server = trace.server(answer.x_trace_id)
    assert (server["gateway.reason"], server["http.response.status_code"]) == (reason, answer.status), server.tags
    assert trace.one(stage).failed, f"the stage {stage} is not marked:\n{trace}"
    others = [span.name for span in trace.spans if span.failed and span.kind == "internal" and span.name != stage]
    assert not others, f"stages {others} are marked as well:\n{trace}"
    return trace


def expect_ready(world):
    with urllib.request.urlopen(f"{world.admin}/readyz", timeout=5) as answer:
        assert answer.status == 200


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def read_json(url):
    return json.loads(read(url))
