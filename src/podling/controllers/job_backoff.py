"""How long a Job waits before it makes another Pod after failures. Pure.

10 s after the first failure, twice as long after each further one, 10 min at most, counted from the last; a success
begins the count anew. What is counted already is remembered; where it is not (the process is new), the Pods that are
still there tell it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from podling.controllers.job_pods import all_failures, finished_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod

FIRST: Final = 10.0
LONGEST: Final = 600.0


class Backoff(NamedTuple):
    """How many Pods failed since the last success, and when the last of them did."""

    failures: int = 0
    last: float = 0.0

    def after(self, succeeded: Sequence[Pod], failed: Sequence[Pod]) -> Backoff:
        """Return the count with Pods that have ended since."""
        ends = sorted(finished_at(pod) for pod in failed)
        if not succeeded:
            return Backoff(self.failures + len(ends), ends[-1]) if ends else self
        success = max(finished_at(pod) for pod in succeeded)
        later = [end for end in ends if end > success]
        return Backoff(len(later), later[-1]) if later else Backoff()

    def remaining(self, now: float) -> float:
        """Return how many seconds are still to be waited."""
        if not self.failures:
            return 0.0
        return max(min(FIRST * 2.0 ** min(self.failures - 1, 60), LONGEST) - (now - self.last), 0.0)


def of_index(last: Pod | None) -> Backoff:
    """Return the back-off of one index, which its last failed Pod tells."""
    return Backoff() if last is None else Backoff(all_failures(last) + 1, finished_at(last))
