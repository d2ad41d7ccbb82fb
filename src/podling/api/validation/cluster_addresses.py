"""A Service's cluster addresses and their families: what they may be, and that they stay.

The server's strategy has filled in what was not said before. Must not know which addresses are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.addresses import check_ip, dual_stack, family
from podling.api.validation.field import SPEC, duplicate, invalid, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import ServiceSpec

_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_ONCE = "may not change once set"


def is_headless(spec: ServiceSpec) -> bool:
    """Whether a Service has no address of its own."""
    return spec.cluster_ips == ("None",)


def check_addresses(spec: ServiceSpec, causes: list[Cause]) -> None:
    """Check clusterIPs, ipFamilies and ipFamilyPolicy, each alone and against the others."""
    path, addresses = SPEC / "clusterIPs", spec.cluster_ips
    if spec.cluster_ip:
        if not addresses:
            causes.append(required(path))
        elif addresses[0] != spec.cluster_ip:
            causes.append(invalid(path, addresses, "first value must match `clusterIP`"))
    elif addresses:
        causes.append(invalid(path, addresses, "must be empty when `clusterIP` is not specified"))
    for i, name in enumerate(spec.ip_families):
        where = (SPEC / "ipFamilies")[i]
        if name not in {"IPv4", "IPv6"}:
            causes.append(not_supported(where, name, ("IPv4", "IPv6")))
        if name in spec.ip_families[:i]:
            causes.append(duplicate(where, name))
    if spec.ip_family_policy is not None and spec.ip_family_policy not in _FAMILY_POLICIES:
        causes.append(not_supported(SPEC / "ipFamilyPolicy", spec.ip_family_policy, _FAMILY_POLICIES))
    sound = True
    for i, address in enumerate(addresses):
        if i == 0 and address == "None":
            if len(addresses) > 1:
                sound = False
                causes.append(invalid(path, addresses, "'None' must be the first and only value"))
        elif not check_ip(address, path[i], causes):
            sound = False
    if len(addresses) > 2:
        causes.append(invalid(path, addresses, "may only hold up to 2 values"))
    if not sound:
        return
    if len(addresses) > 1 and not dual_stack(addresses):
        causes.append(invalid(path, addresses, "may specify no more than one IP for each IP family"))
    if is_headless(spec):
        return
    for i, (address, name) in enumerate(zip(addresses, spec.ip_families, strict=False)):
        if (name == "IPv4" and family(address) == 6) or (name == "IPv6" and family(address) != 6):
            said = f"expected an {name} value as indicated by `ipFamilies[{i}]`"
            causes.append(invalid(path[i], address, said))


def check_kept(new: ServiceSpec, old: ServiceSpec, causes: list[Cause]) -> None:
    """Refuse that a Service loses or changes its first address or family; a second may come and go."""
    _check_addresses_kept(new, old, causes)
    _check_families_kept(new, old, causes)


def _check_addresses_kept(new: ServiceSpec, old: ServiceSpec, causes: list[Cause]) -> None:
    if is_headless(new) and is_headless(old):
        return
    path, after, before = SPEC / "clusterIPs", new.cluster_ips, old.cluster_ips
    if len(after) == len(before):
        for i, address in enumerate(before):
            if address != after[i]:
                causes.append(invalid(path[i], after, _ONCE))
        return
    if len(before) > len(after):
        if not after:
            causes.append(invalid(path[0], after, "primary clusterIP can not be unset"))
        elif after[0] != before[0]:
            causes.append(invalid(path[0], after, _ONCE))
        if len(after) == 1 and new.ip_family_policy != "SingleStack":
            said = "must be set to 'SingleStack' when releasing the secondary clusterIP"
            causes.append(invalid(SPEC / "ipFamilyPolicy", new.ip_family_policy, said))
    elif before and after[0] != before[0]:
        causes.append(invalid(path[0], after, _ONCE))


def _check_families_kept(new: ServiceSpec, old: ServiceSpec, causes: list[Cause]) -> None:
    if is_headless(new) or is_headless(old):
        return
    path, after, before = SPEC / "ipFamilies", new.ip_families, old.ip_families
    if len(after) == len(before):
        causes.extend(
            invalid(path[0], after, _ONCE) for was, would_be in zip(before, after, strict=True) if was != would_be
        )
        return
    if len(before) > len(after) and not new.cluster_ips:
        causes.append(invalid(path[0], after, "primary ipFamily can not be unset"))
    if before and after and after[0] != before[0]:
        causes.append(invalid(path[0], new.cluster_ips, _ONCE))
    if len(before) > len(after) == 1 and new.ip_family_policy != "SingleStack":
        said = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        causes.append(invalid(SPEC / "ipFamilyPolicy", new.ip_family_policy, said))
