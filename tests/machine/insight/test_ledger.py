"""The books of the call graph: counted once, whatever is told, in whatever order, however often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podling.client.flows import Flow, Outcome
from podling.insight.calls import call_name, from_call, to_call
from podling.insight.directory import Edge, Party
from podling.insight.ledger import Ledger, Tally

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
    for each in (flow(1), flow(2), other):
        ledger.began(each, EDGE, 2.0)
    assert dict(ledger)[EDGE].calls == 4, "only what was let go is a call of its own when it is seen again"


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
