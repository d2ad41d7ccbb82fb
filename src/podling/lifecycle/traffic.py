"""What a Pod's specification asks of whoever wires it: bounds of its bandwidth, ports on the node.

Pure. Owns upstream's annotations, their bounds and the words of refusal: as there, they are judged when the Pod is
wired, not when it is written, and hold for as long as its sandbox lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.pods import HostPort, host_ports
from podling.api.quantity import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod

INGRESS: Final = "kubernetes.io/ingress-bandwidth"
EGRESS: Final = "kubernetes.io/egress-bandwidth"
_LEAST: Final = 1_000
_MOST: Final = 1_000_000_000_000_000


class Traffic(Struct, frozen=True):
    """Bits per second, `None` for as many as there are; and ports on the node."""

    ingress: int | None = None
    egress: int | None = None
    ports: tuple[HostPort, ...] = ()


UNBOUNDED: Final = Traffic()


def traffic_of(pod: Pod) -> Traffic:
    """Return what a Pod asks for; `ValueError` where a bound is no quantity or none that makes sense."""
    annotations = pod.metadata.annotations
    return Traffic(_bound(annotations, INGRESS), _bound(annotations, EGRESS), host_ports(pod))


def _bound(annotations: Mapping[str, str], name: str) -> int | None:
    text = annotations.get(name)
    if text is None:
        return None
    bits = parse(text).value()
    if bits < _LEAST:
        raise ValueError("resource is unreasonably small (< 1kbit)")
    if bits > _MOST:
        raise ValueError("resource is unreasonably large (> 1Pbit)")
    return bits
