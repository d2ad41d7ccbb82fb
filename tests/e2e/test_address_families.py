"""A cluster of both address families as its users see it, and the same cluster as it goes without one and gets it back."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from podling.cluster.data_dir import DataDir
from podling.linux.families import FAMILIES, IPV6, family_of, has_family
from podling.linux.netlink import Netlink
from podling.network.links import link_prefix
from tests.running import RunningCluster, eventually, pod_manifest, started

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not has_family(IPV6), reason="this machine has no IPv6"),
]

SERVES = "mkdir /tmp/www; hostname > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www"
TOLD = {
    "name": "main",
    "env": [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"status.{path}"}}}
        for name, path in (("PODS", "podIPs"), ("POD", "podIP"), ("HOSTS", "hostIPs"))
    ],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("families"), "--ip-family", "dual", "--listen", "::1") as cluster:
        server, told = (json.loads(pod_manifest(name, "sh", "-c", SERVES)) for name in ("server", "told"))
        told["spec"]["containers"][0] |= TOLD
        host = json.loads(pod_manifest("host", hostNetwork=True))
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {
                "ipFamilyPolicy": "RequireDualStack",
                "selector": {"app": "server"},
                "ports": [{"port": 80, "targetPort": 8080}],
            },
        }
        objects = {"apiVersion": "v1", "kind": "List", "items": [server, told, host, service]}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(objects))
        cluster.wait_ready("server", "told", "host")
        yield cluster


def addresses(cluster: RunningCluster, pod: str) -> list[str]:
    return [each["ip"] for each in cluster.get("pod", pod)["status"]["podIPs"]]


def fetched(cluster: RunningCluster, url: str) -> str:
    return cluster.kubectl("exec", "told", "--", "timeout", "3", "wget", "-qO-", url, check=False).stdout.strip()


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_everything_has_two_addresses(cluster: RunningCluster) -> None:
    """IPv4 first: of the Node, of its ranges, of Pods; a Pod of the host's network has the Node's."""
    (node,) = cluster.get("nodes")["items"]
    own = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    ranges = [ip_network(each) for each in node["spec"]["podCIDRs"]]
    assert [each.version for each in ranges] == [4, 6]
    assert node["spec"]["podCIDR"] == node["spec"]["podCIDRs"][0]
    for held in (own, addresses(cluster, "server")):
        assert all(ip_address(address) in network for address, network in zip(held, ranges, strict=True))
    assert addresses(cluster, "host") == own
    status = cluster.get("pod", "server")["status"]
    assert (status["podIP"], status["hostIP"]) == (status["podIPs"][0]["ip"], own[0])
    assert [each["ip"] for each in status["hostIPs"]] == own


def test_a_pod_is_told_of_both(cluster: RunningCluster) -> None:
    """By its environment and by /etc/hosts, in which its name has a line for each."""
    own, host = addresses(cluster, "told"), addresses(cluster, "host")
    told = cluster.kubectl("exec", "told", "--", "env").stdout.splitlines()
    assert {f"PODS={','.join(own)}", f"POD={own[0]}", f"HOSTS={','.join(host)}"} <= set(told)
    lines = cluster.kubectl("exec", "told", "--", "cat", "/etc/hosts").stdout.splitlines()
    assert [line.split() for line in lines if "told" in line] == [[address, "told"] for address in own]


def test_a_service_of_both_is_called_by_name_and_by_either_address(cluster: RunningCluster) -> None:
    """One Service, two cluster addresses; from a Pod both lead to the server, and so does the name."""
    spec = cluster.get("service", "web")["spec"]
    assert [family_of(ip_address(each)) for each in spec["clusterIPs"]] == list(FAMILIES)
    for host in (*map(bracketed, spec["clusterIPs"]), "web"):
        eventually(lambda host=host: fetched(cluster, f"http://{host}/") == "server")
    slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    found = {each["addressType"]: each["endpoints"][0]["addresses"][0] for each in slices}
    assert found == dict(zip(("IPv4", "IPv6"), addresses(cluster, "server"), strict=True))


def test_the_api_answers_at_every_address(cluster: RunningCluster) -> None:
    """The node's own, and what `--listen` says; the certificate names them all."""
    context = ssl.create_default_context(cafile=str(cluster.data / "pki" / "ca.crt"))
    for address in (*addresses(cluster, "host"), "::1"):
        with (
            socket.create_connection((address, cluster.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=address) as secured,
        ):
            secured.sendall(b"GET /version HTTP/1.0\r\nHost: x\r\n\r\n")
            assert secured.recv(12).startswith(b"HTTP/1.")


def test_the_kubelet_answers_at_each_address_of_its_node(cluster: RunningCluster) -> None:
    """Its certificate names both; who has none of the cluster's is told nothing at either."""
    context = ssl.create_default_context(cafile=str(cluster.data / "pki" / "ca.crt"))
    for address in addresses(cluster, "host"):
        with (
            socket.create_connection((address, 10250), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=address) as secured,
        ):
            secured.sendall(b"GET /pods HTTP/1.0\r\nHost: x\r\n\r\n")
            assert secured.recv(12) == b"HTTP/1.0 401"


def test_a_cluster_goes_without_a_family_and_gets_it_back(cluster: RunningCluster) -> None:
    """Started with IPv4 alone, no way by IPv6 leads to its Pods, what has IPv4 works, and two families are refused;
    started with both again, running Pods have both again, and the Service its own two addresses."""
    before, spec = cluster.get("pod", "server"), cluster.get("service", "web")["spec"]
    cluster.podling("down", "--keep-pods")
    cluster.up("--ip-family", "ipv4")
    with Netlink() as netlink:
        links = {
            link.index for link in netlink.links() if link.name.startswith(link_prefix(DataDir(cluster.data).instance))
        }
        assert links
        assert [route for route in netlink.routes(IPV6) if route.interface in links] == []
    eventually(lambda: fetched(cluster, f"http://{spec['clusterIP']}/") == "server")
    refused = cluster.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "second"},
        "spec": {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}], "selector": {"app": "server"}},
    }), check=False)  # fmt: skip
    assert "this cluster is not configured for dual-stack services" in refused.stderr
    cluster.podling("down", "--keep-pods")
    cluster.up("--ip-family", "dual")
    eventually(lambda: len(addresses(cluster, "server")) == 2)
    for host in spec["clusterIPs"]:
        eventually(lambda host=host: fetched(cluster, f"http://{bracketed(host)}/") == "server")
    after = cluster.get("pod", "server")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert cluster.get("service", "web")["spec"] == spec
