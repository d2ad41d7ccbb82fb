"""Fields of a Pod that are alpha in the newest release: upstream's server, its gates at their defaults, drops them.

Owns the list. A Pod that holds such a field already keeps it, as upstream has it for who turned a gate off again. Who
sends one is told that it was dropped. `lifecycle.stopSignal` is alpha too and not listed: Podling carries it out.

Paths are of the specification; `[]` stands for every item of a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("lifecycle.postStart", "lifecycle.preStop")
_FILES = ("configMap", "downwardAPI", "secret")

ALPHA: Final[tuple[str, ...]] = (
    "evictionResponders",
    *(
        f"{group}[].{leaf}"
        for group in ("containers", "initContainers", "ephemeralContainers")
        for leaf in (
            *(f"{action}.httpGet.protocol" for action in (*_PROBES, *_HOOKS)),
            *(f"{probe}.grpc.mode" for probe in _PROBES),
            "volumeMounts[].bindMountOptions",
        )
    ),
    "volumes[].emptyDir.mode",
    *(f"volumes[].{source}.defaultUser" for source in (*_FILES, "projected")),
    *(f"volumes[].{source}.items[].user" for source in _FILES),
    *(f"volumes[].projected.sources[].{source}.items[].user" for source in _FILES),
    *(
        f"volumes[].projected.sources[].{source}.user"
        for source in ("serviceAccountToken", "podCertificate", "clusterTrustBundle")
    ),
)
"""Paths below `spec`."""

_Tree = dict[str, Any]


def _grown() -> _Tree:
    """Return the paths as a tree of steps, so that a Pod is walked once; a leaf is its own path."""
    root: _Tree = {}
    for path in ALPHA:
        *steps, last = path.split(".")
        node = root
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = path
    return root


_PATHS: Final = _grown()


def drop_alpha(tree: _Tree, old: _Tree | None, warnings: list[str], where: str = "spec") -> None:
    """Take the alpha fields out of a Pod, or a template of one, that is written; `old` is what stands there.

    `where` is the path of the specification in what the writer sent.
    """
    found = list(_holders(tree.get("spec") or {}, _PATHS, where))
    if not found:
        return
    used = {path for path, *_ in _holders((old or {}).get("spec") or {}, _PATHS, "spec")}
    for path, holder, name, place in found:
        if path not in used:
            del holder[name]
            warnings.append(f"{place}.{name}: dropped: this field is alpha and off by default")


def _holders(node: _Tree, steps: _Tree, where: str) -> Iterator[tuple[str, _Tree, str, str]]:
    """Yield the path of each alpha field that is set, the object that has it, its name and the object's place."""
    for step, below in steps.items():
        name = step.removesuffix("[]")
        value = node.get(name)
        if not value and (value is None or not isinstance(below, str)):
            continue
        if isinstance(below, str):
            yield below, node, name, where
        elif name != step:
            for i, item in enumerate(value):
                yield from _holders(item, below, f"{where}.{name}[{i}]")
        else:
            yield from _holders(value, below, f"{where}.{name}")
