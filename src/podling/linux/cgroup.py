"""Control groups, version 1, version 2 and the two at once, by one face.

Owns where each controller is mounted and how a limit is spelled in each version. A `Cgroup` is a path below every
hierarchy at once. Invariants: removing what is not there is no error; a limit that this kernel has no controller for is
skipped and named in the answer, never silently believed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podling.linux import files, mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from podling.aio.clock import Clock

ROOT = Path("/sys/fs/cgroup")
_V2_WANTED = ("cpu", "memory", "pids", "cpuset", "io", "hugetlb")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may use; `None` leaves what is set. A quota, memory or pids limit of -1 is none at all."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    memory_limit: int | None = None
    memory_request: int | None = None
    pids_limit: int | None = None
    cpuset_cpus: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a group has used: nanoseconds of CPU, bytes, processes."""

    cpu_nanoseconds: int = 0
    memory_usage: int = 0
    memory_working_set: int = 0
    pids: int = 0
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where the controllers of this machine are."""

    v1: Mapping[str, Path]
    """Controller to mount point, `systemd` (the named hierarchy) included."""
    v2: Path | None
    v2_controllers: frozenset[str]

    @property
    def unified(self) -> bool:
        """True where version 2 governs alone."""
        return self.v2 is not None and not self.v1

    @property
    def hybrid(self) -> bool:
        """True where version 2 is mounted beside version 1."""
        return self.v2 is not None and bool(self.v1)

    def roots(self) -> Sequence[Path]:
        """Return every hierarchy's mount point, each once."""
        return list(dict.fromkeys([*self.v1.values(), *([self.v2] if self.v2 else [])]))

    def group(self, path: str) -> Cgroup:
        """Return the group at `path` below every hierarchy; nothing is created."""
        clean = "/" + path.strip("/")
        if ".." in clean.split("/"):
            raise ValueError(f"control group path {path!r} climbs")
        return Cgroup(self, clean)


