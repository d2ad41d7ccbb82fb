"""Schedules of CronJobs: what `*/5 8-18 * * mon-fri` and `@every 1h30m` mean. Pure, but for the database of time zones.

Owns the grammar and its complaints, which are those of the parser that upstream uses: five fields, names of months and
weekdays, `@hourly` and the like, `@every`. Days match by their number or their weekday, or by both where one of the
fields is a star. A time that a zone leaves out (clocks go forward) is left out; one that it has twice comes twice.
Instants are seconds since the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from podling.api.validation.field import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_YEARS: Final = 5
"""How far ahead a time is looked for: there is no 31 February."""
_STAR: Final = -1


class Schedule(Protocol):
    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """Return the first time after an instant, `None` where there is none."""
        ...


class Calendar(Struct, frozen=True):
    """Sets of numbers; that of days holds `_STAR` where any day would do."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        at = int(after // 1) + 1
        seconds = datetime.fromtimestamp(at, zone).second
        at += (60 - seconds) % 60
        last = datetime.fromtimestamp(at, zone).year + _YEARS
        while True:
            local = datetime.fromtimestamp(at, zone)
            if local.year > last:
                return None
            if local.month not in self.months:
                following = (local.replace(day=1) + timedelta(days=32)).replace(day=1)
                at = _midnight(following, zone)
            elif not self._has_day(local):
                at = _midnight(local + timedelta(days=1), zone)
            elif local.hour not in self.hours:
                at += (60 - local.minute) * 60
            elif local.minute not in self.minutes:
                at += 60
            else:
                return float(at)

    def _has_day(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        if _STAR in self.days or _STAR in self.weekdays:
            return day and weekday
        return day or weekday


class Every(Struct, frozen=True):
    """So many seconds after the time before."""

    seconds: int

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:  # noqa: ARG002
        return float(after // 1 + self.seconds)


@lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """Return what a schedule means; `ValueError` says why it means nothing."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _named(text)
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = map(_field, fields, _BOUNDS)
    return Calendar(minutes, hours, days, months, weekdays)


def zone_of(name: str | None) -> tzinfo:
    """Return a time zone by its name, UTC where there is none; `ValueError` where nobody knows it."""
    if name in {None, "", "UTC"}:
        return UTC
    try:
        return ZoneInfo(name or "")
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


class _Bounds(Struct, frozen=True):
    least: int
    most: int
    names: Mapping[str, int]


_MONTHS: Final = "jan feb mar apr may jun jul aug sep oct nov dec"
_WEEKDAYS: Final = "sun mon tue wed thu fri sat"
_BOUNDS: Final = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS.split(), 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_WEEKDAYS.split())}),
)
_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY: Final = "@every "
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")


def _named(text: str) -> Schedule:
    if text in _NAMED:
        return parse(_NAMED[text])
    if not text.startswith(_EVERY):
        raise ValueError(f"unrecognized descriptor: {text}")
    try:
        seconds = _duration(text.removeprefix(_EVERY))
    except ValueError as why:
        raise ValueError(f"failed to parse duration {text}: {why}") from None
    return Every(max(int(seconds), 1))


def _duration(text: str) -> float:
    """Read a duration as Go writes one."""
    rest, total = text.removeprefix("+").removeprefix("-"), 0.0
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    while rest:
        found = _AMOUNT.match(rest)
        if found is None:
            raise ValueError(f"time: invalid duration {quoted(text)}")
        amount, unit = found.groups()
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        total += float(amount) * _UNITS[unit]
        rest = rest[found.end() :]
    return -total if text.startswith("-") else total


def _field(text: str, bounds: _Bounds) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        if part:
            found |= _range(part, bounds)
    return frozenset(found)


def _range(text: str, bounds: _Bounds) -> set[int]:
    reach, *steps = text.split("/")
    low, *high = reach.split("-")
    star = low in {"*", "?"}
    if star:
        first, last = bounds.least, bounds.most
    else:
        first = last = _number(low, bounds)
        if len(high) > 1:
            raise ValueError(f"too many hyphens: {text}")
        if high:
            last = _number(high[0], bounds)
    step = 1
    if steps:
        if len(steps) > 1:
            raise ValueError(f"too many slashes: {text}")
        step = _whole(steps[0])
        if not high:
            last = bounds.most
    if first < bounds.least:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.least}): {text}")
    if last > bounds.most:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.most}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    found = set(range(first, last + 1, step))
    return found | {_STAR} if star and step == 1 else found


def _number(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return named if named is not None else _whole(text)


def _whole(text: str) -> int:
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    return int(digits)


def _midnight(local: datetime, zone: tzinfo) -> int:
    """Return when a day begins, where its midnight is left out with the first time that it has."""
    return int(datetime(local.year, local.month, local.day, tzinfo=zone).timestamp())
