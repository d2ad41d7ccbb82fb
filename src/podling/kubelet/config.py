"""Which Pods this node is to run: those that the API has bound to it.

Owns the way from the informer's changes to the workers. Knows nothing of what workers do. Later sources (static Pods)
come in beside it. Invariant: a Pod that was replaced by another of its name is seen to vanish, not to change its uid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informer
    from podling.kubelet.workers import PodWorkers


class PodConfig:
    """Follows the Pods of this node."""

    def __init__(self, informer: Informer[Pod], workers: PodWorkers) -> None:
        self._informer = informer
        self._workers = workers

    def follow(self) -> Callable[[], None]:
        """Begin to tell the workers of every Pod; returns the end of it."""
        return self._informer.on_change(self._heard)

    def uids(self) -> frozenset[str]:
        """Return the Pods that the API has, as last heard."""
        return frozenset(pod.uid for pod in self._informer)

    def _heard(self, old: Encoded | None, new: Encoded | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._workers.vanish(old.uid)
        if new is not None:
            self._workers.update(new.view(PODS.type))
