"""Plays a company SSO and KooDrive behind TLS, under the very names of the README.

    stand_in.py FOLDER [PORT]     FOLDER has server.crt, server.key, sso.key and client-secret

sso.example.com: discovery, keys, the token endpoint, and `demo-token?subject=` for whoever asks.
cn.myhuaweicloud-koodrive.com: believes access tokens that the token endpoint issued, nothing else;
`?delay=SECONDS` waits before the response. `GET /counts` on either name tells what was asked;
`/client-secret?is=` changes the client's secret from that of the file, and without a value back.
"""

import base64
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ISSUER = "https://sso.example.com/realms/tools"
ENDPOINT = "/realms/tools/protocol/openid-connect/token"
FOLDER = pathlib.Path(sys.argv[1])
COUNTS = {"keys": 0, "exchanges": 0, "calls": 0, "refused": 0}
LOCK = threading.Lock()
RENEWED = {}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def modulus():
    told = subprocess.run(
        ["openssl", "rsa", "-in", FOLDER / "sso.key", "-noout", "-modulus"], check=True, capture_output=True, text=True,
    ).stdout
    return bytes.fromhex(told.strip().split("=")[1])


KEYS = {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": base64url(modulus()), "e": "AQAB"}]}


def sign(key, claims):
    """A JWT of RS256; `key` also signs KooDrive's tokens, so that they outlive a restart."""
    signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims))
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", FOLDER / key], input=signed.encode(), check=True, capture_output=True)
    return f"{signed}.{base64url(made.stdout)}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        body = self.read_body()
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        host = self.headers.get("Host", "").split(":")[0]
        if path == "/counts":
            return self.json(200, COUNTS)
        if path == "/client-secret":
            RENEWED.clear()
            RENEWED.update(query)
            return self.json(200, RENEWED)
        if host == "sso.example.com":
            return self.sso(path, query, body)
        return self.koodrive(path, query, body)

    def sso(self, path, query, body):
        if path == "/realms/tools/.well-known/openid-configuration":
            return self.json(200, {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "token_endpoint": f"https://sso.example.com{ENDPOINT}"})
        if path == "/realms/tools/keys":
            count("keys")
            return self.json(200, KEYS)
        if path == "/realms/tools/demo-token":
            now = int(time.time())
            claims = {"iss": ISSUER, "aud": "koodrive-gateway", "sub": query["subject"], "iat": now, "exp": now + 3600}
            return self.text(200, sign("sso.key", claims))
        if path == ENDPOINT:
            secret = RENEWED.get("is") or (FOLDER / "client-secret").read_text().strip()
            login = "Basic " + base64.b64encode(f"koodrive-gateway:{secret}".encode()).decode()
            if self.headers.get("Authorization") != login:
                return self.json(401, {"error": "invalid_client"})
            form = dict(urllib.parse.parse_qsl(body.decode()))
            try:
                subject = json.loads(unpadded(form["subject_token"].split(".")[1]))["sub"]
            except (KeyError, IndexError, ValueError):
                return self.json(400, {"error": "invalid_request"})
            count("exchanges")
            token = "koodrive-" + base64url(json.dumps({"sub": subject, "at": time.time()}).encode())
            return self.json(200, {"access_token": token, "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
        return self.json(404, {"error": "not found"})

    def koodrive(self, path, query, body):
        words = self.headers.get("Authorization", "").split(" ")
        believed = len(words) == 2 and words[0] == "Bearer" and words[1].startswith("koodrive-")
        if not believed or len(self.headers.get("X-Traceid", "")) != 58 or not path.startswith("/koodrive/"):
            count("refused")
            return self.json(401, {"code": 40100001, "msg": "no"})
        count("calls")
        if "delay" in query:
            time.sleep(float(query["delay"]))
        caller = json.loads(unpadded(words[1].removeprefix("koodrive-")))["sub"]
        return self.json(200, {"code": 0, "caller": caller, "bytes": len(body)})

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def json(self, status, value):
        self.text(status, json.dumps(value), "application/json")

    def text(self, status, text, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def count(what):
    with LOCK:
        COUNTS[what] += 1


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main():
    server = ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2]) if 2 < len(sys.argv) else 443), Handler)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(FOLDER / "server.crt", FOLDER / "server.key")
    # The handshake belongs to the thread of the connection: one that is slow must not hold up others.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
