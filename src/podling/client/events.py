"""The event recorder: what a component has to say about an object, as core/v1 Events.

Owns a bounded queue between those who speak, and never wait, and the one component that writes. Correlation is
`correlate`'s. Invariants: `event` returns at once; what the queue cannot hold is dropped and counted; events of one
recorder are written in the order in which they happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from podling.api.errors import StatusError
from podling.api.resources import EVENTS
from podling.api.times import to_wire
from podling.client.correlate import Correlator, Happening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import ObjectReference
    from podling.client.client import Client
    from podling.client.correlate import Verdict

log = logging.getLogger("podling.events")

_BOUND = 1000
# client-go's: an API server that is away is tried twelve times, ten seconds apart.
_ATTEMPTS = 12
_PAUSE = 10.0
_NAMESAKES = 100


def reference(obj: Any, field_path: str = "") -> ObjectReference:
    """Return the reference to a typed object; `field_path` names a part, as `spec.containers{web}`."""
    from podling.api.types.core_v1 import ObjectReference

    if isinstance(obj, ObjectReference):
        return obj
    metadata = obj.metadata
    return ObjectReference(
        kind=obj.kind,
        api_version=obj.api_version,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        field_path=field_path,
    )


class EventRecorder:
    """Speaks as one component, on one host where it has one; `run` is a component of the supervisor."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._host = host
        self._correlator = Correlator()
        self._queue: deque[Happening] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._last_name = 0
        self.dropped = 0
        """How many events were lost to a full queue or a server that refused or stayed away."""
        self.filtered = 0
        """How many were withheld as a flood."""

    def event(
        self,
        about: object,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Say what happened to `about`, an object or an `ObjectReference`; never waits, never fails."""
        if len(self._queue) >= _BOUND:
            self.dropped += 1
            return
        self._queue.append(
            Happening(
                reference(about, field_path),
                self._component,
                self._host,
                type_,
                reason,
                message,
                self._clock.time(),
                annotations or {},
            )
        )
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def run(self) -> None:
        """Write what is said, for ever."""
        while True:
            while not self._queue:
                self._arrived = asyncio.get_running_loop().create_future()
                await self._arrived
            what = self._queue.popleft()
            verdict = self._correlator.observe(what, self._clock.time())
            if verdict is None:
                self.filtered += 1
            else:
                await self._tell(what, verdict)

    async def _tell(self, what: Happening, verdict: Verdict) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._write(what, verdict)
                return
            except StatusError as refusal:
                if refusal.code not in (429, 500, 502, 503, 504):
                    # The server has spoken: a namespace that is going, an object too large. Saying it again is no use.
                    log.debug("event %s about %s refused: %s", what.reason, what.about.name, refusal)
                    break
            if attempt < _ATTEMPTS - 1:
                await self._clock.sleep(_PAUSE)
        self.dropped += 1

    async def _write(self, what: Happening, verdict: Verdict) -> None:
        told = verdict.told
        namespace = what.about.namespace or "default"
        if told.name:
            patch: dict[str, object] = {"count": told.count, "lastTimestamp": to_wire(what.at)}
            if verdict.combined:
                patch["message"] = verdict.message
            try:
                await self._client.patch(EVENTS, told.name, patch, namespace=namespace, kind="strategic")
                return
            except StatusError as refusal:
                if not refusal.is_not_found:
                    raise
                # It has aged out of the cluster meanwhile: told anew, with its count.
                told.name = ""
        for _ in range(_NAMESAKES):
            name = self._name(what)
            try:
                await self._client.create(EVENTS, self._event(what, verdict, name, namespace), namespace=namespace)
                told.name = name
                return
            except StatusError as refusal:
                # Another component spoke of the same object in the same instant.
                if not refusal.is_already_exists:
                    raise

    def _name(self, what: Happening) -> str:
        self._last_name = max(int(what.at * 1e6) * 1000, self._last_name + 1)
        return f"{what.about.name}.{self._last_name:x}"

    def _event(self, what: Happening, verdict: Verdict, name: str, namespace: str) -> Any:
        from podling.api.types.core_v1 import Event, EventSource
        from podling.api.types.meta_v1 import ObjectMeta

        return Event(
            metadata=ObjectMeta(name=name, namespace=namespace, annotations=dict(what.annotations)),
            involved_object=what.about,
            reason=what.reason,
            message=verdict.message,
            type=what.type,
            count=verdict.told.count,
            first_timestamp=to_wire(verdict.told.first),
            last_timestamp=to_wire(what.at),
            source=EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host,
        )
