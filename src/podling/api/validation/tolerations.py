"""Taints and tolerations.

Must not know whether they fit each other: that is the scheduler's question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.validation import formats
from podling.api.validation.field import Path, duplicate, forbidden, invalid, not_supported, required
from podling.api.validation.meta import check_label_name

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import Taint, Toleration

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def check_tolerations(tolerations: tuple[Toleration, ...], path: Path, causes: list[Cause]) -> None:
    for i, toleration in enumerate(tolerations):
        where = path[i]
        if toleration.key:
            check_label_name(toleration.key, where / "key", causes)
        elif toleration.operator != "Exists":
            causes.append(
                invalid(
                    where / "operator",
                    toleration.operator,
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            causes.append(
                invalid(
                    where / "effect",
                    toleration.effect,
                    "effect must be 'NoExecute' when `tolerationSeconds` is set",
                )
            )
        if toleration.operator in {"", "Equal"}:
            complaints = formats.label_value(toleration.value)
            if complaints:
                causes.append(invalid(where / "operator", toleration.value, ";".join(complaints)))
        elif toleration.operator == "Exists":
            if toleration.value:
                causes.append(
                    invalid(where / "operator", toleration.value, "value must be empty when `operator` is 'Exists'")
                )
        else:
            causes.append(not_supported(where / "operator", toleration.operator, ("Equal", "Exists")))
        if toleration.effect and toleration.effect not in _EFFECTS:
            causes.append(not_supported(where / "effect", toleration.effect, _EFFECTS))


def check_only_added(new: tuple[Toleration, ...], old: tuple[Toleration, ...], path: Path, causes: list[Cause]) -> None:
    """Refuse that a Pod loses a toleration; only tolerationSeconds of an old one may change."""
    timeless = {msgspec.structs.replace(one, toleration_seconds=None) for one in new}
    for one in old:
        if msgspec.structs.replace(one, toleration_seconds=None) not in timeless:
            causes.append(forbidden(path, "existing toleration can not be modified except its tolerationSeconds"))
            return
    check_tolerations(new, path, causes)


def check_taints(taints: tuple[Taint, ...], path: Path, causes: list[Cause]) -> None:
    seen = set()
    for i, taint in enumerate(taints):
        where = path[i]
        check_label_name(taint.key, where / "key", causes)
        complaints = formats.label_value(taint.value)
        if complaints:
            causes.append(invalid(where / "value", taint.value, ";".join(complaints)))
        if not taint.effect:
            causes.append(required(where / "effect"))
        elif taint.effect not in _EFFECTS:
            causes.append(not_supported(where / "effect", taint.effect, _EFFECTS))
        if (taint.key, taint.effect) in seen:
            shown = {"Key": taint.key, "Value": taint.value, "Effect": taint.effect, "TimeAdded": taint.time_added}
            causes.append(duplicate(where, shown, "taints must be unique by key and effect pair"))
        seen.add((taint.key, taint.effect))
