"""Counting probes: when one container instance is asked how it is, and what its answers come to.

                 ┌────────────── STARTUP ───────────────┐
    started ─▶ asked every period ── succeeds ──▶ READINESS and LIVENESS asked every period
                       │                                │                │
                       └─ fails: killed                 └─▶ ready or not └─ fails: killed

Owns every threshold, period, delay and gate. Knows neither how a probe is performed nor a clock. A shell asks
`deadline`, sends `Due` at that instant, performs each `Check`, and sends back `Answered`. Upstream's worker ticks from
when it heard of the Pod and shifts its ticks by chance; here the first check comes exactly `initialDelaySeconds` after
the start, and the others on a grid of periods from there; of the points of the grid that pass during a slow check, one
is made up for at once and the others are lost, as with upstream's ticker.

Invariants: a probe has at most one check under way; results belong to one instance and never reach its successor;
before the startup probe has succeeded nothing else is asked; an answer that says nothing of the container (`ERROR`,
`UNKNOWN`) changes no count; after a failed liveness or startup probe that probe asks no more.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from podling.lifecycle.facts import ProbeFacts

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Container as ContainerSpec
    from podling.api.types.core_v1 import EphemeralContainer, Probe

    AnyContainer: TypeAlias = ContainerSpec | EphemeralContainer


class ProbeKind(Enum):
    """Which probe; the value is upstream's word in events."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


class Outcome(Enum):
    """What one check came to."""

    SUCCESS = "success"
    WARNING = "warning"
    """A success of which an event tells."""
    FAILURE = "failure"
    ERROR = "error"
    """The check could not be made; told, and not counted."""
    UNKNOWN = "unknown"
    """The node was too late to know; neither told nor counted."""


class Checked(Struct, frozen=True):
    """One check's outcome, and what an event says of it."""

    outcome: Outcome
    output: str = ""


class Timing(Struct, frozen=True):
    """A probe's numbers, upstream's defaults filled in. Seconds and counts."""

    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


def timing_of(probe: Probe) -> Timing:
    """Return a probe's numbers; what is absent or zero is upstream's default."""
    return Timing(
        float(probe.initial_delay_seconds or 0),
        float(probe.period_seconds or 10),
        float(probe.timeout_seconds or 1),
        probe.success_threshold or 1,
        probe.failure_threshold or 3,
    )


class Probing(Struct, frozen=True, gc=False):
    """One probe of one instance."""

    kind: ProbeKind
    timing: Timing
    begins: float
    """The first instant at which it may ask."""
    due: float | None
    """When it asks next; none while it asks, is gated, or asks no more."""
    result: bool | None
    """What it has come to: none is a startup probe that has not decided."""
    slot: float | None = None
    """The point of the grid whose check is under way."""
    last: bool | None = None
    run: int = 0
    """How often in a row the answer was `last`."""

    @property
    def has_failed(self) -> bool:
        """Whether the container has to be killed."""
        return self.result is False and self.kind is not ProbeKind.READINESS


class ContainerProbes(Struct, frozen=True):
    """All probes of one instance, in the order startup, readiness, liveness."""

    probes: tuple[Probing, ...]
    ending: bool = False
    """The Pod ends: only readiness is still asked."""

    def of(self, kind: ProbeKind) -> Probing | None:
        return next((probe for probe in self.probes if probe.kind is kind), None)

    @property
    def started(self) -> bool:
        startup = self.of(ProbeKind.STARTUP)
        return startup is None or startup.result is True

    @property
    def facts(self) -> ProbeFacts:
        """What the plan and the status judge by."""
        readiness = self.of(ProbeKind.READINESS)
        failed = next((probe.kind.value for probe in self.probes if probe.has_failed), "")
        return ProbeFacts(self.started, readiness is None or readiness.result is True, failed)

    @property
    def deadline(self) -> float | None:
        """The next instant at which a check is due."""
        return min((probe.due for probe in self.probes if probe.due is not None), default=None)


class Due(Struct, frozen=True):
    """An instant has come at which something may be due."""


class Answered(Struct, frozen=True):
    """A check has ended."""

    kind: ProbeKind
    checked: Checked


class PodEnds(Struct, frozen=True):
    """The Pod was told to end."""


Event: TypeAlias = Due | Answered | PodEnds


class Check(Struct, frozen=True):
    """Perform a probe once."""

    kind: ProbeKind
    timeout: float


class Report(Struct, frozen=True):
    """Tell of an answer in an event."""

    kind: ProbeKind
    checked: Checked


class FactsChanged(Struct, frozen=True):
    """The instance is started, ready or doomed now, and was not before; or the other way round."""


