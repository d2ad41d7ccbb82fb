"""Rules that look at other Pods: spreading, affinity and anti-affinity between Pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import strategies as st
from placed import GIVEN, node_of

from podling.api.codec import from_tree
from podling.api.selectors import IN, Selector, from_labels, requirement
from podling.api.types.core_v1 import Node, Pod
from podling.placement.counts import PodCounts, Trial
from podling.placement.fitting import Chosen, Unschedulable, decide
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.plugins.inter_pod_affinity import InterPodAffinity
from podling.placement.plugins.pod_topology_spread import PodTopologySpread
from podling.placement.pods import PendingPod
from podling.placement.profile import DEFAULT
from podling.placement.terms import Query, Stance

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


def pod(name: str, labels: dict[str, str] | None = None, namespace: str = "default", **spec: Any) -> PendingPod:
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels or {}}
    if owner := spec.pop("owner", ""):
        meta["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o", "uid": owner, "controller": True}
        ]
    if spec.pop("deleting", False):
        meta["deletionTimestamp"] = "2023-11-14T22:13:20Z"
    spec.setdefault("containers", [{"name": "c", "image": "web"}])
    return PendingPod(from_tree(Pod, {"metadata": meta, "spec": spec}))


def node(name: str, zone: str | None = None, *pods: PendingPod, **spec: Any) -> NodeInfo:
    labels = {HOST: name} | ({ZONE: zone} if zone else {})
    return node_of(name, labels=labels, pods=pods, **spec)


def web(*names: str) -> tuple[PendingPod, ...]:
    return tuple(pod(name, {"app": "web"}) for name in names)


def spread(skew: int = 1, when: str = "DoNotSchedule", key: str = ZONE, **more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector, **more}


def term(labels: dict[str, str], key: str = ZONE, **more: Any) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": key, **more}


def required(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferred(kind: str, weight: int, one: dict[str, Any]) -> dict[str, Any]:
    weighted = [{"weight": weight, "podAffinityTerm": one}]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}


def fitting(one: PendingPod, *nodes: NodeInfo, namespaces: Mapping[str, Mapping[str, str]] | None = None) -> list[str]:
    """The Nodes that spreading and affinity let a Pod have."""
    snapshot = Snapshot(nodes, namespaces=namespaces)
    checks = [rule.prepare(one, snapshot).check for rule in (PodTopologySpread(), InterPodAffinity())]
    return [n.name for n in nodes if all(check is None or check(n) is None for check in checks)]


def why(one: PendingPod, *nodes: NodeInfo) -> str:
    decision = decide(one, Snapshot(nodes), DEFAULT)
    assert isinstance(decision, Unschedulable)
    return decision.diagnosis.message()


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (spread(), ["c"]),
        (spread(2), ["b", "c"]),
        (spread(3), ["a", "b", "c"]),
    ],
)
def test_hard_spreading(constraint: dict[str, Any], expected: list[str]) -> None:
    """No domain may have more than maxSkew above the emptiest."""
    nodes = [node("a", "1", *web("p", "q")), node("b", "2", *web("r")), node("c", "3"), node("bare")]
    one = pod("new", {"app": "web"}, topologySpreadConstraints=[constraint])
    assert fitting(one, *nodes) == expected


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (spread(), ["a", "b"]),
        (spread(minDomains=2), ["a", "b"]),
        (spread(minDomains=3), []),
        (spread(2, minDomains=3), ["a", "b"]),
    ],
)
def test_too_few_domains_count_as_an_empty_one(constraint: dict[str, Any], expected: list[str]) -> None:
    """Below minDomains the emptiest domain is one that is not there yet."""
    nodes = [node("a", "1", *web("p")), node("b", "2", *web("q"))]
    assert fitting(pod("new", {"app": "web"}, topologySpreadConstraints=[constraint]), *nodes) == expected


def test_spreading_counts_its_own_kind_alone() -> None:
    """Pods of other namespaces, of other labels and those that terminate do not count; nor does one that is no match."""
    others = (pod("x", {"app": "web"}, "other"), pod("y", {"app": "db"}), pod("z", {"app": "web"}, deleting=True))
    nodes = [node("a", "1", *others), node("b", "2")]
    assert fitting(pod("new", {"app": "web"}, topologySpreadConstraints=[spread()]), *nodes) == ["a", "b"]
    full = [node("a", "1", *web("p")), node("b", "2")]
    assert fitting(pod("new", {"app": "db"}, topologySpreadConstraints=[spread()]), *full) == ["a", "b"]
    assert fitting(pod("new", {"app": "web"}, topologySpreadConstraints=[spread()]), *full) == ["b"]


def test_spreading_over_nodes_that_the_pod_may_have() -> None:
    """Node affinity is heeded unless told otherwise, taints are not unless told so."""
    nodes = [node("a", "1", *web("p")), node("b", "2")]
    chosen = {"nodeSelector": {ZONE: "1"}}
    labels = {"app": "web"}
    assert fitting(pod("n", labels, topologySpreadConstraints=[spread()], **chosen), *nodes) == ["a", "b"]
    ignoring = spread(nodeAffinityPolicy="Ignore")
    assert fitting(pod("n", labels, topologySpreadConstraints=[ignoring], **chosen), *nodes) == ["b"]
    tainted = [node("a", "1", *web("p")), node("b", "2", taints=[{"key": "k", "effect": "NoSchedule"}])]
    assert fitting(pod("n", labels, topologySpreadConstraints=[spread()]), *tainted) == ["b"]
    honoring = spread(nodeTaintsPolicy="Honor")
    assert fitting(pod("n", labels, topologySpreadConstraints=[honoring]), *tainted) == ["a", "b"]


def test_match_label_keys_part_generations() -> None:
    """With matchLabelKeys only Pods with the same value of the label count; a key that the Pod lacks says nothing."""
    old = pod("old", {"app": "web", "hash": "1"})
    nodes = [node("a", "1", old), node("b", "2")]
    constraint = spread(matchLabelKeys=["hash", "absent"])
    fresh = pod("n", {"app": "web", "hash": "2"}, topologySpreadConstraints=[constraint])
    same = pod("n", {"app": "web", "hash": "1"}, topologySpreadConstraints=[constraint])
    assert (fitting(fresh, *nodes), fitting(same, *nodes)) == (["a", "b"], ["b"])


def test_spreading_says_why() -> None:
    """Too uneven and without the label are two reasons; only the first might be helped by preemption."""
    one = pod("new", {"app": "web"}, topologySpreadConstraints=[spread()])
    nodes = [node("a", "1", *web("p", "q")), node("b", "2", unschedulable=True), node("c")]
    assert why(one, *nodes) == (
        "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod "
        "topology spread constraints (missing required label), 1 node(s) were unschedulable."
    )


def test_soft_spreading_only_weighs() -> None:
    """ScheduleAnyway prefers the emptier domain and refuses nobody."""
    nodes = [node("a", "1", *web("p", "q")), node("b", "2", *web("r")), node("c", "3", *web("s", "t", "u"))]
    one = pod("new", {"app": "web"}, topologySpreadConstraints=[spread(when="ScheduleAnyway")])
    assert fitting(one, *nodes) == ["a", "b", "c"]
    scores = PodTopologySpread().score(one, Snapshot(nodes), nodes)
    assert scores is not None
    assert scores[1] == 100 and scores[1] > scores[0] > scores[2] > 0
    hosts = pod("new", {"app": "web"}, topologySpreadConstraints=[spread(when="ScheduleAnyway", key=HOST)])
    decision = decide(hosts, Snapshot(nodes), DEFAULT)
    assert isinstance(decision, Chosen) and decision.best == ("b",)


def test_pods_of_a_service_are_spread_by_default() -> None:
    """Without constraints of its own a Pod keeps softly away from others of its Services, on hosts and in zones."""
    nodes = [node("a", "1", *web("p")), node("b", "1"), node("c", "2"), node("bare")]
    rule, one = PodTopologySpread(), pod("new", {"app": "web"})

    def scores(services: dict[str, dict[str, str]], new: PendingPod = one) -> list[int] | None:
        return rule.score(new, Snapshot(nodes, services={"default": services}), nodes)

    found = scores({"web": {"app": "web"}})
    assert found is not None
    assert found[0] < found[1] < found[2]
    assert scores({"other": {"app": "db"}}) is None
    assert scores({}) is None
    assert scores({"web": {"app": "web"}}, pod("new", {"app": "web"}, "elsewhere")) is None
    own = pod("new", {"app": "web"}, topologySpreadConstraints=[spread()])
    assert scores({"web": {"app": "web"}}, own) is None


def test_pods_of_a_controller_are_spread_by_default() -> None:
    """Without constraints and Services of its own a Pod keeps softly away from others of its ReplicaSet alone."""
    nodes = [node("a", "1", *web("p")), node("b", "1"), node("c", "2")]
    one = pod("new", {"app": "web"}, owner="u")
    rule = PodTopologySpread()

    def scores(labels: dict[str, str], uid: str = "u") -> list[int] | None:
        return rule.score(one, Snapshot(nodes, workloads={uid: from_labels(labels)}), nodes)

    found = scores({"app": "web"})
    assert found is not None
    assert found[0] < found[1] < found[2]
    nobody = scores({"app": "web", "pod-template-hash": "other"})
    assert nobody is not None
    assert len(set(nobody)) == 1
    assert scores({"app": "web"}, "v") is None


def test_what_was_not_asked_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """And counted afresh when it is asked for again; what is remembered is kept up to date meanwhile."""
    monkeypatch.setattr("podling.placement.counts._REMEMBERED_OF_LABELS", 2)
    monkeypatch.setattr("podling.placement.counts._REMEMBERED", 1)
    nodes = [node("a", "1", *web("p", "q")), node("b", "1")]
    counts = PodCounts.of(nodes)
    asked = [Query(((None, from_labels({"app": app})),)) for app in ("web", "db", "none", "web")]
    assert [dict(counts.matching(query)) for query in asked] == [{"a": 2}, {}, {}, {"a": 2}]
    counts.changed("b", pod("r", {"app": "none"}), 1)
    counts.changed("b", pod("s", {"app": "web"}), 1)
    assert dict(counts.matching(asked[2])) == {"b": 1}
    assert dict(counts.matching(asked[0])) == {"a": 2, "b": 1}
    general = [Query(((names, from_labels({})),)) for names in (None, ("default",), None)]
    assert [dict(counts.matching(query)) for query in general] == [{"a": 2}] * 3
    counts.changed("a", pod("p", {"app": "web"}), -1)
    assert dict(counts.matching(general[2])) == {"a": 1}


def test_affinity_needs_a_pod_of_all_terms_in_each_topology() -> None:
    """One Pod must match every term, and each term's topology must hold it; a Node without the label never fits."""
    both, half = pod("both", {"app": "db", "tier": "1"}), pod("half", {"app": "db"})
    nodes = [node("a", "1", both), node("b", "1"), node("c", "2", half), node("d")]
    near = required("podAffinity", term({"app": "db"}), term({"tier": "1"}))
    assert fitting(pod("new", affinity=near), *nodes) == ["a", "b"]
    host = required("podAffinity", term({"app": "db"}), term({"tier": "1"}, HOST))
    assert fitting(pod("new", affinity=host), *nodes) == ["a"]
    assert why(pod("new", affinity=required("podAffinity", term({"app": "no"}))), *nodes) == (
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules."
    )


