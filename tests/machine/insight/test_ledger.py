"""The books of the call graph: counted once, whatever is told, in whatever order, however often."""

from __future__ import annotations

from ipaddress import IPv4Network

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from podling.api.codec import from_tree
from podling.api.times import from_wire
from podling.api.types.core_v1 import Node, Pod, Service
from podling.client.flows import Block, Flow, Outcome
from podling.insight.calls import call_name, from_call, to_call
from podling.insight.directory import NOBODY, OUTSIDE, Directory, Edge, Party
from podling.insight.ledger import Ledger, Tally
from podling.reach import policy as reach

A, B = Party("Pod", "default", "a", "1"), Party("Pod", "default", "b", "2")
EDGE = Edge(A, B, "default/web", 80, "TCP")
FINE = Outcome(answered=True, refused=False, sent=10, received=20)


def flow(number: int, **more: object) -> Flow:
    return Flow(
        **{
            "node": "n1", "id": number, "protocol": "TCP", "caller": "10.244.0.2", "caller_port": 40000 + number,
            "called": "10.96.0.7", "port": 80, "callee": "10.244.0.3", "callee_port": 8080, **more,
        }
    )  # type: ignore[arg-type]  # fmt: skip


TOLD = st.sampled_from(
    [("began",), ("ended",), ("began", "ended"), ("began", "began", "ended"), ("began", "alive", "ended")]
)


@given(st.lists(TOLD, max_size=40), st.randoms(use_true_random=False))
def test_each_flow_is_counted_once(stories: list[tuple[str, ...]], shuffle: object) -> None:
    """Only its beginning, only its end, both, or its beginning twice over: one call; its bytes once."""
    ledger = Ledger()
    steps = [(number, story) for number, story in enumerate(stories)]
    queues = {number: list(story) for number, story in steps}
    while queues:
        number = shuffle.choice(sorted(queues))  # type: ignore[attr-defined]
        word = queues[number].pop(0)
        if not queues[number]:
            del queues[number]
        if word == "ended":
            ledger.ended(flow(number), EDGE, 5.0, 9.0, FINE)
        elif word == "alive":
            ledger.known(flow(number), EDGE)
        else:
            ledger.began(flow(number), EDGE, 5.0)
    tallies = dict(ledger)
    ended = sum("ended" in story for story in stories)
    expected = Tally(calls=len(stories), sent=10 * ended, received=20 * ended, first=5.0, last=9.0 if ended else 5.0)
    assert tallies == ({EDGE: expected} if stories else {})


def test_flows_too_many_to_hold_are_counted_at_their_end() -> None:
    """The bound costs nothing but the time of counting, and is told."""
    ledger = Ledger(most_alive=1)
    for number in range(3):
        ledger.began(flow(number), EDGE, 1.0)
    assert dict(ledger)[EDGE].calls == 1
    for number in range(3):
        ledger.ended(flow(number), EDGE, 1.0, 2.0, FINE)
    assert (dict(ledger)[EDGE].calls, ledger.shortfall.unheld) == (3, 2)


def test_edges_beyond_the_bound_cost_those_unseen_for_longest() -> None:
    """The oldest are forgotten, told of, and their `Call`s given up."""
    ledger = Ledger(most_edges=10)
    edges = [Edge(A, B, "", port, "TCP") for port in range(12)]
    for when, edge in enumerate(edges):
        ledger.began(flow(when), edge, float(when + 1))
    kept = [edge for edge, _ in ledger]
    assert kept == edges[2:]
    assert ledger.take_dropped() == edges[:2]
    assert (ledger.take_dropped(), ledger.shortfall.forgotten) == ([], 2)


def test_a_flow_that_ended_unseen_is_let_go() -> None:
    """After events were lost, what is not in the node's table is not held alive; other nodes' flows are."""
    ledger = Ledger()
    other = flow(3, node="n2")
    for each in (flow(1), flow(2), other):
        ledger.began(each, EDGE, 1.0)
    ledger.only("n1", [flow(1)])
    assert [ledger.is_alive(each) for each in (flow(1), flow(2), other)] == [True, False, True]


def test_what_came_of_a_call() -> None:
    """Refused and unanswered are told apart; attempts that a policy stopped are no calls."""
    ledger = Ledger()
    ledger.ended(flow(1), EDGE, 1.0, 1.0, Outcome(False, True, 40, 40))
    ledger.ended(flow(2), EDGE, 1.0, 2.0, Outcome(False, False, 120, 0))
    ledger.blocked(EDGE, "default/deny Ingress", 4, 3.0)
    tally = dict(ledger)[EDGE]
    assert (tally.calls, tally.refused, tally.unanswered, tally.blocked) == (2, 1, 1, 4)
    assert (tally.blocked_by, tally.first, tally.last) == ("default/deny Ingress", 1.0, 3.0)


def test_a_call_says_what_the_books_say() -> None:
    """An edge and its tally survive being written; the name is the edge's own."""
    tally = Tally(3, 1, 1, 2, "default/deny Ingress", 100, 200, 1_700_000_000.25, 1_700_000_100.5)
    call = to_call(EDGE, tally)
    assert from_call(call) == (EDGE, tally)
    assert call.metadata.name == call_name(EDGE) != call_name(Edge(A, B, "default/web", 81, "TCP"))


