"""kubectl on LimitRanges, resizes and containers to debug with, as far as the API server answers."""

from __future__ import annotations

import json

import pytest

from tests.running import RunningCluster

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]

LIMITS = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "bounds"},
    "spec": {
        "limits": [
            {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}, "default": {"memory": "64Mi"}},
            {"type": "Pod", "max": {"memory": "1Gi"}},
        ]
    },
}


@pytest.fixture
def namespace(cluster: RunningCluster, name: str):
    """A namespace with bounds, gone after the test."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("apply", "-n", name, "-f", "-", stdin=json.dumps(LIMITS))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _pending(name: str) -> str:
    """A Pod that no node takes: what is tried here needs no container."""
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"nowhere": "yes"}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_limits_are_described(cluster: RunningCluster, namespace: str) -> None:
    """describe limits prints bounds and the defaults that follow from them; limits is the short name."""
    said = cluster.kubectl("describe", "limits", "bounds", "-n", namespace).stdout
    rows = [line.split() for line in said.splitlines()[-3:]]
    assert ["Container", "cpu", "100m", "1", "1", "1", "-"] in rows
    assert ["Container", "memory", "-", "-", "64Mi", "64Mi", "-"] in rows
    assert ["Pod", "memory", "-", "1Gi", "-", "-", "-"] in rows
    assert cluster.kubectl("get", "limits", "-n", namespace).stdout.splitlines()[0].split() == ["NAME", "CREATED", "AT"]


def test_a_resize_is_held_to_the_limits(cluster: RunningCluster, namespace: str) -> None:
    """patch --subresource=resize changes what a container asks for, within the bounds of its namespace."""
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=_pending("web"))

    def resize(cpu: str, *, check: bool = True):
        amounts = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
        body = json.dumps({"spec": {"containers": [{"name": "c", "resources": amounts}]}})
        return cluster.kubectl("patch", "pod", "web", "-n", namespace, "--subresource=resize", "-p", body, check=check)

    resize("500m")
    assert cluster.get("pod", "web", "-n", namespace)["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"
    refused = resize("2", check=False)
    assert 'pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2' in refused.stderr


def test_a_container_is_added_to_debug_with(cluster: RunningCluster, namespace: str) -> None:
    """kubectl debug adds an ephemeral container of the profile that was asked for."""
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=_pending("web"))
    cluster.kubectl("debug", "web", "-n", namespace, "--image=i", "-c", "look", "--profile=general", "--target=c")
    (added,) = cluster.get("pod", "web", "-n", namespace)["spec"]["ephemeralContainers"]
    assert (added["name"], added["image"], added["targetContainerName"]) == ("look", "i", "c")
