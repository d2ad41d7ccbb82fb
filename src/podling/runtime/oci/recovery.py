"""What survived: the truth about sandboxes and containers after Podling was away, however it went.

Owns the comparison of records with what the machine shows. Runs in a thread, once, before the first verb. Invariants: a
container that may have run is never reported as not started; one whose first process still waits for its release is
killed and may be started; whatever belongs to no record is taken away; another boot id means that all are dead.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from podling.linux import files, mounts, namespaces, processes, trees
from podling.runtime.oci import bundles, records, roots, sandboxes
from podling.runtime.oci.live import Live, make_live

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux import cgroup
    from podling.runtime.oci.layout import Layout

log = logging.getLogger("podling.runtime.oci")


@dataclass(slots=True)
class Survivors:
    """Records and living containers, by id."""

    sandboxes: dict[str, records.SandboxRecord] = field(default_factory=dict)
    containers: dict[str, Live] = field(default_factory=dict)


def recover(layout: Layout, hierarchies: cgroup.Hierarchies, boot: str, clock: Clock) -> Survivors:
    """Read the records, compare them with the machine, and mend."""
    survivors = Survivors()
    for pod in sorted(layout.pods.iterdir()):
        by_id = {}
        for path in sorted(pod.glob("sandbox-*.json")):
            record = _sandbox(path)
            if record is not None:
                by_id[record.id] = record
                survivors.sandboxes[record.id] = record
        for bundle in sorted((pod / "bundles").iterdir()) if (pod / "bundles").is_dir() else ():
            live = _container(bundle, by_id, layout, hierarchies)
            if live is None:
                bundles.discard(bundle)
                continue
            survivors.containers[live.record.id] = live
            _settle(live, layout, boot, clock)
    for record in survivors.sandboxes.values():
        _settle_sandbox(record, layout, hierarchies, boot, clock)
    _sweep(survivors, layout)
    return survivors


def _sandbox(path: Path) -> records.SandboxRecord | None:
    try:
        return records.load_sandbox(path)
    except msgspec.DecodeError:
        log.exception("%s is no record and is set aside", path)
        path.rename(path.with_suffix(".broken"))
        return None


def _container(
    bundle: Path, pods: dict[str, records.SandboxRecord], layout: Layout, hierarchies: cgroup.Hierarchies
) -> Live | None:
    try:
        record = records.load_container(bundle / bundles.STATE)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    pod = pods.get(record.sandbox)
    if pod is None:
        return None
    if record.starting is None and record.finished is None and not (bundle / bundles.SPECIFICATION).exists():
        return None  # half made when Podling was killed: it never ran, and is made anew
    return make_live(layout, hierarchies, record, bundle, pod)


def _settle(live: Live, layout: Layout, boot: str, clock: Clock) -> None:
    record = live.record
    if record.finished is not None:
        return
    if record.boot != boot:
        if record.starting is not None and not live.finish(layout, clock):
            live.lose(clock.time())
        elif record.starting is None:
            record.boot = boot
        return
    if record.starting is None:
        return
    if record.started is None and _waiting(live, layout):
        # Its program never ran. What was about to release it must not do so behind our back.
        kill_leftovers(layout, live)
        record.starting = record.pid = record.pid_started = None
        (layout.exits / record.id).unlink(missing_ok=True)
        live.save()
        return
    if live.finish(layout, clock):
        return
    try:
        pid = record.pid or int(files.read_text(live.bundle / "pid") or 0)
        if not pid:
            raise ProcessLookupError
        live.adopt(pid, record.pid_started)
    except (ProcessLookupError, ValueError):
        # conmon writes the exit file a moment after the process is gone; `_look` and the watch on conmon hear of it.
        live.watch_conmon()
        if live.conmon is None and not live.finish(layout, clock):
            live.lose(clock.time())
        elif record.started is None:
            record.started = record.starting
        return
    if record.started is None:
        record.started = record.starting
    live.save()


def _waiting(live: Live, layout: Layout) -> bool:
    """Whether the container's first process has surely not been released yet, after all who might do so are gone."""
    for pid in _speaking_of(live):
        processes.kill(pid)
    state = layout.low_level / live.record.id
    fifo = state / "exec.fifo"
    if fifo.exists():
        return True
    if (layout.exits / live.record.id).exists():
        return False
    # Neither a waiting process nor one that ever was: creation had not come that far.
    return not live.group.processes() and not (live.bundle / "pid").exists() and live.record.pid is None


