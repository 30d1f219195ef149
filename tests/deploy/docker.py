"""A Docker daemon of our own."""

import fcntl
import json
import os
import subprocess
import time

from parts import CACHE, Failed, attempt, go_program, programs, run, until

BRIDGE = "172.31.250.1"


class Docker:
    """In the given network; its images and build cache are kept, nothing else is."""

    def __init__(self, network, folder):
        programs("dockerd", "docker-init", "iptables")
        self.network = network
        self.socket = folder / "docker.sock"
        self.config = folder / "docker-config"
        (self.config / "cli-plugins").mkdir(parents=True, exist_ok=True)
        data = CACHE / "docker"
        data.mkdir(parents=True, exist_ok=True)
        # Two daemons on one folder would spoil it: a second run waits for the first.
        self.lock = open(CACHE / "docker.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        command = [
            "dockerd", "--data-root", data, "--exec-root", folder / "docker-exec", "--pidfile", folder / "docker.pid",
            "--host", f"unix://{self.socket}",
            # Without CAP_SYS_RESOURCE it could not lower it.
            "--oom-score-adjust", "0",
            "--bip", f"{BRIDGE}/24", "--default-address-pool", "base=172.31.0.0/17,size=24",
            "--cgroup-parent", f"/koodrive-gateway-{os.getpid()}",
        ]
        self.log = open(folder / "dockerd.log", "w")
        self.daemon = subprocess.Popen(
            network.inside(*map(str, command)), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        try:
            until(lambda: self.attempt("version").returncode == 0, 120, "dockerd answers")
        except Failed:
            lines = (folder / "dockerd.log").read_text().strip().splitlines()[-4:]
            raise Failed("dockerd did not start:\n  " + "\n  ".join(lines)) from None

    def _environment(self):
        # Debian's client speaks to BuildKit by itself; newer ones need a plugin.
        return {
            "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.config),
            "COMPOSE_DOCKER_CLI_BUILD": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }

    def __call__(self, *words, seconds=600, stdin=None, cwd=None):
        command = self.network.inside("/usr/bin/docker", *words)
        return run(*command, seconds=seconds, environment=self._environment(), stdin=stdin, cwd=cwd).strip()

    def attempt(self, *words, seconds=120, cwd=None):
        command = self.network.inside("/usr/bin/docker", *words)
        return attempt(*command, seconds=seconds, environment=self._environment(), cwd=cwd)

    def start(self, log, *words):
        """A client that stays, what it says in the file."""
        command = self.network.inside("/usr/bin/docker", *words)
        environment = {**os.environ, **self._environment()}
        with open(log, "w") as out:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def compose_plugin(self):
        plugin = self.config / "cli-plugins/docker-compose"
        if not plugin.exists():
            plugin.symlink_to(go_program("docker-compose", "compose", "v2.40.3", "github.com/docker/compose/v2/cmd"))

    def has(self, image):
        return self.attempt("image", "inspect", image).returncode == 0

    def image(self, name):
        return json.loads(self("image", "inspect", name))[0]

    def address_of(self, container):
        return self("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)

    def health_of(self, container):
        return self.attempt("inspect", "--format", "{{.State.Health.Status}}", container).stdout.strip()

    def close(self):
        containers = self.attempt("ps", "--all", "--quiet").stdout.split()
        if containers:
            self.attempt("rm", "--force", "--volumes", *containers)
        networks = self.attempt("network", "ls", "--quiet", "--filter", "type=custom").stdout.split()
        if networks:
            self.attempt("network", "rm", *networks)
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()
        self.lock.close()
        remove_control_groups(f"koodrive-gateway-{os.getpid()}")


def remove_control_groups(name):
    """Those that the daemon left, empty."""
    for controller in os.listdir("/sys/fs/cgroup"):
        top = f"/sys/fs/cgroup/{controller}/{name}"
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(10):
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.1)
