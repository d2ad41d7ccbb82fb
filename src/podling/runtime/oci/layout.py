"""Where the runtime keeps things: what must outlive the machine's memory, and what must not.

Owns the paths. Below the data directory stands what survives a boot (records, bundles, layers); below the run directory
what dies with it (namespace pins, exit files, sockets, the low-level runtime's state).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec import Struct

RUN = Path("/run/podling")


class Layout(Struct, frozen=True):
    """The directories of one instance, or of one further node of it."""

    data: Path
    instance: str
    run_root: Path = RUN
    node: str = ""
    """A further node's name; empty for the first, which is the machine."""

    @property
    def run(self) -> Path:
        base = self.run_root / self.instance
        return base / f"node-{self.node}" if self.node else base

    @property
    def host(self) -> Path | None:
        """Where a further node's own namespaces are pinned, which Pods in the host's network share."""
        return self.run_root / self.instance / "nodes" / self.node if self.node else None

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
    def roots(self) -> Path:
        """Where file systems of containers in user namespaces are mounted."""
        return self.run / "roots"

    @property
    def exits(self) -> Path:
        return self.run / "exits"

    @property
    def low_level(self) -> Path:
        return self.run / "oci"

    @property
    def cgroup(self) -> str:
        """The group below which all of this instance's groups are, or all of this node's."""
        base = f"/podling-{self.instance}"
        return f"{base}/nodes/{self.node}" if self.node else base

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
