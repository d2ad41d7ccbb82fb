"""Resource names and amounts: requests, limits, overhead, capacity.

Owns which names are resources, where each may stand, and that requests fit under limits. Must not know containers; the
caller says what the amounts belong to. Text that is no quantity is refused here, though on the wire it never gets so
far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.quantity import Quantity, parse
from podling.api.validation import formats
from podling.api.validation.field import (
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_found,
    not_supported,
    required,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import ResourceClaim, ResourceRequirements

    NameCheck = Callable[[str, Path, list[Cause]], None]

HUGE_PAGES = "hugepages-"

_COUNTED = {
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
}
_STANDARD = _COUNTED | {
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
}
_OF_CONTAINERS = {"cpu", "memory", "ephemeral-storage"}
_OF_PODS = ("cpu", "hugepages-", "memory")


def is_native(name: str) -> bool:
    """Whether Kubernetes itself owns a resource name."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether a resource name is one that nodes advertise, `example.com/gpu`."""
    return not is_native(name) and not name.startswith("requests.") and not formats.qualified_name(f"requests.{name}")


def overcommits(name: str) -> bool:
    """Whether more of a resource may be limited than is requested."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def amount(text: str, path: Path, causes: list[Cause]) -> Quantity | None:
    """Return the quantity of a text; refuse text that is none."""
    try:
        return parse(text)
    except ValueError as error:
        causes.append(invalid(path, text, str(error)))
        return None


def check_amount(name: str, value: Quantity, path: Path, causes: list[Cause]) -> None:
    """Refuse negative amounts, and fractions of what is counted."""
    if value.nano < 0:
        causes.append(invalid(path, str(value), formats.NOT_NEGATIVE))
    if value.milli_value() % 1000 and (name in _COUNTED or is_extended(name)):
        causes.append(invalid(path, str(value), "must be an integer"))


def check_amounts(amounts: Mapping[str, str], path: Path, causes: list[Cause]) -> None:
    """Check a resource list by its amounts alone, as a node's capacity is."""
    for name, text in amounts.items():
        value = amount(text, path / name, causes)
        if value is not None:
            check_amount(name, value, path / name, causes)


def known_name(name: str, path: Path, causes: list[Cause]) -> bool:
    """Refuse what names no resource at all; return whether it does."""
    complaints = formats.qualified_name(name)
    if complaints:
        invalid_each(path, name, complaints, causes)
        return False
    if "/" not in name and not (name in _STANDARD or name.startswith((HUGE_PAGES, "requests.hugepages-"))):
        causes.append(invalid(path, name, "must be a standard resource type or fully qualified"))
        return False
    return True


def is_counted_by_quotas(name: str) -> bool:
    """Whether a name without a domain is one that quotas know."""
    if name.startswith((HUGE_PAGES, "requests.hugepages-")):
        return True
    return name in _STANDARD and name != "storage"


def container_resource(name: str, path: Path, causes: list[Cause]) -> None:
    """Refuse resources that a container cannot ask for."""
    if name in _OF_CONTAINERS:
        return
    known_name(name, path, causes)
    if "/" not in name:
        if not name.startswith(HUGE_PAGES):
            causes.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        causes.append(invalid(path, name, "doesn't follow extended resource name standard"))


def pod_resource(name: str, path: Path, causes: list[Cause]) -> None:
    """Refuse resources that a Pod as a whole cannot ask for."""
    if name in {"cpu", "memory"} or name.startswith(HUGE_PAGES):
        known_name(name, path, causes)
    elif known_name(name, path, causes):
        causes.append(not_supported(path, name, _OF_PODS))


def check_requirements(
    requirements: ResourceRequirements,
    claims: Sequence[str],
    path: Path,
    causes: list[Cause],
    check_name: NameCheck = container_resource,
) -> None:
    """Check requests and limits against each other; `claims` are the names of the Pod's resource claims."""
    limits_path, requests_path = path / "limits", path / "requests"
    limits: dict[str, Quantity] = {}
    computes = huge = False
    for name, text in requirements.limits.items():
        where = limits_path.key(name)
        check_name(name, where, causes)
        value = amount(text, where, causes)
        if value is None:
            continue
        limits[name] = value
        check_amount(name, value, where, causes)
        if name.startswith(HUGE_PAGES):
            huge = True
            _check_huge_page(name, value, where, causes)
        computes = computes or name in {"cpu", "memory"}
    for name, text in requirements.requests.items():
        where = requests_path.key(name)
        check_name(name, where, causes)
        value = amount(text, where, causes)
        if value is None:
            continue
        check_amount(name, value, where, causes)
        _check_limit(name, value, limits.get(name), path, causes)
        if name.startswith(HUGE_PAGES):
            huge = True
            _check_huge_page(name, value, where, causes)
        computes = computes or name in {"cpu", "memory"}
    if huge and not computes:
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    if requirements.claims:
        _check_claims(requirements.claims, claims, path / "claims", causes)


def _check_limit(name: str, request: Quantity, limit: Quantity | None, path: Path, causes: list[Cause]) -> None:
    if limit is None:
        if not overcommits(name):
            causes.append(required(path / "limits", "Limit must be set for non overcommitable resources"))
    elif request != limit and not overcommits(name):
        causes.append(invalid(path / "requests", str(request), f"must be equal to {name} limit of {limit}"))
    elif request > limit:
        causes.append(
            invalid(path / "requests", str(request), f"must be less than or equal to {name} limit of {limit}")
        )


def _check_huge_page(name: str, value: Quantity, path: Path, causes: list[Cause]) -> None:
    try:
        page = parse(name.removeprefix(HUGE_PAGES))
    except ValueError:
        page = Quantity(0)
    if page.nano <= 0 or page.milli_value() % 1000 or value.value() % page.value():
        causes.append(invalid(path, str(value), f"{value} is not positive integer multiple of {name}"))


def _check_claims(claims: Sequence[ResourceClaim], known: Sequence[str], path: Path, causes: list[Cause]) -> None:
    seen: dict[str, None] = {}
    for i, claim in enumerate(claims):
        name, where = claim.name, path[i]
        if not name:
            causes.append(required(where))
            continue
        if name in seen:
            causes.append(duplicate(where, name))
        else:
            key = name
            if claim.request:
                invalid_each(where / "request", claim.request, formats.dns_label(claim.request), causes)
                key += f"/{claim.request}"
            if key in seen:
                causes.append(duplicate(where, key))
            elif not claim.request:
                causes.extend(duplicate(where, name) for other in seen if other.partition("/")[0] == name)
            seen[key] = None
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            causes.append(not_found(where, name, f"must be one of the names in pod.spec.resourceClaims{listed}"))
