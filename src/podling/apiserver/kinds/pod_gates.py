"""Fields of a Pod that are alpha in the newest release: upstream's server, its gates at their defaults, drops them.

Owns the list. A Pod that holds such a field already keeps it, as upstream has it for who turned a gate off again. Who
sends one is told that it was dropped. `lifecycle.stopSignal` is alpha too and not listed: Podling carries it out.

Steps of a path: `[]` stands for every item of a list.
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

_STEPS = tuple((path, tuple(path.split("."))) for path in ALPHA)


def drop_alpha(tree: dict[str, Any], old: dict[str, Any] | None, warnings: list[str]) -> None:
    """Take the alpha fields out of a Pod that is written; `old` is what stands there."""
    spec = tree.get("spec") or {}
    before = (old or {}).get("spec") or {}
    for _, steps in _STEPS:
        found = list(_holders(spec, steps, "spec"))
        if found and not any(_holders(before, steps, "spec")):
            for holder, name, where in found:
                del holder[name]
                warnings.append(f"{where}.{name}: dropped: this field is alpha and off by default")


def _holders(node: Any, steps: tuple[str, ...], where: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield each object that has the field at the end of a path, with the field's name and the object's place."""
    if not isinstance(node, dict):
        return
    name = steps[0].removesuffix("[]")
    value = node.get(name)
    if value is None:
        return
    if len(steps) == 1:
        yield node, name, where
    elif steps[0].endswith("[]"):
        for i, item in enumerate(value):
            yield from _holders(item, steps[1:], f"{where}.{name}[{i}]")
    else:
        yield from _holders(value, steps[1:], f"{where}.{name}")
