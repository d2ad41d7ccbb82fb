"""PriorityClasses, RuntimeClasses and Leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.core_v1 import ResourceRequirements
from podling.api.validation import amounts, formats, meta
from podling.api.validation.field import (
    METADATA,
    ROOT,
    SPEC,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    not_supported,
)
from podling.api.validation.pod import check_preemption_policy
from podling.api.validation.tolerations import check_tolerations

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.coordination_v1 import Lease
    from podling.api.types.node_v1 import RuntimeClass
    from podling.api.types.scheduling_v1 import PriorityClass

_SYSTEM = "system-"
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_HIGHEST = 1_000_000_000


def check_priority_class_create(priority: PriorityClass, causes: list[Cause]) -> None:
    meta.check_create(priority.metadata, causes, namespaced=False)
    name, value = priority.metadata.name, priority.value or 0
    if name.startswith(_SYSTEM):
        why = _not_system(name, value, bool(priority.global_default))
        if why:
            said = f"priority class names with '{_SYSTEM}' prefix are reserved for system use only. error: {why}"
            causes.append(forbidden(METADATA / "name", said))
    elif value > _HIGHEST:
        causes.append(forbidden(ROOT / "value", f"maximum allowed value of a user defined priority is {_HIGHEST}"))
    if priority.preemption_policy is not None:
        check_preemption_policy(priority.preemption_policy, ROOT / "preemptionPolicy", causes)


def _not_system(name: str, value: int, is_default: bool) -> str:
    if name not in _SYSTEM_PRIORITIES:
        return f"{name} is not a known system priority class"
    if value != _SYSTEM_PRIORITIES[name]:
        return f"value of {name} PriorityClass must be {_SYSTEM_PRIORITIES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def check_priority_class_update(new: PriorityClass, old: PriorityClass, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if (new.value or 0) != (old.value or 0):
        causes.append(forbidden(ROOT / "value", "may not be changed in an update."))
    immutable(ROOT / "preemptionPolicy", new.preemption_policy, old.preemption_policy, causes)


def check_runtime_class_create(runtime: RuntimeClass, causes: list[Cause]) -> None:
    meta.check_create(runtime.metadata, causes, namespaced=False)
    invalid_each(ROOT / "handler", runtime.handler, formats.dns_label(runtime.handler), causes)
    if runtime.overhead is not None and runtime.overhead.pod_fixed:
        overhead = ResourceRequirements(limits=runtime.overhead.pod_fixed)
        amounts.check_requirements(overhead, (), ROOT / "overhead", causes)
    scheduling, path = runtime.scheduling, ROOT / "scheduling"
    if scheduling is None:
        return
    meta.check_labels(scheduling.node_selector, path / "nodeSelector", causes)
    check_tolerations(scheduling.tolerations, path / "tolerations", causes)
    for i, toleration in enumerate(scheduling.tolerations):
        if toleration in scheduling.tolerations[:i]:
            shown = {
                "Key": toleration.key,
                "Operator": toleration.operator,
                "Value": toleration.value,
                "Effect": toleration.effect,
                "TolerationSeconds": toleration.toleration_seconds,
            }
            causes.append(duplicate((path / "tolerations")[i], shown))


def check_runtime_class_update(new: RuntimeClass, old: RuntimeClass, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    immutable(ROOT / "handler", new.handler, old.handler, causes)


def check_lease_create(lease: Lease, causes: list[Cause]) -> None:
    meta.check_create(lease.metadata, causes, namespaced=True)
    _check_lease(lease, causes)


def check_lease_update(new: Lease, old: Lease, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_lease(new, causes)


def _check_lease(lease: Lease, causes: list[Cause]) -> None:
    spec = lease.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        where = SPEC / "leaseDurationSeconds"
        causes.append(invalid(where, spec.lease_duration_seconds, "must be greater than 0"))
    if spec.lease_transitions is not None and spec.lease_transitions < 0:
        causes.append(invalid(SPEC / "leaseTransitions", spec.lease_transitions, formats.NOT_NEGATIVE))
    if spec.strategy is not None:
        where = SPEC / "strategy" / "strategy"
        if "/" in spec.strategy:
            invalid_each(where, spec.strategy, formats.qualified_name(spec.strategy), causes)
        elif spec.strategy != "OldestEmulationVersion":
            causes.append(not_supported(where, spec.strategy, ("OldestEmulationVersion",)))
    if spec.preferred_holder and not spec.strategy:
        said = "may only be specified if `strategy` is defined"
        causes.append(forbidden(SPEC / "preferredHolder", said))
