"""The address families of a Service: what is chosen where nothing is said, and what one family cannot give.

Owns the choice on a cluster whose Services have one family. Refusals are upstream's; how addresses and families agree
with each other is validation's.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from podling.api.errors import Cause

_POLICY = "spec.ipFamilyPolicy"


def choose(spec: dict[str, Any], before: dict[str, Any], own: str) -> list[Cause]:
    """Fill in `ipFamilyPolicy` and `ipFamilies`; `own` is the cluster's family. Returns what cannot be had.

    A headless Service without a selector may name any families: its endpoints are the user's.
    """
    free = spec.get("clusterIP") == "None" and not spec.get("selector")
    policy = (
        spec.get("ipFamilyPolicy") or before.get("ipFamilyPolicy") or ("RequireDualStack" if free else "SingleStack")
    )
    spec["ipFamilyPolicy"] = policy
    families: list[str] = list(spec.get("ipFamilies") or ())
    addresses: list[str] = list(spec.get("clusterIPs") or ())
    if before and policy == "SingleStack" and families == (before.get("ipFamilies") or []):
        families = families[:1]
    wrong: list[Cause] = []
    if policy == "SingleStack":
        for given, what in ((addresses, "cluster IPs"), (families, "IP families")):
            if len(given) == 2:
                said = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                wrong.append(_invalid(_POLICY, policy, said))
    for number, address in enumerate(addresses):
        family = _family(address)
        if family and number >= len(families):
            if family == own:
                families.append(family)
            else:
                where = f"spec.clusterIPs[{number}]"
                wrong.append(_invalid(where, addresses, f"{family} is not configured on this cluster"))
    if wrong:
        return wrong
    if free:
        families = families or [own]
        if policy != "SingleStack" and len(families) == 1:
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    else:
        if policy == "RequireDualStack":
            wrong.append(_invalid(_POLICY, policy, "this cluster is not configured for dual-stack services"))
        for number, family in enumerate(families):
            if family != own:
                wrong.append(_invalid(f"spec.ipFamilies[{number}]", family, "not configured on this cluster"))
    spec["ipFamilies"] = families or [own]
    return wrong


def _family(address: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""  # `None`, or what validation names


def _invalid(field: str, value: object, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {message}", field)
