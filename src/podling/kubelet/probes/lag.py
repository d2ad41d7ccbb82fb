"""How late the node itself was: what tells a container that does not answer from a node that did not listen.

Owns a heartbeat that runs while checks are under way and adds up by how much each beat came late. Knows no probe.
Invariants: nothing beats while nobody asks; on virtual time nothing is ever late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from podling.aio.clock import Clock, Timer

BEAT: Final = 0.1
NOISE: Final = 0.02
"""Seconds by which any timer may be late."""


class LoopLag:
    """Seconds during which the loop did not turn, while anybody wanted to know."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asking = 0
        self._lost = 0.0
        self._next = 0.0
        self._timer: Timer | None = None

    def begin(self) -> float:
        """Begin to measure; hand what is returned to `end`."""
        self._asking += 1
        if self._timer is None:
            self._arm()
        return self._lost

    def end(self, mark: float) -> float:
        """Return the seconds lost since `begin`."""
        lost = self._lost - mark + self._late()
        self._asking -= 1
        if not self._asking and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return lost

    def _late(self) -> float:
        late = self._clock.monotonic() - self._next
        return late if late > NOISE else 0.0

    def _arm(self) -> None:
        self._next = self._clock.monotonic() + BEAT
        self._timer = self._clock.call_later(BEAT, self._beat)

    def _beat(self) -> None:
        self._lost += self._late()
        if self._asking:
            self._arm()
        else:
            self._timer = None
