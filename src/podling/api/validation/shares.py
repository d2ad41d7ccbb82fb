"""Numbers that may be given as a percentage: upstream's IntOrString where it counts Pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import formats
from podling.api.validation.field import invalid, invalid_each

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.validation.field import Path

_WHOLE: Final = 100


def check_share(value: int | str | None, path: Path, causes: list[Cause]) -> None:
    """Refuse what is neither a number from zero nor a percentage."""
    if isinstance(value, int):
        if value < 0:
            causes.append(invalid(path, value, formats.NOT_NEGATIVE))
    elif value is not None:
        invalid_each(path, value, formats.percent(value), causes)


def check_part(value: int | str | None, path: Path, causes: list[Cause]) -> None:
    """Refuse a percentage of more than all."""
    if isinstance(value, str) and not formats.percent(value) and int(value[:-1]) > _WHOLE:
        causes.append(invalid(path, value, "must not be greater than 100%"))


def is_nothing(value: int | str | None) -> bool:
    """Whether a share is zero, of whatever it may be."""
    if isinstance(value, str):
        return bool(formats.percent(value)) or int(value[:-1]) == 0
    return not value
