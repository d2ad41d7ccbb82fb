"""What may change in a Pod's status: a container that ended for good does not run again; addresses are addresses.

Must not know how statuses come about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.pods import may_restart_all
from podling.api.validation import formats, meta
from podling.api.validation.addresses import check_ip, dual_stack
from podling.api.validation.field import (
    METADATA,
    STATUS,
    Path,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    not_supported,
)
from podling.api.validation.pod_update import check_annotation_update

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import Container, ContainerStatus, HostIP, Pod, PodIP

_HEALTHS = ("Healthy", "Unhealthy", "Unknown")
_NO_RETURN = "may not be transitioned to non-terminated state"


def check_status_update(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Check a change of a Pod's status."""
    meta.check_update(new.metadata, old.metadata, causes)
    check_annotation_update(new, old, causes)
    for i, condition in enumerate(new.status.conditions):
        where = (METADATA / "conditions")[i] / "Type"
        invalid_each(where, condition.type, formats.qualified_name(condition.type), causes)
    if new.spec.node_name != old.spec.node_name:
        causes.append(forbidden(STATUS / "nodeName", "may not be changed directly"))
    nominated = new.status.nominated_node_name
    if nominated and nominated != old.status.nominated_node_name:
        invalid_each(STATUS / "nominatedNodeName", nominated, formats.dns_subdomain(nominated), causes)
    if old.status.qos_class:
        immutable(STATUS / "qosClass", new.status.qos_class, old.status.qos_class, causes)
    _check_transitions(new, old, causes)
    _check_claims(new, causes)
    _check_addresses(new.status.pod_ips, STATUS / "podIPs", causes)
    _check_host_addresses(new, causes)
    statuses = (
        ("containerStatuses", new.status.container_statuses, new.spec.containers),
        ("initContainerStatuses", new.status.init_container_statuses, new.spec.init_containers),
    )
    os = new.spec.os.name if new.spec.os is not None else "linux"
    for name, of_containers, _ in (
        *statuses,
        ("ephemeralContainerStatuses", new.status.ephemeral_container_statuses, ()),
    ):
        _check_users(of_containers, os, STATUS / name, causes)
    for name, of_containers, containers in statuses:
        _check_allocated(of_containers, containers, STATUS / name, causes)
    for i, status in enumerate(new.status.ephemeral_container_statuses):
        if status.allocated_resources_status:
            where = (STATUS / "ephemeralContainerStatuses")[i] / "allocatedResourcesStatus"
            causes.append(forbidden(where, "must not be specified in container status"))


def _check_transitions(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Refuse that a container returns which its restart policy lets rest."""
    spec = old.spec
    own = {c.name: c for c in (*spec.containers, *spec.init_containers)}

    def may_return(status: ContainerStatus, *, ephemeral: bool) -> bool:
        terminated = status.state.terminated if status.state is not None else None
        if terminated is None or (may_restart_all(old) and not ephemeral):
            return True
        if ephemeral:
            return False
        container = own.get(status.name)
        policy = (container.restart_policy if container is not None else None) or spec.restart_policy
        if spec.restart_policy == "Always" or policy == "Always":
            return True
        if container is not None and container.restart_policy_rules:
            return True
        return policy == "OnFailure" and terminated.exit_code != 0

    for name, before, after, ephemeral in (
        ("containerStatuses", old.status.container_statuses, new.status.container_statuses, False),
        ("initContainerStatuses", old.status.init_container_statuses, new.status.init_container_statuses, False),
        (
            "ephemeralContainerStatuses",
            old.status.ephemeral_container_statuses,
            new.status.ephemeral_container_statuses,
            True,
        ),
    ):
        for i, status in enumerate(before):
            if may_return(status, ephemeral=ephemeral):
                continue
            causes.extend(
                forbidden((STATUS / name)[i] / "state", _NO_RETURN)
                for other in after
                if other.name == status.name and (other.state is None or other.state.terminated is None)
            )


def _check_claims(pod: Pod, causes: list[Cause]) -> None:
    known = {claim.name for claim in pod.spec.resource_claims}
    seen = set()
    for i, status in enumerate(pod.status.resource_claim_statuses):
        where = (STATUS / "resourceClaimStatuses")[i] / "name"
        if status.name not in known:
            causes.append(invalid(where, status.name, "must match the name of an entry in `spec.resourceClaims`"))
        if status.name in seen:
            causes.append(duplicate(where, status.name))
        seen.add(status.name)
        if status.resource_claim_name is not None:
            complaints = formats.dns_subdomain(status.resource_claim_name)
            invalid_each(where, status.resource_claim_name, complaints, causes)


def _check_addresses(addresses: tuple[PodIP, ...] | tuple[HostIP, ...], path: Path, causes: list[Cause]) -> None:
    texts = tuple(address.ip for address in addresses)
    for i, text in enumerate(texts):
        check_ip(text, path[i], causes)
    if len(texts) < 2:
        return
    if not dual_stack(texts) or len(texts) > 2:
        shown = [{"IP": text} for text in texts]
        causes.append(invalid(path, shown, "may specify no more than one IP for each IP family"))
    causes.extend(duplicate(path[i], {"IP": text}) for i, text in enumerate(texts) if text in texts[:i])


def _check_host_addresses(pod: Pod, causes: list[Cause]) -> None:
    addresses = pod.status.host_ips
    if not addresses:
        return
    path = STATUS / "hostIPs"
    if pod.status.host_ip != addresses[0].ip:
        causes.append(invalid(path[0] / "ip", addresses[0].ip, "must be equal to `hostIP`"))
    _check_addresses(addresses, path, causes)


def _check_users(statuses: tuple[ContainerStatus, ...], os: str, path: Path, causes: list[Cause]) -> None:
    for i, status in enumerate(statuses):
        user = status.user.linux if status.user is not None else None
        if user is None:
            continue
        where = path[i] / "linux"
        if os == "windows":
            causes.append(forbidden(where, "cannot be set for a windows pod"))
            continue
        for name, number in (("uid", user.uid), ("gid", user.gid)):
            invalid_each(where / name, number, formats.user_or_group_id(number), causes)
        for j, group in enumerate(user.supplemental_groups):
            invalid_each((where / "supplementalGroups")[j], group, formats.user_or_group_id(group), causes)


def _check_allocated(
    statuses: tuple[ContainerStatus, ...], containers: tuple[Container, ...], path: Path, causes: list[Cause]
) -> None:
    own = {container.name: container for container in containers}
    for i, status in enumerate(statuses):
        for j, allocated in enumerate(status.allocated_resources_status):
            where = (path[i] / "allocatedResourcesStatus")[j]
            container = own.get(status.name)
            resources = container.resources if container is not None else None
            if container is not None:
                if allocated.name.startswith("claim:"):
                    claims = resources.claims if resources is not None else ()
                    known = {f"claim:{c.name}/{c.request}" if c.request else f"claim:{c.name}" for c in claims}
                    said = (
                        "must match one of the container's resource claims in a format "
                        "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
                    )
                else:
                    known = set(resources.requests) if resources is not None else set()
                    said = "must match one of the container's resource requests"
                if allocated.name not in known:
                    causes.append(invalid(where / "name", allocated.name, said))
            seen = set()
            for k, health in enumerate(allocated.resources):
                at = (where / "resources")[k]
                if health.health not in _HEALTHS:
                    causes.append(not_supported(at / "health", health.health, _HEALTHS))
                if health.resource_id in seen:
                    causes.append(duplicate(at / "resourceID", health.resource_id))
                seen.add(health.resource_id)
