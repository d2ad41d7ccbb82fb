"""Which of a CronJob's times is due, and when to look again. Pure.

Owns upstream's rules of missed starts: of several times that have passed only the last is made up for; a time that is
older than `startingDeadlineSeconds` is none any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api import cron
from podling.api.times import from_wire

if TYPE_CHECKING:
    from datetime import tzinfo

    from podling.api.cron import Schedule
    from podling.api.types.batch_v1 import CronJob

_TOO_MANY: Final = 100
_LATER: Final = 0.1
"""Seconds after a time at which it is looked at, so that a clock that is a little behind has passed it."""


class Due(NamedTuple):
    """The last time that has passed since the one before it was seen to."""

    at: float | None
    too_many: bool
    """Whether so many have passed that something is wrong."""


def due(found: CronJob, schedule: Schedule, zone: tzinfo, now: float) -> Due:
    """Return what is to be made up for now; `ValueError` for a schedule without two times."""
    since = _since(found)
    if found.spec.starting_deadline_seconds is not None:
        since = max(since, now - found.spec.starting_deadline_seconds)
    return _last(since, schedule, zone, now)


def again(found: CronJob, schedule: Schedule, zone: tzinfo, now: float) -> float | None:
    """Return in how many seconds the next time comes; `None` where none does."""
    since = _since(found)
    try:
        last = _last(since, schedule, zone, now)
    except ValueError:
        begin = now
    else:
        begin = last.at if last.at is not None else (now if last.too_many else since)
    then = schedule.next(begin, zone)
    while then is not None and then <= now:
        then = schedule.next(now, zone)
    return None if then is None else then + _LATER - now


def is_late(found: CronJob, at: float, now: float) -> bool:
    deadline = found.spec.starting_deadline_seconds
    return deadline is not None and at + deadline < now


def schedule_of(found: CronJob) -> tuple[Schedule, tzinfo]:
    """Return the schedule and its zone: that of the CronJob, or UTC as in upstream's own containers."""
    return cron.parse(found.spec.schedule), cron.zone_of(found.spec.time_zone)


def _since(found: CronJob) -> float:
    seen = found.status.last_schedule_time or found.metadata.creation_timestamp
    return from_wire(seen) if seen else 0.0


def _last(since: float, schedule: Schedule, zone: tzinfo, now: float) -> Due:
    first = schedule.next(since, zone)
    if first is None or first > now:
        return Due(None, too_many=False)
    second = schedule.next(first, zone)
    if second is None or second > now:
        return Due(first, too_many=False)
    between = round(second - first)
    if between < 1:
        raise ValueError("time difference between two schedules is less than 1 second")
    # Times may be spaced unevenly: the number is a guess, and the last is looked for from a little before.
    missed = int((now - first) // between) + 1
    at, then = None, schedule.next(first + (missed - 2) * between, zone)
    while then is not None and then <= now:
        at, then = then, schedule.next(then, zone)
    return Due(at, missed > _TOO_MANY)
