from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Node, Pod
from podling.placement.nodes import NodeInfo
from podling.placement.pods import PodInfo
from podling.scheduler.cache import CONFIRMATION, Cache


def _node(name: str, zone: str = "", images: tuple[str, ...] = ()) -> Node:
    tree = {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "4", "pods": "9"}, "images": [{"names": list(images), "sizeBytes": 5}]},
    }
    return from_tree(Node, tree)


def _pod(uid: str, cpu: int = 1, port: int = 0) -> PodInfo:
    container: dict[str, Any] = {"name": "c", "resources": {"requests": {"cpu": str(cpu)}}}
    if port:
        container["ports"] = [{"containerPort": port, "hostPort": port}]
    return PodInfo(from_tree(Pod, {"metadata": {"name": uid, "uid": uid}, "spec": {"containers": [container]}}))


def test_assumption_is_confirmed_or_expires() -> None:
    """An assumed Pod counts; confirmed it counts once; a binding that nobody confirms comes up again, one not bound yet does not."""
    cache = Cache()
    cache.set_node(_node("n1"))
    for uid in "abc":
        cache.assume(_pod(uid), "n1")
    info = cache.snapshot().by_name["n1"]
    assert info.milli_cpu == 3000
    cache.bound("a", 10.0)
    cache.bound("b", 12.0)
    cache.confirm(_pod("a"), "n1")
    assert info.milli_cpu == 3000
    assert not cache.is_assumed("a")
    assert cache.next_deadline() == 12.0 + CONFIRMATION
    assert cache.expired(12.0 + CONFIRMATION) == ["b"]
    cache.remove("b")
    assert cache.expired(1e9) == []
    assert info.milli_cpu == 2000


def test_watch_wins_over_assumption() -> None:
    """A Pod that turns out to be on another Node is counted there and nowhere else."""
    cache = Cache()
    cache.set_node(_node("n1"))
    cache.set_node(_node("n2"))
    cache.assume(_pod("a"), "n1")
    cache.confirm(_pod("a", 2), "n2")
    assert [n.milli_cpu for n in cache.snapshot().nodes] == [0, 2000]


def test_zones_take_turns() -> None:
    """Nodes of different zones alternate, so that a search that stops early has seen all zones."""
    cache = Cache()
    for name, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        cache.set_node(_node(name, zone))
    assert [n.name for n in cache.snapshot().nodes] == ["a1", "b1", "a2", "a3"]
    cache.set_node(_node("a1", "c"))
    assert [n.name for n in cache.snapshot().nodes] == ["a1", "a2", "b1", "a3"]


def test_image_spread_follows_nodes() -> None:
    """How many Nodes have an image is kept current as Nodes come, change and go."""
    cache = Cache()
    cache.set_node(_node("n1", images=("web:1", "db:1")))
    cache.set_node(_node("n2", images=("web:1",)))
    assert dict(cache.snapshot().image_spread) == {"web:1": 2, "db:1": 1}
    cache.set_node(_node("n1", images=("db:1",)))
    cache.remove_node("n2")
    assert dict(cache.snapshot().image_spread) == {"db:1": 1}


_OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["assume", "confirm", "remove", "node", "no node"]),
        st.sampled_from("abcd"),
        st.sampled_from(["n1", "n2"]),
        st.integers(1, 3),
    ),
    max_size=40,
)


@given(_OPERATIONS)
def test_sums_equal_those_of_the_pods(operations: list[tuple[str, str, str, int]]) -> None:
    """Whatever happens in whatever order, each Node's sums are those of the Pods that are on it, also after it was away."""
    cache = Cache()
    expected: dict[str, tuple[str, PodInfo]] = {}
    for what, uid, node, size in operations:
        pod = _pod(uid, size, port=8000 + size)
        match what:
            case "assume":
                cache.assume(pod, node)
                expected[uid] = (node, pod)
            case "confirm":
                cache.confirm(pod, node)
                expected[uid] = (node, pod)
            case "remove":
                cache.remove(uid)
                expected.pop(uid, None)
            case "node":
                cache.set_node(_node(node))
            case "no node":
                cache.remove_node(node)
    for info in cache.snapshot().nodes:
        fresh = NodeInfo(info.node)
        for node, pod in expected.values():
            if node == info.name:
                fresh.add(pod)
        assert (info.milli_cpu, info.weighed_memory, info.ports, info.priorities, set(info.pods)) == (
            fresh.milli_cpu,
            fresh.weighed_memory,
            fresh.ports,
            fresh.priorities,
            set(fresh.pods),
        )
