"""The folder in which a cluster keeps everything, and the names that follow from it.

Owns the layout (`lock`, `VERSION`, `store`, `pods`, `images`, `pki`, `logs`, `kubeconfig`; the kubelet's `config.json`,
`manifests` and `image_manager`; `nodes/<name>` with a node's part of these for each node beside the first), the lock
that keeps a second process out, and the instance id that names every kernel object of this cluster.

Invariants: one process holds the lock; a folder written by a newer layout is refused before anything in it is touched.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

LAYOUT = 1
"""Raised by one whenever an older Podling could not read what this one writes."""


class AlreadyRunning(Exception):  # an outcome that commands plan for
    """Another process holds the folder; `pid` is what it wrote into the lock, 0 if unreadable."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"Podling is already running on {path} (process {pid}); stop it with: podling down")
        self.pid = pid


class NewerData(Exception):
    """The folder was written by a newer Podling."""


def default_path() -> Path:
    """Return where data lives unless told otherwise: system-wide for root, the user's data home for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/podling")
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "podling"


class DataDir:
    """A cluster's folder. Making one touches nothing; `prepare` and `lock` do."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.instance = hashlib.sha256(str(self.path).encode()).hexdigest()[:8]
        """Names every mount, link, rule and cgroup of this cluster, so that two on one machine never meet."""

    @property
    def run(self) -> Path:
        """Sockets and namespace pins; outside the data folder because socket paths must be short."""
        if os.geteuid() == 0:
            return Path("/run/podling") / self.instance
        base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/podling-{os.getuid()}"
        return Path(base) / "podling" / self.instance

    @property
    def nodes(self) -> Path:
        """The folders of nodes beside the first, by their names."""
        return self.path / "nodes"

    def further_nodes(self) -> list[str]:
        """Return the names of the nodes beside the first that there are, or were when Podling last ran."""
        return sorted(entry.parent.name for entry in self.nodes.glob("*/pods"))

    def pin(self, node: str) -> Path:
        """Return where the namespaces of a node beside the first are pinned."""
        return self.run / "nodes" / node

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def log(self) -> Path:
        return self.path / "logs" / "podling.log"

    def prepare(self) -> None:
        """Make the folders, owner-only, and refuse a newer layout."""
        version = self.path / "VERSION"
        if version.exists():
            found = version.read_text().strip()
            if not found.isdigit() or int(found) > LAYOUT:
                raise NewerData(
                    f"{self.path} has data layout {found or '?'}; this Podling reads up to {LAYOUT}."
                    " Use the newer Podling, or another --data-dir."
                )
        for folder in (self.path, self.run, *(self.path / part for part in ("store", "pods", "images", "pki", "logs"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not version.exists():
            version.write_text(f"{LAYOUT}\n")

    def lock(self) -> Lock:
        """Take the folder for this process; `AlreadyRunning` if another holds it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Lock(self.path / "lock")

    def holder(self) -> int | None:
        """Return the pid of the process that holds the folder, `None` if none does."""
        try:
            with self.lock():
                return None
        except AlreadyRunning as running:
            return running.pid


class Lock:
    """A held file lock with the holder's pid in the file; the kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._file, 32).strip()
            os.close(self._file)
            raise AlreadyRunning(path.parent, int(pid) if pid.isdigit() else 0) from None

    def claim(self) -> None:
        """Write this process's pid into the lock, for whoever wants to stop it."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
