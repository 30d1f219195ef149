"""What clients prove themselves with: signing keys, JWTs signed with them, certificates.

PEM for the gateway, JWK and public keys for the SSO.
"""

import base64
import json
import subprocess


def rsa_key(file, kid):
    """Makes an RSA key in `file`; its public half as JWK."""
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(file))
    modulus = openssl("rsa", "-in", str(file), "-noout", "-modulus").decode().strip().partition("=")[2]
    return {"kty": "RSA", "use": "sig", "kid": kid, "alg": "RS256", "n": url64(bytes.fromhex(modulus)), "e": "AQAB"}


def ec_key(file, kid):
    """Makes a P-256 key in `file`; its public half as JWK."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(file))
    # The point stands uncompressed at the end: x and y of 32 bytes each.
    point = openssl("pkey", "-in", str(file), "-pubout", "-outform", "DER")[-64:]
    return {
        "kty": "EC", "use": "sig", "kid": kid, "alg": "ES256", "crv": "P-256",
        "x": url64(point[:32]), "y": url64(point[32:]),
    }


def public_key(file):
    """The public half of the key in `file` as one line of base64."""
    return base64.b64encode(openssl("pkey", "-in", str(file), "-pubout", "-outform", "DER")).decode()


def jwt(file, kid, claims):
    """`claims` signed with the RSA key in `file`."""
    parts = ({"alg": "RS256", "typ": "JWT", "kid": kid}, claims)
    signed = ".".join(url64(json.dumps(part).encode()) for part in parts)
    signature = openssl("dgst", "-sha256", "-sign", str(file), said=signed.encode())
    return f"{signed}.{url64(signature)}"


class Authority:
    """A certificate authority of its own; everything lies in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        self.key = folder / "ca-key.pem"
        self.sign("e2e authority", self.key, self.certificate, ["basicConstraints=critical,CA:TRUE"], None)

    def server(self, name):
        """Certificate and key of a server on loopback."""
        return self.issue(name, "subjectAltName=IP:127.0.0.1,DNS:localhost")

    def client(self, name):
        """Certificate and key of a client whose subject is `CN=name`."""
        return self.issue(name, "extendedKeyUsage=clientAuth")

    def issue(self, name, extension):
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        self.sign(name, key, certificate, ["basicConstraints=critical,CA:FALSE", extension], self)
        return certificate, key

    def sign(self, name, key, certificate, extensions, by):
        new = ["-newkey", "rsa:2048", "-noenc", "-keyout", str(key), "-out", str(certificate)]
        by = ["-CA", str(by.certificate), "-CAkey", str(by.key)] if by else []
        extensions = [word for extension in extensions for word in ("-addext", extension)]
        openssl("req", "-x509", *new, *by, "-days", "2", "-subj", f"/CN={name}", *extensions)


def openssl(*arguments, said=b""):
    return subprocess.run(["openssl", *arguments], input=said, check=True, capture_output=True, timeout=30).stdout


def url64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
