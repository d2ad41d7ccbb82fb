from __future__ import annotations

from typing import Any

import pytest
from placed import node_of, pod_of

from podling.placement.fitting import refusal
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.pods import PendingPod
from podling.placement.profile import DEFAULT

AFFINITY = "node(s) didn't match Pod's node affinity/selector"
TAINT = "node(s) had untolerated taint(s)"
PORTS = "node(s) didn't have free ports for the requested pod ports"


def _why(pod: PendingPod, node: NodeInfo) -> tuple[str, ...]:
    found = refusal(pod, node, Snapshot([node]), DEFAULT)
    return found.reasons if found else ()


def _expr(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def _required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        (_expr("zone", "In", "a", "b"), True),
        (_expr("zone", "In", "b"), False),
        (_expr("none", "In", "a"), False),
        (_expr("zone", "NotIn", "a"), False),
        (_expr("none", "NotIn", "a"), True),
        (_expr("zone", "Exists"), True),
        (_expr("none", "Exists"), False),
        (_expr("zone", "DoesNotExist"), False),
        (_expr("none", "DoesNotExist"), True),
        (_expr("cores", "Gt", "7"), True),
        (_expr("cores", "Gt", "8"), False),
        (_expr("cores", "Lt", "9"), True),
        (_expr("zone", "Lt", "9"), False),
        (_expr("none", "Lt", "9"), False),
        (_expr("cores", "Lt", " 9"), False),
    ],
)
def test_node_affinity_operators(expression: dict[str, Any], fits: bool) -> None:
    """Each operator of a node selector means what upstream means by it."""
    node = node_of(labels={"zone": "a", "cores": "8"})
    pod = pod_of(affinity=_required({"matchExpressions": [expression]}))
    assert _why(pod, node) == (() if fits else (AFFINITY,))


@pytest.mark.parametrize(
    ("spec", "reasons"),
    [
        ({"nodeSelector": {"zone": "a"}}, ()),
        ({"nodeSelector": {"zone": "b"}}, (AFFINITY,)),
        ({"affinity": _required({})}, (AFFINITY,)),
        ({"affinity": _required()}, (AFFINITY,)),
        ({"affinity": _required({"matchFields": [_expr("metadata.name", "In", "n1")]})}, ()),
        ({"affinity": _required({"matchFields": [_expr("metadata.name", "NotIn", "n1")]})}, (AFFINITY,)),
        (
            {
                "affinity": _required(
                    {"matchFields": [_expr("metadata.name", "In", "x"), _expr("metadata.name", "In", "n1")]}
                )
            },
            ("pod affinity terms conflict",),
        ),
        # Terms are alternatives; nodeSelector is demanded beside them.
        (
            {
                "affinity": _required(
                    {"matchExpressions": [_expr("q", "Exists")]}, {"matchExpressions": [_expr("zone", "Exists")]}
                )
            },
            (),
        ),
        (
            {"nodeSelector": {"q": "1"}, "affinity": _required({"matchExpressions": [_expr("zone", "Exists")]})},
            (AFFINITY,),
        ),
        ({"nodeName": "n1"}, ()),
        ({"nodeName": "n2"}, ("node(s) didn't match the requested node name",)),
    ],
)
def test_node_selection(spec: dict[str, Any], reasons: tuple[str, ...]) -> None:
    """nodeSelector, required terms, fields and nodeName choose Nodes."""
    assert _why(pod_of(**spec), node_of(labels={"zone": "a"})) == reasons


