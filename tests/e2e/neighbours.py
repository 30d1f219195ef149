"""Neighbours of the gateway that can be told to misbehave: an SSO, its token endpoint, a KooDrive.

Simple ones, for what the gateway shows of them; what it sends them is proved with real parts.
"""

import functools
import http.server
import json
import threading
import time
import urllib.parse

from keys import openssl
from keys import rsa_key
from keys import url64

WELL, DOWN, HANGING = "well", "down", "hanging"


class Neighbour:
    """One that listens on loopback. `mood` is WELL, DOWN, HANGING, or a status with a JSON body."""

    def __init__(self, answer):
        self.answer = answer
        self.mood = WELL
        self.over = threading.Event()
        self.server = None
        self.port = 0
        self.listen()

    def listen(self):
        neighbour = self

        class Handler(NeighbourHandler):
            owner = neighbour

        self.server = QuietServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def be(self, mood):
        if mood == DOWN:
            self.close()
        self.mood = mood

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        self.over.set()


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A gateway that is ended resets its connections; that is no news."""


class NeighbourHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together.
    wbufsize = -1
    owner = None

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mood = self.owner.mood
        if mood in (HANGING, DOWN):
            # A connection kept from before is closed, as by a host that has gone.
            if mood == HANGING:
                self.owner.over.wait()
            self.close_connection = True
            return
        status, answer = self.owner.answer(self.path, body) if mood == WELL else mood
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Neighbours:
    """`with Neighbours(folder) as neighbours:` all three, until the block ends."""

    def __init__(self, folder):
        self.key = folder / "sso.pem"
        keys = {"keys": [rsa_key(self.key, "sso")]}
        self.sso = Neighbour(lambda path, body: (200, keys))
        self.token_endpoint = Neighbour(
            lambda path, body: (200, {"access_token": "of-koodrive", "token_type": "Bearer", "expires_in": 600})
        )
        self.koodrive = Neighbour(lambda path, body: (200, {"code": 0, "msg": "success"}))
        self.issuer = f"http://127.0.0.1:{self.sso.port}/realms/tools"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for neighbour in (self.sso, self.token_endpoint, self.koodrive):
            neighbour.close()

    @functools.cache
    def token(self, subject, kid="sso"):
        """An SSO token of the user with this subject."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "koodrive-gateway", "sub": subject, "iat": now, "exp": now + 3600}
        signed = ".".join(url64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": kid}, claims))
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), said=signed.encode())
        return f"{signed}.{url64(signature)}"

    def configuration(self, secret):
        return f"""
[listen]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
[[accept.issuers]]
issuer = "{self.issuer}"
audiences = ["koodrive-gateway"]
jwks_url = "{self.issuer}/keys"
[token]
endpoint = "http://127.0.0.1:{self.token_endpoint.port}/token"
client_id = "gateway"
client_secret_file = {json.dumps(str(secret))}
timeout = "1s"
[forward]
upstream = "http://127.0.0.1:{self.koodrive.port}"
response_timeout = "1s"
[limit]
calls_per_minute = 1
[telemetry]
jaeger_ui = "http://127.0.0.1:16686"
"""
