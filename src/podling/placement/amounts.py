"""How much a Pod asks for and a Node gives, as the integers that the rules compare.

Owns upstream's `PodRequests` formula and its rounding: sums are exact, and only their totals are rounded up to
thousandths of a CPU and whole bytes. Resources that the scheduler does not reckon with (`storage`, `requests.*`) are
dropped here.

Invariant: an `Amounts` that was handed out is never changed; arithmetic makes new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from podling.api.pods import is_sidecar, raise_to, together
from podling.api.quantity import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.types.core_v1 import Container, ContainerStatus, Pod

DEFAULT_MILLI_CPU: Final = 100
"""What a container without a CPU request counts for in scores, so that such Pods spread."""
DEFAULT_MEMORY: Final = 200 * 1024 * 1024

_NANO: Final = 10**9
_ASSUMED: Final = {"cpu": DEFAULT_MILLI_CPU * 10**6, "memory": DEFAULT_MEMORY * _NANO}
_NOTHING: Final[Mapping[str, int]] = {}


class Amounts(Struct, frozen=True):
    """Thousandths of a CPU, bytes of memory and of ephemeral storage, a number of Pods, and whole units of the rest."""

    milli_cpu: int = 0
    memory: int = 0
    ephemeral_storage: int = 0
    pods: int = 0
    scalars: Mapping[str, int] = field(default_factory=dict)
    """Extended resources, huge pages, attachable volumes."""

    @property
    def nothing(self) -> bool:
        return not (self.milli_cpu or self.memory or self.ephemeral_storage or self.scalars)


def amounts(quantities: Mapping[str, str]) -> Amounts:
    """Read a resource list such as a Node's `status.allocatable`."""
    return _rounded({name: parse(text).nano for name, text in quantities.items()})


def requests_of(pod: Pod) -> Amounts:
    """Return what a Pod takes from its Node.

    Upstream's formula: the larger of what all containers and sidecars need together and what each init container needs
    beside the sidecars started before it; Pod-level requests replace the sums they name; overhead is added. Where a
    resize is under way, the largest of desired, allocated and actual counts.
    """
    return _rounded(_pod_requests(pod, _NOTHING))


def pod_requests(pod: Pod) -> dict[str, int]:
    """Return what a Pod asks for, in billionths, resources of every name and none rounded: what quotas charge."""
    return _pod_requests(pod, _NOTHING)


def pod_limits(pod: Pod) -> dict[str, int]:
    """Return what a Pod is limited to, in billionths; while a resize is under way, the larger of new and actual.

    Limits of the Pod itself replace the sums that they name; overhead is added to what is limited.
    """
    states = {s.name: s for s in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    infeasible = _is_infeasible(pod)

    def limits(container: Container) -> dict[str, int]:
        state = states.get(container.name)
        actual = state.resources.limits if state is not None and state.resources is not None else None
        own: Mapping[str, str] = container.resources.limits if container.resources else {}
        if actual is not None and infeasible:
            own, actual = actual, None
        found = {name: parse(text).nano for name, text in own.items()}
        raise_to(found, {name: parse(text).nano for name, text in (actual or {}).items()})
        return found

    total = together(
        map(limits, pod.spec.containers),
        ((is_sidecar(container), limits(container)) for container in pod.spec.init_containers),
    )
    if pod.spec.resources is not None:
        total.update(
            {name: parse(text).nano for name, text in pod.spec.resources.limits.items() if _is_pod_level(name)}
        )
    for name, text in pod.spec.overhead.items():
        if name in total:
            total[name] += parse(text).nano
    return total


def weight_of(pod: Pod) -> tuple[int, int]:
    """Return thousandths of a CPU and bytes of memory as scores see them.

    A container that asks for nothing counts for a default, so that such Pods spread. With Pod-level resources
    a default stands in only for what the Pod does not name either.
    """
    assumed = _ASSUMED
    if _has_pod_level(pod):
        named = pod.spec.resources.requests if pod.spec.resources else {}
        assumed = {name: nano for name, nano in _ASSUMED.items() if name not in named}
    total = _rounded(_pod_requests(pod, assumed))
    return total.milli_cpu, total.memory


def reckons_with(name: str) -> bool:
    """Whether a resource beyond CPU, memory and ephemeral storage is one that Nodes run out of."""
    if name.startswith(("hugepages-", "attachable-volumes-")):
        return True
    return "/" in name and ("kubernetes.io/" in name or not name.startswith("requests."))


def _pod_requests(pod: Pod, assumed: Mapping[str, int]) -> dict[str, int]:
    total = _of_containers(pod, assumed)
    if pod.spec.resources is not None:
        total.update(_own_requests(pod))
    for name, text in pod.spec.overhead.items():
        total[name] = total.get(name, 0) + parse(text).nano
    return total


def _own_requests(pod: Pod) -> dict[str, int]:
    """Return what the Pod asks for itself; while a resize of it is under way the largest of the three, as above."""
    status, largest = pod.status, dict[str, int]()
    actual = status.resources.requests if status.resources is not None else {}
    lists = [actual, status.allocated_resources]
    if not (actual or status.allocated_resources) or not _is_infeasible(pod):
        lists.append(pod.spec.resources.requests if pod.spec.resources is not None else {})
    for requests in lists:
        raise_to(largest, {name: parse(text).nano for name, text in requests.items() if _is_pod_level(name)})
    return largest


def _is_infeasible(pod: Pod) -> bool:
    return any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)


