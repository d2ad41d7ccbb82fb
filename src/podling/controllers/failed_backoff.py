"""How long a daemon Pod that failed is left before it goes: at once the first time, then ever later.

Owns upstream's back-off for each DaemonSet and Node: 1 s, doubling with each failure up to 15 min; forgotten when
nothing failed for twice as long. A kubelet that refuses a Pod would else be sent another one without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST: Final = 1.0
_LONGEST: Final = 900.0


class FailedBackoff:
    """Memory of one controller; what is lost with it is patience."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, tuple[float, float]]] = {}

    def add(self, uid: str, node: str, now: float) -> None:
        """Note that a Pod of a DaemonSet failed on a Node and goes."""
        nodes = self._held.setdefault(uid, {})
        delay, since = nodes.get(node, (0.0, now))
        if now - since > 2 * _LONGEST:
            delay = 0.0
        nodes[node] = (min(delay * 2, _LONGEST) or _FIRST, now)

    def waits(self, uid: str, now: float) -> Mapping[str, float]:
        """Return by Node how many seconds a failed Pod is to be left yet."""
        held = self._held.get(uid, {})
        return {node: since + delay - now for node, (delay, since) in held.items() if since + delay > now}

    def forget(self, uid: str) -> None:
        self._held.pop(uid, None)
