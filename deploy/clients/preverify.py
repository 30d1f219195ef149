"""Sends a preverify batch through the gateway.

    TOKEN=<SSO token> python3 preverify.py batch.json
"""

import os
import sys
import time

import requests

KOODRIVE = os.environ.get("KOODRIVE_URL", "http://127.0.0.1:8080")


def preverify(batch: bytes, sso_token: str) -> dict:
    """Waits when told to, a few times; any other refusal is raised with the trace id."""
    for _ in range(5):
        response = requests.post(
            KOODRIVE + "/koodrive/ose/v1/users/batchimport/preverify",
            data=batch,
            headers={"Authorization": f"Bearer {sso_token}", "Content-Type": "application/json"},
            timeout=60,
        )
        if response.ok:
            return response.json()
        if response.status_code not in (429, 503):
            break
        time.sleep(int(response.headers.get("Retry-After", "1")))
    raise RuntimeError(f"{response.status_code} {response.text} ({response.headers['X-Traceid']})")


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        print(preverify(file.read(), os.environ["TOKEN"]))
