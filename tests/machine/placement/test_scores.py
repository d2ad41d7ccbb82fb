from __future__ import annotations

import pytest
from placed import node_of, pod_of

from podling.placement.nodes import Snapshot
from podling.placement.plugin import normalised
from podling.placement.plugins.balanced_allocation import BalancedAllocation
from podling.placement.plugins.image_locality import ImageLocality, normalised_name
from podling.placement.plugins.node_affinity import NodeAffinity
from podling.placement.plugins.node_resources_fit import NodeResourcesFit
from podling.placement.plugins.taint_toleration import TaintToleration


def test_least_allocated() -> None:
    """The emptier Node scores more: the mean of free CPU and free memory, the Pod counted in, in whole hundredths."""
    pod = pod_of(requests={"cpu": "1", "memory": "2Gi"})
    nodes = [
        node_of("empty"),
        node_of("half", pods=(pod_of("x", requests={"cpu": "1", "memory": "2Gi"}),)),
        node_of("over", pods=(pod_of("y", requests={"cpu": "4", "memory": "8Gi"}),)),
        node_of("bare", given={"cpu": "0", "memory": "0"}),
    ]
    assert NodeResourcesFit().score(pod, Snapshot(nodes), nodes) == [75, 50, 0, 0]


def test_least_allocated_counts_defaults() -> None:
    """Pods that ask for nothing still weigh, so that they spread."""
    nodes = [node_of("a", pods=(pod_of("x"),)), node_of("b")]
    first, second = NodeResourcesFit().score(pod_of(), Snapshot(nodes), nodes) or (0, 0)
    assert first < second


def test_balanced_allocation() -> None:
    """A Node that the Pod brings into balance scores more than one that it brings out of it; asking nothing is no opinion."""
    pod = pod_of(requests={"cpu": "1"})
    memory_heavy = node_of("m", pods=(pod_of("x", requests={"memory": "4Gi"}),))
    cpu_heavy = node_of("c", pods=(pod_of("y", requests={"cpu": "2"}),))
    nodes = [memory_heavy, cpu_heavy]
    # with/without: 0.25|0.5 → 87 after 75; 0.75|0 → 62 after 75
    assert BalancedAllocation().score(pod, Snapshot(nodes), nodes) == [81, 68]
    assert BalancedAllocation().score(pod_of(), Snapshot(nodes), nodes) is None


def test_preferred_affinity() -> None:
    """Weights of met preferences add up, and the best Node gets 100."""
    term = {"preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}
    disk = {"preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}}
    prefer = [term | {"weight": 30}, disk | {"weight": 10}]
    pod = pod_of(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefer}})
    nodes = [
        node_of("both", labels={"zone": "a", "ssd": ""}),
        node_of("zone", labels={"zone": "a"}),
        node_of("disk", labels={"ssd": ""}),
        node_of("none"),
    ]
    assert NodeAffinity().score(pod, Snapshot(nodes), nodes) == [100, 75, 25, 0]
    assert NodeAffinity().score(pod_of(), Snapshot(nodes), nodes) is None


def test_prefer_no_schedule() -> None:
    """Fewer unwanted soft taints are better; tolerated ones do not count."""
    soft = [{"key": k, "effect": "PreferNoSchedule"} for k in "ab"]
    nodes = [node_of("none"), node_of("one", taints=soft[:1]), node_of("two", taints=soft)]
    assert TaintToleration().score(pod_of(), Snapshot(nodes), nodes) == [100, 50, 0]
    tolerant = pod_of(tolerations=[{"key": "a", "operator": "Exists"}])
    assert TaintToleration().score(tolerant, Snapshot(nodes), nodes) == [100, 100, 0]


def test_image_locality() -> None:
    """A Node that has the image scores by its size and spread, between 23 MB and 1000 MB a container."""
    big = {"web:latest": 1000 * 2**20}
    nodes = [node_of("has", images=big), node_of("also", images=big), node_of("not")]
    scores = ImageLocality().score(pod_of(), Snapshot(nodes), nodes)
    assert scores == [65, 65, 0]
    assert ImageLocality().score(pod_of(containers=[{"name": "c", "image": "other"}]), Snapshot(nodes), nodes) is None


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("web", "web:latest"),
        ("web:1", "web:1"),
        ("host:5000/web", "host:5000/web:latest"),
        ("host:5000/web:1", "host:5000/web:1"),
        ("web@sha256:ab", "web@sha256:ab"),
    ],
)
def test_image_names(image: str, name: str) -> None:
    """An image without a tag is its latest, and a port is no tag."""
    assert normalised_name(image) == name


def test_normalised() -> None:
    """The largest becomes 100; reversed, the smallest does; nothing to compare is equal for all."""
    assert normalised([0, 5, 10]) == [0, 50, 100]
    assert normalised([0, 5, 10], reverse=True) == [100, 50, 0]
    assert normalised([0, 0]) == [0, 0]
    assert normalised([0, 0], reverse=True) == [100, 100]
