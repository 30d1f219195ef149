"""An SSO's keys, as many of its tokens as a run wants, and a certificate; made once and kept."""

import base64
import datetime
import ipaddress
import json
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE = "https://sso.bench.example", "koodrive-gateway"
YEAR = 365 * 86400


class Keys:
    """In a directory: keys, the JWKS, a certificate for 127.0.0.1, and token files."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.jwks = directory / "jwks.json"
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.both = directory / "server-both.pem"
        if not self.jwks.exists():
            self.make()
        self.private = {
            name: load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
            for name in ("RS256", "ES256")
        }

    def public(self, algorithm):
        return self.directory / f"{algorithm}.pub"

    def make(self):
        private = {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }
        keys = []
        for name, key in private.items():
            (self.directory / f"{name}.key").write_bytes(private_pem(key))
            public = key.public_key()
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            self.public(name).write_bytes(pem)
            keys.append({"use": "sig", "alg": name, "kid": name} | numbers(public))
        self.make_certificate()
        self.jwks.write_text(json.dumps({"keys": keys}))

    def make_certificate(self):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=90))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(built.public_bytes(Encoding.PEM))
        self.key.write_bytes(private_pem(key))
        self.both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())

    def tokens(self, algorithm, count, callers):
        """A file with `count` different tokens of so many callers, one a line."""
        file = self.directory / f"tokens-{algorithm}-{count}-{callers}"
        if not file.exists():
            lines = [self.token(algorithm, at % callers, jti=f"{at:032x}") for at in range(count)]
            file.write_text("\n".join(lines) + "\n")
        return file

    def token(self, algorithm, caller, **claims):
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"user-{caller:08d}@corp.example",
            "iat": now,
            "exp": now + 10 * YEAR,
            "scope": "openid profile koodrive.users",
        } | claims
        head = {"alg": algorithm, "typ": "JWT", "kid": algorithm}
        data = f"{part(json.dumps(head))}.{part(json.dumps(payload))}".encode()
        key = self.private[algorithm]
        if algorithm == "RS256":
            signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{data.decode()}.{part(signature)}"

    def bad(self, algorithm):
        """What is wrong → a token that nobody may accept."""
        good = self.token(algorithm, 0)
        head, payload, signature = good.split(".")
        swapped = "B" if signature[40] == "A" else "A"
        return {
            "a signature that does not fit": f"{head}.{payload}.{signature[:40]}{swapped}{signature[41:]}",
            "its time over": self.token(algorithm, 0, iat=0, exp=int(time.time()) - 3600),
            "another audience": self.token(algorithm, 0, aud="another"),
            "another issuer": self.token(algorithm, 0, iss="https://evil.example"),
            "no signature": f"{part(json.dumps({'alg': 'none'}))}.{payload}.",
            "no form": "x.y.z",
        }


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def numbers(public):
    given = public.public_numbers()
    if isinstance(public, rsa.RSAPublicKey):
        return {"kty": "RSA", "n": part(given.n.to_bytes(256, "big")), "e": "AQAB"}
    x, y = (part(each.to_bytes(32, "big")) for each in (given.x, given.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def part(data):
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
