"""When a node is short of something, and when it is so short that a Pod has to go.

Owns signals, thresholds and the machine that turns observations into node conditions and into the one threshold to act
upon. Knows no kernel, no Pod, no clock but `now`. The way of a threshold:

    fine ──crossed──▶ observed ──its grace is over (hard: at once)──▶ met ──value + minimum reclaim is there──▶ fine
                         │                                             │
                         └──── the condition it stands for is True ────┴── and stays so for the transition period

Invariants: a condition turns False only when nothing has called for it for the whole transition period; a threshold
whose grace is not over is never acted upon; of those that are met, memory goes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from podling.api.quantity import BINARY_SI, DECIMAL_SI, Quantity, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NANO: Final = 10**9


class Signal(StrEnum):
    """What is watched, by upstream's names; the allocatable one is what Pods together may still take."""

    MEMORY = "memory.available"
    ALLOCATABLE_MEMORY = "allocatableMemory.available"
    NODEFS = "nodefs.available"
    NODEFS_INODES = "nodefs.inodesFree"
    IMAGEFS = "imagefs.available"
    IMAGEFS_INODES = "imagefs.inodesFree"
    PIDS = "pid.available"


MEMORY_PRESSURE: Final = "MemoryPressure"
DISK_PRESSURE: Final = "DiskPressure"
PID_PRESSURE: Final = "PIDPressure"

_MEMORY_SIGNALS: Final = (Signal.MEMORY, Signal.ALLOCATABLE_MEMORY)
_COUNTS: Final = (Signal.NODEFS_INODES, Signal.IMAGEFS_INODES, Signal.PIDS)


def condition_of(signal: Signal) -> str:
    """Return the node condition that a signal stands for."""
    if signal in _MEMORY_SIGNALS:
        return MEMORY_PRESSURE
    return PID_PRESSURE if signal is Signal.PIDS else DISK_PRESSURE


def resource_of(signal: Signal) -> str:
    """Return the resource that is short when a signal is low, as messages name it."""
    if signal in _MEMORY_SIGNALS:
        return "memory"
    if signal is Signal.PIDS:
        return "pids"
    return "inodes" if signal in _COUNTS else "ephemeral-storage"


class Share(Struct, frozen=True):
    """An amount (a quantity's text) or a part of the capacity (0.1 for 10 %)."""

    amount: str = ""
    part: float = 0.0

    def of(self, capacity: int, signal: Signal) -> Quantity:
        """Return it as a quantity of what the signal counts."""
        if self.amount:
            return parse(self.amount)
        return quantity(int(capacity * self.part), signal)


class Threshold(Struct, frozen=True):
    """A signal below `value` for `grace` seconds calls for an eviction; without grace it is hard."""

    signal: Signal
    value: Share
    grace: float = 0.0
    reclaim: Share | None = None
    """How much beyond `value` must be there before the threshold counts as resolved."""

    @property
    def is_hard(self) -> bool:
        return self.grace == 0.0

    def is_crossed(self, seen: Observation, *, with_reclaim: bool) -> bool:
        """Whether less than the threshold is available."""
        least = self.value.of(seen.capacity, self.signal)
        if with_reclaim and self.reclaim is not None:
            least += self.reclaim.of(seen.capacity, self.signal)
        return least.nano > seen.available * _NANO


class Observation(Struct, frozen=True):
    """What a signal was seen to be: bytes, inodes or processes."""

    available: int
    capacity: int


def quantity(count: int, signal: Signal) -> Quantity:
    """Return an observed number as the quantity that messages print."""
    return Quantity(count * _NANO, DECIMAL_SI if signal in _COUNTS else BINARY_SI)


UPSTREAM_HARD: Final[Mapping[str, str]] = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
"""The kubelet's defaults on Linux."""


def thresholds_of(
    hard: Mapping[str, str] = UPSTREAM_HARD,
    soft: Mapping[str, str] | None = None,
    soft_grace: Mapping[str, float] | None = None,
    minimum_reclaim: Mapping[str, str] | None = None,
) -> tuple[Threshold, ...]:
    """Read thresholds as a kubelet's configuration gives them; `ValueError` in upstream's words.

    Each argument goes by signal; `0%` and `100%` switch a threshold off. The hard threshold of memory holds for what
    Pods may take together as well, as upstream does where it enforces what is allocatable.
    """
    graces = soft_grace or {}
    reclaims = {_signal(name): _share(name, text, "minimum reclaim") for name, text in (minimum_reclaim or {}).items()}
    found: list[Threshold] = []
    for name, text in hard.items():
        signal = _signal(name)
        if not _is_off(text):
            found.append(Threshold(signal, _share(name, text, "threshold"), 0.0, reclaims.get(signal)))
    for name, text in (soft or {}).items():
        signal = _signal(name)
        if name not in graces:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {name}")
        if graces[name] < 0:
            raise ValueError(f"invalid eviction grace period specified: {graces[name]}, must be a positive value")
        if not _is_off(text):
            found.append(Threshold(signal, _share(name, text, "threshold"), graces[name], reclaims.get(signal)))
    together = [t for t in found if t.signal is Signal.MEMORY and t.is_hard]
    return (*found, *(Threshold(Signal.ALLOCATABLE_MEMORY, t.value, 0.0, t.reclaim) for t in together))


