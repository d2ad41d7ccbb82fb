"""What holds a Pod that goes: Services that offer it, and proxies that have not heard yet that they do so no more.

Owns the looking: at EndpointSlices, and, only while a Pod goes that others could take over from, at the Leases by which
proxies tell how far they are. Decides nothing: `reach.selection` says how a Pod stands with a Service, `lifecycle` when
it stops. Invariants: at rest nothing is read; a node whose Lease has run out is waited for by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from podling.api.resources import ENDPOINT_SLICES, LEASES
from podling.api.times import from_wire
from podling.client.transport import Selection
from podling.lifecycle.letting_go import Hold, is_let_go
from podling.reach.endpoints import SERVICE_NAME
from podling.reach.selection import PROGRAMMED, standing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.types.coordination_v1 import Lease
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informers
    from podling.reach.selection import Standing

_LEASES: Final = Selection(namespace="kube-node-lease")


@dataclass(slots=True)
class _Waiting:
    namespace: str
    kick: Callable[[], object]
    let_go_at: float | None = None


class LettingGo:
    """The Pods of one node that go, and who still holds them."""

    def __init__(self, node: str, informers: Informers, clock: Clock) -> None:
        self._node = node
        self._informers = informers
        self._clock = clock
        self._slices = informers.of(ENDPOINT_SLICES)
        self._waiting: dict[str, _Waiting] = {}
        self._leases: dict[str, Lease] = {}
        self._following: asyncio.Task[None] | None = None
        self._slices.on_change(self._slice_changed)

    def hold(self, pod: Pod, kick: Callable[[], object]) -> Hold | None:
        """Return what holds a Pod that is deleted; `kick` is called when that may have changed, until `forget`."""
        uid, namespace = pod.metadata.uid, pod.metadata.namespace
        held = [found for found in self._standings(namespace, uid) if found.is_missed]
        if not held:
            self.forget(uid)
            return None
        waiting = self._waiting.setdefault(uid, _Waiting(namespace, kick))
        if self._following is None:
            self._following = self._informers.follow(LEASES, _LEASES, self._lease_changed)
        now = self._clock.time()
        hold = Hold(
            any(found.is_chosen for found in held),
            max(found.revision for found in held),
            tuple(self._programmed(now)),
            waiting.let_go_at,
        )
        if waiting.let_go_at is None and is_let_go(hold):
            waiting.let_go_at = now
            hold = replace(hold, let_go_at=now)
        return hold

    def forget(self, uid: str) -> None:
        """Hear that a Pod waits no more."""
        self._waiting.pop(uid, None)
        if not self._waiting and self._following is not None:
            self._following.cancel()
            self._following = None
            self._leases.clear()

    def _standings(self, namespace: str, uid: str) -> Iterator[Standing]:
        """Yield how a Pod stands with each Service that it is, or was just now, an endpoint of."""
        word = uid.encode()
        slices = self._slices.indexed("namespace", namespace)
        for service in dict.fromkeys(one.labels.get(SERVICE_NAME, "") for one in slices if word in one.raw):
            if service:
                of_service = [one for one in slices if one.labels.get(SERVICE_NAME) == service]
                yield standing([self._slices.view(one) for one in of_service], uid)

    def _programmed(self, now: float) -> Iterator[int]:
        if self._node not in self._leases:
            yield 0  # not heard yet: even this node's own Lease is unknown
            return
        for lease in self._leases.values():
            spec, word = lease.spec, lease.metadata.annotations.get(PROGRAMMED, "")
            if spec.renew_time is None or not word.isdecimal():
                continue
            if from_wire(spec.renew_time) + (spec.lease_duration_seconds or 0) >= now:
                yield int(word)

    def _slice_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        for obj in (old, new):
            for waiting in list(self._waiting.values()) if obj is not None else ():
                if obj is not None and waiting.namespace == obj.namespace:
                    waiting.kick()

    def _lease_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._leases[new.name] = new.view(LEASES.type)
        elif old is not None:
            self._leases.pop(old.name, None)
        for waiting in list(self._waiting.values()):
            waiting.kick()
