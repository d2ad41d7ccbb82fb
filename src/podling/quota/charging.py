"""What one write is charged to which quotas, and why it is refused.

Quotas hold by their status, not by their specification: what the controller has not reckoned yet, nobody is charged
for, and a quota whose usage is not known lets nothing pass that it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podling.quota.amounts import ZERO, Amounts, increase, masked, plus, read, said
from podling.quota.scopes import in_scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import ResourceQuota
    from podling.quota.evaluator import Evaluator


@dataclass(frozen=True, slots=True)
class Charge:
    """A quota, and what is used of it once the write is done."""

    quota: ResourceQuota
    used: Amounts


@dataclass(frozen=True, slots=True)
class Bill:
    """All charges of a write, or why it must not be done, in upstream's words."""

    charges: Sequence[Charge] = ()
    refusal: str = ""


def bill(
    quotas: Sequence[ResourceQuota],
    evaluator: Evaluator,
    new: Any,
    old: Any = None,
    *,
    now: float,
    unlimited: bool = False,
) -> Bill:
    """Return what writing `new` in the place of `old` is charged; `unlimited` writes are charged and never refused.

    The first quota that refuses has the word; quotas come in the order in which they are asked.
    """
    concerned = [quota for quota in quotas if _concerns(quota, evaluator, new)]
    for quota in concerned:
        names = evaluator.matching(quota.status.hard)
        missing = evaluator.missing(names, new)
        if missing:
            return Bill(refusal=f"failed quota: {quota.metadata.name}: {missing}")
        if any(name not in quota.status.used for name in names):
            unknown = f"status unknown for quota: {quota.metadata.name}, resources: {','.join(names)}"
            return Bill(refusal=unknown)
    if not concerned:
        return Bill()
    usage = evaluator.usage(new, now)
    negative = sorted(name for name, amount in usage.items() if amount < ZERO)
    if negative:
        return Bill(refusal=f"quota usage is negative for resource(s): {','.join(negative)}")
    charges = []
    for quota in concerned:
        more = usage
        if old is not None and _concerns(quota, evaluator, old):
            more = increase(usage, evaluator.usage(old, now))
        asked = masked({name: amount for name, amount in more.items() if amount}, quota.status.hard)
        if not asked:
            continue
        used, hard = read(quota.status.used), read(quota.status.hard)
        total = plus(used, asked)
        exceeded = [name for name in asked if total[name] > hard[name]]
        if exceeded and not unlimited:
            return Bill(
                refusal=f"exceeded quota: {quota.metadata.name}, requested: {said(masked(asked, exceeded))}, "
                f"used: {said(masked(used, exceeded))}, limited: {said(masked(hard, exceeded))}"
            )
        charges.append(Charge(quota, total))
    return Bill(charges)


def _concerns(quota: ResourceQuota, evaluator: Evaluator, obj: Any) -> bool:
    return bool(evaluator.matching(quota.status.hard)) and in_scope(evaluator, quota.spec, obj)
