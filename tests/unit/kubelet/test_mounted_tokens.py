"""Tokens of ServiceAccounts as files: renewed in place while they hold, and never shown past their time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podling.aio.clock import VirtualClock
from podling.api.errors import internal
from podling.api.times import to_wire
from podling.api.types.core_v1 import (
    Container,
    Pod,
    PodSpec,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.objects import References
from podling.kubelet.volumes import DiskVolumes, VolumeFailure
from podling.kubelet.volumes.payload import Payloads


class _Issuer:
    """An API that gives numbered tokens, or refuses."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.given = 0
        self.down = False
        self.asked: list[dict[str, Any]] = []

    async def create_subresource(
        self, _: Any, name: str, __: str, tree: dict[str, Any], namespace: str
    ) -> dict[str, Any]:
        if self.down:
            raise internal("no")
        self.given += 1
        self.asked.append(tree["spec"])
        expires = int(self.clock.time()) + tree["spec"]["expirationSeconds"]
        return {"status": {"token": f"{namespace}/{name}/{self.given}", "expirationTimestamp": to_wire(expires)}}


def _pod(life: int) -> Pod:
    token = ServiceAccountTokenProjection(path="token", expiration_seconds=life, audience="vault")
    volume = Volume(name="t", projected=ProjectedVolumeSource(sources=(VolumeProjection(service_account_token=token),)))
    return Pod(
        metadata=ObjectMeta(name="web", namespace="ns", uid="u1"),
        spec=PodSpec(containers=(Container(name="web"),), volumes=(volume,), service_account_name="robot"),
    )


@pytest.mark.parametrize(("life", "renewed"), [(1000, 800), (7 * 86_400, 86_400)])
def test_a_mounted_token_is_renewed_before_it_expires(tmp_path: Path, life: int, renewed: int) -> None:
    """The same file holds a new token after four fifths of its life, or after a day; it is bound and for its audience."""

    async def main() -> None:
        clock = VirtualClock()
        issuer: Any = _Issuer(clock)
        volumes = DiskVolumes(tmp_path, Payloads(issuer, References(issuer), clock, (), dict), clock)

        async def shown() -> str:
            paths = await volumes.prepare(_pod(life), ())
            return (Path(paths["t"]) / "token").read_text()

        assert await shown() == "ns/robot/1"
        await clock.advance(renewed - 2)
        assert await shown() == "ns/robot/1"
        await clock.advance(3)
        assert await shown() == "ns/robot/2"
        assert issuer.asked[1]["audiences"] == ["vault"]
        assert issuer.asked[1]["boundObjectRef"]["uid"] == "u1"

    asyncio.run(main())


def test_a_token_that_cannot_be_renewed_is_shown_while_it_lives(tmp_path: Path) -> None:
    """An API server that is down for a while costs nothing; one that is down too long is a failed mount."""

    async def main() -> None:
        clock = VirtualClock()
        issuer: Any = _Issuer(clock)
        volumes = DiskVolumes(tmp_path, Payloads(issuer, References(issuer), clock, (), dict), clock)
        await volumes.prepare(_pod(1000), ())
        issuer.down = True
        await clock.advance(950)
        await volumes.prepare(_pod(1000), ())
        await clock.advance(60)
        with pytest.raises(VolumeFailure, match="failed to fetch token"):
            await volumes.prepare(_pod(1000), ())
        issuer.down = False
        await volumes.prepare(_pod(1000), ())
        assert issuer.given == 2

    asyncio.run(main())
