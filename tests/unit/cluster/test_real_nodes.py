"""Real nodes that cannot be: what their user is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.cluster.data_dir import DataDir
from podling.cluster.failure import StartFailed
from podling.cluster.options import Options
from podling.cluster.real_nodes import RealNodes
from podling.network.podnetwork import RoutedPodNetwork


@pytest.mark.parametrize("family", [None, "ipv4"])
@pytest.mark.parametrize(
    "refusal", [OSError(95, "add address fd00:10:244::1: Operation not supported"), ValueError("sysctl a: Read-only")]
)
def test_a_kernel_that_refuses_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str | None, refusal: Exception
) -> None:
    """In its own words, with the way around what is about IPv6, where that is wanted at all."""

    async def refused(_network: RoutedPodNetwork) -> None:
        raise refusal

    monkeypatch.setattr(RoutedPodNetwork, "start", refused)
    monkeypatch.setattr("podling.cluster.real_nodes.has_family", lambda _family: True)

    async def main() -> StartFailed:
        clock = SystemClock()
        options = Options(data_dir=tmp_path, ip_family=family)
        async with Supervisor(clock) as supervisor:
            nodes = RealNodes(DataDir(tmp_path), options, clock, Chance(), supervisor)
            try:
                with pytest.raises(StartFailed) as failed:
                    await nodes.prepare()
            finally:
                await nodes.close()
            return failed.value

    failure = asyncio.run(main())
    assert str(refusal) in str(failure)
    assert ("--ip-family ipv4" in failure.next_step) is (family is None)
