"""StatefulSets through random weather: whatever Pods do, the order is kept, and in the end all is as it should be."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from tests.unit.controllers.test_stateful_plan import NEW, OLD, made_set, pod, rolling
from tests.unit.controllers.workloads import NOW

from podling.api.times import to_wire
from podling.api.types.apps_v1 import StatefulSet
from podling.api.types.core_v1 import Pod
from podling.controllers.stateful_plan import Revisions, plan
from podling.controllers.stateful_pods import number_of, revision_of, wanted
from podling.controllers.stateful_status import status


class Weather:
    """Pods as they come, get well, fall ill, end and go: `step` does what is planned, `blow` what nobody planned."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
        self.spec: dict[str, Any] = {
            "podManagementPolicy": self.chance.choice(("OrderedReady", "Parallel")),
            "ordinals": {"start": self.chance.choice((0, 0, 3))},
            **rolling(partition=self.chance.choice((0, 0, 2)), maxUnavailable=self.chance.choice((1, 1, 2, "50%"))),
        }
        self.most = self.spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"]
        self.pods: dict[int, Pod] = {n: pod(n, "old") for n in range(self.chance.randrange(5))}
        self.replicas = self.chance.randrange(6)
        self.current = "old"
        self.made = 0

    def found(self) -> StatefulSet:
        return made_set(self.replicas, current=self.current, **self.spec)

    def well(self, number: int) -> bool:
        held = self.pods.get(number)
        return (
            held is not None
            and held.metadata.deletion_timestamp is None
            and held.status.phase == "Running"
            and held.status.conditions[0].status == "True"
        )

    def blow(self) -> None:
        """Let something happen to one Pod, or to the size."""
        if self.chance.random() < 0.1:
            self.replicas = self.chance.randrange(6)
        if not self.pods:
            return
        number = self.chance.choice(sorted(self.pods))
        match self.chance.randrange(4):
            case 0:
                self.change(number, ready=None)
            case 1:
                self.change(number, phase="Failed", ready=None)
            case 2:
                self.pods.pop(number)
            case 3:
                self.change(number)

    def change(self, number: int, **given: Any) -> None:
        held = self.pods[number]
        going = held.metadata.deletion_timestamp is not None
        self.pods[number] = pod(number, revision_of(held), going=going, **given)

    def settle(self) -> None:
        """Let what goes be gone, and what waits be well."""
        self.pods = {n: held for n, held in self.pods.items() if held.metadata.deletion_timestamp is None}
        for number, held in self.pods.items():
            if held.status.phase != "Failed":
                self.change(number)

    def step(self) -> bool:
        """Do what is planned, holding it to the rules; whether there was anything."""
        found = self.found()
        revisions = Revisions(OLD if self.current == "old" else NEW, NEW)
        todo = plan(found, revisions, list(self.pods.values()), {}, NOW)
        numbers = wanted(found)
        made = [number_of(found, new.pod) for new in todo.create]
        gone = [number_of(found, held) for held in todo.delete]
        assert not set(made) & set(self.pods), "no Pod is made that is there"
        assert len(set(gone)) == len(gone)
        if self.spec["podManagementPolicy"] == "OrderedReady":
            assert len(made) <= 1
            for number in made:
                assert number is not None
                assert all(self.well(n) for n in range(numbers.start, number)), "all before it are well"
            beyond = [n for n in gone if n not in numbers]
            assert len(beyond) <= 1
            assert all(n == max(n for n in self.pods if n not in numbers) for n in beyond), "the last goes first"
        rolled = [n for n in gone if n in numbers and self.well(n)]
        most = self.most if isinstance(self.most, int) else max(-(-self.replicas // 2), 1)
        missing = [n for n in numbers if not self.well(n)]
        assert len(rolled) <= max(most - len(missing), 0), "no more are missing than may be"
        for new in todo.create:
            number = number_of(found, new.pod)
            assert number is not None
            self.pods[number] = pod(number, revision_of(new.pod), phase="Pending", ready=None)
        for held in todo.delete:
            number = number_of(found, held)
            assert number is not None
            since = msgspec.structs.replace(held.metadata, deletion_timestamp=to_wire(NOW))
            self.pods[number] = msgspec.structs.replace(held, metadata=since)
        said = status(found, self.current, "new", self.pods.values(), 0, NOW)
        self.current = said.current_revision
        return bool(made or gone)


@pytest.mark.parametrize("seed", range(150))
def test_whatever_comes(seed: int) -> None:
    """The rules hold at each step; when the weather is fair again, each wanted Pod is there, well and of its template."""
    weather = Weather(seed)
    for _ in range(40):
        weather.step()
        weather.blow()
        if weather.chance.random() < 0.3:
            weather.settle()
    for _ in range(60):
        weather.settle()
        if not weather.step():
            break
    else:
        pytest.fail("it does not come to rest")
    found = weather.found()
    numbers = wanted(found)
    assert sorted(weather.pods) == list(numbers)
    assert all(map(weather.well, numbers))
    partition = weather.spec["updateStrategy"]["rollingUpdate"]["partition"]
    assert {revision_of(weather.pods[n]) for n in numbers[partition:]} <= {"new"}
