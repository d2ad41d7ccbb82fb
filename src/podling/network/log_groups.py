"""A log group of the kernel for one instance and one purpose: what rules hand to it is heard.

Owns the choice among the 65,535 groups, which all who log on a machine share. Knows nothing of what is logged.
"""

from __future__ import annotations

import errno
import hashlib
import logging
from typing import TYPE_CHECKING, Final

from podling.linux.nflog import LogListener

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.linux.nflog import Packet

log = logging.getLogger("podling.network")

_GROUPS: Final = 16
"""How many are tried: somebody else may listen to some."""


def take_group(
    namespace: str, instance: str, purpose: str, seen: Callable[[Packet], object]
) -> tuple[int, LogListener] | None:
    """Take a free log group of a network namespace and listen; `None` where there is none, which the log says."""
    first = int.from_bytes(hashlib.sha256(f"{instance} {purpose}".encode()).digest()[:2], "big")
    for step in range(_GROUPS):
        group = 1 + (first + step) % 0xFFFE
        try:
            return group, LogListener(namespace, group, seen)
        except OSError as error:
            if error.errno == errno.EBUSY:
                continue
            log.warning("%s will not be told of: %s", purpose, error)
            return None
    log.warning("%s will not be told of: no log group is free", purpose)
    return None
