"""Durations in upstream's words."""

from __future__ import annotations

import pytest

from podling.api.durations import go_duration, human_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (600, "10m"),
        (10_799, "179m"), (10_800, "3h"), (11_100, "3h5m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"),
        (176_400, "2d1h"), (691_200, "8d"), (63_071_999, "729d"), (63_072_000, "2y"), (63_158_400, "2y1d"), (252_288_000, "8y"),
    ],
)  # fmt: skip
def test_ages_are_upstreams(seconds: int, text: str) -> None:
    """Ages have upstream's units at upstream's borders."""
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.2345, "234ms"), (1.5, "1.5s"), (62.3, "1m2.3s"), (10, "10s"), (300, "5m0s"), (3600, "1h0m0s")],
)
def test_durations_are_gos(seconds: float, text: str) -> None:
    """As Go prints a duration cut to milliseconds."""
    assert go_duration(seconds) == text