def _of_containers(pod: Pod, assumed: Mapping[str, int]) -> dict[str, int]:
    status = pod.status
    states = {s.name: s for s in (*status.container_statuses, *status.init_container_statuses)}
    resized = any(s.resources is not None or s.allocated_resources for s in states.values())
    desired = _aggregate(pod, assumed, {}, actual=False)
    if not resized:
        return desired
    infeasible = _is_infeasible(pod)
    allocated = _aggregate(pod, assumed, states, actual=False, infeasible=infeasible)
    largest = _aggregate(pod, assumed, states, actual=True, infeasible=infeasible)
    raise_to(largest, allocated)
    if not infeasible:
        raise_to(largest, desired)
    return largest


def _aggregate(
    pod: Pod,
    assumed: Mapping[str, int],
    states: Mapping[str, ContainerStatus],
    *,
    actual: bool,
    infeasible: bool = False,
) -> dict[str, int]:
    def asked(container: Container) -> dict[str, int]:
        return _asked(container, states.get(container.name), assumed, actual, infeasible)

    return together(
        map(asked, pod.spec.containers),
        ((is_sidecar(container), asked(container)) for container in pod.spec.init_containers),
    )


def _asked(
    container: Container, state: ContainerStatus | None, assumed: Mapping[str, int], actual: bool, infeasible: bool
) -> dict[str, int]:
    requests: Mapping[str, str] = container.resources.requests if container.resources else {}
    if state is not None:
        if actual and state.resources is not None and state.resources.requests:
            requests = state.resources.requests
        elif state.allocated_resources:
            requests = state.allocated_resources
        elif infeasible:
            requests = {}
    asked = {name: parse(text).nano for name, text in requests.items()}
    for name, nano in assumed.items():
        asked.setdefault(name, nano)
    return asked


def _has_pod_level(pod: Pod) -> bool:
    resources = pod.spec.resources
    return resources is not None and any(_is_pod_level(name) for name in (*resources.requests, *resources.limits))


def _is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _rounded(nano: Mapping[str, int]) -> Amounts:
    return Amounts(
        milli_cpu=-(-nano.get("cpu", 0) // 10**6),
        memory=_whole(nano.get("memory", 0)),
        ephemeral_storage=_whole(nano.get("ephemeral-storage", 0)),
        pods=_whole(nano.get("pods", 0)),
        scalars={name: _whole(nano[name]) for name in _scalar_names(nano)},
    )


def _scalar_names(nano: Iterable[str]) -> list[str]:
    return sorted(name for name in nano if reckons_with(name))


def _whole(nano: int) -> int:
    return -(-nano // _NANO)
