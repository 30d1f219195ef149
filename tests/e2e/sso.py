"""Keycloak as an internal tool meets it, and as its administrators use it."""

import json
import urllib.error
import urllib.parse
import urllib.request

from koodrive import basic


class Sso:
    def __init__(self, issuer, secrets):
        self.base = f"{issuer}/protocol/openid-connect"
        self.secrets = secrets
        self.refresh_tokens = {}
        self.tokens = []

    def token(self, user, tool="internal-tool"):
        """Signs a user in at a tool; the tool's SSO token."""
        answer = self.post(
            "token", tool, self.secrets["tool_secret"], grant_type="password", scope="openid",
            username=user, password=self.secrets["user_password"],
        )
        self.refresh_tokens[user] = answer["refresh_token"]
        self.tokens.append(answer["access_token"])
        return answer["access_token"]

    def sign_out(self, user):
        """Ends the user's session: every token that came of it is void at the SSO from now on."""
        self.post("logout", "internal-tool", self.secrets["tool_secret"], refresh_token=self.refresh_tokens[user])

    def revoke(self, access_token):
        """Revokes one token that the gateway was given (RFC 7009)."""
        self.post("revoke", "koodrive-gateway", self.secrets["gateway_secret"], token=access_token)

    def post(self, path, client, secret, **form):
        content = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(f"{self.base}/{path}", content, {"Authorization": basic(client, secret)})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"Keycloak answered {path} with {error.code}: {error.read()[:300]}") from None
        return json.loads(content) if content else {}
