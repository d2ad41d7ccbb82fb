"""Pods of a further node that plugins wire: when the machine is told of their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from podling.client.seams import WiringFailed
from podling.lifecycle.traffic import UNBOUNDED, Traffic
from podling.network.behind import PodsBehind


class Seen:
    """The plugins and the machine in one: writes down what is asked of either."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.held: dict[str, list[str]] = {}
        self.fails = False

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        self.calls.append(("add", uid))
        if self.fails:
            raise WiringFailed("no address left")
        self.held[uid] = ["10.9.0.7", "fd09::7"]
        return self.held[uid]

    async def detach(self, uid: str) -> None:
        self.calls.append(("delete", uid))
        self.held.pop(uid, None)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return self.held

    async def lead_to(self, node: str, addresses: Sequence[str]) -> None:
        self.calls.append(("lead", node, *addresses))

    async def lead_no_more(self, node: str, addresses: Sequence[str]) -> None:
        self.calls.append(("lead no more", node, *addresses))


def test_the_way_is_there_before_the_pod_and_gone_before_its_address_is_free() -> None:
    """Who gets an address next may be on another node: the old way must not lead astray then."""
    seen = Seen()
    network = PodsBehind(seen, seen, "two")  # type: ignore[arg-type]

    async def main() -> None:
        assert await network.attach("uid", "default", "web", "/ns") == ["10.9.0.7", "fd09::7"]
        assert await network.attached() == {"uid": ["10.9.0.7", "fd09::7"]}
        await network.detach("uid")
        await network.detach("unknown")

    asyncio.run(main())
    assert seen.calls == [
        ("add", "uid"),
        ("lead", "two", "10.9.0.7", "fd09::7"),
        ("lead no more", "two", "10.9.0.7", "fd09::7"),
        ("delete", "uid"),
        ("lead no more", "two"),
        ("delete", "unknown"),
    ]


def test_a_pod_without_an_address_has_no_way() -> None:
    """What plugins refuse is passed on, and the machine hears nothing."""
    seen = Seen()
    seen.fails = True
    with pytest.raises(WiringFailed, match="no address left"):
        asyncio.run(PodsBehind(seen, seen, "two").attach("uid", "default", "web", "/ns"))  # type: ignore[arg-type]
    assert seen.calls == [("add", "uid")]
