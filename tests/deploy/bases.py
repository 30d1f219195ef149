"""Stand-ins for the public base images, made of the same Debian packages."""

import pathlib
import re
import shutil
import tempfile

from parts import CACHE, ROOT, Failed, run, say

SUITE = "bookworm"
DISTROLESS = "base-files,netbase,tzdata,libc6,libssl3,libgcc-s1,libgomp1,libstdc++6,ca-certificates"
PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n"
GROUP = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"
NAMES = ["sso.example.com", "cn.myhuaweicloud-koodrive.com"]


class Bases:
    """Each is imported once into the daemon whose images are kept."""

    def __init__(self, docker):
        self.docker = docker
        image = (ROOT / "deploy/Dockerfile").read_text()
        self.rust = re.search(r"^FROM (rust:\S+)", image, re.M)[1]
        self.distroless = re.search(r"^FROM (gcr\.io/distroless/\S+)", image, re.M)[1]
        self.curl = re.search(r"^FROM (curlimages/\S+)", image, re.M)[1]
        # Known to Docker under these names; new when what is below changes.
        self.python = "stand-in-python:1"

    def _import(self, name, tar, *changes):
        options = [word for change in changes for word in ("--change", change)]
        self.docker("import", *options, str(tar), name, seconds=300)

    def for_gateway(self):
        if self.docker.has(self.distroless):
            return
        with scratch() as folder:
            tree = unpacked(folder, "extract", DISTROLESS)
            for name in ["usr/bin", "usr/sbin", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/dpkg", "var/lib/apt"]:
                shutil.rmtree(tree / name, ignore_errors=True)
                (tree / name).mkdir(parents=True)
            (tree / "etc/passwd").write_text(PASSWD)
            (tree / "etc/group").write_text(GROUP)
            (tree / "home/nonroot").mkdir(parents=True)
            roots = b"".join(path.read_bytes() for path in sorted((tree / "usr/share/ca-certificates/mozilla").glob("*.crt")))
            (tree / "etc/ssl/certs/ca-certificates.crt").write_bytes(roots + authority()["ca.crt"].read_bytes())
            self._import(
                self.distroless, packed(folder, tree), "USER 65532", "WORKDIR /home/nonroot",
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            )

    def for_tool(self):
        if not self.docker.has(self.curl):
            with scratch() as folder:
                self._import(self.curl, packages(folder, "ca-certificates,curl"), "USER 100:101")

    def for_stand_in(self):
        """Python, to play the SSO and KooDrive."""
        if not self.docker.has(self.python):
            with scratch() as folder:
                self._import(self.python, packages(folder, "python3-minimal,libpython3-stdlib,openssl,dnsmasq-base,redis-server"))
        return self.python

    def for_build(self):
        if self.docker.has(self.rust):
            return
        version = re.search(r"rust:(\d+\.\d+)", self.rust)[1]
        sysroot = pathlib.Path(run("rustc", "--print", "sysroot").strip())
        told = run(sysroot / "bin/rustc", "--version")
        if f" {version}." not in told:
            raise Failed(f"the Dockerfile builds with Rust {version}, here is {told}")
        with scratch() as folder:
            tree = unpacked(folder, "minbase", "ca-certificates,gcc,libc6-dev,libssl3")
            home = tree / f"usr/local/rustup/toolchains/{version}"
            for name in ["bin", "lib", "libexec"]:
                if (sysroot / name).exists():
                    shutil.copytree(sysroot / name, home / name, symlinks=True, ignore=shutil.ignore_patterns("src"))
            # The machine's own, or cargo would not trust a mirror of its registry.
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", tree / "etc/ssl/certs/ca-certificates.crt")
            self._import(
                self.rust, packed(folder, tree),
                f"ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/rustup/toolchains/{version}/bin:/usr/local/bin:/usr/bin:/bin",
            )


class scratch:
    """A folder beside the cache: too large for a small /tmp."""

    def __enter__(self):
        CACHE.mkdir(parents=True, exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="base-", dir=CACHE))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)


def packages(folder, names, variant="minbase"):
    say(f"making a stand-in of {names.split(',')[-1]} …")
    tar = folder / f"{variant}.tar"
    run("nice", "mmdebstrap", "--quiet", f"--variant={variant}", f"--include={names}", SUITE, tar, seconds=900)
    return tar


def unpacked(folder, variant, names):
    tar = packages(folder, names, variant)
    tree = folder / "tree"
    tree.mkdir()
    run("tar", "-C", tree, "-xf", tar)
    tar.unlink()
    return tree


def packed(folder, tree):
    tar = folder / "packed.tar"
    run("tar", "-C", tree, "-cf", tar, ".")
    return tar


def authority():
    """A test authority and a server certificate for the names of the README, made once."""
    home = CACHE / "authority"
    files = {name: home / name for name in ["ca.crt", "ca.key", "server.crt", "server.key"]}
    if all(path.exists() for path in files.values()):
        return files
    fresh = CACHE / "authority.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=stand-in authority",
        "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", fresh / "ca.key", "-out", fresh / "ca.crt")
    certificate(fresh, "server", NAMES)
    fresh.rename(home)
    return files


def certificate(home, name, hosts, days=3650):
    """`name`.crt and `name`.key, signed by the authority in the folder."""
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={hosts[0]}",
        "-keyout", home / f"{name}.key", "-out", home / f"{name}.csr")
    extensions = home / f"{name}.ext"
    extensions.write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts) + "\nbasicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-in", home / f"{name}.csr", "-CA", home / "ca.crt", "-CAkey", home / "ca.key",
        "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", home / f"{name}.crt")
