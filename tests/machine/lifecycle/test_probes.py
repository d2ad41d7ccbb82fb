"""Counting probes: every number of a probe, and what one instance's answers come to, at exact instants."""

from __future__ import annotations

import pytest

from podling.api.types.core_v1 import Container, ExecAction, Probe
from podling.lifecycle.facts import ProbeFacts
from podling.lifecycle.probes import (
    Answered,
    Check,
    Checked,
    Due,
    FactsChanged,
    Outcome,
    PodEnds,
    ProbeKind,
    Report,
    begin,
    step,
)

YES, NO = Checked(Outcome.SUCCESS), Checked(Outcome.FAILURE, "no")
LATE, BROKEN = Checked(Outcome.UNKNOWN), Checked(Outcome.ERROR, "cannot")


def probe(**numbers: int) -> Probe:
    return Probe(exec=ExecAction(command=("true",)), **numbers)


class Instance:
    """One instance that started at 100; `answers` by kind say what a check that takes `takes` seconds comes to."""

    def __init__(self, takes: float = 0.0, **probes: Probe) -> None:
        self.now = 100.0
        self.takes = takes
        self.state = begin(Container(name="web", **probes), 100.0, 100.0)
        self.asked: list[tuple[float, str]] = []
        self.changes: list[tuple[float, ProbeFacts]] = []
        self.reports: list[tuple[float, str]] = []
        self.under_way: list[tuple[float, ProbeKind]] = []

    def apply(self, event) -> None:
        self.state, effects = step(self.state, event, self.now)
        for effect in effects:
            if isinstance(effect, Check):
                self.asked.append((self.now - 100, effect.kind.value))
                self.under_way.append((self.now + self.takes, effect.kind))
            elif isinstance(effect, Report):
                self.reports.append((self.now - 100, effect.kind.value))
            elif isinstance(effect, FactsChanged):
                self.changes.append((self.now - 100, self.state.facts))

    def live(self, until: float, answer) -> None:
        """Let time pass; `answer(kind, seconds since the start)` is what a check comes to."""
        while True:
            ends = [at for at, _ in self.under_way]
            instants = [*ends, *([self.state.deadline] if self.state.deadline is not None else [])]
            if not instants or min(instants) > 100 + until:
                self.now = 100 + until
                return
            self.now = max(min(instants), self.now)
            for at, kind in list(self.under_way):
                if at <= self.now:
                    self.under_way.remove((at, kind))
                    self.apply(Answered(kind, answer(kind, self.now - 100)))
            if self.state.deadline is not None and self.state.deadline <= self.now:
                self.apply(Due())

    def times(self, kind: str) -> list[float]:
        return [at for at, asked in self.asked if asked == kind]


def test_a_container_without_probes_is_not_probed():
    """Nothing is begun where nothing is asked for."""
    assert begin(Container(name="web"), 1.0, 1.0) is None


@pytest.mark.parametrize(("delay", "period"), [(0, 1), (0, 10), (3, 5), (7, 2)])
def test_the_first_check_and_the_grid(delay, period):
    """The first check comes initialDelaySeconds after the start, the others every periodSeconds from there."""
    instance = Instance(liveness_probe=probe(initial_delay_seconds=delay, period_seconds=period))
    instance.live(30, lambda *_: YES)
    assert instance.times("Liveness") == [float(t) for t in range(delay, 31, period)]


@pytest.mark.parametrize("threshold", [1, 2, 3, 7])
def test_failures_in_a_row_end_a_container(threshold):
    """Liveness fails with the failureThreshold-th failure in a row; one success in between begins the row anew."""
    instance = Instance(liveness_probe=probe(period_seconds=2, failure_threshold=threshold))
    instance.live(100, lambda _, at: YES if at == 2 * (threshold - 1) else NO)
    assert instance.changes == [(2.0 * (2 * threshold - 1), ProbeFacts(True, True, "Liveness"))]
    assert instance.state.deadline is None
    assert len(instance.times("Liveness")) == 2 * threshold


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_successes_in_a_row_make_ready(threshold):
    """Readiness begins as no, turns with the successThreshold-th success, and back with the failureThreshold-th failure."""
    instance = Instance(readiness_probe=probe(period_seconds=1, success_threshold=threshold, failure_threshold=2))
    assert not instance.state.facts.ready
    instance.live(30, lambda _, at: YES if at < 20 else NO)
    assert instance.changes == [(threshold - 1.0, ProbeFacts(True, True)), (21.0, ProbeFacts(True, False))]
    assert len(instance.times("Readiness")) == 31


