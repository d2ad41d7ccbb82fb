"""Owns quantities: exact amounts with upstream's suffixes, and their canonical text.

A quantity is a whole number of billionths and the family of suffixes it was written with:

    DecimalSI        n u m (none) k M G T P E       1500m
    BinarySI         (none) Ki Mi Gi Ti Pi Ei       512Mi
    DecimalExponent  (none) e3 e6 e-3 …             12e6

Invariants: finer than a billionth is rounded away from zero, so that who asks for something gets something; canonical
text has no fraction, the largest suffix that keeps it whole, and parses to an equal quantity (some texts upstream takes
for canonical as they stand, `1.500` among them; so does this module). `Quantity` here is the value to reckon with; on
the wire and in the typed view a quantity is text.
"""

from __future__ import annotations

import functools
import re
from typing import Final

_NANO: Final = 10**9
_MAX_BINARY: Final = (2**63 - 1) * _NANO
_MAX_EXPONENT: Final = 1000

DECIMAL_SI: Final = "DecimalSI"
BINARY_SI: Final = "BinarySI"
DECIMAL_EXPONENT: Final = "DecimalExponent"

_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {0: "", **{exponent: suffix for suffix, exponent in _BINARY.items()}}

_FORM: Final = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)\Z", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE]([-+]?[0-9]+)\Z", re.ASCII)

WRONG_FORM: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX: Final = "unable to parse quantity's suffix"


class Quantity:
    """An exact amount; ordered and equal by amount alone, printed in the family it was written with."""

    __slots__ = ("_text", "family", "nano")

    def __init__(self, nano: int, family: str = DECIMAL_SI, text: str = "") -> None:
        self.nano = nano
        """The amount in billionths."""
        self.family = family
        self._text = text

    def value(self) -> int:
        """Return the amount in whole units, rounded away from zero, as upstream's `Value()`."""
        return _rounded_up(self.nano, _NANO)

    def milli_value(self) -> int:
        """Return the amount in thousandths, rounded away from zero, as upstream's `MilliValue()`."""
        return _rounded_up(self.nano, 10**6)

    def __float__(self) -> float:
        return self.nano / _NANO

    def __str__(self) -> str:
        if not self._text:
            self._text = _canonical(self.nano, self.family)
        return self._text

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano

    def __bool__(self) -> bool:
        return self.nano != 0

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.family)

    def __add__(self, other: Quantity) -> Quantity:
        """Return the sum, in this quantity's family; zero takes the other's."""
        return Quantity(self.nano + other.nano, self.family if self.nano else other.family)

    def __sub__(self, other: Quantity) -> Quantity:
        """Return the difference, in this quantity's family; zero takes the other's."""
        return Quantity(self.nano - other.nano, self.family if self.nano else other.family)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.nano * factor, self.family)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """Return the quantity that a text says; `ValueError` with upstream's words where it says none."""
    if text == "":
        raise ValueError(WRONG_FORM)
    form = _FORM.match(text)
    if form is None:
        raise ValueError(WRONG_FORM)
    sign, whole, fraction, suffix = form.groups()
    family, base, exponent = _interpret(suffix)
    whole, fraction = whole or "0", fraction or ""
    nano = int(whole + fraction)
    if base == 2:
        scale = 9 - len(fraction)
        nano <<= exponent
    else:
        scale = 9 - len(fraction) + exponent
    nano = nano * 10**scale if scale >= 0 else _rounded_up(nano, 10**-scale)
    if family == BINARY_SI:
        nano = min(nano, _MAX_BINARY)
        if 0 < nano < _NANO:
            family = DECIMAL_SI
    if sign == "-":
        nano = -nano
    return Quantity(nano, family, text if _kept(whole, fraction, base, exponent) else "")


def canonical(text: str) -> str:
    """Return the text that upstream prints for a quantity given as text; `ValueError` as `parse`."""
    return str(parse(text))


def _interpret(suffix: str) -> tuple[str, int, int]:
    """Return family, base and exponent of a suffix."""
    if suffix in _DECIMAL:
        return DECIMAL_SI, 10, _DECIMAL[suffix]
    if suffix in _BINARY:
        return BINARY_SI, 2, _BINARY[suffix]
    exponent = _EXPONENT.match(suffix)
    if exponent is None or len(exponent[1]) > 20 or abs(int(exponent[1])) > _MAX_EXPONENT:
        raise ValueError(WRONG_SUFFIX)
    return DECIMAL_EXPONENT, 10, int(exponent[1])


def _kept(whole: str, fraction: str, base: int, exponent: int) -> bool:
    """Whether upstream prints the text as it was written: it takes its word for canonical text by these signs."""
    digits = whole + fraction
    if base == 2:
        precision = 15 - len(whole) - exponent * 3 // 10 - 1
        return not fraction and precision >= 0 and int(digits) & 7 != 0
    scale = exponent - len(fraction)
    return (
        len(digits) <= 18
        and scale >= -9
        and scale % 3 == 0
        and not digits.endswith("000")
        and not digits.startswith("0")
    )


def _rounded_up(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount >= 0 else amount // unit


def _canonical(nano: int, family: str) -> str:
    if nano == 0:
        return "0"
    if family == BINARY_SI and (abs(nano) < 1024 * _NANO or nano % _NANO):
        family = DECIMAL_SI
    if family == BINARY_SI:
        amount, exponent = nano // _NANO, 0
        while amount % 1024 == 0 and exponent < 60:
            amount //= 1024
            exponent += 10
        return f"{amount}{_BINARY_SUFFIX[exponent]}"
    amount, exponent = nano, -9
    while amount % 1000 == 0 and (exponent < 18 or family == DECIMAL_EXPONENT):
        amount //= 1000
        exponent += 3
    if family == DECIMAL_EXPONENT:
        return f"{amount}e{exponent}" if exponent else str(amount)
    return f"{amount}{_DECIMAL_SUFFIX[exponent]}"
