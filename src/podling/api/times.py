"""Times on the wire: `2026-11-23T15:00:00Z` (metav1.Time) and six more digits (metav1.MicroTime).

Rules reckon in seconds since the epoch; objects carry text. This is the only bridge between the two. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_wire(seconds: float) -> str:
    """Return a metav1.Time: whole seconds, truncated as upstream does."""
    return (_EPOCH + timedelta(seconds=int(seconds // 1))).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_wire_micro(seconds: float) -> str:
    """Return a metav1.MicroTime: always six digits of a second."""
    return (_EPOCH + timedelta(microseconds=round(seconds * 1e6))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_wire(text: str) -> float:
    """Return seconds since the epoch of an RFC 3339 time; `ValueError` where it is none."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"time {text!r} names no zone")
    return (parsed - _EPOCH).total_seconds()
