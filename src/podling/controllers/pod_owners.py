"""Whom a change of a Pod concerns among the objects of one kind: its controller, or those that would adopt it.

Over the informer of the controllers; for ReplicaSets and their Deployments as well. Must not know what comes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.controllers.owned import controller_seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.selectors import Selector
    from podling.client.informer import Informer


class PodOwners:
    def __init__(self, informer: Informer[Any], selector: Callable[[Any], Selector | None]) -> None:
        """`selector` says by what an object knows its Pods; `None` for one that adopts nothing (any more)."""
        self._informer = informer
        self._selector = selector

    def names(self, pod: Encoded) -> bool:
        """Whether a Pod says that an object of this kind controls it, be that there or not."""
        reference = controller_seen(pod)
        return reference is not None and reference.kind == self._informer.resource.kind

    def owner(self, pod: Encoded) -> Encoded | None:
        """Return the object that controls a Pod."""
        reference = controller_seen(pod)
        if reference is None or reference.kind != self._informer.resource.kind:
            return None
        found = self._informer.encoded(reference.name, pod.namespace)
        return found if found is not None and found.uid == reference.uid else None

    def takers(self, pod: Encoded) -> Sequence[Encoded]:
        """Return the objects that would adopt a Pod of nobody."""
        if controller_seen(pod) is not None:
            return ()
        found = []
        for taker in self._informer.indexed("namespace", pod.namespace):
            selector = self._selector(self._informer.view(taker))
            if selector is not None and not selector.empty and selector.matches(pod.labels):
                found.append(taker)
        return found

    def concerned(self, old: Encoded | None, new: Encoded | None) -> Sequence[Encoded]:
        """Return whom a change concerns: who controls the Pod, who did, or who would like to."""
        found: dict[str, Encoded] = {}
        for seen in (old, new):
            owner = self.owner(seen) if seen is not None else None
            if owner is not None:
                found[owner.uid] = owner
        if new is not None:
            found |= {taker.uid: taker for taker in self.takers(new)}
        return list(found.values())
