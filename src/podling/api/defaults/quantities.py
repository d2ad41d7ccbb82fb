"""Quantities in a tree, brought to their canonical text.

Upstream prints every quantity canonically, because decoding keeps only its value; and a resource list keeps no more
than thousandths. Text that is no quantity is left as it stands: refusing it is validation's work.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from podling.api import quantity

if TYPE_CHECKING:
    from collections.abc import Iterable

_MILLI = 10**6
"""Billionths in a thousandth."""


def canonicalize(amounts: dict[str, Any], names: Iterable[str] = ()) -> None:
    """Rewrite the quantities of a resource list; with `names`, only these fields of an object, unrounded."""
    if names:
        for name in names:
            amounts[name] = _exact(str(amounts[name]))
        return
    for name, value in amounts.items():
        amounts[name] = _rounded(value if type(value) is str else str(value))


@functools.lru_cache(maxsize=4096)
def _exact(text: str) -> str:
    try:
        return quantity.canonical(text)
    except ValueError:
        return text


@functools.lru_cache(maxsize=4096)
def _rounded(text: str) -> str:
    try:
        amount = quantity.parse(text)
    except ValueError:
        return text
    if amount.nano % _MILLI:
        amount = quantity.Quantity(-(-amount.nano // _MILLI) * _MILLI, amount.family)
    return str(amount)
