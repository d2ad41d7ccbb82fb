"""Policies over Pods that CNI plugins wire, with more addresses than a status tells."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podling.cluster.data_dir import DataDir
from podling.linux import namespaces
from podling.linux.families import FAMILIES
from podling.linux.netlink import Netlink
from tests.families import needs_ipv6
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest

PLUGINS = Path("/usr/lib/cni")
pytestmark = [
    pytest.mark.root,
    needs_ipv6,
    pytest.mark.skipif(not (PLUGINS / "ptp").exists(), reason="containernetworking-plugins is not installed"),
]
_OWN = os.getpid() % 256
SUBNETS = (f"fd00:172:28:{_OWN:x}::/64", f"172.28.{_OWN}.0/24", f"172.27.{_OWN}.0/24")
PORT = 8080


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    (tmp_path / "net.d").mkdir()
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": subnet}] for subnet in SUBNETS],
        "dataDir": str(tmp_path / "leases"),
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    plugins = [{"type": "ptp", "ipam": ipam}]
    configuration = {"cniVersion": "1.0.0", "name": f"policies{os.getpid()}", "plugins": plugins}
    (tmp_path / "net.d" / "10-test.conflist").write_text(json.dumps(configuration))
    running = RunningCluster(tmp_path / "data", free_port(), "oci")
    try:
        running.up("--cni", str(tmp_path / "net.d"))
        running.podling("image", "load", str(busybox_archive(tmp_path)))
        yield running
    finally:
        running.podling("down", check=False)


def test_policies_hold_at_every_address(cluster: RunningCluster) -> None:
    """A Pod's status tells one address of each family, IPv4 first; a policy closes and opens all that it was given."""
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        json.loads(pod_manifest(name)) for name in ("web", "friend", "other")
    ]}))  # fmt: skip
    cluster.wait_ready("web", "friend", "other")
    found = {pod["metadata"]["name"]: pod for pod in cluster.get("pods")["items"]}
    run = DataDir(cluster.data).run
    spaces = {name: str(run / "ns" / pod["metadata"]["uid"] / "net") for name, pod in found.items()}
    given = namespaces.inside(spaces["web"], _addresses)
    assert len(given) == len(SUBNETS)
    told = [entry["ip"] for entry in found["web"]["status"]["podIPs"]]
    assert [":" in address for address in told] == [False, True]
    assert set(told) < set(given)

    listeners = [namespaces.inside(spaces["web"], lambda a=a: _listening(a)) for a in given]
    try:

        def reached(name: str) -> set[str]:
            return {address for address in given if _connects(spaces[name], address)}

        for name in ("other", "friend"):  # ptp leaves its IPv6 gateway tentative for a second or two
            eventually(lambda name=name: reached(name) == set(given))
        policy: dict[str, Any] = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "web"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "web"}},
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
            },
        }
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
        eventually(lambda: not reached("other"))
        assert reached("friend") == set(given)
        cluster.kubectl("delete", "networkpolicy", "web")
        eventually(lambda: reached("other") == set(given))
    finally:
        for listener in listeners:
            listener.close()


def _addresses() -> list[str]:
    with Netlink() as netlink:
        held = [address for family in FAMILIES for address in netlink.addresses(family)]
    return [str(address) for address in held if not address.is_loopback and not address.is_link_local]


def _listening(address: str) -> socket.socket:
    return socket.create_server((address, PORT), family=_family(address))


def _connects(space: str, address: str) -> bool:
    with namespaces.inside(space, lambda: socket.socket(_family(address))) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect((address, PORT))
        except TimeoutError:
            return False
        return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
