"""Reckoning a quota's status anew from the objects of its namespace.

Level: what there is counts, whatever was charged before. What no evaluator knows keeps the usage that it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podling.api.types.core_v1 import ResourceQuotaStatus
from podling.quota.amounts import ZERO, Amounts, masked, plus, read, spelled
from podling.quota.scopes import in_scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.resources import Resource
    from podling.api.types.core_v1 import ResourceQuota
    from podling.quota.evaluator import Evaluator


@dataclass(frozen=True, slots=True)
class Reckoned:
    """What a quota's status is to be, where it is not so already, and when to look again at the latest."""

    status: ResourceQuotaStatus | None
    again_in: float | None
    is_new: bool
    """Whether the status comes to limit what it did not: what was written meanwhile has not been charged."""


def needed(quota: ResourceQuota, evaluators: Iterable[Evaluator]) -> list[Evaluator]:
    """Return the evaluators whose objects a quota counts."""
    return [evaluator for evaluator in evaluators if evaluator.matching(quota.spec.hard)]


def reckon(
    quota: ResourceQuota, objects: Mapping[Resource[Any], Sequence[Any]], evaluators: Sequence[Evaluator], now: float
) -> Reckoned:
    """Return a quota's status; `objects` are those of its namespace, by resource, for each of `evaluators`."""
    hard, before = read(quota.spec.hard), read(quota.status.used)
    found: Amounts = {}
    ends: list[float] = []
    for evaluator in evaluators:
        found = plus(found, dict.fromkeys(evaluator.matching(hard), ZERO))
        for obj in objects[evaluator.resource]:
            if in_scope(evaluator, quota.spec, obj):
                found = plus(found, evaluator.usage(obj, now))
            until = evaluator.counts_until(obj)
            if until is not None and until > now:
                ends.append(until)
    used = masked({**before, **found}, hard)
    limits_anew = read(quota.status.hard) != hard
    wrong = limits_anew or used != before
    status = ResourceQuotaStatus(hard=spelled(hard), used=spelled(used)) if wrong else None
    return Reckoned(status, min(ends) - now if ends else None, limits_anew)


def counted(quota: ResourceQuota, evaluator: Evaluator, obj: Any, now: float) -> Amounts:
    """Return what one object counts for in a quota: nothing where it is out of scope."""
    return masked(evaluator.usage(obj, now), quota.spec.hard) if in_scope(evaluator, quota.spec, obj) else {}
