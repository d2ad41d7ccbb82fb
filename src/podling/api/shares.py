"""A number, or a share of another: what `maxSurge: 25%` and `minAvailable: 1` come to. Pure.

Owns the rounding; which way to round is the asker's to know. The form was checked by validation.
"""

from __future__ import annotations


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """Return a number as it is, or a percentage of `total`, rounded up or down."""
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * total
    return -(-hundredths // 100) if up else hundredths // 100
