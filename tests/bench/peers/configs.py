"""How each peer is told to do what a tier promises.

Tier 0 sends everything on. Tier 1 verifies the SSO's token, puts KooDrive's in its place and adds an
X-Traceid of 58 characters. Tier 2 also limits the calls (so high that nobody is refused) and checks
the batch, as far as the peer can: Envoy sees that it is JSON with a curDeptId, HAProxy that two of its
fields are there, nginx every user.
"""

import re
import resource
import subprocess
from pathlib import Path

from keys import AUDIENCE, ISSUER
from variants import PREVERIFY, TOKENS_KNOWN, UPSTREAM_TOKEN

HERE = Path(__file__).parent
# A caller takes two of them at the most, here and upstream.
FILES_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def gateway(binary, variant, place):
    protocol, upstream = ("https", place.upstream_tls) if variant.tls else ("http", place.upstream)
    lines = [
        f'listen.address = "127.0.0.1:{place.port}"',
        f"listen.workers = {variant.workers}",
        "listen.max_connections = 11000",
        "listen.max_buffered = '256MiB'",
        f'admin.address = "127.0.0.1:{place.admin}"',
        f'accept.issuers = [{{ issuer = "{ISSUER}", audiences = ["{AUDIENCE}"], max_lifetime = "100000h",'
        f' jwks_url = "http://127.0.0.1:{place.upstream}/jwks", algorithms = ["RS256", "ES256"] }}]',
        f'token.endpoint = "http://127.0.0.1:{place.upstream}/token"',
        'token.client_id = "bench"',
        f'token.client_secret_file = "{place.write("secret", "secret")}"',
        "token.max_per_second = 100000",
        f'forward.upstream = "{protocol}://127.0.0.1:{upstream}"',
        'lifecycle.linger = "0s"',
        f"telemetry.access_log = {str(variant.access_log).lower()}",
    ]
    if variant.tls:
        lines += [
            f'listen.tls_certificate_file = "{place.keys.certificate}"',
            f'listen.tls_key_file = "{place.keys.key}"',
            f'forward.ca_file = "{place.keys.certificate}"',
        ]
    if variant.traces is not None:
        lines.append(f'telemetry.otlp_endpoint = "http://127.0.0.1:{place.upstream}"')
        lines.append(f"telemetry.sample_ratio = {variant.traces}")
    if variant.tier < 2:
        lines += ['limit.mode = "off"', 'validate.mode = "off"']
    else:
        lines += [f"limit.{name} = {number}" for name, number in LIMITS.items()]
    return [binary, "run", "--config", place.write("gateway.toml", "\n".join(lines))]


LIMITS = {
    "calls_per_minute": 4_000_000_000,
    "calls_burst": 4_000_000_000,
    "users_per_minute": 4_000_000_000,
    "users_burst": 4_000_000_000,
    "total_calls_per_second": 4_000_000,
    "total_burst": 4_000_000,
    "concurrent": 100_000,
    "max_tracked_callers": 200_000,
}


def floor(binary, variant, place):
    command = [binary, "proxy", f"127.0.0.1:{place.port}", f"127.0.0.1:{place.upstream}"]
    if variant.tier:
        command += [place.keys.jwks, str(variant.tier)]
    return command


