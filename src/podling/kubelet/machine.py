"""What machine a node is: the facts of its `nodeInfo`, and what it has to give.

Owns the reading of them from the kernel's files, once. Knows no Node object. A simulated node takes the same facts,
with its capacity given.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.api.quantity import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.quantity import Quantity

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's identity and capacity (quantities)."""

    architecture: str = "amd64"
    boot_id: str = ""
    kernel: str = ""
    machine_id: str = ""
    os_image: str = ""
    system_uuid: str = ""
    memory: int = 0
    capacity: Mapping[str, str] = field(default_factory=dict)
    resolv: str = ""
    """The content of its /etc/resolv.conf."""


def read_machine(storage: Path) -> Machine:
    """Return this machine's facts; `storage` is where Pods' files lie, whose file system is the ephemeral storage."""
    kernel = os.uname()
    memory = _memory()
    space = os.statvfs(storage)
    cpus = len(os.sched_getaffinity(0))
    return Machine(
        architecture=_ARCHITECTURES.get(kernel.machine, kernel.machine),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel=kernel.release,
        machine_id=_text("/etc/machine-id"),
        os_image=_os_image(),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        memory=memory,
        capacity={
            "cpu": str(cpus),
            "memory": f"{memory // 1024}Ki",
            "ephemeral-storage": f"{space.f_blocks * space.f_frsize // 1024}Ki",
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
        },
        resolv=_text("/etc/resolv.conf"),
    )


def share_of(machine: Machine, node: str, count: int) -> Machine:
    """Return what one of `count` nodes on a machine is: a part of what there is.

    A `node` that is named is another machine to those who tell machines apart; the first one is the machine itself.
    """
    capacity = {name: _part(name, parse(text), count) for name, text in machine.capacity.items()}
    if not node:
        return replace(machine, memory=machine.memory // count, capacity=capacity)
    digest = hashlib.sha256(f"{machine.machine_id}/{node}".encode()).hexdigest()
    return replace(
        machine,
        machine_id=digest[:32],
        system_uuid="-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])),
        memory=machine.memory // count,
        capacity=capacity,
    )


def _part(name: str, whole: Quantity, count: int) -> str:
    if name == "cpu":
        milli = whole.milli_value() // count
        return f"{milli}m" if milli % 1000 else str(milli // 1000)
    kibibytes = whole.value() // count // 1024
    return f"{kibibytes}Ki" if kibibytes else "0"


def _memory() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return "Linux"


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
