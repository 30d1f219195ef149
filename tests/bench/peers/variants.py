"""What a proxy is to do in a row of the table, and where it is put."""

from dataclasses import dataclass
from pathlib import Path

PREVERIFY = "/koodrive/ose/v1/users/batchimport/preverify"
UPSTREAM_TOKEN = "koodrive-token-that-never-changes"
TOKENS_KNOWN = 100_000


@dataclass(frozen=True)
class Variant:
    """What a proxy does in one row of the table."""

    tier: int = 2
    algorithm: str = "RS256"
    cache: bool = True
    traces: float | None = None
    access_log: bool = False
    tls: bool = False
    http2: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Place:
    """Where a proxy and those around it are."""

    directory: Path
    port: int
    admin: int
    upstream: int
    upstream_tls: int
    keys: object

    def write(self, name, text):
        file = self.directory / f"{self.port}-{name}"
        file.write_text(text)
        return file