def test_the_startup_probe_gates_the_others():
    """Nothing else is asked before it succeeds; then both at once, their own delays counted from the start."""
    instance = Instance(
        startup_probe=probe(period_seconds=3, failure_threshold=10),
        readiness_probe=probe(period_seconds=5),
        liveness_probe=probe(initial_delay_seconds=20, period_seconds=5),
    )
    assert instance.state.facts == ProbeFacts(False, False)
    instance.live(30, lambda kind, at: NO if kind is ProbeKind.STARTUP and at < 12 else YES)
    assert instance.times("Startup") == [0, 3, 6, 9, 12]
    assert instance.times("Readiness") == [12, 17, 22, 27]
    assert instance.times("Liveness") == [20, 25, 30]


def test_a_startup_probe_that_fails_ends_the_container():
    """The failureThreshold-th failure condemns the instance, and nothing is asked any more."""
    instance = Instance(startup_probe=probe(period_seconds=2, failure_threshold=4), liveness_probe=probe())
    instance.live(60, lambda *_: NO)
    assert instance.changes == [(6.0, ProbeFacts(False, True, "Startup"))]
    assert instance.asked == [(0, "Startup"), (2, "Startup"), (4, "Startup"), (6, "Startup")]


@pytest.mark.parametrize("nothing", [LATE, BROKEN], ids=["unknown", "error"])
def test_an_answer_that_says_nothing_counts_for_nothing(nothing):
    """Neither a node that was late nor a check that could not be made is a failure or breaks a row of failures."""
    instance = Instance(liveness_probe=probe(period_seconds=1, failure_threshold=3))
    instance.live(50, lambda _, at: NO if at in (10, 11, 49) else nothing)
    assert instance.changes == [(49.0, ProbeFacts(True, True, "Liveness"))]
    told = {at for at, _ in instance.reports}
    assert told == {10.0, 11.0, 49.0} | (set() if nothing is LATE else {float(t) for t in range(49)})


def test_a_slow_check_loses_points_of_the_grid():
    """Of the points that pass during a check one is made up for at once; the grid stays where it is."""
    instance = Instance(takes=2.5, liveness_probe=probe(period_seconds=1))
    instance.live(10, lambda *_: YES)
    assert instance.times("Liveness") == [0, 2.5, 5, 7.5, 10]
    instance = Instance(takes=0.5, liveness_probe=probe(period_seconds=1))
    instance.live(3, lambda *_: YES)
    assert instance.times("Liveness") == [0, 1, 2, 3]


def test_at_the_end_of_a_pod_only_readiness_is_asked():
    """Liveness and startup are over with the Pod's end, whatever a check under way comes to."""
    instance = Instance(
        takes=1.5, liveness_probe=probe(period_seconds=2, failure_threshold=1), readiness_probe=probe(period_seconds=2)
    )
    instance.live(1, lambda *_: YES)
    instance.apply(PodEnds())
    instance.live(6, lambda kind, _: NO if kind is ProbeKind.LIVENESS else YES)
    assert instance.times("Liveness") == [0]
    assert instance.times("Readiness") == [0, 2, 4, 6]
    assert instance.state.facts == ProbeFacts(True, True)


def test_a_kubelet_that_comes_back_makes_nobody_unready():
    """What the API holds of this very instance is where its probes go on from, with a check at once."""
    container = Container(name="web", startup_probe=probe(), readiness_probe=probe(), liveness_probe=probe())
    state = begin(container, 100.0, 500.0, was_started=True, was_ready=True)
    assert state.facts == ProbeFacts(True, True)
    state, effects = step(state, Due(), 500.0)
    assert [effect.kind for effect in effects] == [ProbeKind.READINESS, ProbeKind.LIVENESS]


def test_zero_and_absent_are_the_defaults():
    """A period of 10 s, three failures, one success, one second."""
    instance = Instance(liveness_probe=probe(period_seconds=0))
    state, (check,) = step(instance.state, Due(), 100.0)
    assert check.timeout == 1.0
    instance.live(40, lambda *_: NO)
    assert instance.times("Liveness") == [0, 10, 20]
