"""Defaults of a Pod's own resources, from and for those of its containers.

Only for Pods that say something at Pod level; requests and limits of containers are filled in before. Must not know
effective requests of running Pods (overhead, resizing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.pods import together
from podling.api.quantity import Quantity, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

_Tree = dict[str, Any]
_Amounts = dict[str, Quantity]

_HUGE_PAGES = "hugepages-"


def apply_pod_level_resources(spec: _Tree) -> None:
    """Fill in `spec.resources`: huge page limits, then requests, then CPU and memory limits.

    Text that is no quantity counts as nothing; validation refuses it.
    """
    resources = spec["resources"]
    limits = _text(resources, "limits")
    requests = _text(resources, "requests")
    asked_limits = any(_supported(name) for name in limits)
    asked_requests = any(_supported(name) for name in requests)
    if limits or requests:
        for name, amount in aggregate(spec, "limits").items():
            if name.startswith(_HUGE_PAGES) and name not in requests:
                limits.setdefault(name, str(amount))
    if limits:
        for name, amount in aggregate(spec, "requests").items():
            if _overcommits(name):
                requests.setdefault(name, str(amount))
        for name, text in limits.items():
            if _supported(name):
                requests.setdefault(name, text)
    if asked_requests and not asked_limits:
        for name, amount in aggregate(spec, "limits").items():
            if _overcommits(name) and _all_limited(spec, name):
                limits.setdefault(name, str(amount))
    for part, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            resources[part] = amounts


def aggregate(spec: _Tree, part: str) -> _Amounts:
    """Return what the containers of a PodSpec tree have together in `part`, `requests` or `limits`."""
    return together(
        (_amounts(container, part) for container in spec.get("containers") or ()),
        ((c.get("restartPolicy") == "Always", _amounts(c, part)) for c in spec.get("initContainers") or ()),
    )


def _text(resources: _Tree, part: str) -> dict[str, str]:
    return dict(resources.get(part) or {})


def _amounts(container: _Tree, part: str) -> _Amounts:
    amounts: _Amounts = {}
    for name, text in ((container.get("resources") or {}).get(part) or {}).items():
        try:
            amounts[name] = parse(str(text))
        except ValueError:
            continue
    return amounts


def _containers(spec: _Tree) -> Iterator[_Tree]:
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def _all_limited(spec: _Tree, name: str) -> bool:
    return all(name in ((c.get("resources") or {}).get("limits") or {}) for c in _containers(spec))


def _supported(name: str) -> bool:
    return name in {"cpu", "memory"} or name.startswith(_HUGE_PAGES)


def _overcommits(name: str) -> bool:
    return name in {"cpu", "memory"}
