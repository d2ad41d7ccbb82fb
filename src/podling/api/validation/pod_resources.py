"""What a Pod as a whole asks for: its own requests and limits, and its resource claims.

Its own amounts must hold those of its containers. Must not know how a node divides them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.pods import is_sidecar, together
from podling.api.quantity import Quantity, parse
from podling.api.validation import amounts, formats
from podling.api.validation.field import Path, duplicate, forbidden, invalid, invalid_each, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import PodResourceClaim, PodSpec, ResourceRequirements


def check_claims(claims: tuple[PodResourceClaim, ...], path: Path, causes: list[Cause]) -> None:
    """Check which claims a Pod names for its containers; each refers to a claim or to a template of one."""
    names = set()
    for i, claim in enumerate(claims):
        where = path[i]
        if not claim.name:
            causes.append(required(where / "name"))
        elif claim.name in names:
            causes.append(duplicate(where / "name", claim.name))
        else:
            invalid_each(where / "name", claim.name, formats.dns_label(claim.name), causes)
            names.add(claim.name)
        own, template = claim.resource_claim_name, claim.resource_claim_template_name
        shown = {"Name": claim.name, "ResourceClaimName": own, "ResourceClaimTemplateName": template}
        if own is not None and template is not None:
            said = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            causes.append(invalid(where, shown, said))
        if own is None and template is None:
            said = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(invalid(where, shown, said))
        if own is not None:
            invalid_each(where / "resourceClaimName", own, formats.dns_subdomain(own), causes)
        if template is not None:
            complaints = formats.dns_subdomain(template)
            invalid_each(where / "resourceClaimTemplateName", template, complaints, causes)


def check_resources(
    spec: PodSpec, resources: ResourceRequirements, claims: list[str], path: Path, causes: list[Cause]
) -> None:
    """Check a Pod's own resources, alone and against its containers'."""
    if resources.claims:
        causes.append(forbidden(path / "claims", "claims cannot be set for Resources at pod-level"))
    amounts.check_requirements(resources, claims, path, causes, amounts.pod_resource)
    asked = together(
        (_amounts(c.resources, "requests") for c in spec.containers),
        ((is_sidecar(c), _amounts(c.resources, "requests")) for c in spec.init_containers),
    )
    of_pod = _amounts(resources, "requests")
    for name, amount in asked.items():
        own = of_pod.get(name, Quantity(0))
        if amount > own:
            said = f"must be greater than or equal to aggregate container requests of {amount}"
            causes.append(invalid((path / "requests").key(name), str(own), said))
    limits = _amounts(resources, "limits")
    for i, container in enumerate(spec.containers):
        for name, limit in _amounts(container.resources, "limits").items():
            if name in limits and limit > limits[name]:
                where = (path / "containers")[i].key(name) / "limits"
                said = f"must be less than or equal to pod limits of {limits[name]}"
                causes.append(invalid(where, str(limit), said))


def _amounts(resources: ResourceRequirements | None, part: str) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for name, text in getattr(resources, part, {}).items():
        try:
            found[name] = parse(text)
        except ValueError:
            continue
    return found
