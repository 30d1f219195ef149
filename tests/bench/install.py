"""What measurements and checks want installed: Debian packages, and Python's in an environment apart."""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

BENCH = Path(os.environ.get("BENCH_DIR") or Path(tempfile.gettempdir(), "koodrive-gateway-bench"))


def debian(*packages):
    """Installs those that are missing; wants root only then, and ends with 3 without it."""
    missing = [
        name
        for name in packages
        if subprocess.run(["dpkg", "-s", name], capture_output=True).returncode
    ]
    if missing and os.geteuid() != 0:
        print(f"missing, and only root can install them: {' '.join(missing)}", file=sys.stderr)
        sys.exit(3)
    if missing:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", *missing],
            check=True,
            env=environment,
        )


def run_in_environment(*packages):
    """Goes on in a virtual environment that has these packages; it is made once and kept."""
    directory = BENCH / "venv"
    python = directory / "bin/python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    listed = directory / "installed"
    known = listed.read_text().split() if listed.exists() else []
    if not set(packages) <= set(known):
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        listed.write_text("\n".join({*known, *packages}))
    if Path(sys.prefix) != directory:
        os.execv(python, [python, *sys.argv])
