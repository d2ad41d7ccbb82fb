"""Which tolerations tolerate which taints. Pure; the scheduler, taint eviction and admission ask here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.requirements import whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Taint, Toleration


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration covers one taint; an empty effect or key covers all."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Gt" | "Lt":
            bound, value = whole_number(toleration.value), whole_number(taint.value)
            if bound is None or value is None:
                return False
            return value > bound if toleration.operator == "Gt" else value < bound
    return False


def untolerated(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """Return the first taint that no toleration covers."""
    for taint in taints:
        if not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None
