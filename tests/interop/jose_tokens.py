#!/usr/bin/env python3
"""SSO tokens minted by joserfc, a JOSE library that shares nothing with ours.

    pip install joserfc && python3 tests/interop/jose_tokens.py > tests/fixtures/jose/joserfc.json

Prints a key set and tokens of every algorithm the gateway verifies, good and bad. The private
keys are forgotten at once; the tokens are valid on one morning of 2030, which is when
tests/it/accept/interop.rs lets them arrive.
"""

import json
from importlib.metadata import version

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

NOW = 1_900_000_000
CLAIMS = {
    "iss": "https://sso.example.com/realms/tools",
    "aud": "koodrive-gateway",
    "sub": "alice",
    "iat": NOW - 10,
    "exp": NOW + 290,
}
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]

rsa = RSAKey.generate_key(2048, parameters={"kid": "rsa", "use": "sig"})
rsa_pinned = RSAKey.generate_key(3072, parameters={"kid": "rsa-ps256", "alg": "PS256"})
p256 = ECKey.generate_key("P-256", parameters={"kid": "p256", "key_ops": ["sign", "verify"]})
p384 = ECKey.generate_key("P-384", parameters={"kid": "p384", "alg": "ES384"})
ed25519 = OKPKey.generate_key("Ed25519", parameters={"kid": "ed25519", "use": "sig"})
others = [
    ECKey.generate_key("P-521", parameters={"kid": "p521"}),
    ECKey.generate_key("secp256k1", parameters={"kid": "k1"}),
    OKPKey.generate_key("X25519", parameters={"kid": "x25519", "use": "enc"}),
]
stranger = RSAKey.generate_key(2048, parameters={"kid": "rsa"})

tokens = []


def add(name, verdict, header, key, claims=None):
    allowed = [header["alg"]]
    token = jwt.encode(header, {**CLAIMS, **(claims or {})}, key, algorithms=allowed)
    tokens.append({"name": name, "verdict": verdict, "token": token})


for alg in ALGORITHMS:
    add(alg, "accepted", {"alg": alg, "kid": "rsa"}, rsa)
add("PS256 of the pinned key", "accepted", {"alg": "PS256", "kid": "rsa-ps256"}, rsa_pinned)
add("ES256", "accepted", {"alg": "ES256", "kid": "p256", "typ": "at+jwt"}, p256)
add("ES384", "accepted", {"alg": "ES384", "kid": "p384"}, p384)
add("EdDSA", "accepted", {"alg": "EdDSA", "kid": "ed25519"}, ed25519)
add("Ed25519", "accepted", {"alg": "Ed25519", "kid": "ed25519"}, ed25519)
add("ES256 without kid", "accepted", {"alg": "ES256"}, p256)
add("audiences", "accepted", {"alg": "ES256", "kid": "p256"}, p256, {"aud": ["a", CLAIMS["aud"]]})
add("subject in Chinese", "accepted", {"alg": "ES256", "kid": "p256"}, p256, {"sub": "王小明"})
add("expired", "token_expired", {"alg": "ES256", "kid": "p256"}, p256, {"exp": NOW - 100})
add("not yet", "token_not_yet_valid", {"alg": "ES256", "kid": "p256"}, p256, {"nbf": NOW + 100})
add("another RS key", "token_signature_invalid", {"alg": "RS256", "kid": "rsa"}, stranger)
unpinned = rsa_pinned.as_dict(private=True)
del unpinned["alg"]
unpinned = RSAKey.import_key(unpinned)
add("pinned to PS256", "token_algorithm_refused", {"alg": "RS256", "kid": "rsa-ps256"}, unpinned)
add("unknown kid", "token_key_unknown", {"alg": "RS256", "kid": "rsa-2"}, stranger)
add("P-521", "token_algorithm_refused", {"alg": "ES512", "kid": "p521"}, others[0])
public_pem = rsa.as_pem(private=False)
secret = OctKey.import_key(public_pem.decode().replace("-----", "").encode())
add("HS256 with the public key", "token_algorithm_refused", {"alg": "HS256", "kid": "rsa"}, secret)

published = [rsa, rsa_pinned, p256, p384, ed25519, *others]
print(
    json.dumps(
        {
            "library": f"joserfc {version('joserfc')}",
            "now": NOW,
            "jwks": KeySet(published).as_dict(private=False),
            "tokens": tokens,
        },
        indent=1,
        ensure_ascii=False,
    )
)