@pytest.mark.parametrize(
    ("effect", "toleration", "fits"),
    [
        ("NoSchedule", None, False),
        ("NoExecute", None, False),
        ("PreferNoSchedule", None, True),
        ("NoSchedule", {"key": "k", "value": "5"}, True),
        ("NoSchedule", {"key": "k", "operator": "Equal", "value": "6"}, False),
        ("NoSchedule", {"operator": "Exists"}, True),
        ("NoSchedule", {"key": "other", "operator": "Exists"}, False),
        ("NoExecute", {"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ("NoSchedule", {"key": "k", "operator": "Gt", "value": "4"}, True),
        ("NoSchedule", {"key": "k", "operator": "Gt", "value": "5"}, False),
        ("NoSchedule", {"key": "k", "operator": "Lt", "value": "6"}, True),
        ("NoSchedule", {"key": "k", "operator": "Lt", "value": "x"}, False),
    ],
)
def test_taints(effect: str, toleration: dict[str, str] | None, fits: bool) -> None:
    """A taint keeps away who does not tolerate it, by key, value, number and effect."""
    node = node_of(taints=[{"key": "k", "value": "5", "effect": effect}])
    assert _why(pod_of(tolerations=[toleration] if toleration else []), node) == (() if fits else (TAINT,))


def test_cordon() -> None:
    """A cordoned Node says so before its taint does, and takes who tolerates the taint."""
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    node = node_of(unschedulable=True, taints=[taint])
    assert _why(pod_of(), node) == ("node(s) were unschedulable",)
    assert _why(pod_of(tolerations=[{"key": taint["key"], "operator": "Exists"}]), node) == ()


def _with_port(name: str, address: str, protocol: str, port: int) -> PendingPod:
    ports = [{"containerPort": 1, "hostPort": port, "hostIP": address, "protocol": protocol}]
    return pod_of(name, containers=[{"name": "c", "ports": ports}])


@pytest.mark.parametrize(
    ("held", "wanted", "fits"),
    [
        (("", "TCP", 80), ("", "TCP", 80), False),
        (("", "TCP", 80), ("", "UDP", 80), True),
        (("", "TCP", 80), ("", "TCP", 81), True),
        (("127.0.0.1", "TCP", 80), ("127.0.0.2", "TCP", 80), True),
        (("127.0.0.1", "TCP", 80), ("127.0.0.1", "TCP", 80), False),
        (("127.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), False),
        (("0.0.0.0", "TCP", 80), ("127.0.0.1", "TCP", 80), False),
    ],
)
def test_ports(held: tuple[str, str, int], wanted: tuple[str, str, int], fits: bool) -> None:
    """A host port is one per protocol and address, and the wildcard address is every address."""
    node = node_of(pods=(_with_port("other", *held),))
    assert _why(_with_port("web", *wanted), node) == (() if fits else (PORTS,))


@pytest.mark.parametrize(
    ("asked", "reasons", "resolvable"),
    [
        ({"cpu": "2"}, (), False),
        ({"cpu": "2001m"}, ("Insufficient cpu",), True),
        ({"cpu": "5"}, ("Insufficient cpu",), False),
        ({"cpu": "3", "memory": "7Gi"}, ("Insufficient cpu", "Insufficient memory"), True),
        ({"ephemeral-storage": "11Gi"}, ("Insufficient ephemeral-storage",), False),
        ({"example.com/gpu": "1"}, ("Insufficient example.com/gpu",), False),
        ({"storage": "100Gi"}, (), False),
    ],
)
def test_resources(asked: dict[str, str], reasons: tuple[str, ...], resolvable: bool) -> None:
    """What does not fit is named, in upstream's order; more than the whole Node cannot be helped by preemption."""
    node = node_of(pods=(pod_of("other", requests={"cpu": "2", "memory": "4Gi"}),))
    found = refusal(pod_of(requests=asked), node, Snapshot([node]), DEFAULT)
    assert (found.reasons, found.resolvable) == (reasons, resolvable) if found else not reasons


def test_count_and_overcommitment() -> None:
    """A full Node refuses even who asks for nothing; an overcommitted resource refuses only who asks for it."""
    full = node_of(given={"pods": "1"}, pods=(pod_of("other"),))
    assert _why(pod_of(), full) == ("Too many pods",)
    assert _why(pod_of(requests={"cpu": "5"}), full) == ("Too many pods", "Insufficient cpu")
    over = node_of(pods=(pod_of("other", requests={"memory": "9Gi"}),))
    assert _why(pod_of(requests={"cpu": "1"}), over) == ()
