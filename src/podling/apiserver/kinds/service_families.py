"""The address families of a Service: what is chosen where nothing is said, and what a cluster cannot give.

Owns upstream's rules for `ipFamilyPolicy` and `ipFamilies` on clusters of one family and of two, and when a Service
comes to a second family or loses it: by its policy, or by a family or an address that its writer adds, never because
the cluster has changed. Refusals are upstream's; how addresses and families agree with each other is validation's. Must
not know which addresses are free.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from podling.api.errors import Cause
from podling.api.types.core_v1 import ServiceSpec
from podling.api.validation.addresses import family
from podling.api.validation.cluster_addresses import check_addresses
from podling.api.validation.shape import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

Spec = dict[str, Any]

_POLICY = "spec.ipFamilyPolicy"
_FIELDS = ("type", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def choose(spec: Spec, before: Spec, own: Sequence[str]) -> list[Cause]:
    """Fill in `ipFamilyPolicy` and `ipFamilies`, or return what cannot be had.

    `own` are the cluster's families, the primary one first. A headless Service without a selector may name any: its
    endpoints are the user's.
    """
    if _prefers_what_it_has(spec, before):
        return []
    free = spec.get("clusterIP") == "None" and not spec.get("selector")
    spec["ipFamilyPolicy"] = policy = (
        spec.get("ipFamilyPolicy") or before.get("ipFamilyPolicy") or ("RequireDualStack" if free else "SingleStack")
    )
    wrong: list[Cause] = []
    check_addresses(typed(ServiceSpec, {key: spec[key] for key in _FIELDS if key in spec}), wrong)
    if wrong:
        return wrong
    if before:
        wrong += _reduce(spec, before)
    if policy == "SingleStack":
        for given, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
            if len(spec.get(given) or ()) == 2:
                said = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                wrong.append(_invalid(_POLICY, policy, said))
    families = _said(spec, own, wrong)
    if not wrong and not free:
        if policy == "RequireDualStack" and len(own) < 2:
            wrong.append(_invalid(_POLICY, policy, "this cluster is not configured for dual-stack services"))
        for number, name in enumerate(families):
            if name not in own:
                wrong.append(_invalid(f"spec.ipFamilies[{number}]", name, "not configured on this cluster"))
    if wrong:
        return wrong
    families = families or [own[0]]
    if policy != "SingleStack" and len(families) == 1 and (free or len(own) == 2):
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families
    return []


def _prefers_what_it_has(spec: Spec, before: Spec) -> bool:
    """Whether a Service that prefers two families is written as it stands.

    Then it stays so, though the cluster may have come to a second family since, or lost it.
    """
    return (
        bool(before)
        and spec.get("type") == before.get("type")
        and spec.get("ipFamilyPolicy") == before.get("ipFamilyPolicy") == "PreferDualStack"
        and all(_same(spec, before, key) for key in ("clusterIPs", "ipFamilies"))
    )


def _reduce(spec: Spec, before: Spec) -> list[Cause]:
    """Let go of the second address and family where the policy says so; refuse it where it does not."""
    wrong: list[Cause] = []
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        given = spec.get(key) or []
        if spec["ipFamilyPolicy"] == "SingleStack":
            if len(given) > 1 and _same(spec, before, key):
                spec[key] = given[:1]
        elif given and len(given) < len(before.get(key) or ()):
            said = f"must be 'SingleStack' to release the secondary {what}"
            wrong.append(_invalid(_POLICY, spec["ipFamilyPolicy"], said))
    return wrong


def _said(spec: Spec, own: Sequence[str], wrong: list[Cause]) -> list[str]:
    """Return the families that a Service names, and those of addresses that it names beyond them."""
    families: list[str] = list(spec.get("ipFamilies") or ())
    addresses: list[str] = list(spec.get("clusterIPs") or ())
    for number, address in enumerate(addresses):
        if address != "None" and number >= len(families):
            name = f"IPv{family(address)}"
            if name in own:
                families.append(name)
            else:
                wrong.append(
                    _invalid(f"spec.clusterIPs[{number}]", addresses, f"{name} is not configured on this cluster")
                )
    return families


def _same(spec: Spec, before: Spec, key: str) -> bool:
    return list(spec.get(key) or ()) == list(before.get(key) or ())


def _invalid(field: str, value: object, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {message}", field)
