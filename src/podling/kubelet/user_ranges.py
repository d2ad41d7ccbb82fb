"""Which ids of the node a Pod's user namespace stands on.

Owns the ranges of 65,536 ids, one for each Pod that has `hostUsers: false`, and their record in the Pod's folder, in
the form of upstream's kubelet. Invariants: no two Pods of a node share an id, nor any Pod one of the node's own below
65,536; a Pod keeps its range over restarts of its sandbox and of the kubelet; a range is free when its Pod's folder is
gone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Final

from podling.linux import files
from podling.runtime.protocol import IdMapping

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from podling.api.types.core_v1 import Pod

log = logging.getLogger("podling.kubelet")

LENGTH: Final = 65536
_RANGES: Final = 65534
"""As many as there are ids, less the node's own and the one that means nobody."""
_FILE: Final = "userns"


class NoRange(Exception):
    """All ranges are taken."""


def free_range(taken: Collection[int], start: int) -> int:
    """Return the number of a range that is not `taken`, looked for from `start` on; `NoRange` where none is left.

    Range 0 is the node's own.
    """
    for step in range(_RANGES):
        number = (start - 1 + step) % _RANGES + 1
        if number not in taken:
            return number
    raise NoRange(f"could not find an empty slot to allocate a user namespace: all {_RANGES} ranges are taken")


class UserRanges:
    """The ranges of a node's Pods. With no `root` they are remembered and not written down."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._held: dict[str, int] = {}
        self._loaded = False
        # Nodes that share a machine look in different places, so that their Pods seldom share ids either.
        digest = hashlib.sha256(str(root).encode()).digest()
        self._start = 1 + int.from_bytes(digest[:4]) % _RANGES

    def _load(self) -> None:
        """Take up what an earlier life of this kubelet has given away."""
        self._loaded = True
        if self._root is None or not self._root.is_dir():
            return
        for folder in sorted(self._root.iterdir()):
            text = files.read_text(folder / _FILE)
            if text:
                try:
                    self._held[folder.name] = json.loads(text)["uidMappings"][0]["hostId"] // LENGTH
                except (ValueError, LookupError, TypeError):
                    log.warning("%s is no record of a user namespace and is passed over", folder / _FILE)

    def mappings(self, pod: Pod) -> tuple[IdMapping, ...]:
        """Return how the Pod's ids are the node's, giving it a range if it has none; nothing where it shares those."""
        if pod.spec.host_users is not False:
            return ()
        uid = pod.metadata.uid
        if not self._loaded:
            self._load()
        if uid not in self._held:
            number = free_range(set(self._held.values()), self._start)
            self._record(uid, number)
            self._held[uid] = number
        return (IdMapping(0, self._held[uid] * LENGTH, LENGTH),)

    def release(self, uid: str) -> None:
        """Give a Pod's range back."""
        self._held.pop(uid, None)

    def _record(self, uid: str, number: int) -> None:
        if self._root is None:
            return
        mapping = [{"hostId": number * LENGTH, "containerId": 0, "length": LENGTH}]
        folder = self._root / uid
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / _FILE, json.dumps({"uidMappings": mapping, "gidMappings": mapping}).encode())
