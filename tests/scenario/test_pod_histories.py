"""Random histories: hypothesis and seeds drive a simulated cluster, and at every instant the invariants hold.

Each invariant has a planted bug beside it, which it must catch first.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podling.aio.chance import Chance
from podling.api.types.core_v1 import PodCondition
from podling.kubelet import effects
from podling.kubelet.probes.prober import Prober
from podling.lifecycle import conditions, facts, status
from podling.runtime.sim.runtime import SimRuntime
from tests.scenario.histories import History

PROVE = os.environ.get("PODLING_PROVE") == "1"


class Drawn:
    """Chance in hypothesis's hand, so that what fails is made small."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def below(self, number: int) -> int:
        return self._data.draw(st.integers(0, number - 1))


async def live(seed: int, steps: int, chance: Any = None) -> int:
    history = History(seed, chance)
    async with history.cluster as cluster:
        await history.happen(steps)
        await history.come_to_rest()
        assert cluster.failures == 0
    return history.seen.looks


@settings(
    max_examples=30 if PROVE else 2, deadline=None, derandomize=not PROVE, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_whatever_hypothesis_thinks_of(data):
    """40 deeds of users and of fate, of hypothesis's choice: no invariant is broken at any instant."""
    asyncio.run(live(1, 40, Drawn(data)))


@pytest.mark.timeout(3600 if PROVE else 120)
@pytest.mark.parametrize("seed", [2, 11])
def test_whatever_chance_thinks_of(run, seed):
    """70 deeds from a seed, 10,000 to prove it."""
    assert run(live(seed, 5_000 if PROVE else 70)) > 100


def forget_the_living(monkeypatch) -> None:
    latest = facts.PodView.latest

    def forgetful(self, name):
        found = latest(self, name)
        return None if found is not None and found.is_running and found.attempt == 0 and not self.busy else found

    monkeypatch.setattr(facts.PodView, "latest", forgetful)


def forget_the_count(monkeypatch) -> None:
    of = status._Teller._of

    def forgetful(self, *words):
        told = of(self, *words)
        return msgspec.structs.replace(told, restart_count=0) if told.restart_count > 1 else told

    monkeypatch.setattr(status._Teller, "_of", forgetful)


def forget_the_end(monkeypatch) -> None:
    phase = status._Teller.phase
    monkeypatch.setattr(
        status._Teller,
        "phase",
        lambda self, *w: "Running" if self._view.pod.status.phase == "Failed" else phase(self, *w),
    )


def forget_the_gates(monkeypatch) -> None:
    def careless(pod, containers_ready):
        return msgspec.structs.replace(containers_ready, type="Ready")

    monkeypatch.setattr(conditions, "_ready", careless)


def forget_to_let_go(monkeypatch) -> None:
    async def nothing(self, pod):
        return None

    monkeypatch.setattr(effects.Effects, "release", nothing)


def forget_the_probes(monkeypatch) -> None:
    async def endless(self, instance, kind, timeout):
        await self._clock.sleep(100_000)

    monkeypatch.setattr(Prober, "_check", endless)
    monkeypatch.setattr(Prober, "close", lambda self: None)
    monkeypatch.setattr(Prober, "keep", lambda self, containers: None)


def forget_the_unready(monkeypatch) -> None:
    def careless(pod, phase, statuses):
        return PodCondition(type="ContainersReady", status="True")

    monkeypatch.setattr(conditions, "_containers_ready", careless)


def forget_the_namespaces(monkeypatch) -> None:
    async def lazy(self, sandbox):
        await self._clock.sleep(100)

    monkeypatch.setattr(SimRuntime, "remove_sandbox", lazy)


BUGS = {
    "side by side": forget_the_living,
    "restart count fell": forget_the_count,
    "left its final phase": forget_the_end,
    "a gate of it is shut": forget_the_gates,
    "are not": forget_the_unready,
    "never gone": forget_to_let_go,
    "outlive their Pods": forget_the_probes,
    "holds on to Pods that are gone": forget_the_namespaces,
}


@pytest.mark.parametrize(("words", "plant"), BUGS.items(), ids=[plant.__name__ for plant in BUGS.values()])
def test_planted_bugs_are_caught(monkeypatch, words, plant):
    """Each invariant sees the bug that was made for it."""
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=words):
        asyncio.run(asyncio.wait_for(live(4, 60, Chance(4)), 60))
