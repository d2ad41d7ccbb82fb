from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.clock import VirtualClock
from podling.api import errors
from podling.api.errors import StatusError
from podling.api.resources import PODS
from podling.client import ApiClient
from podling.client.wait import Condition, condition, exists, gone, phase, ready, satisfies, wait_for
from tests.unit.client.scripted_server import ScriptedServer, pod

if TYPE_CHECKING:
    from collections.abc import Callable


def is_ready(name: str, uid: str = "") -> dict[str, Any]:
    return {
        **pod(name, uid=uid),
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": None}]},
    }


def waited(
    run: Callable[[Any], Any],
    wanted: Condition[Any],
    script: Callable[[ScriptedServer, VirtualClock], Any],
    timeout: float = 60,
) -> Any:
    async def main() -> Any:
        clock, server = VirtualClock(), ScriptedServer()
        server.put(pod("neighbour"))
        task = asyncio.create_task(wait_for(ApiClient(server), PODS, "web", "default", wanted, clock, timeout))
        await clock.settle()
        await script(server, clock)
        await clock.run_until(task.done, 300)
        return task.result()

    return run(main())


def test_waits_through_changes_closed_watches_and_outages(run: Callable[[Any], Any]) -> None:
    """`wait_for` returns the object once ready, however the server behaved meanwhile."""

    async def script(server: ScriptedServer, clock: VirtualClock) -> None:
        server.put(pod("web"))
        await clock.settle()
        server.list_refusals.append(errors.service_unavailable("away"))
        server.close_watches()
        await clock.advance(0.2)
        server.watch_refusals.append(errors.expired("old"))
        await clock.advance(1)
        server.put(is_ready("web"))

    assert waited(run, ready(), script).metadata.name == "web"


def test_late_is_told_with_what_was_seen(run: Callable[[Any], Any]) -> None:
    """The timeout's message says what was awaited, for how long, and what was there instead."""

    async def script(server: ScriptedServer, clock: VirtualClock) -> None:
        server.put({**pod("web"), "status": {"phase": "Pending"}})

    with pytest.raises(TimeoutError, match=r'pods "web" did not come to be Ready=True within 60 s: it is Pending'):
        waited(run, ready(), script)


def test_other_refusals_are_raised(run: Callable[[Any], Any]) -> None:
    """A refusal that waiting cannot mend is raised at once."""

    async def script(server: ScriptedServer, clock: VirtualClock) -> None:
        server.list_refusals.append(errors.forbidden("", "pods", "", "no"))
        server.close_watches()

    with pytest.raises(StatusError, match="pods is forbidden: no"):
        waited(run, exists(), script)


def test_gone_means_deleted_or_replaced(run: Callable[[Any], Any]) -> None:
    """`gone(uid)` holds when the object is deleted, and when a namesake stands in its place."""

    async def deleted(server: ScriptedServer, clock: VirtualClock) -> None:
        server.put(pod("web"))
        await clock.settle()
        server.remove("default/web")

    async def replaced(server: ScriptedServer, clock: VirtualClock) -> None:
        server.put(pod("web", uid="new"))

    assert waited(run, gone(), deleted) is None
    assert waited(run, exists() & gone("uid-web"), replaced).metadata.uid == "new"


def test_conditions_compose() -> None:
    """`&`, `|` and `~` join conditions and their texts."""
    from podling.api.codec import from_tree
    from podling.api.types.core_v1 import Pod

    running = from_tree(Pod, is_ready("web"))
    assert ready().holds(running)
    assert not ready().holds(None)
    assert phase("Running", "Succeeded").holds(running)
    assert (ready() & ~phase("Failed")).holds(running)
    assert not (~ready() | condition("Ready", "False")).holds(running)
    named = satisfies("named web", lambda obj: obj.metadata.name == "web")
    assert (named & exists()).text == "named web and existing"
    assert named.holds(running)
    assert not (~exists()).holds(running)
