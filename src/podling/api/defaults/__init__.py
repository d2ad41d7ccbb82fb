"""What an object means where its author was silent: upstream's SetDefaults, on plain JSON trees.

Owns which defaults each kind has. Must not know validation, admission or the registry's strategies (finalizers, cluster
addresses, generated names): those act on what stands here. Invariants: a tree is changed in place and only by filling
in what is unset, so that applying twice changes nothing; its shape was checked against the schema before. Empty
strings and nulls are "unset" wherever Go's types cannot tell them apart.

Runs on every write, so it is written for speed: kinds without defaults cost one dictionary look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.defaults.kinds import BY_KIND
from podling.api.defaults.pod import apply_pod_spec, apply_pod_template

if TYPE_CHECKING:
    from podling.api.resources import Resource

__all__ = ["apply", "apply_pod_spec", "apply_pod_template"]


def apply(resource: Resource[Any], tree: dict[str, Any]) -> None:
    """Fill in what `tree`, an object of `resource`, leaves unset, as upstream's SetObjectDefaults does on decoding."""
    rule = BY_KIND.get((resource.group, resource.kind))
    if rule is not None:
        rule(tree)