# --- whose an address is ----------------------------------------------------------------------------------------------


def pod(name: str, address: str, node: str = "n1", *, uid: str = "", phase: str = "Running", host: bool = False) -> Pod:
    return from_tree(
        Pod,
        {
            "metadata": {"name": name, "namespace": "default", "uid": uid or name},
            "spec": {"nodeName": node, "containers": [], "hostNetwork": host},
            "status": {"phase": phase, "podIPs": [{"ip": address}]},
        },
    )


def directory() -> Directory:
    made = Directory(IPv4Network("10.244.0.0/16"), "n1")
    for name, address in (("n1", "10.244.0.1"), ("n2", "10.244.1.1")):
        made.place_node(
            from_tree(
                Node,
                {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}},
            )
        )
    made.place_pod(pod("a", "10.244.0.2"))
    made.place_pod(pod("b", "10.244.1.3", "n2"))
    made.place_service(
        from_tree(
            Service,
            {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {
                    "clusterIP": "10.96.0.7",
                    "clusterIPs": ["10.96.0.7"],
                    "externalIPs": ["192.0.2.1"],
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP", "name": "d"}],
                },
            },
        )  # fmt: skip
    )
    return made


def test_services_are_known_by_each_of_their_faces() -> None:
    """Cluster address, external address, node port on a node's address; another port or protocol is none of them."""
    known = directory()
    faces = [("10.96.0.7", "TCP", 80), ("192.0.2.1", "TCP", 80), ("10.244.0.1", "TCP", 30080), ("10.96.0.7", "UDP", 53)]
    assert [known.service(*face) for face in faces] == ["default/web"] * 4
    assert known.service("10.96.0.7", "TCP", 53) == ""
    assert known.service("10.244.0.2", "TCP", 30080) == ""  # a Pod's own port of that number
    known.forget_service("default/web")
    assert [known.service(*face) for face in faces] == [""] * 4


def test_a_flow_between_nodes_counts_at_its_callers() -> None:
    """Seen by both nodes it counts once; what comes from outside counts at the first node."""
    known = directory()
    seen = [known.counts(flow(1, node=node, caller="10.244.0.2", callee="10.244.1.3")) for node in ("n1", "n2")]
    assert seen == [True, False]
    outside = [known.counts(flow(1, node=node, caller="192.0.2.9", callee="10.244.1.3")) for node in ("n1", "n2")]
    assert outside == [True, False]
    from_node = [known.counts(flow(1, node=node, caller="10.244.1.1", callee="10.244.0.2")) for node in ("n1", "n2")]
    assert from_node == [False, True]


def test_the_clusters_dns_counts_as_a_pod() -> None:
    """Questions to it have a callee with a name, and count at the caller's."""
    known = directory()
    known.place_stand_in(reach.Party("10.244.0.53", "kube-dns", "kube-system", node="n1"))
    asked = flow(1, caller="10.244.1.3", callee="10.244.0.53", node="n2", protocol="UDP", port=53)
    assert known.counts(asked) and known.edge(asked).callee == Party("Pod", "kube-system", "kube-dns")


def test_a_flow_is_no_older_than_its_pods() -> None:
    """What the kernel still holds of who had the address before counts for nobody; nor does what has no Pod at all."""
    known = directory()
    young = pod("young", "10.244.0.9")
    known.place_pod(
        msgspec.structs.replace(
            young, metadata=msgspec.structs.replace(young.metadata, creation_timestamp="2026-01-01T00:00:10Z")
        )
    )
    made = from_wire("2026-01-01T00:00:10Z")
    late = flow(1, caller="10.244.0.9", callee="10.244.0.2")
    assert [known.counts(late, started) for started in (made - 1, made, 0.0)] == [False, True, True]
    early = flow(1, caller="10.244.0.2", callee="10.244.0.9")
    assert not known.counts(early, made - 1)
    assert not known.counts(flow(1, caller="10.244.0.1", callee="10.244.0.1"))


def test_an_address_is_its_last_pods() -> None:
    """A Pod that is gone keeps its address until another has it; one that has ended takes none from who runs."""
    known = directory()
    assert known.party("10.244.0.2") == Party("Pod", "default", "a", "a")
    assert not known.place_pod(pod("a", "10.244.0.2"))
    assert known.place_pod(pod("c", "10.244.0.2"))
    assert not known.place_pod(pod("a", "10.244.0.2", phase="Succeeded"))
    assert known.party("10.244.0.2").name == "c"
    assert not known.place_pod(pod("h", "10.244.0.1", host=True))
    assert known.party("10.244.0.1") == Party("Node", "", "n1")
    assert (known.party("10.244.0.77"), known.party("192.0.2.1")) == (NOBODY, OUTSIDE)
    assert known.awaits("10.244.0.77") and not known.awaits("192.0.2.1") and not known.awaits("2001:db8::1")


def test_a_stopped_attempt_names_both_ends() -> None:
    """Policies are asked behind the Service: the edge is that of the two Pods."""
    edge = directory().blocked_edge(Block("n1", "TCP", "10.244.0.2", "10.244.1.3", 8080, "default/deny", "Ingress"))
    assert (edge.caller.name, edge.callee.name, edge.service, edge.port) == ("a", "b", "", 8080)