def detect() -> Hierarchies:
    """Read from the mount table which hierarchies there are.

    The first mount of each counts: a Pod that has the machine's root as a volume shows all of them once more.
    """
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for point in mounts.table():
        if point.kind == "cgroup2":
            v2 = v2 or Path(point.target)
        elif point.kind == "cgroup":
            for option in point.options.split(","):
                if option.startswith("name="):
                    v1.setdefault(option.removeprefix("name="), Path(point.target))
                elif option in {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb"}:
                    v1.setdefault(option, Path(point.target))
    controllers = frozenset((files.read_text(v2 / "cgroup.controllers") or "").split()) if v2 else frozenset()
    return Hierarchies(v1, v2, controllers)


class Cgroup:
    """One group, in every hierarchy at once."""

    def __init__(self, hierarchies: Hierarchies, path: str) -> None:
        self._hierarchies = hierarchies
        self.path = path

    def _below(self, root: Path) -> Path:
        return root / self.path.lstrip("/")

    def _directory(self, controller: str) -> tuple[Path, bool] | None:
        """Where this controller's files of the group are, and whether they are version 2's."""
        root = self._hierarchies.v1.get(controller)
        if root is not None:
            return self._below(root), False
        if self._hierarchies.v2 is not None and controller in self._hierarchies.v2_controllers:
            return self._below(self._hierarchies.v2), True
        return None

    def child(self, name: str) -> Cgroup:
        """Return the group `name` inside this one."""
        return self._hierarchies.group(f"{self.path}/{name}")

    def exists(self) -> bool:
        """Say whether it exists in any hierarchy."""
        return any(self._below(root).is_dir() for root in self._hierarchies.roots())

    def create(self) -> None:
        """Create it in every hierarchy, with the groups above it and the controllers delegated down."""
        for root in self._hierarchies.roots():
            if root == self._hierarchies.v2:
                self._create_v2(root)
            else:
                self._create_v1(root)

    def _create_v1(self, root: Path) -> None:
        directory = self._below(root)
        try:
            directory.mkdir()
        except FileExistsError:
            return
        except FileNotFoundError:
            directory.mkdir(parents=True, exist_ok=True)
        if root == self._hierarchies.v1.get("cpuset"):
            # A version 1 cpuset begins empty and would refuse every process.
            above = root
            for part in self.path.strip("/").split("/"):
                below = above / part
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if not files.read_text(below / name):
                        _write(below / name, files.read_text(above / name) or "")
                above = below

    def _create_v2(self, root: Path) -> None:
        wanted = [name for name in _V2_WANTED if name in self._hierarchies.v2_controllers]
        above = root
        for part in self.path.strip("/").split("/"):
            if wanted:
                present = (files.read_text(above / "cgroup.subtree_control") or "").split()
                for name in wanted:
                    if name not in present:
                        with contextlib.suppress(OSError):  # refused where processes sit in the group above
                            _write(above / "cgroup.subtree_control", f"+{name}")
            above /= part
            above.mkdir(exist_ok=True)

    def limit(self, limits: Limits) -> Sequence[str]:
        """Set limits; return the controllers that were wanted and do not exist here."""
        missing: list[str] = []
        for controller, settings in (
            ("cpu", self._cpu(limits)),
            ("memory", self._memory(limits)),
            ("pids", [("pids.max", "pids.max", _unlimited(limits.pids_limit, "max"), "")]),
            ("cpuset", [("cpuset.cpus", "cpuset.cpus", limits.cpuset_cpus or None, "")]),
        ):
            present = [setting for setting in settings if setting[2] is not None]
            if not present:
                continue
            found = self._directory(controller)
            if found is None:
                missing.append(controller)
                continue
            directory, second = found
            for v1_name, v2_name, value, v2_value in present:
                name = v2_name if second else v1_name
                if name and value is not None:
                    _write(directory / name, (v2_value or value) if second else value)
        return missing

    @staticmethod
    def _cpu(limits: Limits) -> list[tuple[str, str, str | None, str]]:
        settings: list[tuple[str, str, str | None, str]] = []
        if limits.cpu_shares is not None:
            shares = min(max(limits.cpu_shares, 2), 262144)
            settings.append(("cpu.shares", "cpu.weight", str(shares), str(weight(shares))))
        if limits.cpu_quota is not None:
            period = limits.cpu_period or 100_000
            quota = "max" if limits.cpu_quota < 0 else str(limits.cpu_quota)
            settings.append(("cpu.cfs_period_us", "", str(period), ""))
            settings.append(("cpu.cfs_quota_us", "cpu.max", str(limits.cpu_quota), f"{quota} {period}"))
        return settings

    @staticmethod
    def _memory(limits: Limits) -> list[tuple[str, str, str | None, str]]:
        v1 = _unlimited(limits.memory_limit, "-1")
        v2 = _unlimited(limits.memory_limit, "max")
        return [("memory.limit_in_bytes", "memory.max", v1, v2 or "")]

    @contextlib.contextmanager
    def unthrottled(self) -> Iterator[None]:
        """Hold nothing inside back by a CPU quota for a while: also dying takes CPU, and hundreds share one quota.

        The quota is given back at the end, if the group is still there.
        """
        found = self._directory("cpu")
        path = found[0] / ("cpu.max" if found[1] else "cpu.cfs_quota_us") if found is not None else None
        before = (files.read_text(path) or "").strip() if path is not None else ""
        if path is None or not before or before.startswith(("max", "-1")):
            yield
            return
        with contextlib.suppress(FileNotFoundError):
            _write(path, "max" if path.name == "cpu.max" else "-1")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # gone, or no longer allowed by the group above
                _write(path, before)

    @property
    def parent(self) -> Cgroup:
        """The group that this one is in."""
        return self._hierarchies.group(self.path.rpartition("/")[0])

    def add(self, pid: int) -> None:
        """Move a process in."""
        for root in self._hierarchies.roots():
            with contextlib.suppress(FileNotFoundError):
                _write(self._below(root) / "cgroup.procs", str(pid))

    def add_own_thread(self) -> bool:
        """Move the calling thread alone in, where that is possible (version 1); what it starts begins there."""
        if self._hierarchies.unified:
            return False
        for root in dict.fromkeys(self._hierarchies.v1.values()):
            _write(self._below(root) / "tasks", "0")
        return True

    def processes(self) -> Sequence[int]:
        """Return the pids inside, those of groups below included."""
        found = self._directory("pids") or self._directory("memory") or self._first()
        if found is None:
            return []
        pids: list[int] = []
        for directory in _walk(found[0]):
            pids += map(int, (files.read_text(directory / "cgroup.procs") or "").split())
        return pids

    def _first(self) -> tuple[Path, bool] | None:
        roots = self._hierarchies.roots()
        return (self._below(roots[0]), roots[0] == self._hierarchies.v2) if roots else None

    def kill(self) -> None:
        """Send SIGKILL to every process inside, now; what forks meanwhile is caught where the kernel can."""
        if self._hierarchies.v2 is not None and self._hierarchies.unified:
            path = self._below(self._hierarchies.v2) / "cgroup.kill"
            with contextlib.suppress(FileNotFoundError):
                _write(path, "1")
                return
        own = os.getpid()
        # A thread of this very process may be inside (the launching one is): frozen or killed it would take us along.
        if own in (inside := self.processes()):
            self._kill(pid for pid in inside if pid != own)
            return
        with self.frozen():
            self._kill(self.processes())

    @staticmethod
    def _kill(pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process inside for the block, so that none forks while they are looked at."""
        frozen = self._freeze(True)
        try:
            yield
        finally:
            if frozen:
                self._freeze(False)

    def _freeze(self, stop: bool) -> bool:
        root = self._hierarchies.v1.get("freezer")
        try:
            if root is not None:
                _write(self._below(root) / "freezer.state", "FROZEN" if stop else "THAWED")
                if stop:
                    _until(lambda: files.read_text(self._below(root) / "freezer.state") == "FROZEN")
            elif self._hierarchies.v2 is not None:
                _write(self._below(self._hierarchies.v2) / "cgroup.freeze", "1" if stop else "0")
                if stop:
                    events = self._below(self._hierarchies.v2) / "cgroup.events"
                    _until(lambda: "frozen 1" in (files.read_text(events) or "frozen 1"))
            else:
                return False
        except FileNotFoundError:
            return False
        return True

    def remove(self) -> bool:
        """Remove it with the groups below; say whether nothing is left (false while processes linger)."""
        gone = True
        for root in self._hierarchies.roots():
            for directory in reversed(list(_walk(self._below(root)))):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    pass
                except OSError as error:
                    if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
                        raise
                    gone = False
        return gone

    async def remove_soon(self, clock: Clock, attempts: int = 50) -> bool:
        """Remove it once its killed processes have left, which the kernel does within milliseconds."""
        pause = 0.001
        for _ in range(attempts):
            if self.remove():
                return True
            await clock.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return False

    def usage(self) -> Usage:
        """Return what was used so far; zeros where a controller is missing."""
        return Usage(
            cpu_nanoseconds=self._cpu_used(),
            pids=self._number("pids", "pids.current", "pids.current"),
            oom_kills=self.oom_kills(),
            **self._memory_used(),
        )

    def _cpu_used(self) -> int:
        found = self._directory("cpuacct")
        if found is not None:
            return _integer(files.read_text(found[0] / "cpuacct.usage"))
        if self._hierarchies.v2 is not None:
            return _fields(self._below(self._hierarchies.v2) / "cpu.stat").get("usage_usec", 0) * 1000
        return 0

    def _memory_used(self) -> dict[str, int]:
        found = self._directory("memory")
        if found is None:
            return {}
        directory, second = found
        usage = _integer(files.read_text(directory / ("memory.current" if second else "memory.usage_in_bytes")))
        inactive = _fields(directory / "memory.stat").get("inactive_file" if second else "total_inactive_file", 0)
        return {"memory_usage": usage, "memory_working_set": max(0, usage - inactive)}

    def _number(self, controller: str, v1_name: str, v2_name: str) -> int:
        found = self._directory(controller)
        return _integer(files.read_text(found[0] / (v2_name if found[1] else v1_name))) if found else 0

    def oom_kills(self) -> int:
        """Return how many processes of this group the kernel has killed for want of memory."""
        found = self._directory("memory")
        if found is None:
            return 0
        return _fields(found[0] / ("memory.events" if found[1] else "memory.oom_control")).get("oom_kill", 0)


def weight(shares: int) -> int:
    """Return version 2's weight (1 to 10000) for version 1's shares (2 to 262144), as runtimes convert them."""
    return 1 + (shares - 2) * 9999 // 262142


def _unlimited(value: int | None, word: str) -> str | None:
    return None if value is None else word if value < 0 else str(value)


def _integer(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _fields(path: Path) -> dict[str, int]:
    fields = {}
    for line in (files.read_text(path) or "").splitlines():
        name, _, value = line.partition(" ")
        fields[name] = _integer(value)
    return fields


def _write(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _walk(directory: Path) -> Iterator[Path]:
    """Yield a group's directory and those below, parents first."""
    for current, _, _ in os.walk(directory):
        yield Path(current)


def _until(reached: Callable[[], bool]) -> None:
    # Freezing takes microseconds; a process in uninterruptible sleep may hold it up, and is then left out.
    for _ in range(10_000):
        if reached():
            return
