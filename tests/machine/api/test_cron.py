"""Schedules: what they mean, to the minute and across the changes of clocks, and what is said of those that mean nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.cron import parse, zone_of

NEXT = [
    ("* * * * *", "2026-07-09 14:45:00", "2026-07-09 14:46"),
    ("* * * * *", "2026-07-09 14:45:59", "2026-07-09 14:46"),
    ("0/15 * * * *", "2026-07-09 14:45", "2026-07-09 15:00"),
    ("20-35/15 * * * ?", "2026-07-09 14:45", "2026-07-09 15:20"),
    ("*/15 2 * * *", "2026-12-31 23:59", "2027-01-01 02:00"),
    ("0 0 * Feb Mon", "2026-07-09 23:35", "2027-02-01 00:00"),
    ("0 0 29 feb ?", "2026-07-09 23:35", "2028-02-29 00:00"),
    ("5,10 3 1,15 * *", "2026-07-09 00:00", "2026-07-15 03:05"),
    ("0 0 13 * fri", "2026-07-09 00:00", "2026-07-10 00:00"),  # the number or the weekday
    ("0 0 */2 * fri", "2026-07-08 00:00", "2026-07-09 00:00"),  # a step is no star
    ("0 0 * * fri", "2026-07-09 00:00", "2026-07-10 00:00"),
    ("0 0 31 2 *", "2026-07-09 00:00", None),
    ("@hourly", "2026-07-09 14:45", "2026-07-09 15:00"),
    ("@daily", "2026-07-09 14:45", "2026-07-10 00:00"),
    ("@weekly", "2026-07-09 14:45", "2026-07-12 00:00"),
    ("@monthly", "2026-07-09 14:45", "2026-08-01 00:00"),
    ("@yearly", "2026-07-09 14:45", "2027-01-01 00:00"),
    ("@every 1h30m", "2026-07-09 14:45", "2026-07-09 16:15"),
    ("@every 10ms", "2026-07-09 14:45", "2026-07-09 14:45:01"),
]
"""In UTC."""
CLOCKS = [
    ("30 2 * * *", "2026-03-08 00:00", "2026-03-09 02:30"),  # 2026-03-08 has no half past two
    ("0 * * * *", "2026-03-08 01:00", "2026-03-08 03:00"),
    ("0 3 * * *", "2026-03-08 00:00", "2026-03-08 03:00"),
    ("0 4 * * *", "2026-11-01 00:00", "2026-11-01 04:00"),
    ("0 0 * * *", "2026-11-01 00:00", "2026-11-02 00:00"),
]
"""In New York, where the day begins at these times and clocks change at two."""


def instant(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(("schedule", "after", "then"), NEXT)
def test_when(schedule, after, then):
    assert parse(schedule).next(instant(after)) == (None if then is None else instant(then))


@pytest.mark.parametrize(("schedule", "after", "then"), CLOCKS)
def test_when_the_clocks_change(schedule, after, then):
    zone = "America/New_York"
    assert parse(schedule).next(instant(after, zone), zone_of(zone)) == instant(then, zone)


def test_an_hour_that_comes_twice_is_there_twice():
    zone = zone_of("America/New_York")
    first = parse("30 1 * * *").next(instant("2026-11-01 00:00", "America/New_York"), zone)
    assert first is not None
    assert parse("30 1 * * *").next(first, zone) == first + 3600


def test_a_midnight_that_is_left_out():
    """In Santiago clocks go forward at midnight: the day begins at one."""
    zone, name = zone_of("America/Santiago"), "America/Santiago"
    assert parse("0 0 * * *").next(instant("2026-09-05 12:00", name), zone) == instant("2026-09-07 00:00", name)
    assert parse("0 1 * * *").next(instant("2026-09-05 12:00", name), zone) == instant("2026-09-06 01:00", name)


@given(
    st.frozensets(st.integers(0, 59), min_size=1),
    st.frozensets(st.integers(0, 23), min_size=1),
    st.integers(0, 1_000_000),
)
def test_it_is_the_first_minute_that_fits(minutes, hours, offset):
    """Against looking at every minute."""
    text = f"{','.join(map(str, sorted(minutes)))} {','.join(map(str, sorted(hours)))} * * *"
    after = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(seconds=offset)
    minute = after.replace(second=0) + timedelta(minutes=1)
    while minute.minute not in minutes or minute.hour not in hours:
        minute += timedelta(minutes=1)
    assert parse(text).next(after.timestamp()) == minute.timestamp()


REFUSED = [
    ("", "empty spec string"),
    ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
    ("60 * * * *", "end of range (60) above maximum (59): 60"),
    ("* 25 * * *", "end of range (25) above maximum (23): 25"),
    ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
    ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
    ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    ("*/2/3 * * * *", "too many slashes: */2/3"),
    ("*/0 * * * *", "step of range should be a positive number: */0"),
    ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
    ("@never", "unrecognized descriptor: @never"),
    ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
    ("@every 5x", 'failed to parse duration @every 5x: time: unknown unit "x" in duration "5x"'),
    ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
]


@pytest.mark.parametrize(("schedule", "why"), REFUSED)
def test_what_means_nothing(schedule, why):
    with pytest.raises(ValueError) as refused:
        parse(schedule)
    assert str(refused.value) == why


def test_a_zone_that_nobody_knows():
    with pytest.raises(ValueError, match="unknown time zone Nowhere/City"):
        zone_of("Nowhere/City")
