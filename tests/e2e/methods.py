"""Each way to a token, at a server that this project did not write.

Every step runs one more gateway, whose configuration is the first one's with some keys written
over from the environment, and makes two calls: the first must cost an exchange and reach KooDrive
as the right user, the second must go with the same token.
"""

import secrets
import shutil
import signal
import time

import parts
from keys import jwt
from koodrive import KooDrive
from steps import OTHER
from steps import expect
from steps import expect_refused_trace
from steps import expect_trace
from tool import Tool

METHODS = []
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
NO_SECRET = {"token.client_secret_file": ""}


def method(function):
    METHODS.append(function)
    return function


@method
def secret_in_the_form(world):
    """Keycloak, token_exchange: the secret in the form, full of characters that need escaping"""
    prove(world, {"token.client_auth": "post"}, "alice")


@method
def rsa_key(world):
    """Keycloak, token_exchange: private_key_jwt with an RSA key"""
    prove(world, by_key(world, "rsa"), "alice")


@method
def ec_key(world):
    """Keycloak, token_exchange: private_key_jwt with a P-256 key"""
    prove(world, by_key(world, "ec"), "alice")


@method
def client_certificate(world):
    """Keycloak, token_exchange: a client certificate (RFC 8705); another's is our fault, and one renewed on disk counts"""
    right = world.parts.authority.client("koodrive-gateway-tls")
    wrong = world.parts.authority.client("somebody-else")
    shown = [world.parts.folder / name for name in ("shown.pem", "shown-key.pem")]
    settings = {
        **NO_SECRET,
        "token.endpoint": f"https://127.0.0.1:{world.parts.sso_tls}/realms/tools/protocol/openid-connect/token",
        "token.ca_file": str(world.parts.authority.certificate),
        "token.client_id": "koodrive-gateway-tls",
        "token.client_auth": "tls",
        "token.client_certificate_file": str(shown[0]),
        "token.client_key_file": str(shown[1]),
        "token.timeout": "10s",
    }
    show(wrong, shown)
    with another_gateway(world, settings) as tool:
        token = world.sso.token("alice")
        answer = in_the_end(tool, token, 502)
        assert answer.json["reason"] == "token_answer_unusable", answer
        show(right, shown)
        world.parts.signal("another", signal.SIGHUP)
        assert in_the_end(tool, token, 200).json["data"]["user"] == "alice"
    prove(world, settings, "alice")
    proved("Keycloak knew the gateway by CN=koodrive-gateway-tls alone, and refused CN=somebody-else of the same authority")


@method
def assertion_from_a_file(world):
    """Keycloak, token_exchange: a federated client assertion from a file, read at each exchange"""
    file = world.parts.folder / "workload-token"
    settings = {
        **NO_SECRET,
        "token.client_id": "koodrive-gateway-workload",
        "token.client_auth": "assertion_file",
        "token.assertion_file": str(file),
        "token.timeout": "10s",
    }
    workload = {
        "iss": "https://workloads.example",
        "sub": "system:serviceaccount:tools:koodrive-gateway",
        "aud": world.parts.issuer,
    }

    def keep(age, **other):
        now = int(time.time()) - age
        claims = {**workload, "iat": now, "exp": now + 50, "jti": secrets.token_hex(8), **other}
        fresh = file.with_suffix(".fresh")
        assertion = jwt(world.parts.folder / "rsa.pem", "rsa", claims)
        world.spent.add(assertion)
        fresh.write_text(assertion + "\n")
        fresh.rename(file)

    for age, other in ((600, {}), (0, {"sub": "system:serviceaccount:tools:other"}), (0, {"aud": "https://other"})):
        keep(age, **other)
        with another_gateway(world, settings) as tool:
            token = world.sso.token("alice")
            answer = in_the_end(tool, token, 502)
            assert answer.json["reason"] == "token_answer_unusable", answer
            keep(0)
            # Nothing is reloaded: the next exchange reads the file.
            assert in_the_end(tool, token, 200).json["data"]["user"] == "alice"
    prove(world, settings, "alice")
    proved("Keycloak took the platform's word for its subject; an expired one, another subject and another audience were refused")


