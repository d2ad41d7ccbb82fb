"""Paths of files inside objects: relative, without `..`.

Must not know which object; callers say the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.field import Path, invalid

if TYPE_CHECKING:
    from podling.api.errors import Cause


def check_no_backsteps(text: str, path: Path, causes: list[Cause]) -> bool:
    """Refuse a path that climbs; one error says it. Return whether it does not."""
    if ".." in text and ".." in text.split("/"):
        causes.append(invalid(path, text, "must not contain '..'"))
        return False
    return True


def check_descending(text: str, path: Path, causes: list[Cause]) -> None:
    """Refuse what is not a path below the current directory."""
    if text.startswith("/"):
        causes.append(invalid(path, text, "must be a relative path"))
    check_no_backsteps(text, path, causes)


def check_not_reserved(text: str, path: Path, causes: list[Cause]) -> None:
    """Refuse also names that begin with `..`, which volumes keep for themselves."""
    check_descending(text, path, causes)
    if text.startswith("..") and not text.startswith("../"):
        causes.append(invalid(path, text, "must not start with '..'"))
