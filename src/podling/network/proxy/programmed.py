"""How far a proxy is, told to those who wait for it: the revision on its node's Lease.

Owns the annotation `podling.dev/programmed`. Told once at the start, so that it is known that there is a proxy, and
from then on only while an endpoint of some Service terminates: nobody else waits. Invariant: what is told is in the
rules.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from podling.api.errors import StatusError
from podling.api.resources import LEASES
from podling.reach.selection import PROGRAMMED

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.client.informer import Informer
    from podling.network.context import NetworkContext

log = logging.getLogger("podling.proxy")

_NAMESPACE: Final = "kube-node-lease"
_PAUSE: Final = 0.5


class Programmed:
    """Tells of one node's proxy."""

    def __init__(self, context: NetworkContext, slices: Informer[EndpointSlice]) -> None:
        self._context = context
        self._slices = slices
        slices.add_index("terminating", _terminates)
        self._newest = 0
        self._told = -1
        self._kicked = asyncio.Event()

    def reached(self, revision: int) -> None:
        """Hear that everything up to a revision is in the rules."""
        self._newest = revision
        if self._told < 0 or (revision > self._told and self._slices.indexed("terminating", "yes")):
            self._kicked.set()

    async def tell(self) -> None:
        """Tell, for ever; a component of the supervisor."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            revision = self._newest
            patch = {"metadata": {"annotations": {PROGRAMMED: str(revision)}}}
            try:
                await self._context.client.patch(LEASES, self._context.node, patch, namespace=_NAMESPACE)
            except StatusError as refusal:
                # Until the kubelet has registered there is no Lease.
                if not refusal.is_not_found:
                    log.info("telling how far the proxy is: %s", refusal)
                self._kicked.set()
                await self._context.clock.sleep(_PAUSE)
            else:
                self._told = revision


def _terminates(obj: Encoded) -> tuple[str, ...]:
    return ("yes",) if b'"terminating":true' in obj.raw else ()
