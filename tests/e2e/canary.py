"""Every spelling of a secret that someone could read back, and whether one stands in a text."""

import base64
import json
import urllib.parse


def spellings(secret):
    """Raw, URL-encoded, form-encoded, JSON, hex, and what base64 makes of each inside other bytes."""
    spelt = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), json.dumps(secret)[1:-1]}
    needles = {*spelt, secret.encode().hex()}
    for text in spelt:
        # Inside other bytes base64 takes one of three shapes; only its middle is sure.
        for skipped in range(3):
            middle = text.encode()[skipped:]
            middle = middle[: len(middle) // 3 * 3]
            needles |= {base64.b64encode(middle).decode(), base64.urlsafe_b64encode(middle).decode()}
    return needles


def parts(token):
    """The token, and what nobody can guess of a JSON Web Token: all but its header."""
    return {token, *token.split(".")[1:]}


def assert_absent(secrets, texts):
    """No secret stands in any of the texts, by their names, in any spelling."""
    needles = {needle for secret in secrets for needle in spellings(secret)}
    assert all(12 <= len(needle) for needle in needles), "a secret would be found by chance"
    for place, text in texts.items():
        for needle in needles:
            assert needle not in text, f"a secret stands in {place}"
