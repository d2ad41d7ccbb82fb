"""What a Pod's containers share: pinned namespaces, /dev/shm, a control group and, where asked for, a PID namespace.

Owns the making and taking away of these; the runtime owns their records. Runs in threads. Invariant: a sandbox is whole
or not there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from podling.linux import cgroup, mounts, namespaces, processes, syscalls
from podling.linux.spawn import start_first_process
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from pathlib import Path

    from podling.runtime.oci.layout import Layout
    from podling.runtime.protocol import Resources, SandboxConfig

_SHM = 64 << 20
# A first process that reaps: a shell's `wait` takes in whatever it inherits, and two sleeping programs of 200 KB do.
_HOLDER = "trap 'exit 0' TERM; sleep infinity & while :; do wait; done"


def limits(resources: Resources) -> cgroup.Limits:
    """Return the runtime's resources as a control group's limits."""
    return cgroup.Limits(
        cpu_shares=resources.cpu_shares,
        cpu_quota=resources.cpu_quota,
        cpu_period=resources.cpu_period,
        memory_limit=resources.memory_limit,
        pids_limit=resources.pids_limit,
        cpuset_cpus=resources.cpuset_cpus,
    )


def group(hierarchies: cgroup.Hierarchies, layout: Layout, config: SandboxConfig) -> cgroup.Cgroup:
    """Return the Pod's control group."""
    path = config.cgroup_parent.strip("/") or f"pod{config.uid}"
    own = layout.cgroup.strip("/")
    return hierarchies.group(path if path == own or path.startswith(f"{own}/") else f"{own}/{path}")


def create(config: SandboxConfig, layout: Layout, hierarchies: cgroup.Hierarchies) -> tuple[int, int] | None:
    """Make a sandbox; return the PID namespace's holder (pid, start time) where there is one."""
    if config.user_mappings:
        raise RuntimeFailure("FailedCreatePodSandBox", "user namespaces are not supported by this runtime")
    pin = layout.pin(config.uid, config.attempt)
    pod = group(hierarchies, layout, config)
    holder: tuple[int, int] | None = None
    try:
        kinds = tuple(
            kind
            for kind, wanted in (
                ("net", not config.host_network),
                ("ipc", not config.host_ipc),
                ("uts", not config.host_network),
            )
            if wanted
        )
        hostname = config.hostname[:64]
        namespaces.create(pin, kinds, hostname=hostname, sysctls=config.sysctls)
        (pin / "hostname").write_text(f"{hostname}\n", encoding="utf-8")
        (pin / "hostname").chmod(0o644)
        if not config.host_ipc:
            (pin / "shm").mkdir()
            mounts.tmpfs(
                str(pin / "shm"),
                size=_SHM,
                flags=syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
            )
        pod.create()
        pod.limit(limits(config.resources))
        if config.share_process_namespace:
            holder = _hold_processes(pin, pod)
    except (OSError, ValueError) as error:
        destroy(pin, pod, holder)
        raise RuntimeFailure(
            "FailedCreatePodSandBox", f'failed to create pod sandbox "{config.namespace}/{config.name}": {error}'
        ) from error
    return holder


def _hold_processes(pin: Path, pod: cgroup.Cgroup) -> tuple[int, int]:
    pid = namespaces.in_thread(lambda: start_first_process(["/bin/sh", "-c", _HOLDER]))
    pod.child("holder").create()
    pod.child("holder").add(pid)
    (pin / "pid").touch()
    mounts.bind(f"/proc/{pid}/ns/pid", str(pin / "pid"))
    return pid, processes.start_time(pid) or 0


def destroy(pin: Path, pod: cgroup.Cgroup, holder: tuple[int, int] | None) -> None:
    """Take a sandbox's parts away; nothing happens where nothing is."""
    if holder is not None:
        with contextlib.suppress(ProcessLookupError):
            watched = processes.Watched(*holder)
            watched.send(signal.SIGKILL)
            watched.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(holder[0], 0)
    namespaces.release(pin)
    pod.remove()
