"""What the steps share: one namespace, one Docker daemon, one podman, the images."""

import pathlib
import shutil
import tempfile

from bases import Bases
from docker import Docker, remove_control_groups
from network import Network
from parts import attempt, binaries, programs, run


class World:
    def __init__(self, fast):
        self.fast = fast
        programs("ip", "nsenter", "openssl", "curl", "mmdebstrap")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="koodrive-gateway-deploy-"))
        self.network = Network()
        self._docker = self._podman = self._binaries = None
        self._bases = None
        # Images of ours that this run has made; older ones may be kept under the same names.
        self.made = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._podman is not None:
            self._podman.close()
        self.end_docker()
        self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def docker(self):
        if self._docker is None:
            self._docker = Docker(self.network, self.folder)
        return self._docker

    def end_docker(self):
        """Another is started when it is needed again."""
        docker, self._docker, self._bases = self._docker, None, None
        if docker is not None:
            docker.close()

    @property
    def podman(self):
        if self._podman is None:
            self._podman = Podman(self.network, self.folder)
        return self._podman

    @property
    def bases(self):
        if self._bases is None:
            self._bases = Bases(self.docker)
        return self._bases

    def binaries(self):
        if self._binaries is None:
            self._binaries = binaries()
        return self._binaries

    def curl(self, *words, ok=(0,)):
        """curl within the namespace: status on the last line, behind the body."""
        command = self.network.inside("curl", "--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}")
        body, _, status = run(*command, *words, ok=ok).rpartition("\n")
        return int(status), body


class Podman:
    """For systemd as PID 1; its storage is thrown away."""

    def __init__(self, network, folder):
        programs("podman", "catatonit")
        self.network = network
        self.folder = folder / "podman"
        self.folder.mkdir()
        (self.folder / "containers.conf").write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
            '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\npids_limit = 0\n'
        )
        self.containers = []

    def _command(self, *words):
        own = ["--root", self.folder / "root", "--runroot", self.folder / "run", "--tmpdir", self.folder / "tmp"]
        return self.network.inside("podman", *map(str, own), *words)

    def __call__(self, *words, seconds=300, stdin=None):
        return run(*self._command(*words), seconds=seconds, stdin=stdin, environment=self._environment()).strip()

    def attempt(self, *words, seconds=120):
        return attempt(*self._command(*words), seconds=seconds, environment=self._environment())

    def _environment(self):
        return {"CONTAINERS_CONF": str(self.folder / "containers.conf")}

    def close(self):
        self.attempt("rm", "--all", "--force", "--time", "5")
        self.attempt("rmi", "--all", "--force")
        attempt("umount", "-R", self.folder / "root")
        remove_control_groups(f"koodrive-gateway-host-{self.folder.parent.name}")