@method
def audiences_and_actor(world):
    """Keycloak, token_exchange: two audiences, both in the token; an actor token goes along"""
    actor = world.parts.folder / "actor-token"
    actor.write_text(world.sso.token("bob") + "\n")
    actor = {"token.actor_token_file": str(actor), "token.timeout": "10s"}
    # The second of a list is looked at: a service that Keycloak does not know is refused.
    with another_gateway(world, {**actor, "token.audience": '["koodrive", "nobody"]'}) as tool:
        answer = expect(tool.quota(world.sso.token("alice")), 502)
        assert answer.json["reason"] == "token_answer_unusable", answer
    token = prove(world, {**actor, "token.audience": '["koodrive", "koodrive-archive"]'}, "alice")
    answer = world.koodrive.introspect(token)
    assert sorted(answer["aud"]) == ["koodrive", "koodrive-archive"], answer
    proved(
        f"both audiences were checked and stand in the token; Keycloak {parts.KEYCLOAK_VERSION} takes an actor token "
        f"and reads nothing of it (act = {answer.get('act')})"
    )


@method
def wrong_secret(world):
    """Keycloak, token_exchange: a wrong client secret is our fault, not the caller's"""
    file = world.parts.folder / "wrong-secret"
    file.write_text("wrong\n")
    with another_gateway(world, {"token.client_secret_file": str(file)}) as tool:
        answer = expect(tool.quota(world.sso.token("alice")), 502)
    assert (answer.json["reason"], answer.json["origin"]) == ("token_answer_unusable", "gateway"), answer
    expect_refused_trace(world, answer, "token_answer_unusable", "token", f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
        """)


@method
def jwt_bearer(world):
    """Keycloak, jwt_bearer: the SSO token is the grant at another realm, which knows the user by another name"""
    issuer = world.parts.koodrive_issuer
    settings = {
        "accept.issuers.0.audiences": f'["{issuer}"]',
        "token.method": "jwt_bearer",
        "token.endpoint": f"{issuer}/protocol/openid-connect/token",
        "token.audience": "",
    }
    with KooDrive(f"{issuer}/protocol/openid-connect/token/introspect", world.parts.secrets["koodrive_secret"]) as koodrive:
        prove(world, settings, "alice-at-koodrive", "partner-tool", koodrive)


@method
def client_credentials(world):
    """Keycloak, client_credentials: the gateway goes as itself"""
    settings = {"token.method": "client_credentials", "token.audience": ""}
    prove(world, settings, "service-account-koodrive-gateway")


@method
def client_credentials_by_key(world):
    """Keycloak, client_credentials: as itself, proved with a key"""
    settings = {**by_key(world, "ec"), "token.method": "client_credentials", "token.audience": ""}
    prove(world, settings, "service-account-koodrive-gateway-key")


@method
def custom(world):
    """Keycloak, custom: a form of one's own, and a denial told by its answer"""
    body = {
        "grant_type": EXCHANGE,
        "subject_token": "{sso_token}",
        "subject_token_type": ACCESS_TOKEN,
        "audience": "koodrive",
        "client_id": "{client_id}",
        "client_secret": "{client_secret}",
    }
    fields = ", ".join(f'{name} = "{value}"' for name, value in body.items())
    settings = {
        "token.method": "custom",
        "token.audience": "",
        "token.custom.format": "form",
        "token.custom.body": f"{{ {fields} }}",
        "token.custom.denied": '{ "/error" = ["invalid_request"] }',
    }
    prove(world, settings, "alice")
    with another_gateway(world, settings) as tool:
        token = world.sso.token("carol")
        world.sso.sign_out("carol")
        answer = expect(tool.quota(token), 403)
    assert answer.json["reason"] == "caller_denied", answer


@method
def opaque(world):
    """oidc-provider, client_credentials: an opaque token, the secret in the header"""
    with oidc_provider(world) as (settings, koodrive):
        prove(world, settings, "koodrive-gateway", koodrive=koodrive)


@method
def opaque_by_form(world):
    """oidc-provider, client_credentials: the secret in the form"""
    with oidc_provider(world) as (settings, koodrive):
        own = {"token.client_id": "koodrive-gateway-post", "token.client_auth": "post"}
        prove(world, {**settings, **own}, "koodrive-gateway-post", koodrive=koodrive)


@method
def opaque_by_key(world):
    """oidc-provider, client_credentials: private_key_jwt with a P-256 key"""
    with oidc_provider(world) as (settings, koodrive):
        prove(world, {**settings, **by_key(world, "ec")}, "koodrive-gateway-key", koodrive=koodrive)


# ── how it is proved ─────────────────────────────────────────────────────────────────────────────


def prove(world, settings, user, tool_name="internal-tool", koodrive=None):
    koodrive = koodrive or world.koodrive
    token = world.sso.token("alice", tool_name)
    with another_gateway(world, {**settings, "forward.upstream": koodrive.url}) as tool:
        first, second = (expect(tool.quota(token), 200) for _ in range(2))
    assert {first.json["data"]["user"], second.json["data"]["user"]} == {user}, first
    trace = expect_trace(world, first, f"""
        {OTHER}
          accept
          authorize
          token
            token.exchange
          forward
            forward.attempt
        """)
    assert trace.one("token.exchange")["http.response.status_code"] == 200, f"\n{trace}"
    expect_trace(world, second, f"""
        {OTHER}
          accept
          authorize
          token
          forward
            forward.attempt
        """)
    (one,), (other,) = koodrive.calls_of(first.x_trace_id), koodrive.calls_of(second.x_trace_id)
    assert one.token == other.token != token, "the token changed between the calls, or is the SSO's"
    world.spent.add(one.token)
    assert not koodrive.faults, koodrive.faults
    return one.token


def in_the_end(tool, token, status):
    """The answer with this status: Keycloak's first handshakes may take longer than a connection may, and a
    failure is remembered for a moment."""
    give_up = time.monotonic() + 30
    while (answer := tool.quota(token)).status != status and time.monotonic() < give_up:
        time.sleep(0.1)
    return expect(answer, status)


def proved(what):
    print(f"  {what}", flush=True)


def show(pair, files):
    """Puts a certificate and its key where the gateway looks for them."""
    for source, target in zip(pair, files):
        fresh = target.with_suffix(".fresh")
        shutil.copy(source, fresh)
        fresh.rename(target)


def by_key(world, kid):
    return {
        **NO_SECRET,
        "token.client_id": "koodrive-gateway-key",
        "token.client_auth": "private_key_jwt",
        "token.private_key_file": str(world.parts.folder / f"{kid}.pem"),
        "token.private_key_id": kid,
    }


class another_gateway:
    """A gateway for the length of a block; gives a tool that calls it."""

    def __init__(self, world, settings):
        self.world = world
        self.settings = settings

    def __enter__(self):
        parts = self.world.parts
        config = parts.folder / "gateway.toml"
        return Tool(parts.start_another_gateway(self.world.gateway_binary, config, self.settings))

    def __exit__(self, *_):
        code = self.world.parts.end("another")
        assert code == 0, f"the gateway exited with {code}:\n{self.world.parts.tail('another')}"


class oidc_provider:
    """npm's oidc-provider for the length of a block, and a KooDrive that believes it."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        parts = self.world.parts
        issuer = parts.start_oidc_provider(self.world.oidc_provider_home)
        self.koodrive = KooDrive(f"{issuer}/token/introspection", parts.secrets["koodrive_secret"])
        settings = {
            "token.method": "client_credentials",
            "token.endpoint": f"{issuer}/token",
            "token.audience": "",
            "token.resource": "urn:koodrive",
        }
        return settings, self.koodrive.__enter__()

    def __exit__(self, *_):
        self.koodrive.__exit__()
        self.world.parts.end("oidc-provider")
