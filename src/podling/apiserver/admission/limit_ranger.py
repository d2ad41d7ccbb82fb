"""LimitRanger: containers get the amounts that their namespace gives by default, and stay within its bounds.

Defaults are written before validation, bounds are judged after it. A Pod is bounded as a whole by what its containers
need at one time, or by what it asks for itself. A resize is judged, an update changes nothing that is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.defaults.podlevel import aggregate
from podling.api.errors import forbidden
from podling.api.quantity import Quantity, parse
from podling.api.resources import LIMIT_RANGES
from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_Tree = dict[str, Any]
_Amounts = dict[str, Quantity]

_ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        """Write the defaults into a new Pod."""
        if operation.verb != "CREATE" or not operation.is_on("", "pods"):
            return
        for items in self._ranges(operation.namespace):
            _default(operation.tree, items)

    def judge(self, operation: Operation) -> None:
        """Refuse what is out of bounds, naming every bound of the first LimitRange that is broken."""
        pod = operation.is_on("", "pods") and operation.verb == "CREATE"
        resize = operation.is_on("", "pods", "resize") and operation.verb == "UPDATE"
        claim = operation.is_on("", "persistentvolumeclaims") and operation.verb != "DELETE"
        if not (pod or resize or claim):
            return
        for items in self._ranges(operation.namespace):
            found = claim_problems(items, operation.tree) if claim else pod_problems(items, operation.tree)
            if found:
                why = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
                raise forbidden("", operation.plural, operation.name, why)

    def _ranges(self, namespace: str) -> Iterator[list[_Tree]]:
        shelf = self._registry.shelf(self._registry.record(LIMIT_RANGES))
        for encoded in shelf.select(Scope(namespace=namespace)):
            tree: _Tree = msgspec.json.decode(encoded.raw)
            yield (tree.get("spec") or {}).get("limits") or []


def _default(pod: _Tree, items: list[_Tree]) -> None:
    wanted: dict[str, dict[str, str]] = {"limits": {}, "requests": {}}
    for item in items:
        if item.get("type") == "Container":
            wanted["limits"].update(item.get("default") or {})
            wanted["requests"].update(item.get("defaultRequest") or {})
    told: list[str] = []
    for group, name in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(group) or ():
            done = {part: _complete(container, part, amounts) for part, amounts in wanted.items()}
            told += [
                f"{', '.join(done[part])} {word} for {name} {container.get('name', '')}"
                for part, word in (("requests", "request"), ("limits", "limit"))
                if done[part]
            ]
    if told:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(told)}"


def _complete(container: _Tree, part: str, amounts: dict[str, str]) -> list[str]:
    """Fill in amounts that a container does not name; return which."""
    missing = sorted(amounts.keys() - ((container.get("resources") or {}).get(part) or {}).keys())
    if missing:
        resources = container.get("resources") or {}
        resources[part] = {**(resources.get(part) or {}), **{name: amounts[name] for name in missing}}
        container["resources"] = resources
    return missing


def pod_problems(items: list[_Tree], pod: _Tree) -> list[str]:
    """Return what of a Pod is out of the bounds of one LimitRange, in upstream's words."""
    spec, found = pod["spec"], []
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for item in items:
        match item.get("type"):
            case "Container":
                for container in containers:
                    resources = container.get("resources") or {}
                    found += _broken(item, _read(resources.get("requests")), _read(resources.get("limits")))
            case "Pod":
                found += _broken(item, _whole(spec, "requests"), _whole(spec, "limits"))
    return list(dict.fromkeys(found))


def claim_problems(items: list[_Tree], claim: _Tree) -> list[str]:
    """Return what of a PersistentVolumeClaim's request is out of bounds; its limits mean nothing."""
    requests = _read(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    found: list[str] = []
    for item in items:
        if item.get("type") == "PersistentVolumeClaim":
            found += _below(item, requests, {})
            for name, most in _read(item.get("max")).items():
                said = f"maximum {name} usage per PersistentVolumeClaim is {most}"
                if name not in requests:
                    found.append(f"{said}.  No request is specified")
                elif requests[name] > most:
                    found.append(f"{said}, but request is {requests[name]}")
    return list(dict.fromkeys(found))


def _broken(item: _Tree, requests: _Amounts, limits: _Amounts) -> list[str]:
    return [*_below(item, requests, limits), *_above(item, requests, limits), *_too_wide(item, requests, limits)]


def _below(item: _Tree, requests: _Amounts, limits: _Amounts) -> list[str]:
    found = []
    for name, least in _read(item.get("min")).items():
        said = f"minimum {name} usage per {item['type']} is {least}"
        if name not in requests:
            found.append(f"{said}.  No request is specified")
        elif requests[name] < least:
            found.append(f"{said}, but request is {requests[name]}")
        elif name in limits and limits[name] < least:
            found.append(f"{said}, but limit is {limits[name]}")
    return found


def _above(item: _Tree, requests: _Amounts, limits: _Amounts) -> list[str]:
    found = []
    for name, most in _read(item.get("max")).items():
        said = f"maximum {name} usage per {item['type']} is {most}"
        if name not in limits:
            found.append(f"{said}.  No limit is specified")
        elif limits[name] > most:
            found.append(f"{said}, but limit is {limits[name]}")
        elif name in requests and requests[name] > most:
            found.append(f"{said}, but request is {requests[name]}")
    return found


def _too_wide(item: _Tree, requests: _Amounts, limits: _Amounts) -> list[str]:
    found = []
    for name, widest in _read(item.get("maxLimitRequestRatio")).items():
        said = f"{name} max limit to request ratio per {item['type']} is {widest}"
        if not requests.get(name):
            found.append(f"{said}, but no request is specified or request is 0")
        elif not limits.get(name):
            found.append(f"{said}, but no limit is specified or limit is 0")
        elif limits[name].nano / requests[name].nano > float(widest):
            found.append(f"{said}, but provided ratio is {limits[name].nano / requests[name].nano:f}")
    return found


def _whole(spec: _Tree, part: str) -> _Amounts:
    """Return what a Pod as a whole asks for: its own amounts, and those of its containers for all other resources."""
    return {**aggregate(spec, part), **_read((spec.get("resources") or {}).get(part))}


def _read(amounts: dict[str, str] | None) -> _Amounts:
    return {name: parse(text) for name, text in sorted((amounts or {}).items())}
