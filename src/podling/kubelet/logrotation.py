"""Keeps containers' logs from filling the disk: moves a log that has grown large away, packs it, forgets the oldest.

Owns the bounds and the names of old logs (`0.log.20261123-160000`, then `.gz`), which are upstream's. Who writes a log
is told to open it anew; what is written between the moving and the opening goes to the end of the old file. Invariants:
a log keeps its name while it is written, or gets it back where its writer could not be told; of one container no more
than `files` logs remain.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from podling.runtime.protocol import ContainerState, RuntimeFailure

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.runtime.protocol import Runtime

log = logging.getLogger("podling.kubelet.logs")


class LogRotation:
    """Rotates the logs of a runtime's running containers."""

    def __init__(
        self, runtime: Runtime, clock: Clock, *, size: int = 10 * 1024 * 1024, files: int = 5, period: float = 10.0
    ) -> None:
        """`size` in bytes is upstream's containerLogMaxSize, `files` its containerLogMaxFiles, the one in use too."""
        self._runtime = runtime
        self._clock = clock
        self._size = size
        self._files = files
        self._period = period

    async def keep(self) -> None:
        """Look at every log now and then, for ever."""
        while True:
            await self._clock.sleep(self._period)
            await self.rotate()

    async def rotate(self) -> None:
        """Rotate each log that is too large; one that cannot be is logged and tried again the next time."""
        for container in await self._runtime.list_containers():
            if container.state is not ContainerState.RUNNING or not container.log_path:
                continue
            path = Path(container.log_path)
            try:
                if path.stat().st_size < self._size:
                    continue
                moved = path.with_name(f"{path.name}.{datetime.fromtimestamp(self._clock.time(), UTC):%Y%m%d-%H%M%S}")
                if moved.exists():
                    continue
                await asyncio.to_thread(_thin, path, self._files - 2)
                path.rename(moved)
                try:
                    await self._runtime.reopen_log(container.id)
                except (RuntimeFailure, OSError):
                    moved.rename(path)
                    raise
            except FileNotFoundError:
                continue  # the container went meanwhile
            except (RuntimeFailure, OSError) as error:
                log.warning("the log of container %s could not be rotated: %s", container.id, error)


def _thin(path: Path, keep: int) -> None:
    """Forget what was half packed and all but the newest old logs, and pack those."""
    old = []
    for found in sorted(path.parent.iterdir()):
        if found.suffix == ".tmp":
            found.unlink(missing_ok=True)
        elif found.name.startswith(f"{path.name}."):
            old.append(found)
    for gone in old[: max(len(old) - keep, 0)]:
        gone.unlink(missing_ok=True)
    for kept in old[max(len(old) - keep, 0) :]:
        if kept.suffix == ".gz":
            continue
        packed = kept.with_name(f"{kept.name}.tmp")
        with kept.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        packed.chmod(0o600)
        packed.rename(kept.with_name(f"{kept.name}.gz"))
        kept.unlink(missing_ok=True)
