"""Which level of the Pod Security Standards a namespace asks for: its `pod-security.kubernetes.io/` labels, read.

Owns levels, versions and upstream's rules for labels that make no sense: `enforce` is then as strict as can be, `audit`
and `warn` are silent. Invariant: a namespace without labels asks for nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from podling.api.validation.field import Path, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.errors import Cause

PREFIX: Final = "pod-security.kubernetes.io/"
LATEST: Final = 1 << 16
"""A minor version newer than all."""
_VERSION: Final = re.compile(r"v1\.([0-9]|[1-9][0-9]{0,3})", re.ASCII)


class Level(IntEnum):
    """From all that a Pod can have to as little as it needs."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class LevelVersion(Struct, frozen=True):
    """A level as a release of Kubernetes understood it."""

    level: Level
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level.word}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a namespace refuses, notes and warns of."""

    enforce: LevelVersion
    audit: LevelVersion
    warn: LevelVersion

    @property
    def is_open(self) -> bool:
        """Whether no Pod can violate it."""
        return not (self.enforce.level or self.audit.level or self.warn.level)


_OPEN: Final = LevelVersion(Level.PRIVILEGED)
DEFAULT: Final = Policy(_OPEN, _OPEN, _OPEN)


def policy_of(labels: Mapping[str, str]) -> tuple[Policy, list[Cause]]:
    """Return what a namespace's labels ask for, and what is wrong with them."""
    if not any(label.startswith(PREFIX) for label in labels):
        return DEFAULT, []
    causes: list[Cause] = []
    enforce = _mode(labels, "enforce", Level.RESTRICTED, causes)
    audit = _mode(labels, "audit", Level.PRIVILEGED, causes)
    warn = _mode(labels, "warn", Level.PRIVILEGED, causes)
    # Who enforces and says nothing about warnings is warned where a workload's Pods would be refused.
    stated = labels.get(f"{PREFIX}enforce") in {level.word for level in Level}
    if f"{PREFIX}warn" not in labels and stated and enforce.level > warn.level:
        warn = replace(warn, level=enforce.level)
        if f"{PREFIX}warn-version" not in labels and f"{PREFIX}enforce-version" in labels:
            warn = replace(warn, minor=enforce.minor)
    return Policy(enforce, audit, warn), causes


def _mode(labels: Mapping[str, str], mode: str, in_doubt: Level, causes: list[Cause]) -> LevelVersion:
    level, minor = Level.PRIVILEGED, LATEST
    label = f"{PREFIX}{mode}"
    if label in labels:
        word = labels[label]
        known = {level.word: level for level in Level}
        level = known.get(word, in_doubt)
        if word not in known:
            causes.append(invalid(_path(label), word, f"must be one of {', '.join(known)}"))
    label = f"{PREFIX}{mode}-version"
    if label in labels and labels[label] != "latest":
        found = _VERSION.fullmatch(labels[label])
        if found is None:
            causes.append(invalid(_path(label), labels[label], 'must be "latest" or "v1.x"'))
        else:
            minor = int(found[1])
    return LevelVersion(level, minor)


def _path(label: str) -> Path:
    return (Path("metadata") / "labels").key(label)