def kept_back(thresholds: Iterable[Threshold], signal: Signal, capacity: int) -> int:
    """Return what the hard thresholds of a signal keep from Pods: it is no part of what is allocatable."""
    hard = [t.value.of(capacity, signal).value() for t in thresholds if t.signal is signal and t.is_hard]
    return max(hard, default=0)


def _signal(name: str) -> Signal:
    if name == Signal.ALLOCATABLE_MEMORY or name not in tuple(Signal):
        raise ValueError(f"unsupported eviction signal {name}")
    return Signal(name)


def _is_off(text: str) -> bool:
    return text in {"0%", "100%"}


def _share(name: str, text: str, what: str) -> Share:
    if text.endswith("%"):
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text) is None:
            raise ValueError(f"eviction percentage {what} {name} must be positive: {text}")
        part = float(text[:-1]) / 100
        if part <= 0:
            raise ValueError(f"eviction percentage {what} {name} must be positive: {text}")
        if part > 1:
            raise ValueError(f"eviction percentage {what} {name} must be <= 100%: {text}")
        return Share(part=part)
    amount = parse(text)
    if amount.nano < 0 or (amount.nano == 0 and what == "threshold"):
        raise ValueError(f"eviction {what} {name} must be positive: {text}")
    return Share(amount=str(amount))


@dataclass(frozen=True, slots=True)
class EvictionPolicy:
    """When a node evicts; upstream's values, settable."""

    thresholds: tuple[Threshold, ...] = thresholds_of()
    transition: float = 300.0
    """Seconds for which a condition stays True after the last cause for it."""
    longest_grace: float = 0.0
    """Seconds that a Pod evicted by a soft threshold is given at most; 0 leaves it its own."""
    period: float = 10.0
    """Between looks."""


UPSTREAM_EVICTION: Final = EvictionPolicy()


class Pressure(Struct, frozen=True):
    """What was seen so far, from which the next observation is judged."""

    first_observed: Mapping[Threshold, float] = field(default_factory=dict)
    last_called_for: Mapping[str, float] = field(default_factory=dict)
    """By condition."""
    met: tuple[Threshold, ...] = ()
    conditions: tuple[str, ...] = ()
    """Those that are True."""


def observe(
    before: Pressure, policy: EvictionPolicy, seen: Mapping[Signal, Observation], now: float
) -> tuple[Pressure, tuple[Threshold, ...]]:
    """Take observations in; return what is so now, and the thresholds that call for an eviction, the first first."""
    crossed = _crossed(policy.thresholds, seen, with_reclaim=False)
    crossed += [t for t in _crossed(before.met, seen, with_reclaim=True) if t not in crossed]
    first = {threshold: before.first_observed.get(threshold, now) for threshold in crossed}
    called = {**before.last_called_for, **{condition_of(threshold.signal): now for threshold in crossed}}
    lasting = {name: at for name, at in called.items() if at == now or now - at < policy.transition}
    met = tuple(threshold for threshold, at in first.items() if now - at >= threshold.grace)
    urgent = sorted(met, key=lambda threshold: threshold.signal not in _MEMORY_SIGNALS)
    conditions = tuple(c for c in (MEMORY_PRESSURE, DISK_PRESSURE, PID_PRESSURE) if c in lasting)
    return Pressure(first, lasting, met, conditions), tuple(urgent)


def is_relieved(policy: EvictionPolicy, seen: Mapping[Signal, Observation]) -> bool:
    """Whether nothing is short any more, minimum reclaims included: what a node asks after it has cleaned up."""
    return not _crossed(policy.thresholds, seen, with_reclaim=True)


def _crossed(
    thresholds: Sequence[Threshold], seen: Mapping[Signal, Observation], *, with_reclaim: bool
) -> list[Threshold]:
    return [t for t in thresholds if t.signal in seen and t.is_crossed(seen[t.signal], with_reclaim=with_reclaim)]
