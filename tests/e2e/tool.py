"""An internal tool: it calls the gateway with its user's SSO token and reads what comes back."""

import http.client
import json

from koodrive import PREVERIFY
from koodrive import QUOTA

CALL_SECONDS = 30
BATCH = json.dumps(
    {
        "curDeptId": 1575416580416769793,
        "users": [
            {"targetDeptName": "研发部", "personalCapacity": 10, "isAllocateCapacity": True},
            {"personalCapacity": 0, "isAllocateCapacity": False},
        ],
    },
    ensure_ascii=False,
    indent=2,
).encode()


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def x_trace_id(self):
        found = self.headers.get_all("X-Traceid", [])
        assert len(found) == 1, f"the answer carries {len(found)} X-Traceid headers"
        return found[0]

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.body[:600].decode(errors='replace')}"


class Tool:
    def __init__(self, port):
        self.port = port

    def call(self, method, path, token=None, body=None, headers=None):
        """One call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_SECONDS)
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def preverify(self, token, body=BATCH, **headers):
        return self.call("POST", PREVERIFY, token, body, headers)

    def quota(self, token, **headers):
        return self.call("GET", QUOTA, token, None, headers)
