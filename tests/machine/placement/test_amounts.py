from __future__ import annotations

from typing import Any

import pytest
from placed import node_of, pod_of

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Pod
from podling.placement.amounts import Amounts, amounts, reckons_with, requests_of, weight_of


def _c(name: str, cpu: str = "", memory: str = "", **more: Any) -> dict[str, Any]:
    asked = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    return {"name": name, "resources": {"requests": asked}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu", "memory"),
    [
        ({"containers": [_c("a", "100m", "1Gi"), _c("b", "200m")]}, 300, 2**30),
        ({"containers": [_c("a", "100m")], "initContainers": [_c("i", "500m", "1Gi")]}, 500, 2**30),
        ({"containers": [_c("a", "1")], "initContainers": [_c("i", "500m"), _c("j", "700m")]}, 1000, 0),
        # A sidecar runs beside the containers and beside the init containers after it, not before it.
        (
            {
                "containers": [_c("a", "100m")],
                "initContainers": [_c("s", "200m", restartPolicy="Always"), _c("i", "900m")],
            },
            1100,
            0,
        ),
        (
            {
                "containers": [_c("a", "100m")],
                "initContainers": [_c("i", "900m"), _c("s", "200m", restartPolicy="Always")],
            },
            900,
            0,
        ),
        ({"containers": [_c("a", "100m")], "overhead": {"cpu": "50m", "memory": "10"}}, 150, 10),
        (
            {"containers": [_c("a", "100m", "1Gi")], "resources": {"requests": {"cpu": "2"}}, "overhead": {"cpu": "1"}},
            3000,
            2**30,
        ),
        # Only the total is rounded up.
        ({"containers": [_c("a", "100u"), _c("b", "900u")]}, 1, 0),
        ({"containers": [_c("a", "100u", "100m")]}, 1, 1),
    ],
)
def test_requests_of(spec: dict[str, Any], cpu: int, memory: int) -> None:
    """A Pod takes what upstream's PodRequests says."""
    asked = requests_of(from_tree(Pod, {"spec": spec}))
    assert (asked.milli_cpu, asked.memory) == (cpu, memory)


def test_resize_counts_the_largest() -> None:
    """While a resize is under way the Node keeps room for desired, allocated and actual; an infeasible wish does not count."""
    state = {"name": "a", "image": "", "imageID": "", "ready": True, "restartCount": 0}
    tree = {
        "spec": {"containers": [_c("a", "3")]},
        "status": {
            "containerStatuses": [state | {"allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "2"}}}]
        },
    }
    assert requests_of(from_tree(Pod, tree)).milli_cpu == 3000
    tree["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
    assert requests_of(from_tree(Pod, tree)).milli_cpu == 2000


def test_a_resize_of_the_pod_itself_counts_the_largest() -> None:
    """The same of what the Pod asks for as a whole."""
    tree = {
        "spec": {"containers": [_c("a")], "resources": {"requests": {"cpu": "3"}}},
        "status": {"allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "2"}}},
    }
    assert requests_of(from_tree(Pod, tree)).milli_cpu == 3000
    tree["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
    assert requests_of(from_tree(Pod, tree)).milli_cpu == 2000


def test_weight_counts_defaults_for_who_asks_nothing() -> None:
    """Scores see 100m and 200 MiB for each container that names none, unless the Pod names it."""
    assert weight_of(from_tree(Pod, {"spec": {"containers": [_c("a"), _c("b", "50m")]}})) == (150, 400 * 2**20)
    named = {"spec": {"containers": [_c("a"), _c("b")], "resources": {"requests": {"cpu": "1"}}}}
    assert weight_of(from_tree(Pod, named)) == (1000, 400 * 2**20)


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("hugepages-2Mi", True),
        ("example.com/gpu", True),
        ("kubernetes.io/batch-cpu", True),
        ("attachable-volumes-csi", True),
        ("requests.example.com/gpu", False),
        ("storage", False),
    ],
)
def test_reckons_with(name: str, counted: bool) -> None:
    """Extended resources and huge pages are reckoned with, quota names are not."""
    assert reckons_with(name) is counted
    assert (name in amounts({name: "3"}).scalars) is counted


def test_node_sums_return_to_nothing() -> None:
    """Counting Pods in and out again leaves the sums as they were; a copy is independent."""
    node = node_of()
    ports = [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    one = pod_of("a", requests={"cpu": "1", "memory": "1Gi", "example.com/gpu": "2"}, priority=3)
    two = pod_of("b", containers=[{"name": "c", "ports": ports}])
    node.add(one)
    node.add(two)
    node.add(two)
    twin = node.copy()
    twin.remove(one.uid)
    assert (node.milli_cpu, node.memory, node.scalars["example.com/gpu"]) == (1000, 2**30, 2)
    assert (twin.milli_cpu, len(twin.pods), len(node.pods), node.priorities) == (0, 1, 2, {3: 1, 0: 1})
    node.remove(one.uid)
    node.remove(two.uid)
    node.remove("never seen")
    assert (node.milli_cpu, node.memory, node.weighed_memory, node.ports, node.pods) == (0, 0, 0, {}, {})
    assert Amounts().nothing
    assert not Amounts(memory=1).nothing
