"""Real nodes that cannot be: what their user is told."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.cluster import listeners
from podling.cluster.data_dir import DataDir
from podling.cluster.failure import StartFailed
from podling.cluster.options import Options
from podling.cluster.real_nodes import RealNodes
from podling.linux.local import LocalHost
from podling.network.podnetwork import RoutedPodNetwork


def test_a_port_that_another_kubelet_has_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever address of the node; nothing is listened on then."""

    async def main() -> None:
        host = LocalHost()
        with socket.socket() as taken:
            taken.bind(("127.0.0.2", 0))
            taken.listen()
            port = taken.getsockname()[1]
            monkeypatch.setattr(listeners, "KUBELET_PORT", port)
            with pytest.raises(StartFailed, match=f"port {port} of 127.0.0.2, where the kubelet"):
                listeners.kubelet_listeners(host, ["127.0.0.1", "127.0.0.2"])
        opened = listeners.kubelet_listeners(host, ["127.0.0.1", "127.0.0.2"])
        assert [each.getsockname() for each in opened] == [("127.0.0.1", port), ("127.0.0.2", port)]
        for each in opened:
            each.close()
        host.close()

    asyncio.run(main())


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
