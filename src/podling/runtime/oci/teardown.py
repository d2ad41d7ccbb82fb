"""Take away everything that an instance's containers are, with no daemon running.

Owns the order: processes first (conmon's too), then mounts, namespaces, groups, files. Invariants: only what carries
the instance's name is touched; it may be called again, and after any crash.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from podling.aio.clock import SystemClock
from podling.linux import cgroup, mounts, namespaces, trees
from podling.runtime.oci.layout import RUN, Layout

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock


async def teardown(
    data: Path, instance: str, *, run_root: Path = RUN, node: str = "", clock: Clock | None = None
) -> None:
    """Kill the instance's containers, or those of one further node, and remove what they leave; images stay.

    `TimeoutError` where processes do not die within half a minute: what they hold is then still there, and a second
    call finishes the work.
    """
    clock = clock or SystemClock()
    layout = Layout(data.resolve(), instance, run_root, node)
    group = cgroup.detect().group(layout.cgroup)
    async with clock.timeout(30.0):
        # Killed together: a conmon left alone would only write down what nobody will read.
        while group.exists():
            await asyncio.to_thread(group.kill)
            if await group.remove_soon(clock, attempts=20):
                break
    await asyncio.to_thread(_remove, layout)


def _remove(layout: Layout) -> None:
    mounts.unmount_below(str(layout.pods))
    if layout.pods.is_dir():
        for pod in layout.pods.iterdir():
            trees.remove_tree(pod / "bundles")
            for record in pod.glob("sandbox-*.*"):
                record.unlink()
            with contextlib.suppress(OSError):
                pod.rmdir()
    if layout.pins.is_dir():
        for pin in layout.pins.iterdir():
            namespaces.release(pin)
    mounts.unmount_below(str(layout.run))
    for name in ("ns", "roots", "exits", "oci", "probe"):
        trees.remove_tree(layout.run / name)
    for entry in layout.run.glob("exec-*"):
        trees.remove_tree(entry)
    with contextlib.suppress(OSError):
        layout.run.rmdir()
