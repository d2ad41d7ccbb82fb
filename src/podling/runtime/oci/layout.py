"""Where the runtime keeps things: what must outlive the machine's memory, and what must not.

Owns the paths. Below the data directory stands what survives a boot (records, bundles, layers); below the run directory
what dies with it (namespace pins, exit files, sockets, the low-level runtime's state).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

RUN = Path("/run/podling")


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one instance."""

    data: Path
    instance: str
    run_root: Path = RUN

    @property
    def run(self) -> Path:
        return self.run_root / self.instance

    @property
    def pods(self) -> Path:
        return self.data / "pods"

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def pins(self) -> Path:
        return self.run / "ns"

    @property
    def exits(self) -> Path:
        return self.run / "exits"

    @property
    def low_level(self) -> Path:
        return self.run / "oci"

    @property
    def cgroup(self) -> str:
        """The group below which all of this instance's groups are."""
        return f"/podling-{self.instance}"

    def pin(self, uid: str, attempt: int) -> Path:
        return self.pins / (uid if not attempt else f"{uid}.{attempt}")

    def sandbox(self, uid: str, attempt: int) -> Path:
        return self.pods / uid / f"sandbox-{attempt}.json"

    def container(self, uid: str, name: str, attempt: int) -> Path:
        return self.pods / uid / "bundles" / f"{name}-{attempt}"


def instance_id(data: Path) -> str:
    """Return what names every kernel object of the instance with this data directory: eight hexadecimal digits."""
    return hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]


def is_name(text: str) -> bool:
    """Whether a uid or a container's name can be a directory's."""
    return bool(text) and text not in {".", ".."} and "/" not in text and "\0" not in text and len(text) < 254
