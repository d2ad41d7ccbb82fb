"""Waiting until an object is as one wishes: conditions that compose, and `wait_for`.

Owns the conditions and the list-then-watch loop under them. A condition looks at the object, or at `None` where there
is none, and says yes or no; `&`, `|` and `~` join them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from podling.api.errors import StatusError
from podling.client.client import list_whole
from podling.client.transport import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import Pod
    from podling.client.client import Client

_Kind = TypeVar("_Kind")

_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Condition(Generic[_Kind]):
    """A question about an object; `holds` gets `None` where it does not exist."""

    text: str
    holds: Callable[[_Kind | None], bool]

    def __and__(self, other: Condition[_Kind]) -> Condition[_Kind]:
        return Condition(f"{self.text} and {other.text}", lambda obj: self.holds(obj) and other.holds(obj))

    def __or__(self, other: Condition[_Kind]) -> Condition[_Kind]:
        return Condition(f"({self.text} or {other.text})", lambda obj: self.holds(obj) or other.holds(obj))

    def __invert__(self) -> Condition[_Kind]:
        return Condition(f"not {self.text}", lambda obj: not self.holds(obj))


def exists() -> Condition[Any]:
    return Condition("existing", lambda obj: obj is not None)


def gone(uid: str = "") -> Condition[Any]:
    """Deleted; with `uid`, also where a namesake has taken its place."""
    return Condition("gone", lambda obj: obj is None or bool(uid and obj.metadata.uid != uid))


def satisfies(text: str, test: Callable[[_Kind], bool]) -> Condition[_Kind]:
    """Existing and passing `test`; `text` completes "waiting for it to be …"."""
    return Condition(text, lambda obj: obj is not None and test(obj))


def condition(type_: str, status: str = "True") -> Condition[Any]:
    """Having the entry `type_` in `status.conditions` at `status`; for every kind that has conditions."""

    def holds(obj: Any) -> bool:
        found = obj.status if obj is not None else None
        if isinstance(found, dict):  # of a custom kind
            return any((it.get("type"), it.get("status")) == (type_, status) for it in found.get("conditions") or ())
        conditions = found.conditions if found is not None else ()
        return any(entry.type == type_ and entry.status == status for entry in conditions)

    return Condition(f"{type_}={status}", holds)


def ready() -> Condition[Any]:
    """Having the condition Ready: a Pod that serves, a Node that takes Pods."""
    return condition("Ready")


def phase(*phases: str) -> Condition[Pod]:
    """Being in one of the phases."""
    return satisfies("/".join(phases), lambda pod: pod.status is not None and pod.status.phase in phases)


def scheduled() -> Condition[Pod]:
    """Having a node."""
    return satisfies("scheduled", lambda pod: pod.spec is not None and bool(pod.spec.node_name))


async def wait_for(
    client: Client,
    resource: Resource[_Kind],
    name: str,
    namespace: str,
    wanted: Condition[_Kind],
    clock: Clock,
    timeout: float,
) -> _Kind | None:
    """Return the object as soon as `wanted` holds for it (`None` if it holds for nothing).

    `TimeoutError` after `timeout` seconds says what was awaited and what was last seen. A server that is away meanwhile
    is waited for; any other refusal is raised.
    """
    selection = Selection(namespace, fields=f"metadata.name={name}")
    last: list[_Kind | None] = [None]

    def reached(obj: Encoded | None) -> bool:
        last[0] = obj.view(resource.type) if obj is not None else None
        return wanted.holds(last[0])

    async def until() -> None:
        while True:
            try:
                if await _follow(client, resource, selection, reached):
                    return
            except StatusError as refusal:
                if not refusal.is_expired and refusal.code not in (429, 500, 503, 504):
                    raise
                await clock.sleep(_PAUSE)

    try:
        async with clock.timeout(timeout):
            await until()
    except TimeoutError as late:
        seen = "it does not exist" if last[0] is None else f"it is {_state(last[0])}"
        raise TimeoutError(
            f'{resource.plural} "{name}" did not come to be {wanted.text} within {timeout:g} s: {seen}'
        ) from late
    return last[0]


async def _follow(
    client: Client, resource: Resource[Any], selection: Selection, reached: Callable[[Encoded | None], bool]
) -> bool:
    items, revision = await list_whole(client, resource, selection)
    if reached(items[0] if items else None):
        return True
    events = client.watch(resource, selection, revision=revision)
    try:
        async for event in events:
            if event.type == "BOOKMARK":
                continue
            if reached(event.object if event.type != "DELETED" else None):
                return True
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
    return False


def _state(obj: Any) -> str:
    status = getattr(obj, "status", None)
    parts = [str(getattr(status, "phase", "") or "")]
    parts += [f"{entry.type}={entry.status}" for entry in getattr(status, "conditions", ()) or ()]
    return ", ".join(part for part in parts if part) or "there"