def haproxy(variant, place):
    server = f"127.0.0.1:{place.upstream}"
    bind = f"127.0.0.1:{place.port}"
    if variant.tls:
        server = (
            f"127.0.0.1:{place.upstream_tls} ssl verify required ca-file {place.keys.certificate}"
        )
        bind += f" ssl crt {place.keys.both} alpn h2,http/1.1"
    if variant.http2:
        bind += " proto h2"
    rules = []
    if variant.tier:
        rules += [
            "http-request set-var(txn.token) http_auth_bearer",
            f"http-request deny deny_status 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str {variant.algorithm} }}",
            f"http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {ISSUER} }}",
            f"http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {AUDIENCE} }}",
            "http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')",
            "http-request set-var(txn.now) date()",
            "http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }",
            f'http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify("{variant.algorithm}","{place.keys.public(variant.algorithm)}") 1 }}',
        ]
    if variant.tier == 2:
        rules += [
            f"acl preverify path {PREVERIFY}",
            "http-request track-sc0 int(1) table calls if preverify",
            "http-request deny deny_status 429 if preverify { sc_http_req_rate(0,calls) gt 1000000000 }",
            "option http-buffer-request",
            "http-request deny deny_status 400 if preverify !{ req.body,json_query('$.curDeptId') -m found }",
            "http-request deny deny_status 400 if preverify !{ req.body,json_query('$.users[0].personalCapacity') -m found }",
        ]
    if variant.tier:
        rules += [
            f'http-request set-header Authorization "Bearer {UPSTREAM_TOKEN}"',
            'http-request set-header X-Traceid "koodrive-gateway-0000-%[uuid()]"',
        ]
    lines = [
        "global",
        f"    nbthread {variant.workers}",
        f"    maxconn {min(24_000, FILES_MAX // 2 - 500)}",
        "    tune.bufsize 131072" if variant.tier == 2 else "",
        "defaults",
        "    mode http",
        "    timeout connect 2s",
        "    timeout client 60s",
        "    timeout server 30s",
        "    timeout http-request 10s",
        "    http-reuse always",
        "frontend callers",
        f"    bind {bind}",
        *(f"    {rule}" for rule in rules),
        "    default_backend koodrive",
        "backend koodrive",
        f"    server koodrive {server} pool-max-conn 256",
        "backend calls",
        "    stick-table type integer size 1k expire 60s store http_req_rate(10s)",
    ]
    return ["haproxy", "-db", "-f", place.write("haproxy.cfg", "\n".join(lines) + "\n")]


def nginx(variant, place):
    modules = re.search(
        r"--modules-path=(\S+)",
        subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr,
    )[1]
    scratch = place.directory / f"{place.port}-nginx"
    scratch.mkdir(exist_ok=True)
    protocol, upstream = ("https", place.upstream_tls) if variant.tls else ("http", place.upstream)
    listen = f"127.0.0.1:{place.port}" + " ssl" * variant.tls + " http2" * variant.http2
    per_server = [f"listen {listen}; proxy_http_version 1.1; proxy_set_header Connection '';"]
    if variant.tls:
        per_server += [
            f"ssl_certificate {place.keys.certificate}; ssl_certificate_key {place.keys.key};",
            f"proxy_ssl_trusted_certificate {place.keys.certificate}; proxy_ssl_verify on;",
            "proxy_ssl_name localhost;",
        ]
    per_http, accept, validate = [], "", ""
    if variant.tier:
        cache = TOKENS_KNOWN if variant.cache else 0
        accept, validate = (
            "access_by_lua_block { jwt.accept() }",
            "access_by_lua_block { jwt.accept() jwt.validate() }",
        )
        per_server += [
            f"proxy_set_header Authorization 'Bearer {UPSTREAM_TOKEN}';",
            "proxy_set_header X-Traceid 'koodrive-gateway-00000000-$request_id';",
        ]
        per_http.append(
            f"lua_package_path '{HERE}/?.lua;;'; init_by_lua_block {{ require 'resty.core' jwt = require 'nginx' "
            f"jwt.init{{algorithm = '{variant.algorithm}', key = '{place.keys.public(variant.algorithm)}', "
            f"issuer = '{ISSUER}', audience = '{AUDIENCE}', cache = {cache}}} }}"
        )
    locations = [f"location / {{ {accept} proxy_pass {protocol}://koodrive; }}"]
    if variant.tier == 2:
        per_http.append("limit_req_zone $server_name zone=calls:1m rate=1000000r/s;")
        locations.append(
            f"location = {PREVERIFY} {{ limit_req zone=calls burst=1000000 nodelay; {validate} "
            f"proxy_pass {protocol}://koodrive; }}"
        )
    temporary = " ".join(
        f"{name}_temp_path {scratch}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = f"""
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
user root;
daemon off;
worker_processes {variant.workers};
worker_rlimit_nofile {FILES_MAX};
pid {scratch}/pid;
error_log stderr error;
events {{ worker_connections 12000; }}
http {{
    access_log {f"{scratch}/access.log" if variant.access_log else "off"};
    {temporary}
    client_max_body_size 1m;
    client_body_buffer_size 128k;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    upstream koodrive {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    {" ".join(per_http)}
    server {{
        {" ".join(per_server)}
        {" ".join(locations)}
    }}
}}
"""
    return ["nginx", "-p", scratch, "-c", place.write("nginx.conf", text)]
