"""Host ports: what of a Pod's is asked in which address family, and what a new life of Podling remembers of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from podling.api.pods import HostPort
from podling.lifecycle.traffic import Traffic
from podling.linux.families import FAMILIES, Family
from podling.network.proxy import hostports
from podling.network.proxy.hostports import HostPorts
from podling.network.proxy.rules import ServiceRules

PORTS = (HostPort(8080, 80, "TCP", ""), HostPort(8081, 81, "UDP", "192.0.2.1"), HostPort(8082, 82, "TCP", "::"))
PORTED = Traffic(ports=PORTS)
ADDRESSES = ("10.244.0.5", "fd00:10:244::5")


class FakePods:
    """A Pod network of one family or of both."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.wired: dict[str, Sequence[str]] = {}

    async def attach(self, uid: str, *_: object) -> Sequence[str]:
        return self.wired.setdefault(uid, self.addresses)

    async def detach(self, uid: str) -> None:
        del self.wired[uid]

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return self.wired


class FakeProxy:
    """Remembers what leads to which Pod."""

    def __init__(self) -> None:
        self.forwarded: dict[str, Mapping[Family, ServiceRules]] = {}

    def forward(self, pod: str, rules: Mapping[Family, ServiceRules]) -> None:
        self.forwarded[pod] = rules

    async def caught_up(self, pod: str) -> None:
        assert pod in self.forwarded


def lives(tmp_path: Path, pods: FakePods) -> tuple[HostPorts, FakeProxy]:
    proxy = FakeProxy()
    return HostPorts(cast("Any", pods), cast("Any", proxy), tmp_path), proxy


def wanted(*addresses: str) -> Mapping[Family, ServiceRules]:
    by_family = {family: address for family in FAMILIES for address in addresses if family.packed(address)}
    return {family: hostports.plan(family, address, PORTS) for family, address in by_family.items()}


def test_each_family_leads_to_the_pod_by_its_address_of_it(tmp_path: Path) -> None:
    """What the Pod has been given decides, not what it asks for; it is remembered, and gone once it is detached."""

    async def main() -> None:
        for addresses in (ADDRESSES, ADDRESSES[:1]):
            pods = FakePods(*addresses)
            first, proxy = lives(tmp_path, pods)
            assert await first.attach("uid", "default", "web", "/ns", PORTED) == addresses
            assert proxy.forwarded == {"uid": wanted(*addresses)}
            again, proxy = lives(tmp_path, pods)
            await again.start()
            assert proxy.forwarded == {"uid": wanted(*addresses)}
            await again.detach("uid")
            assert proxy.forwarded == {"uid": {}}
            assert pods.wired == {}

    asyncio.run(main())


def test_pods_come_to_a_second_family_and_go_without_it(tmp_path: Path) -> None:
    """What an older Podling wrote is read, with one address for each Pod: what is wired by now decides, then and later."""

    async def main() -> None:
        ports = [{"host_port": 8080, "container_port": 80, "protocol": "TCP", "address": ""}]
        old = {"uid": {"address": ADDRESSES[0], "ports": ports}, "gone": {"address": "10.244.0.6", "ports": ports}}
        (tmp_path / "network").mkdir()
        (tmp_path / "network" / "hostports.json").write_text(json.dumps(old))
        both = {
            family: hostports.plan(family, each, PORTS[:1]) for family, each in zip(FAMILIES, ADDRESSES, strict=True)
        }
        for known, now in ((1, 2), (2, 2), (2, 1), (1, 1)):
            pods = FakePods(*ADDRESSES[:known])
            await pods.attach("uid")
            forwarding, proxy = lives(tmp_path, pods)
            await forwarding.start()
            assert proxy.forwarded == {"uid": {family: both[family] for family in FAMILIES[:known]}}
            pods.wired = {"uid": ADDRESSES[:now]}
            await forwarding.attach("uid", "default", "web", "/ns", Traffic(ports=PORTS[:1]))
            assert proxy.forwarded == {"uid": {family: both[family] for family in FAMILIES[:now]}}

    asyncio.run(main())


def test_it_is_on_disk_before_it_is_in_force(tmp_path: Path) -> None:
    """Killed in between, a new life lays down what was asked."""

    async def main() -> None:
        pods = FakePods(*ADDRESSES)
        forwarding, proxy = lives(tmp_path, pods)
        remembered: list[bool] = []
        proxy.forward = lambda *_: remembered.append((tmp_path / "network" / "hostports.json").exists())  # type: ignore[method-assign]
        proxy.forwarded["uid"] = {}
        await forwarding.attach("uid", "default", "web", "/ns", PORTED)
        assert remembered == [True]

    asyncio.run(main())
