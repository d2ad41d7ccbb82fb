"""Keeps the probes of one Pod's containers going: a thin shell around `lifecycle.probes`.

Owns the timers, the checks under way, and the instances that are probed. Counts nothing. Invariants: a check belongs to
one instance, and what it comes to after that instance's death goes nowhere; a check that hangs holds up no other; when
`close` returns nothing of this Pod is asked any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.lifecycle.probes import (
    Answered,
    Check,
    Due,
    Event,
    FactsChanged,
    PodEnds,
    ProbeKind,
    Report,
    begin,
    step,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from podling.aio.clock import Clock, Timer
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import Probe
    from podling.kubelet.probes.checks import Checks
    from podling.lifecycle.facts import ContainerFacts, ProbeFacts
    from podling.lifecycle.probes import Checked, ContainerProbes
    from podling.lifecycle.specs import AnyContainer


class Prober:
    """Probes one Pod's containers."""

    def __init__(
        self,
        name: str,
        checks: Checks,
        clock: Clock,
        supervisor: Supervisor,
        report: Callable[[str, ProbeKind, Checked], None],
        changed: Callable[[], None],
    ) -> None:
        """`report` tells an answer in an event, by the container's name; `changed` says that `facts` did."""
        self._name = name
        self._checks = checks
        self._clock = clock
        self._supervisor = supervisor
        self._report = report
        self._changed = changed
        self._instances: dict[str, _Instance] = {}
        self._ending = False

    @property
    def facts(self) -> Mapping[str, ProbeFacts]:
        """What the probes say, by instance; instances without probes are not in it."""
        return {id_: instance.state.facts for id_, instance in self._instances.items()}

    def watch(
        self, container: AnyContainer, facts: ContainerFacts, address: str, *, was_started: bool, was_ready: bool
    ) -> None:
        """Probe a running instance, unless it is probed already or has no probes."""
        if facts.id in self._instances or facts.started is None:
            return
        now = self._clock.time()
        state = begin(container, facts.started, now, was_started=was_started, was_ready=was_ready)
        if state is not None:
            instance = self._instances[facts.id] = _Instance(facts.id, container, address, state)
            if self._ending:
                self._step(instance, PodEnds())
            self._arm(instance)

    def keep(self, containers: Sequence[ContainerFacts]) -> None:
        """Ask the dead no more, and forget those that are gone."""
        alive = {container.id: container.is_running for container in containers}
        for id_ in [id_ for id_ in self._instances if not alive.get(id_, False)]:
            self._instances[id_].stop()
            if id_ not in alive:
                del self._instances[id_]

    def pod_ends(self) -> None:
        """Ask about liveness and startup no more."""
        if not self._ending:
            self._ending = True
            for instance in self._instances.values():
                self._step(instance, PodEnds())
                self._arm(instance)

    def close(self) -> None:
        """Stop, and forget: whoever goes on after this begins from what was told."""
        for instance in self._instances.values():
            instance.stop()
        self._instances.clear()

    def _arm(self, instance: _Instance) -> None:
        deadline = None if instance.stopped else instance.state.deadline
        if deadline == instance.armed_for:
            return
        if instance.timer is not None:
            instance.timer.cancel()
            instance.timer = None
        instance.armed_for = deadline
        if deadline is not None:
            wait = max(deadline - self._clock.time(), 0.0)
            instance.timer = self._clock.call_later(wait, lambda: self._due(instance))

    def _due(self, instance: _Instance) -> None:
        instance.timer, instance.armed_for = None, None
        if not self._supervisor.is_stopping:
            self._step(instance, Due())
            self._arm(instance)

    def _step(self, instance: _Instance, event: Event) -> None:
        instance.state, effects = step(instance.state, event, self._clock.time())
        for effect in effects:
            match effect:
                case Check(kind, timeout):
                    work = self._check(instance, kind, timeout)
                    instance.checks[kind] = self._supervisor.job(f"probe {self._name}", work)
                case Report(kind, checked):
                    self._report(instance.container.name, kind, checked)
                case FactsChanged():
                    self._changed()

    async def _check(self, instance: _Instance, kind: ProbeKind, timeout: float) -> None:
        probe = instance.probe(kind)
        checked = await self._checks.check(instance.container, instance.id, probe, instance.address, timeout)
        instance.checks.pop(kind, None)
        if not instance.stopped and not self._supervisor.is_stopping:
            self._step(instance, Answered(kind, checked))
            self._arm(instance)


class _Instance:
    """One instance that is probed."""

    __slots__ = ("address", "armed_for", "checks", "container", "id", "state", "stopped", "timer")

    def __init__(self, id_: str, container: AnyContainer, address: str, state: ContainerProbes) -> None:
        self.id = id_
        self.container = container
        self.address = address
        self.state = state
        self.timer: Timer | None = None
        self.armed_for: float | None = None
        self.checks: dict[ProbeKind, asyncio.Task[None]] = {}
        self.stopped = False

    def probe(self, kind: ProbeKind) -> Probe:
        probes = {
            ProbeKind.STARTUP: self.container.startup_probe,
            ProbeKind.READINESS: self.container.readiness_probe,
            ProbeKind.LIVENESS: self.container.liveness_probe,
        }
        probe = probes[kind]
        assert probe is not None, f"{self.container.name} has no {kind.value} probe"
        return probe

    def stop(self) -> None:
        self.stopped = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.armed_for = None
        for check in self.checks.values():
            check.cancel()
        self.checks.clear()