@pytest.mark.parametrize(
    ("operator", "values", "near"),
    [
        ("In", ["db", "cache"], ["a"]),
        ("NotIn", ["web"], ["a", "b"]),
        ("Exists", [], ["a"]),
        ("DoesNotExist", [], ["b"]),
    ],
)
def test_terms_select_by_every_operator(operator: str, values: list[str], near: list[str]) -> None:
    """Of Pods by their labels and of namespaces by theirs; away from them is where the others are."""
    nodes = [node("a", "1", pod("p", {"app": "db"}, "team")), node("b", "2", pod("q", {"tier": "1"}, "plain"))]
    labels = {"team": {"app": "db"}, "plain": {"tier": "1"}}
    expression = {"key": "app", "operator": operator, **({"values": values} if values else {})}
    by_labels = {"labelSelector": {"matchExpressions": [expression]}, "namespaceSelector": {}, "topologyKey": ZONE}
    by_namespace = {"labelSelector": {}, "namespaceSelector": {"matchExpressions": [expression]}, "topologyKey": ZONE}
    for one in (by_labels, by_namespace):
        together = pod("new", affinity=required("podAffinity", one))
        assert fitting(together, *nodes, namespaces=labels) == near
        apart = pod("new", affinity=required("podAntiAffinity", one))
        assert fitting(apart, *nodes, namespaces=labels) == [name for name in ("a", "b") if name not in near]
        scores = {}
        for kind in ("podAffinity", "podAntiAffinity"):
            liking = pod("new", affinity=preferred(kind, 7, one))
            scores[kind] = InterPodAffinity().score(liking, Snapshot(nodes, namespaces=labels), nodes)
        if len(near) == 1:
            best = [max(zip(scores[kind] or (), "ab", strict=True))[1] for kind in ("podAffinity", "podAntiAffinity")]
            assert best == [near[0], "b" if near[0] == "a" else "a"]
    constraint = {**spread(), "labelSelector": {"matchExpressions": [expression]}}
    mine = {"app": "db"} if operator in {"In", "Exists", "NotIn"} else {"tier": "1"}
    elsewhere = [node("a", "1", pod("p", mine)), node("b", "2")]
    assert fitting(pod("new", mine, topologySpreadConstraints=[constraint]), *elsewhere) == ["b"]


