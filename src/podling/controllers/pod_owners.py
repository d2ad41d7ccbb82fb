"""Whom a change of a Pod concerns among the objects of one kind: its controller, or those that would adopt it.

Over the informer of the controllers; for ReplicaSets and their Deployments as well. Must not know what comes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.controllers.owned import controller_seen, narrowest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.selectors import Selector
    from podling.client.informer import Informer


_INDEX: Final = "asks"


class PodOwners:
    def __init__(self, informer: Informer[Any], selector: Callable[[Any], Selector | None] | None = None) -> None:
        """`selector` says by what an object knows its Pods; `None` for one that adopts nothing (any more).

        Without one nothing is adopted at all; over one informer, one such object may have one.
        """
        self._informer = informer
        self._selector = selector
        if selector is not None:
            informer.add_index(_INDEX, self._asks)

    def _asks(self, taker: Encoded) -> Iterable[str]:
        """Return a label that all must have whom an object would adopt: a Pod's labels lead to few such objects."""
        selector = self._selector(self._informer.view(taker)) if self._selector is not None else None
        return () if selector is None or selector.empty else (f"{taker.namespace}/{narrowest(selector)}",)

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
        if self._selector is None or controller_seen(pod) is not None:
            return ()
        found = []
        for label in ("", *(f"{name}={value}" for name, value in pod.labels.items())):
            for taker in self._informer.indexed(_INDEX, f"{pod.namespace}/{label}"):
                selector = self._selector(self._informer.view(taker))
                if selector is not None and selector.matches(pod.labels):
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
