"""kubectl expose, create service, describe and get of Services, and what stands behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.running import RunningCluster, eventually

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


@pytest.fixture
def exposed(cluster: RunningCluster, pod: str) -> Iterator[str]:
    """A Service that kubectl has made for a Ready Pod."""
    made = cluster.kubectl("expose", "pod", pod, "--port=80", "--target-port=8080", "--name", pod)
    assert f"service/{pod} exposed" in made.stdout
    yield pod
    cluster.kubectl("delete", "service", pod, "--ignore-not-found")


def rows(cluster: RunningCluster, *words: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in cluster.kubectl("get", *words, "--no-headers").stdout.splitlines()]


def test_expose_and_get(cluster: RunningCluster, exposed: str) -> None:
    """The columns of Services, Endpoints and slices are upstream's, wide ones too."""
    address = eventually(lambda: cluster.get("pod", exposed)["status"].get("podIP"))
    ((name, kind, own, outside, ports, _, selector),) = rows(cluster, "service", exposed, "-o", "wide")
    assert (name, kind, outside, ports, selector) == (exposed, "ClusterIP", "<none>", "80/TCP", f"app={exposed}")
    assert cluster.get("service", exposed)["spec"]["clusterIP"] == own
    eventually(lambda: rows(cluster, "endpoints", exposed)[0][1] == f"{address}:8080")
    ((name, family, port, shown, _),) = rows(cluster, "endpointslices", "-l", f"kubernetes.io/service-name={exposed}")
    assert name.startswith(f"{exposed}-")
    assert (family, port, shown) == ("IPv4", "8080", address)


def test_describe(cluster: RunningCluster, exposed: str) -> None:
    """With the endpoints, which newer kubectls read from slices, and the Events of what was done for the Service."""
    address = cluster.get("pod", exposed)["status"]["podIP"]

    def described() -> dict[str, str]:
        lines = cluster.kubectl("describe", "service", exposed).stdout.splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines) if value}

    eventually(lambda: described().get("Endpoints") == f"{address}:8080")
    patch = '{"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}}'
    cluster.kubectl("patch", "service", exposed, "-p", patch)
    shown = eventually(lambda: found if "LoadBalancer Ingress" in (found := described()) else None)
    assert (shown["Type"], shown["Session Affinity"], shown["External Traffic Policy"]) == (
        "LoadBalancer",
        "ClientIP",
        "Cluster",
    )
    assert re.match(r"\d+\.\d+\.\d+\.\d+( \(VIP\))?$", shown["LoadBalancer Ingress"])
    about = f"--field-selector=involvedObject.name={exposed},involvedObject.kind=Service"
    eventually(lambda: "EnsuredLoadBalancer" in {event["reason"] for event in cluster.get("events", about)["items"]})


def test_every_type_by_command(cluster: RunningCluster, name: str) -> None:
    """`kubectl create service` makes each type, `get` shows what each has, and a taken port is refused in words."""
    create = ("create", "service")
    try:
        cluster.kubectl(*create, "clusterip", f"{name}-a", "--tcp=80:8080", "--tcp=443:8443")
        cluster.kubectl(*create, "clusterip", f"{name}-b", "--clusterip=None", "--tcp=80")
        cluster.kubectl(*create, "nodeport", f"{name}-c", "--tcp=80:8080", "--node-port=31999")
        cluster.kubectl(*create, "loadbalancer", f"{name}-d", "--tcp=80:8080")
        cluster.kubectl(*create, "externalname", f"{name}-e", "--external-name=example.com")
        eventually(lambda: rows(cluster, "service", f"{name}-d")[0][3] != "<pending>")
        shown = {
            row[0].removeprefix(f"{name}-"): row[1:5]
            for each in "abcde"
            for row in rows(cluster, "svc", f"{name}-{each}")
        }
        assert shown["a"][3] == "80/TCP,443/TCP"
        assert shown["b"][:2] == ["ClusterIP", "None"]
        assert (shown["c"][0], shown["c"][3]) == ("NodePort", "80:31999/TCP")
        assert re.match(r"80:3\d{4}/TCP", shown["d"][3])
        assert (shown["e"][0], shown["e"][1], shown["e"][2]) == ("ExternalName", "<none>", "example.com")
        taken = cluster.kubectl(*create, "nodeport", f"{name}-f", "--tcp=80", "--node-port=31999", check=False)
        assert "spec.ports[0].nodePort: Invalid value: 31999: provided port is already allocated" in taken.stderr
    finally:
        cluster.kubectl("delete", "service", *(f"{name}-{each}" for each in "abcdef"), "--ignore-not-found")


def test_hand_written_endpoints(cluster: RunningCluster, name: str) -> None:
    """A Service without a selector leads where the user says; its Endpoints are mirrored, and go with it."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"name": "db", "port": 5432}]},
    }
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name},
        "subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"name": "db", "port": 5432}]}],
    }
    for tree in (service, endpoints):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))
    label = f"kubernetes.io/service-name={name}"
    (held,) = eventually(lambda: cluster.get("endpointslices", "-l", label)["items"])
    assert held["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslicemirroring-controller.k8s.io"
    )
    assert held["endpoints"][0]["addresses"] == ["192.0.2.9"]
    cluster.kubectl("delete", "service", name)
    eventually(lambda: not cluster.get("endpointslices", "-l", label)["items"])
    eventually(lambda: cluster.kubectl("get", "endpoints", name, check=False).returncode)