def test_the_first_of_a_group_that_needs_its_own_kind() -> None:
    """Where nobody matches yet, a Pod that matches itself goes anywhere with the label; the second follows it."""
    near = required("podAffinity", term({"app": "web"}))
    one = pod("new", {"app": "web"}, affinity=near)
    assert fitting(one, node("a", "1"), node("b", "2"), node("c")) == ["a", "b"]
    assert fitting(one, node("a", "1", *web("p")), node("b", "2")) == ["a"]
    assert fitting(pod("new", {"app": "db"}, affinity=near), node("a", "1")) == []


def test_anti_affinity_holds_both_ways() -> None:
    """A Pod stays away from those it avoids, and from those that avoid it."""
    apart = required("podAntiAffinity", term({"app": "web"}))
    assert fitting(pod("new", affinity=apart), node("a", "1", *web("p")), node("b", "1"), node("c", "2")) == ["c"]
    hermit = pod("hermit", {"app": "db"}, affinity=apart)
    nodes = [node("a", "1", hermit), node("b", "1"), node("c", "2")]
    assert fitting(pod("new", {"app": "web"}), *nodes) == ["c"]
    assert fitting(pod("new", {"app": "db"}), *nodes) == ["a", "b", "c"]
    assert why(pod("new", {"app": "web"}), *nodes[:2]) == (
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    assert why(pod("new", affinity=apart), node("a", "1", *web("p"))) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, []),
        ({"namespaces": ["other"]}, ["a"]),
        ({"namespaceSelector": {}}, ["a"]),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, ["a"]),
        ({"namespaceSelector": {"matchLabels": {"team": "y"}}}, []),
        ({"namespaceSelector": {"matchLabels": {"team": "y"}}, "namespaces": ["other"]}, ["a"]),
    ],
)
def test_affinity_across_namespaces(scope: dict[str, Any], expected: list[str]) -> None:
    """Its own namespace unless others are named or selected; an empty selector is all of them. Also the other way."""
    namespaces = {"default": {}, "other": {"team": "x"}}
    one = pod("new", affinity=required("podAffinity", term({"app": "db"}, **scope)))
    nodes = [node("a", "1", pod("db", {"app": "db"}, "other")), node("b", "2")]
    assert fitting(one, *nodes, namespaces=namespaces) == expected
    hermit = pod("hermit", affinity=required("podAntiAffinity", term({"app": "db"}, **scope)))
    welcome = fitting(pod("db", {"app": "db"}, "other"), node("a", "1", hermit), namespaces=namespaces)
    assert welcome == ([] if expected else ["a"])


