"""What the machine's settings were before any instance changed them: put back when the last one goes.

Owns `/run/podling/sysctls.json`, which is the machine's and not an instance's: the first instance may go before the
second does, and what it found is what is to be put back. Gone with a restart of the machine, as the settings are.
Invariant: the first value found counts. Held under the lock of the ranges, as is the question whether anybody is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.linux import files, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = "sysctls.json"
_OF_LINKS: Final = {"net.ipv4.ip_forward": "net/ipv4/conf", "net.ipv6.conf.all.forwarding": "net/ipv6/conf"}


def change(run_root: Path, name: str, value: str) -> None:
    """Set one of the machine's settings, and remember what it was; one that the kernel has not is passed over.

    With some the kernel sets others, too: what was found of those is put back behind it.
    """
    with files.locked(run_root / "ranges.lock"):
        found = namespaces.read_sysctl(name)
        if found is None or found == value:
            return
        remembered = _read(run_root)
        if name not in remembered:
            remembered[name] = found
            remembered |= {
                also: it for also in _with(name) if (it := namespaces.read_sysctl(also)) not in (None, found)
            }
            files.replace(run_root / _NAME, msgspec.json.encode(remembered))
        namespaces.write_sysctl(name, value)


def _with(name: str) -> Iterator[str]:
    """Yield what the kernel sets along with a setting: of every link what is for all."""
    folder = _OF_LINKS.get(name)
    for link in namespaces.sysctl_folder(folder) if folder is not None else ():
        yield f"{folder}/{link}/forwarding"


def put_back(run_root: Path) -> None:
    """Set what was changed to what was found first; the caller holds the lock and knows that nobody is left."""
    for name, value in _read(run_root).items():
        if namespaces.read_sysctl(name) is not None:  # none: of a link that is gone
            namespaces.write_sysctl(name, value)
    (run_root / _NAME).unlink(missing_ok=True)


def _read(run_root: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((run_root / _NAME).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