Effect: TypeAlias = Check | Report | FactsChanged

_INITIAL: Final = {ProbeKind.STARTUP: None, ProbeKind.READINESS: False, ProbeKind.LIVENESS: True}
_TOLD: Final = (Outcome.WARNING, Outcome.FAILURE, Outcome.ERROR)


def begin(
    container: AnyContainer, started: float, now: float, *, was_started: bool = False, was_ready: bool = False
) -> ContainerProbes | None:
    """Return the probing of an instance that began at `started`; none if it has no probes.

    `was_started` and `was_ready` are what the API holds of this very instance: a kubelet that comes back does not make
    a ready container unready by forgetting.
    """
    wanted = (
        (ProbeKind.STARTUP, container.startup_probe),
        (ProbeKind.READINESS, container.readiness_probe),
        (ProbeKind.LIVENESS, container.liveness_probe),
    )
    gated = container.startup_probe is not None and not was_started
    probes = []
    for kind, probe in wanted:
        if probe is None:
            continue
        timing = timing_of(probe)
        begins = started + timing.initial_delay
        result = _INITIAL[kind]
        waits = kind is not ProbeKind.STARTUP and gated
        if kind is ProbeKind.STARTUP and was_started:
            result, waits = True, True
        elif kind is ProbeKind.READINESS and was_ready:
            result = True
        probes.append(Probing(kind, timing, begins, None if waits else max(begins, now), result))
    return ContainerProbes(tuple(probes)) if probes else None


def step(state: ContainerProbes, event: Event, now: float) -> tuple[ContainerProbes, tuple[Effect, ...]]:
    """Return the state after `event`, and what is to be done."""
    match event:
        case Due():
            return _ask(state, now)
        case Answered(kind, checked):
            return _count(state, kind, checked, now)
        case PodEnds():
            quiet = tuple(p if p.kind is ProbeKind.READINESS else replace(p, due=None) for p in state.probes)
            return replace(state, probes=quiet, ending=True), ()


def _ask(state: ContainerProbes, now: float) -> tuple[ContainerProbes, tuple[Effect, ...]]:
    probes, effects = [], []
    for probe in state.probes:
        if probe.due is not None and probe.due <= now:
            probe = replace(probe, due=None, slot=probe.due)
            effects.append(Check(probe.kind, probe.timing.timeout))
        probes.append(probe)
    return replace(state, probes=tuple(probes)), tuple(effects)


def _count(
    state: ContainerProbes, kind: ProbeKind, checked: Checked, now: float
) -> tuple[ContainerProbes, tuple[Effect, ...]]:
    probe = state.of(kind)
    if probe is None or probe.slot is None:
        return state, ()
    asked = replace(probe, slot=None, due=_next_slot(probe.slot, probe.timing.period, now))
    if state.ending and kind is not ProbeKind.READINESS:
        return _with(state, replace(asked, due=None)), ()
    effects: list[Effect] = [Report(kind, checked)] if checked.outcome in _TOLD else []
    if checked.outcome in (Outcome.ERROR, Outcome.UNKNOWN):
        return _with(state, asked), tuple(effects)
    good = checked.outcome is not Outcome.FAILURE
    run = asked.run + 1 if asked.last is good else 1
    counted = replace(asked, last=good, run=run)
    if run >= (probe.timing.successes if good else probe.timing.failures):
        counted = replace(counted, result=good)
    if kind is not ProbeKind.READINESS and counted.result is False:
        counted = replace(counted, due=None)
    after = _with(state, counted)
    if kind is ProbeKind.STARTUP and counted.result is True:
        after = _open(after, now)
    if after.facts != state.facts:
        effects.append(FactsChanged())
    return after, tuple(effects)


def _open(state: ContainerProbes, now: float) -> ContainerProbes:
    """Let readiness and liveness begin: the startup probe has succeeded, and asks no more."""
    probes = []
    for probe in state.probes:
        if probe.kind is ProbeKind.STARTUP:
            probes.append(replace(probe, due=None))
        elif state.ending and probe.kind is ProbeKind.LIVENESS:
            probes.append(probe)
        else:
            probes.append(replace(probe, due=max(probe.begins, now)))
    return replace(state, probes=tuple(probes))


def _next_slot(slot: float, period: float, now: float) -> float:
    """Return when to ask next after the check of `slot` has ended at `now`."""
    missed = int((now - slot) // period)
    # What was missed is made up for once, at once; its place in the grid is that of the last point missed.
    return slot + missed * period if missed > 0 else slot + period


def _with(state: ContainerProbes, changed: Probing) -> ContainerProbes:
    return replace(state, probes=tuple(changed if p.kind is changed.kind else p for p in state.probes))