def test_preferences_weigh_both_ways() -> None:
    """What a Pod prefers, what others prefer of it, and whose required affinity it would serve."""
    near = preferred("podAffinity", 10, term({"app": "web"}))
    away = preferred("podAntiAffinity", 10, term({"app": "web"}))
    needs = required("podAffinity", term({"app": "web"}))
    rule = InterPodAffinity()

    def scores(one: PendingPod, *nodes: NodeInfo) -> list[int] | None:
        return rule.score(one, Snapshot(nodes), nodes)

    plain = [node("a", "1", *web("p")), node("b", "2")]
    assert scores(pod("new", affinity=near), *plain) == [100, 0]
    assert scores(pod("new", affinity=away), *plain) == [0, 100]
    assert scores(pod("new"), *plain) is None
    for affinity, expected in ((near, [100, 0]), (away, [0, 100]), (needs, [100, 0])):
        assert (
            scores(pod("new", {"app": "web"}), node("a", "1", pod("q", affinity=affinity)), node("b", "2")) == expected
        )


moves = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=40)


@over(moves)
def test_counts_stay_what_a_recount_gives(moves: list[tuple[int, int, bool]]) -> None:
    """Whatever comes and goes, counts that were kept equal those made afresh, on trial too."""
    kept = PodCounts({})
    nodes = {}
    for number in range(3):
        tree = {"metadata": {"name": f"n{number}", "labels": {ZONE: str(number % 2)}}, "status": {"allocatable": GIVEN}}
        nodes[f"n{number}"] = NodeInfo(from_tree(Node, tree), kept)
    kept._nodes = nodes
    query = Query(((("default",), from_labels({"app": "web"})),), is_living=True)
    queries = (
        query,
        Query(((("default",), from_labels({})),)),
        Query(((None, from_labels({"app": "web"})), (None, from_labels({"app": "db"})))),
        Query(((None, Selector((requirement("app", IN, ("web", "db")),))),)),
        Query(((None, from_labels({"app": "db"})),)),
    )
    for one_query in queries[:-1]:
        kept.matching(one_query)
    apart = required("podAntiAffinity", term({"app": "web"}))
    for which, where, deleting in moves:
        one = pod(
            f"p{which}", {"app": "web" if which % 2 else "db"}, affinity=apart if which < 3 else {}, deleting=deleting
        )
        here = nodes[f"n{where}"]
        if one.uid in here.pods and not deleting:
            here.remove(one.uid)
        else:
            here.add(one)
    fresh = PodCounts.of(nodes.values())
    for one_query in queries:
        assert dict(kept.matching(one_query)) == dict(fresh.matching(one_query))
    assert dict(kept.terms(Stance.AVOIDS)) == dict(fresh.terms(Stance.AVOIDS))
    before = nodes["n0"]
    after = before.copy()
    for uid in list(before.pods)[:2]:
        after.remove(uid)
    trial = Trial(kept, before, after)
    recount = PodCounts.of([after, nodes["n1"], nodes["n2"]])
    assert dict(trial.matching(query)) == dict(recount.matching(query))
    said = {t: dict(by) for t, by in trial.terms(Stance.AVOIDS).items() if by}
    assert said == {t: dict(by) for t, by in recount.terms(Stance.AVOIDS).items()}
