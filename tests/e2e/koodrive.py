"""A strict KooDrive for the end-to-end run: it believes nobody, and it remembers every call.

It takes access tokens that a real SSO made out to it, and asks that SSO about each of them on each
call (RFC 7662), so that a token revoked there is refused here from the next call on. While the SSO
does not answer, it goes by what the SSO last said of the very same token.

What a gateway must never send is written down in `faults`; a run that leaves one there has failed.
"""

import base64
import collections
import hashlib
import http.client
import http.server
import json
import re
import threading
import time
import urllib.parse

PREVERIFY = "/koodrive/ose/v1/users/batchimport/preverify"
QUOTA = "/koodrive/ose/v1/service/quotaUsed"
X_TRACE_ID = re.compile(r"[0-9A-Za-z_-]{58}")
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
EXACTLY_ONCE = ("Host", "Authorization", "X-Traceid", "traceparent", "Via")
NEVER = (
    "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Upgrade", "Cookie",
    "X-User-Id", "X-Date", "x-session-id", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
    "X-Forwarded-Host", "X-HTTP-Method-Override", "tracestate", "baggage",
)
BODY_MAX = 4 * 1024 * 1024

Call = collections.namedtuple(
    "Call", "method path x_trace_id trace_id parent_span_id token user body_sha256 status"
)


class KooDrive:
    """`with KooDrive(introspection, secret) as koodrive:` serves at `koodrive.url` until the block ends."""

    def __init__(self, introspection, client_secret):
        self.introspection = urllib.parse.urlsplit(introspection)
        self.authorization = basic("koodrive", client_secret)
        self.lock = threading.Lock()
        self.calls = []
        self.faults = []
        self.last_tokens = {}
        self.last_answers = {}
        koodrive = self

        class Handler(CallHandler):
            owner = koodrive

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def calls_of(self, x_trace_id):
        with self.lock:
            return [call for call in self.calls if call.x_trace_id == x_trace_id]

    def count(self):
        with self.lock:
            return len(self.calls)

    def last_token_of(self, user):
        """The access token the gateway last used for this user: what an attacker would have to steal."""
        with self.lock:
            return self.last_tokens[user]

    def user_of(self, token):
        """Whose token it is; None when the SSO does not vouch for it."""
        answer = self.introspect(token)
        if answer is None:
            with self.lock:
                answer = self.last_answers.get(token, {})
        else:
            with self.lock:
                self.last_answers[token] = answer
        audience = answer.get("aud", [])
        audience = audience if isinstance(audience, list) else [audience]
        good = (
            answer.get("active") is True
            and "koodrive" in audience
            and answer.get("client_id", "").startswith("koodrive-gateway")
            and time.time() < answer.get("exp", 0)
        )
        # A token that the gateway has for itself need not name a user.
        return answer.get("username") or answer["client_id"] if good else None

    def introspect(self, token):
        """What the SSO says of a token; None when it does not answer."""
        connection = http.client.HTTPConnection(self.introspection.hostname, self.introspection.port, timeout=2)
        try:
            connection.request(
                "POST",
                self.introspection.path,
                urllib.parse.urlencode({"token": token}),
                {"Authorization": self.authorization, "Content-Type": "application/x-www-form-urlencoded"},
            )
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


class CallHandler(http.server.BaseHTTPRequestHandler):
    """One connection from the gateway."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    owner = None

    def serve(self):
        body = self.read_body()
        token = self.bearer()
        user = self.owner.user_of(token) if token else None
        if user is None:
            status, answer = 401, {"error_code": "APIGW.0301", "error_msg": "Incorrect authentication information"}
        else:
            status, answer = self.answer(user, body)
        self.remember(token, user, body, status)
        self.reply(status, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve

    def answer(self, user, body):
        path = self.path.partition("?")[0]
        if (self.command, path) == ("POST", PREVERIFY):
            users = json.loads(body)["users"]
            return 200, {"code": 0, "msg": "Successful", "data": [{"isSuccess": 0} for _ in users]}
        if (self.command, path) == ("GET", QUOTA):
            return 200, {"code": 0, "msg": "Successful", "data": {"user": user, "spaceCapacity": 10240}}
        return 404, {"code": 40010404, "msg": "The resource does not exist."}

    def read_body(self):
        if "Transfer-Encoding" in self.headers:
            if self.headers.get_all("Transfer-Encoding") != ["chunked"] or "Content-Length" in self.headers:
                self.fault("ambiguous framing")
            return self.read_chunks()
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(min(length, BODY_MAX))

    def read_chunks(self):
        whole = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            whole += self.rfile.read(min(size, BODY_MAX - len(whole)))
            self.rfile.readline(64)
        while self.rfile.readline(8192).strip():
            pass
        return whole

    def bearer(self):
        """The credential, when the request is one that a gateway may send at all."""
        for name in EXACTLY_ONCE:
            if len(self.headers.get_all(name, [])) != 1:
                self.fault(f"{name} is there {len(self.headers.get_all(name, []))} times")
        for name in NEVER:
            if name in self.headers:
                self.fault(f"{name} arrived")
        if not X_TRACE_ID.fullmatch(self.headers.get("X-Traceid", "")):
            self.fault("X-Traceid is not 58 legal characters")
        if not TRACEPARENT.fullmatch(self.headers.get("traceparent", "")):
            self.fault("traceparent is not one")
        if self.headers.get("Host") != self.owner.host:
            self.fault("Host is not KooDrive's")
        if not self.headers.get("Via", "").endswith("1.1 koodrive-gateway"):
            self.fault("Via does not name the gateway")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            self.fault("Authorization is not a Bearer credential")
            return None
        return token

    def remember(self, token, user, body, status):
        parent = TRACEPARENT.fullmatch(self.headers.get("traceparent", ""))
        trace_id, span_id = parent.groups() if parent else (None, None)
        call = Call(
            self.command, self.path, self.headers.get("X-Traceid"), trace_id, span_id, token, user,
            hashlib.sha256(body).hexdigest(), status,
        )
        with self.owner.lock:
            self.owner.calls.append(call)
            if user:
                self.owner.last_tokens[user] = token

    def reply(self, status, answer):
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        # Never to reach the caller: a browser session, and another trace id than the caller's.
        self.send_header("Set-Cookie", "Authorization=stolen; Path=/")
        self.send_header("X-Traceid", "k" * 58)
        self.end_headers()
        self.wfile.write(content)

    def fault(self, what):
        with self.owner.lock:
            self.owner.faults.append(f"{self.command} {self.path}: {what}")

    def log_message(self, *_):
        pass


def basic(client_id, secret):
    pair = f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
