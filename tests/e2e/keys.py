"""Signing keys for clients that prove themselves with one: PEM for the gateway, JWK for the SSO."""

import base64
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


def openssl(*arguments, said=b""):
    return subprocess.run(["openssl", *arguments], input=said, check=True, capture_output=True, timeout=30).stdout


def url64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
