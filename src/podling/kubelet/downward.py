"""What a Pod may be told of itself: the Downward API.

Owns field paths and resource fields, for environment and volumes alike. Knows no file and no process. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from podling.api.quantity import parse
from podling.lifecycle.specs import container_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod, ResourceFieldSelector
    from podling.lifecycle.specs import AnyContainer

_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]\Z")


def field_value(pod: Pod, path: str, addresses: Sequence[str], host_addresses: Sequence[str]) -> str:
    """Return the value of a field of the Pod; `ValueError` for a path that is none."""
    subscript = _SUBSCRIPT.match(path)
    if subscript is not None:
        held: Mapping[str, str] = getattr(pod.metadata, subscript[1])
        return held.get(subscript[2], "")
    values = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "metadata.labels": _lines(pod.metadata.labels),
        "metadata.annotations": _lines(pod.metadata.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": host_addresses[0] if host_addresses else "",
        "status.hostIPs": ",".join(host_addresses),
        "status.podIP": addresses[0] if addresses else "",
        "status.podIPs": ",".join(addresses),
    }
    if path not in values:
        raise ValueError(f"unsupported fieldPath: {path}")
    return values[path]


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs.items()))


def _quoted(text: str) -> str:
    """Quote as Go's `%q` does for what labels and annotations hold."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def resource_value(
    pod: Pod, selector: ResourceFieldSelector, allocatable: Mapping[str, str], asking: AnyContainer | None = None
) -> str:
    """Return a container's request or limit in units of the divisor, rounded up.

    A limit that is not set is what the node can give, or the Pod's own where that is less.
    """
    container = container_named(pod, selector.container_name) if selector.container_name else asking
    if container is None:
        raise ValueError(f"container {selector.container_name} not found")
    kind, _, name = selector.resource.partition(".")
    resources = container.resources
    amounts = getattr(resources, kind, {}) if resources is not None else {}
    text = amounts.get(name, "")
    if not text and kind == "limits":
        text = _most_that(pod, name, allocatable)
    if not text and kind == "requests" and resources is not None:
        text = resources.limits.get(name, "")
    divisor = parse(selector.divisor).nano if selector.divisor else 0
    amount = parse(text).nano if text else 0
    return str(-(-amount // (divisor or 10**9)))


def _most_that(pod: Pod, name: str, allocatable: Mapping[str, str]) -> str:
    given = allocatable.get(name, "")
    own = pod.spec.resources.limits.get(name, "") if pod.spec.resources is not None else ""
    return own if own and given and parse(own).nano < parse(given).nano else given
