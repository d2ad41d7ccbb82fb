"""crun or runc, whichever works on this machine, and where its processes are started from.

Owns the choice, made once by trying (kept on disk with what it depends on), and the launching thread. Where version 1
and 2 of control groups are mounted together crun refuses; the thread then lives in a mount namespace of its own where
the version 2 mount is away, private below /sys/fs/cgroup alone, so that every other mount still arrives there.

Invariants: processes started here begin in the instance's `conmon` control group, never in a Pod's; the answer on disk
is used only while the programs, the kernel and the hierarchies are those it was found with.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from podling.linux import cgroup, files, mounts, syscalls, trees
from podling.linux.spawn import Launcher
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.aio.clock import Clock
    from podling.linux.host import Completed
    from podling.runtime.oci.layout import Layout

log = logging.getLogger("podling.runtime.oci")


class Choice(Struct, frozen=True):
    """Which program, and whether it must not see the version 2 hierarchy."""

    name: str
    path: str
    version: str
    around: bool = False


class LowLevel:
    """The chosen program and the thread that starts it."""

    def __init__(self, layout: Layout, clock: Clock, hierarchies: cgroup.Hierarchies) -> None:
        self._layout = layout
        self._clock = clock
        self._hierarchies = hierarchies
        self._around = False
        self._thread = 0
        """The launching thread's, once it has a mount namespace of its own."""
        self.launcher = self._launcher()
        self.choice = Choice("", "", "")

    def _launcher(self) -> Launcher:
        return Launcher(self._enter, "podling-oci", clock=self._clock)

    def _enter(self) -> None:
        group = self._hierarchies.group(f"{self._layout.cgroup}/conmon")
        group.create()
        group.add_own_thread()
        if self._around and self._hierarchies.v2 is not None:
            if self._thread:
                # Back to the process's own namespace first: this copy of it has grown old.
                with open("/proc/self/ns/mnt", "rb") as own:  # noqa: PTH123
                    syscalls.setns(own.fileno(), syscalls.CLONE_NEWNS)
            self._thread = threading.get_native_id()
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("", str(cgroup.ROOT), "", syscalls.MS_REC | syscalls.MS_PRIVATE)
            syscalls.umount2(str(self._hierarchies.v2), syscalls.MNT_DETACH)

    def foreign(self, paths: Iterable[str]) -> Sequence[str]:
        """Return the paths that need a `look` before a container mounts them: none where the program sees all."""
        return [path for path in paths if not self._is_own(path)] if self._around and self._thread else ()

    def look(self, paths: Sequence[str]) -> None:
        """Let the program see what is mounted at `paths` and below them by now. Runs in a thread.

        Its namespace is a copy: of mounts that came later only the shared ones arrive there. Where one is missing, the
        next process starts from a new copy; whoever runs keeps the old one.
        """
        wanted = list(map(os.path.realpath, paths))
        known = {(point.target, point.root) for point in mounts.table(f"/proc/self/task/{self._thread}/mountinfo")}
        points = mounts.table()
        concerned = {mounts.holding(path, points) for path in wanted}
        concerned |= {point for point in points for path in wanted if point.target.startswith(path.rstrip("/") + "/")}
        if any((point.target, point.root) not in known and not self._is_away(point) for point in concerned):
            self.launcher.again()

    def _is_own(self, path: str) -> bool:
        """Whether a path lies where the instance mounts things itself: shared, so that all of it arrives."""
        return any(Path(path).is_relative_to(folder) for folder in (self._layout.pods, self._layout.run))

    def _is_away(self, point: mounts.MountPoint) -> bool:
        return point.target == str(self._hierarchies.v2) or self._is_own(point.target)

    @property
    def moves_processes(self) -> bool:
        """True where the launching thread could not enter the control group alone, so that children are moved."""
        return self._hierarchies.unified

    def command(self, *arguments: str) -> list[str]:
        """Return an invocation of the program on this instance's state."""
        return [self.choice.path, "--root", str(self._layout.low_level), *arguments]

    async def run(self, *arguments: str, timeout: float | None = 120.0) -> Completed:
        """Run the program to its end."""
        return await self.launcher.run(self.command(*arguments), timeout=timeout)

    async def choose(self, forced: str = "") -> None:
        """Find the program that works; `RuntimeFailure` says what to install."""
        cache = self._layout.data / "runtime.json"
        key = self._key(forced)
        if cache.exists():
            try:
                known = msgspec.json.decode(cache.read_bytes())
                if known["key"] == key:
                    self._take(Choice(**known["choice"]))
                    return
            except (msgspec.DecodeError, KeyError, TypeError):
                log.info("the remembered choice of runtime is unreadable and is made anew")
        complaints = []
        for candidate in await self._candidates(forced):
            self._take(candidate)
            complaint = await self._try()
            if not complaint:
                files.replace(cache, json.dumps({"key": key, "choice": asdict(candidate)}).encode())
                return
            complaints.append(f"{candidate.name}{' led around' if candidate.around else ''}: {complaint}")
        raise RuntimeFailure(
            "Unavailable",
            "no low-level runtime works here: install crun or runc (apt-get install crun); "
            + ("; ".join(complaints) or "neither is on the path"),
        )

    def _take(self, choice: Choice) -> None:
        if choice.around != self._around:
            self.launcher.close()
            self._around = choice.around
            self.launcher = self._launcher()
        self.choice = choice

    def _key(self, forced: str) -> str:
        stamps = []
        for name in ("crun", "runc"):
            path = shutil.which(name)
            stamps.append(f"{path}:{Path(path).stat().st_mtime_ns}" if path else f"no {name}")
        hierarchies = (
            f"{sorted(self._hierarchies.v1)}:{self._hierarchies.v2}:{sorted(self._hierarchies.v2_controllers)}"
        )
        return "|".join([*stamps, platform.release(), hierarchies, forced])

    async def _candidates(self, forced: str) -> Sequence[Choice]:
        candidates = []
        for name in ("crun", "runc"):
            path = shutil.which(name)
            if path is None or forced not in {"", name}:
                continue
            answer = await self.launcher.run([path, "--version"], timeout=20)
            version = answer.stdout.decode(errors="replace").split("\n")[0].split(" ")[-1]
            if not (name == "crun" and self._hierarchies.hybrid):
                candidates.append(Choice(name, path, version))
            else:
                candidates += [Choice(name, path, version), Choice(name, path, version, around=True)]
        return candidates

    async def _try(self) -> str:
        """Run an image that holds nothing: a runtime that comes as far as to miss the program works."""
        bundle = self._layout.run / "probe"
        trees.remove_tree(bundle)
        for name in ("dev", "proc", "sys"):
            (bundle / "rootfs" / name).mkdir(parents=True)
        specification = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/nothing"], "env": [], "cwd": "/"},
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": f"{self._layout.cgroup}/probe",
                "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network")],
                "resources": {"memory": {"limit": 64 << 20}, "cpu": {"shares": 100}},
            },
        }
        (bundle / "config.json").write_text(json.dumps(specification))
        try:
            answer = await self.run("run", "--bundle", str(bundle), "probe", timeout=30)
        except TimeoutError:
            return "no answer within 30 s"
        text = answer.stderr.decode(errors="replace").strip()
        trees.remove_tree(self._layout.low_level / "probe")
        self._hierarchies.group(f"{self._layout.cgroup}/probe").remove()
        trees.remove_tree(bundle)
        missed = "/nothing" in text and ("no such file" in text.lower() or "not found" in text.lower())
        return "" if missed else text or f"exit code {answer.code}"

    def close(self) -> None:
        self.launcher.close()
