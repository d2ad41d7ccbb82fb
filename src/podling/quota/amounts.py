"""Amounts by resource name, as `hard` and `used` have them, and what quotas do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from podling.api.quantity import Quantity, parse

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Amounts: TypeAlias = "dict[str, Quantity]"

ONE = Quantity(10**9)
ZERO = Quantity(0)


def read(texts: Mapping[str, str]) -> Amounts:
    return {name: parse(text) for name, text in texts.items()}


def spelled(amounts: Amounts) -> dict[str, str]:
    """Return amounts as they stand in objects, in the order of their names."""
    return {name: str(amounts[name]) for name in sorted(amounts)}


def plus(one: Amounts, other: Amounts) -> Amounts:
    total = dict(one)
    for name, amount in other.items():
        total[name] = total[name] + amount if name in total else amount
    return total


def increase(new: Amounts, old: Amounts) -> Amounts:
    """Return by how much each amount grows; what shrinks is given back by the controller alone."""
    grown = {name: amount - old[name] if name in old else amount for name, amount in new.items()}
    return {name: amount for name, amount in grown.items() if amount > ZERO}


def masked(amounts: Amounts, names: Container[str]) -> Amounts:
    return {name: amount for name, amount in amounts.items() if name in names}


def said(amounts: Amounts) -> str:
    """Return amounts as refusals list them: `cpu=1,memory=1Gi`."""
    return ",".join(f"{name}={text}" for name, text in spelled(amounts).items())
