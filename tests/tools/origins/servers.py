"""Servers that nobody here wrote, each telling in the field X-Seen what request it saw: method,
target, body, Content-Type and X, in hexadecimal with colons between."""

import contextlib
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from install import BENCH
from processes import Processes, answers, free_ports
from stage import wait_until

HERE = Path(__file__).resolve().parent
SCRIPTS = Path(sysconfig.get_path("scripts"))


@contextlib.contextmanager
def serving(name, directory):
    """The port of a server that runs."""
    [port] = free_ports(1)
    own = directory / name
    own.mkdir()
    with Processes() as processes:
        log = (own / "log").open("wb")
        process = processes.start(*ALL[name](own, port), stdout=log, stderr=log)
        # A server may be compiled first.
        if (
            not wait_until(lambda: answers(port, "/") or process.poll() is not None, 120)
            or process.poll() is not None
        ):
            sys.exit(f"{name} does not come up:\n{(own / 'log').read_text()[-2000:]}")
        yield port


def nginx(directory, port):
    modules = re.search(
        r"--modules-path=(\S+)",
        subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr,
    )[1]
    temporary = " ".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(f"""
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
user root;
daemon off;
pid {directory}/pid;
error_log stderr error;
events {{ }}
http {{
    access_log off;
    {temporary}
    underscores_in_headers on;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ content_by_lua_file {HERE}/nginx.lua; }}
    }}
}}
""")
    return ["nginx", "-p", directory, "-c", directory / "nginx.conf"]


def apache(directory, port):
    (directory / "httpd.conf").write_text(f"""
ServerRoot {directory}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {directory}/pid
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule cgid_module /usr/lib/apache2/modules/mod_cgid.so
ScriptSock {directory}/cgi
AllowEncodedSlashes NoDecode
KeepAlive On
KeepAliveTimeout 75
MaxKeepAliveRequests 0
ScriptAliasMatch "^" {HERE}/echo.pl
<Directory {HERE}>
    Options +ExecCGI
    Require all granted
</Directory>
""")
    return ["apache2", "-f", directory / "httpd.conf", "-D", "FOREGROUND"]


def lighttpd(directory, port):
    (directory / "lighttpd.conf").write_text(f"""
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{HERE}"
server.modules = ("mod_rewrite", "mod_cgi")
server.max-keep-alive-requests = 1000000
server.max-keep-alive-idle = 75
url.rewrite-once = ("" => "/echo.pl")
cgi.assign = (".pl" => "/usr/bin/perl")
""")
    return ["lighttpd", "-D", "-f", directory / "lighttpd.conf"]


def haproxy(directory, port):
    fields = (
        "%[method,hex]:%[url,hex]:%[req.body,hex]:%[req.fhdr(content-type),hex]:%[req.fhdr(x),hex]"
    )
    (directory / "haproxy.cfg").write_text(f"""
global
    nbthread 1
defaults
    mode http
    timeout client 60s
    timeout http-request 60s
    timeout http-keep-alive 75s
    option http-buffer-request
frontend all
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string "ok" hdr X-Seen "{fields}"
""")
    return ["haproxy", "-db", "-f", directory / "haproxy.cfg"]


def node(_directory, port):
    return ["node", HERE / "node.mjs", str(port)]


def go(_directory, port):
    binary = BENCH / "bin/origin"
    source = HERE / "origin.go"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["go", "build", "-o", binary, source], check=True)
    return [binary, str(port)]


def gunicorn(_directory, port):
    command = [
        SCRIPTS / "gunicorn",
        "--chdir",
        HERE,
        "-k",
        "gthread",
        "--threads",
        "8",
        "--keep-alive",
        "75",
    ]
    return [*command, "-b", f"127.0.0.1:{port}", "pythons:wsgi"]


def of_python(kind):
    return lambda _directory, port: [sys.executable, HERE / "pythons.py", kind, str(port)]


def jetty(directory, port):
    jars = BENCH / "jetty"
    if not jars.exists():
        command = ["mvn", "-q", "-f", HERE / "pom.xml", "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={jars}"], check=True)
    return ["java", "-cp", f"{jars}/*", HERE / "Origin.java", str(port)]


ALL = {
    "nginx": nginx,
    "apache": apache,
    "lighttpd": lighttpd,
    "haproxy": haproxy,
    "node": node,
    "go": go,
    "gunicorn": gunicorn,
    "aiohttp": of_python("aiohttp"),
    "tornado": of_python("tornado"),
    "cheroot": of_python("cheroot"),
    "jetty": jetty,
}
