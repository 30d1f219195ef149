"""How Envoy is told to do what a tier promises."""

import json
import sysconfig
from pathlib import Path

from keys import AUDIENCE, ISSUER
from variants import PREVERIFY, TOKENS_KNOWN, UPSTREAM_TOKEN


def envoy(variant, place):
    found = Path(sysconfig.get_path("purelib"), "envoy/_bin/envoy")
    file = place.write("envoy.json", json.dumps(envoy_config(variant, place), indent=1))
    return [
        found,
        "-c",
        file,
        "--concurrency",
        str(variant.workers),
        "--disable-hot-restart",
        "--log-level",
        "error",
    ]


def envoy_config(variant, place):
    manager = typed(
        f"{NETWORK}.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="callers",
        use_remote_address=True,
        generate_request_id=bool(variant.tier),
        route_config={"name": "all", "virtual_hosts": [envoy_routes(variant)]},
        http_filters=envoy_filters(variant, place),
    )
    if variant.access_log:
        path = str(place.directory / f"{place.port}-access.log")
        manager["access_log"] = [
            named(
                "access_loggers.file", "extensions.access_loggers.file.v3.FileAccessLog", path=path
            )
        ]
    if variant.traces is not None:
        collector = {
            "uri": f"http://127.0.0.1:{place.upstream}/v1/traces",
            "cluster": "services",
            "timeout": "2s",
        }
        provider = typed(
            "config.trace.v3.OpenTelemetryConfig",
            service_name="bench",
            http_service={"http_uri": collector},
        )
        manager["tracing"] = {
            "random_sampling": {"value": 100 * variant.traces},
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
        }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    koodrive = cluster("koodrive", place.upstream_tls if variant.tls else place.upstream)
    if variant.tls:
        files = {
            "certificate_chain": {"filename": str(place.keys.certificate)},
            "private_key": {"filename": str(place.keys.key)},
        }
        common = {"tls_certificates": [files], "alpn_protocols": ["h2", "http/1.1"]}
        chain["transport_socket"] = tls_socket("DownstreamTlsContext", common_tls_context=common)
        trusted = {"trusted_ca": {"filename": str(place.keys.certificate)}}
        koodrive["transport_socket"] = tls_socket(
            "UpstreamTlsContext",
            common_tls_context={"validation_context": trusted},
            sni="localhost",
        )
    listener = {"name": "callers", "address": socket_address(place.port), "filter_chains": [chain]}
    resources = {
        "listeners": [listener],
        "clusters": [koodrive, cluster("services", place.upstream)],
    }
    if variant.tier:
        secret = {"secret": {"inline_string": f"Bearer {UPSTREAM_TOKEN}"}}
        resources["secrets"] = [{"name": "koodrive", "generic_secret": secret}]
    return {"static_resources": resources}


def envoy_routes(variant):
    preverify = {"match": {"path": PREVERIFY}, "route": {"cluster": "koodrive", "timeout": "30s"}}
    if variant.tier == 2:
        share = {"default_value": {"numerator": 100}}
        bucket = {
            "max_tokens": 1_000_000_000,
            "tokens_per_fill": 1_000_000_000,
            "fill_interval": "1s",
        }
        preverify["typed_per_filter_config"] = {
            "envoy.filters.http.local_ratelimit": typed(
                f"{HTTP}.local_ratelimit.v3.LocalRateLimit",
                stat_prefix="preverify",
                token_bucket=bucket,
                filter_enabled=share,
                filter_enforced=share,
            ),
            "envoy.filters.http.buffer": typed(
                f"{HTTP}.buffer.v3.BufferPerRoute", buffer={"max_request_bytes": 1048576}
            ),
        }
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [
            preverify,
            {"match": {"prefix": "/"}, "route": {"cluster": "koodrive", "timeout": "30s"}},
        ],
    }
    if variant.tier:
        host["request_headers_to_add"] = [
            {
                "header": {
                    "key": "x-traceid",
                    "value": "koodrive-gateway-0000-%REQ(X-REQUEST-ID)%",
                },
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ]
    return host


def envoy_filters(variant, place):
    filters = []
    if variant.tier:
        uri = {
            "uri": f"http://127.0.0.1:{place.upstream}/jwks",
            "cluster": "services",
            "timeout": "2s",
        }
        provider = {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "forward": False,
            "remote_jwks": {
                "http_uri": uri,
                "cache_duration": "600s",
                "async_fetch": {"fast_listener": False},
            },
        }
        if variant.cache:
            provider["jwt_cache_config"] = {"jwt_cache_size": TOKENS_KNOWN}
        rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "sso"}}]
        filters.append(
            http_filter("jwt_authn", "JwtAuthentication", providers={"sso": provider}, rules=rules)
        )
    if variant.tier == 2:
        filters.append(http_filter("local_ratelimit", "LocalRateLimit", stat_prefix="unused"))
        filters.append(
            http_filter("buffer", "Buffer", max_request_bytes=1048576) | {"disabled": True}
        )
        bad = {"metadata_namespace": "preverify", "key": "bad", "value": "yes"}
        rule = {
            "selectors": [{"key": "curDeptId"}],
            "on_present": {"metadata_namespace": "preverify", "key": "department"},
            "on_missing": bad,
            "on_error": bad,
        }
        filters.append(
            http_filter("json_to_metadata", "JsonToMetadata", request_rules={"rules": [rule]})
        )
        is_bad = {
            "filter": "preverify",
            "path": [{"key": "bad"}],
            "value": {"string_match": {"exact": "yes"}},
        }
        both = [{"url_path": {"path": {"exact": PREVERIFY}}}, {"metadata": is_bad}]
        policy = {"principals": [{"any": True}], "permissions": [{"and_rules": {"rules": both}}]}
        filters.append(
            http_filter("rbac", "RBAC", rules={"action": "DENY", "policies": {"bad-batch": policy}})
        )
    if variant.tier:
        generic = typed(
            "extensions.http.injected_credentials.generic.v3.Generic",
            credential={"name": "koodrive"},
        )
        credential = {"name": "envoy.http.injected_credentials.generic", "typed_config": generic}
        filters.append(
            http_filter(
                "credential_injector", "CredentialInjector", overwrite=True, credential=credential
            )
        )
    return [*filters, http_filter("router", "Router", suppress_envoy_headers=True)]


NETWORK, HTTP = "extensions.filters.network", "extensions.filters.http"


def typed(kind, **fields):
    return {"@type": f"type.googleapis.com/envoy.{kind}"} | fields


def named(name, kind, **fields):
    return {"name": f"envoy.{name}", "typed_config": typed(kind, **fields)}


def http_filter(name, kind, **fields):
    return named(f"filters.http.{name}", f"{HTTP}.{name}.v3.{kind}", **fields)


def tls_socket(kind, **fields):
    return named("transport_sockets.tls", f"extensions.transport_sockets.tls.v3.{kind}", **fields)


def socket_address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port):
    endpoint = {"endpoint": {"address": socket_address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
            ]
        },
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
