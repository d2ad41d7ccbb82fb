"""How Pods are counted: what they ask for and are limited to, for as long as they can run.

A Pod that is over counts as an object alone; so does one that should have been gone for a whole grace period, as on a
lost node. Where a quota names CPU or memory, each container must, too.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_terminal
from podling.api.quantity import Quantity, parse
from podling.api.resources import PODS
from podling.api.times import from_wire
from podling.api.validation.amounts import HUGE_PAGES, is_extended, is_native
from podling.lifecycle.qos import BEST_EFFORT, qos_class
from podling.placement.amounts import pod_limits, pod_requests
from podling.quota.amounts import ONE
from podling.quota.evaluator import count_name
from podling.quota.scopes import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from podling.api.types.core_v1 import Pod, PodAffinityTerm, ResourceRequirements, ScopedResourceSelectorRequirement
    from podling.quota.amounts import Amounts

_COUNT: Final = count_name(PODS)
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_CHARGED: Final = {
    _COUNT,
    "pods",
    *_COMPUTE,
    *(f"requests.{name}" for name in _COMPUTE),
    *(f"limits.{name}" for name in _COMPUTE),
}
_ASKED_FOR: Final = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
"""Upstream's mistake, kept for whoever relies on it: what a container has to name where a quota does."""
_REQUESTS: Final = "requests."


class PodEvaluator:
    """Upstream's evaluator of Pods."""

    resource = PODS

    def handles(self, verb: str, subresource: str) -> bool:
        return (verb, subresource) in {("CREATE", ""), ("UPDATE", "resize")}

    def matching(self, names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if name in _CHARGED or _is_charged(name))

    def missing(self, required: Iterable[str], obj: Pod) -> str:
        own = set(_compute(*_parts(obj.spec.resources)))
        lacking: dict[str, set[str]] = {}
        for container in (*obj.spec.containers, *obj.spec.init_containers):
            for name in (set(required) & _ASKED_FOR) - own - set(_compute(*_parts(container.resources))):
                lacking.setdefault(name, set()).add(container.name)
        if not lacking:
            return ""
        listed = [f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking)]
        return f"must specify {'; '.join(listed)}"

    def in_scope(self, scope: ScopedResourceSelectorRequirement, obj: Pod) -> bool:
        deadline = obj.spec.active_deadline_seconds
        match scope.scope_name:
            case "Terminating":
                return deadline is not None and deadline >= 0
            case "NotTerminating":
                return deadline is None or deadline < 0
            case "BestEffort":
                return qos_class(obj) == BEST_EFFORT
            case "NotBestEffort":
                return qos_class(obj) != BEST_EFFORT
            case "PriorityClass":
                return selects(scope, [obj.spec.priority_class_name] if obj.spec.priority_class_name else ())
            case "CrossNamespacePodAffinity":
                return any(term.namespaces or term.namespace_selector is not None for term in _affinity_terms(obj))
            case _:
                return False

    def usage(self, obj: Pod, now: float) -> Amounts:
        found = {_COUNT: ONE}
        until = self.counts_until(obj)
        if is_terminal(obj) or (until is not None and now >= until):
            return found
        families = _families(obj)
        requests, limits = (
            {name: Quantity(nano, families.get(name, "")) for name, nano in amounts.items()}
            for amounts in (pod_requests(obj), pod_limits(obj))
        )
        return {**found, **_compute(requests, limits)}

    def counts_until(self, obj: Pod) -> float | None:
        meta = obj.metadata
        if is_terminal(obj) or meta.deletion_timestamp is None or meta.deletion_grace_period_seconds is None:
            return None
        # The timestamp has the grace in it already: a Pod is given it twice.
        return from_wire(meta.deletion_timestamp) + meta.deletion_grace_period_seconds


def _is_charged(name: str) -> bool:
    if name.startswith((HUGE_PAGES, _REQUESTS + HUGE_PAGES)):
        return True
    return name.startswith(_REQUESTS) and not is_native(name)


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    """Return requests and limits under all the names that quotas have for them."""
    found = {"pods": ONE}
    for name in _COMPUTE:
        if name in requests:
            found[name] = found[_REQUESTS + name] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith(HUGE_PAGES):
            found[name] = amount
        if name.startswith(HUGE_PAGES) or is_extended(name):
            found[_REQUESTS + name] = amount
    return found


def _parts(resources: ResourceRequirements | None) -> tuple[Amounts, Amounts]:
    if resources is None:
        return {}, {}
    return _read(resources.requests), _read(resources.limits)


def _read(texts: Mapping[str, str]) -> Amounts:
    return {name: parse(text) for name, text in texts.items()}


def _families(pod: Pod) -> dict[str, str]:
    """Return in which family of suffixes each resource is told: that of the first amount in the Pod."""
    spec, found = pod.spec, dict[str, str]()
    lists = [container.resources for container in (*spec.containers, *spec.init_containers)]
    for resources in (spec.resources, *lists):
        if resources is not None:
            for name, text in chain(resources.requests.items(), resources.limits.items()):
                found.setdefault(name, parse(text).family)
    for name, text in spec.overhead.items():
        found.setdefault(name, parse(text).family)
    return found


def _affinity_terms(pod: Pod) -> Iterator[PodAffinityTerm]:
    affinity = pod.spec.affinity
    if affinity is None:
        return
    for group in (affinity.pod_affinity, affinity.pod_anti_affinity):
        if group is not None:
            yield from group.required_during_scheduling_ignored_during_execution
            yield from (w.pod_affinity_term for w in group.preferred_during_scheduling_ignored_during_execution)