def _speaking_of(live: Live, *, conmon: bool = False) -> list[int]:
    """Return the low-level runtimes that are creating or starting this container, and its conmon if asked for.

    They are known by its id among their words: conmon's pid file may not be written yet.
    """
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:  # noqa: PTH123
                words = file.read().split(b"\0")
        except OSError:
            continue
        if live.record.id.encode() in words and (b"--cid" not in words or conmon) and b"exec" not in words:
            found.append(int(entry.name))
    return found


def kill_leftovers(layout: Layout, live: Live) -> None:
    """End whatever there is of a container that is not to be, its conmon included."""
    live.watch_conmon()
    if live.conmon is not None:
        live.conmon.send(signal.SIGKILL)
        live.conmon.close()
        live.conmon = None
    # Twice: a conmon that was found may have started its low-level runtime while it was being looked for.
    for _ in range(2):
        for pid in _speaking_of(live, conmon=True):
            processes.kill(pid)
    live.group.kill()
    if live.process is not None:
        live.process.send(signal.SIGKILL)
        live.process.close()
        live.process = None
    trees.remove_tree(layout.low_level / live.record.id)
    for entry in live.bundle.iterdir() if live.bundle.is_dir() else ():
        # What conmon and the low-level runtime have written, half-written files of theirs included.
        if entry.name not in {bundles.STATE, "config.json"} and not entry.is_dir():
            entry.unlink()
    for _ in range(200):
        if live.group.remove():
            break


def _settle_sandbox(
    record: records.SandboxRecord, layout: Layout, hierarchies: cgroup.Hierarchies, boot: str, clock: Clock
) -> None:
    if record.stopped is not None:
        return
    config = record.config
    pin = layout.pin(config.uid, config.attempt)
    kept = record.boot == boot and (config.host_network or namespaces.pinned(pin / "net"))
    if kept and config.share_process_namespace:
        kept = record.holder is not None and processes.start_time(record.holder[0]) == record.holder[1]
    if not kept:
        holder = record.holder if record.boot == boot else None
        sandboxes.destroy(pin, sandboxes.group(hierarchies, layout, config), holder)
        record.stopped = clock.time()
        records.save(layout.sandbox(config.uid, config.attempt), record)


def _sweep(survivors: Survivors, layout: Layout) -> None:
    """Take away pins, states and exit files that belong to no record."""
    pins = {
        layout.pin(record.config.uid, record.config.attempt).name
        for record in survivors.sandboxes.values()
        if record.stopped is None
    }
    for entry in layout.pins.iterdir():
        if entry.name not in pins:
            namespaces.release(entry)
    for place in layout.roots.iterdir() if layout.roots.is_dir() else ():
        if place.name not in survivors.containers:
            roots.clear(place)
    for directory in (layout.low_level, layout.exits):
        for entry in directory.iterdir():
            if entry.name not in survivors.containers:
                if entry.is_dir():
                    trees.remove_tree(entry)
                else:
                    entry.unlink()
    for entry in layout.run.glob("exec-*"):
        trees.remove_tree(entry)
    targets = {point.target for point in mounts.table()}
    for live in survivors.containers.values():
        root = str(live.bundle / "rootfs")
        if live.record.finished is None and live.record.starting is None and root not in targets:
            log.warning("root of container %s is not mounted any more", live.record.id)
