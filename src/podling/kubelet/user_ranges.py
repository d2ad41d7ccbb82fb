"""Which ids of the node a Pod's user namespace stands on.

Owns the ranges of 65,536 ids, one for each Pod that has `hostUsers: false`, and their record in the Pod's folder, in
the form of upstream's kubelet. Invariants: no two Pods of a machine share an id, whichever node or cluster of it they
are of, nor has any Pod one of the machine's own below 65,536; a Pod keeps its range over restarts of its sandbox and of
the kubelet; a range is free when its Pod's folder is gone.

What is on disk belongs to the ids as the Pod sees them, so that a range may be another after the machine was down:
claims hold as long as anything can run with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.linux import files
from podling.linux.claims import Claims
from podling.runtime.protocol import IdMapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.types.core_v1 import Pod

log = logging.getLogger("podling.kubelet")

LENGTH: Final = 65536
_RANGES: Final = 65534
"""As many as there are ids, less the node's own and the one that means nobody."""
_FILE: Final = "userns"
MACHINE: Final = Path("/run/podling/user-ranges")
"""Where the nodes of all clusters on the machine hear of each other's ranges."""


class NoRange(Exception):
    """All ranges are taken."""


def free_range(take: Callable[[int], bool], start: int) -> int:
    """Return the number of a range that could be taken, looked for from `start` on; `NoRange` where none is left.

    Range 0 is the machine's own.
    """
    for step in range(_RANGES):
        number = (start - 1 + step) % _RANGES + 1
        if take(number):
            return number
    raise NoRange(f"could not find an empty slot to allocate a user namespace: all {_RANGES} ranges are taken")


def let_go(pods: Path, machine: Path = MACHINE) -> None:
    """Give back the ranges of all Pods whose folders are below `pods`, none of which runs any more."""
    if machine.is_dir():
        Claims(machine).drop(pods)


class UserRanges:
    """The ranges of a node's Pods. With no `root` they are remembered, not written down and nobody else's business."""

    def __init__(self, root: Path | None, machine: Path = MACHINE) -> None:
        self._root = root
        self._claims = Claims(machine)
        self._held: dict[str, int] = {}
        self._loaded = False
        # Nodes that share a machine look in different places, so that they seldom find what another has.
        digest = hashlib.sha256(str(root).encode()).digest()
        self._start = 1 + int.from_bytes(digest[:4]) % _RANGES

    def _load(self) -> None:
        """Take up what an earlier life of this kubelet has given away."""
        self._loaded = True
        if self._root is None or not self._root.is_dir():
            return
        for folder in sorted(self._root.iterdir()):
            text = files.read_text(folder / _FILE)
            if not text:
                continue
            try:
                number = json.loads(text)["uidMappings"][0]["hostId"] // LENGTH
            except (ValueError, LookupError, TypeError):
                log.warning("%s is no record of a user namespace and is passed over", folder / _FILE)
                continue
            if self._claims.take(number, folder):
                self._held[folder.name] = number
            else:
                log.warning("the ids that %s names are another Pod's since the machine was down", folder / _FILE)

    def mappings(self, pod: Pod) -> tuple[IdMapping, ...]:
        """Return how the Pod's ids are the node's, giving it a range if it has none; nothing where it shares those."""
        if pod.spec.host_users is not False:
            return ()
        uid = pod.metadata.uid
        if not self._loaded:
            self._load()
        if uid not in self._held:
            self._held[uid] = self._choose(uid)
        return (IdMapping(0, self._held[uid] * LENGTH, LENGTH),)

    def _choose(self, uid: str) -> int:
        taken = set(self._held.values())
        if self._root is None:
            return free_range(lambda number: number not in taken, self._start)
        folder = self._root / uid
        folder.mkdir(parents=True, exist_ok=True)
        number = free_range(lambda number: number not in taken and self._claims.take(number, folder), self._start)
        mapping = [{"hostId": number * LENGTH, "containerId": 0, "length": LENGTH}]
        files.replace(folder / _FILE, json.dumps({"uidMappings": mapping, "gidMappings": mapping}).encode())
        return number

    def release(self, uid: str) -> None:
        """Give a Pod's range back."""
        number = self._held.pop(uid, None)
        if number is not None and self._root is not None:
            self._claims.release(number, self._root / uid)
