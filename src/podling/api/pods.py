"""What every room asks of a Pod: is it over, is it ready, which containers are sidecars, what do they need together.

Owns the phases that are final, the meaning of an init container that restarts always, and upstream's formula for what
containers add up to. Pure reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

    from podling.api.types.core_v1 import Container, Pod, PodCondition

    class _Amount(Protocol):
        def __add__(self, other: Self, /) -> Self: ...

        def __gt__(self, other: Any, /) -> bool: ...


_Number = TypeVar("_Number", bound="_Amount")

TERMINAL_PHASES = ("Succeeded", "Failed")
RESTART_ALL = "RestartAllContainers"
"""The action of a restart rule that concerns the whole Pod."""


class _Restarted(Protocol):
    @property
    def restart_policy(self) -> str | None: ...


def is_terminal(pod: Pod) -> bool:
    """Whether a Pod is over for good."""
    return pod.status.phase in TERMINAL_PHASES


def is_active(pod: Pod) -> bool:
    """Whether a Pod counts for whoever keeps a number of them: neither over nor on its way out."""
    return pod.status.phase not in TERMINAL_PHASES and pod.metadata.deletion_timestamp is None


def ready_condition(pod: Pod) -> PodCondition | None:
    return next((held for held in pod.status.conditions if held.type == "Ready"), None)


def is_ready(pod: Pod) -> bool:
    """Whether a Pod says of itself that it is ready."""
    held = ready_condition(pod)
    return held is not None and held.status == "True"


def is_sidecar(container: _Restarted) -> bool:
    """Whether an init container keeps running beside the main ones (`restartPolicy: Always`)."""
    return container.restart_policy == "Always"


def sidecars(pod: Pod) -> tuple[Container, ...]:
    return tuple(container for container in pod.spec.init_containers if is_sidecar(container))


class HostPort(Struct, frozen=True):
    """A port of the node that leads to one of the Pod's."""

    host_port: int
    container_port: int
    protocol: str
    address: str
    """Of the node; empty for any."""


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """Return the ports of its node that a Pod asks for: those of the containers that keep running."""
    return tuple(
        HostPort(port.host_port, port.container_port, port.protocol or "TCP", port.host_ip)
        for container in (*sidecars(pod), *pod.spec.containers)
        for port in container.ports
        if port.host_port
    )


def may_restart_all(pod: Pod) -> bool:
    """Whether a container of the Pod has a rule by which its exit restarts all of them."""
    return any(
        rule.action == RESTART_ALL
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for rule in container.restart_policy_rules
    )


def together(
    regular: Iterable[Mapping[str, _Number]], init: Iterable[tuple[bool, Mapping[str, _Number]]]
) -> dict[str, _Number]:
    """Return what containers need at most at one time, by resource.

    Upstream's formula: the regular containers and the sidecars at once, or one init container beside the sidecars
    started before it, whichever is more. Init containers come in their order, each with whether it is a sidecar.
    """
    total: dict[str, _Number] = {}
    for amounts in regular:
        _add(total, amounts)
    beside: dict[str, _Number] = {}
    peak: dict[str, _Number] = {}
    for stays, amounts in init:
        if stays:
            _add(total, amounts)
            _add(beside, amounts)
            needed = beside
        else:
            needed = dict(amounts)
            _add(needed, beside)
        raise_to(peak, needed)
    raise_to(total, peak)
    return total


def raise_to(total: dict[str, _Number], least: Mapping[str, _Number]) -> None:
    """Make `total` no less than `least` in any resource."""
    for name, amount in least.items():
        if name not in total or amount > total[name]:
            total[name] = amount


def _add(total: dict[str, _Number], more: Mapping[str, _Number]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount
