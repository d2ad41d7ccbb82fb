"""Pods: what their strategy adds on create, update, writes of their subresources and graceful deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api import times
from podling.api.pods import TERMINAL_PHASES
from podling.api.resources import PODS
from podling.api.validation.field import SPEC, invalid
from podling.api.validation.shape import typed
from podling.apiserver.kinds.pod_gates import drop_alpha
from podling.apiserver.kinds.pod_labels import copy_label_keys
from podling.apiserver.kinds.strategy import Plain, keep, raise_generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.errors import Cause
    from podling.apiserver.record import Context

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


class PodStrategy(Plain):
    """A Pod begins as Pending, with its QoS class decided; its status is the kubelet's."""

    def __init__(self) -> None:
        super().__init__(status=True, generation=True)

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        drop_alpha(tree, None, context.warnings)
        status: dict[str, Any] = {"phase": "Pending", "qosClass": _qos_class(tree)}
        if tree["spec"].get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": _GATED,
                    "lastProbeTime": None,
                    "lastTransitionTime": times.to_wire(context.now),
                }
            ]
        tree["status"] = status
        copy_label_keys(tree)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        drop_alpha(tree, old, context.warnings)
        super().prepare_update(tree, old, context)

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        match subresource:
            case "ephemeralcontainers":
                added = tree["spec"].get("ephemeralContainers")
                _restore(tree, old)
                tree["spec"]["ephemeralContainers"] = added or []
                _keep_absent(tree["spec"], old["spec"], "ephemeralContainers")
                drop_alpha(tree, old, context.warnings)
                raise_generation(tree, old)
            case "resize":
                _keep_all_but_resources(tree, old)
                raise_generation(tree, old)
            case _:
                super().prepare_subresource(subresource, tree, old, context)
                _keep_observed(tree.setdefault("status", {}), old.get("status", {}))

    def validate_subresource(
        self,
        subresource: str,
        tree: dict[str, Any],
        old: dict[str, Any],
        context: Context,  # noqa: ARG002
    ) -> Sequence[Cause]:
        if subresource != "resize":
            return ()
        before = old.get("status", {}).get("qosClass") or _qos_class(old)
        if _qos_class(tree) == before:
            return ()
        said = "Pod QOS Class may not change as a result of resizing"
        return (invalid(SPEC, tree.get("status", {}).get("qosClass", ""), said),)

    def grace(self, tree: dict[str, Any], requested: int | None) -> int | None:
        """Return the wish of the caller, else of the Pod; nobody waits for a Pod that no node runs."""
        spec, phase = tree.get("spec", {}), tree.get("status", {}).get("phase")
        seconds = requested if requested is not None else spec.get("terminationGracePeriodSeconds") or 0
        if not spec.get("nodeName") or phase in TERMINAL_PHASES:
            return 0
        return 1 if seconds < 0 else seconds


def _qos_class(tree: dict[str, Any]) -> str:
    from podling.lifecycle.qos import qos_class

    return str(qos_class(typed(PODS.type, tree)))


def _keep_absent(tree: dict[str, Any], old: dict[str, Any], key: str) -> None:
    """Let an empty member stay away where there was none, so that nothing seems to change."""
    if not tree.get(key) and not old.get(key):
        keep(tree, old, key)


def _restore(tree: dict[str, Any], old: dict[str, Any]) -> None:
    """Let the whole object be what it was, its specification a copy that may be changed."""
    for key in {**old, **tree}:
        keep(tree, old, key)
    tree["metadata"] = dict(old["metadata"])
    tree["spec"] = dict(old["spec"])


def _keep_all_but_resources(tree: dict[str, Any], old: dict[str, Any]) -> None:
    """Take over the resources and resize policies of a Pod's containers, and its own resources.

    Containers that are not the ones that were are left as they came: validation says what is wrong with them.
    """
    spec, before = tree["spec"], old["spec"]
    groups = {name: spec.get(name) or [] for name in ("containers", "initContainers")}
    if any(len(group) != len(before.get(name) or ()) for name, group in groups.items()):
        keep(tree, old, "status")
        return
    wanted = {name: _resized(group, before.get(name) or []) for name, group in groups.items()}
    own = spec.get("resources")
    _restore(tree, old)
    for name, group in wanted.items():
        if group:
            tree["spec"][name] = group
    if own:
        tree["spec"]["resources"] = own
    else:
        tree["spec"].pop("resources", None)


def _resized(containers: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(container.get("name") != before["name"] for container, before in zip(containers, old, strict=True)):
        return containers
    done = []
    for container, before in zip(containers, old, strict=True):
        made = dict(before)
        for key in ("resources", "resizePolicy"):
            if container.get(key) or before.get(key):
                keep(made, container, key)
        done.append(made)
    return done


def _keep_observed(status: dict[str, Any], old: dict[str, Any]) -> None:
    """Keep from a status what a kubelet of an earlier release does not know to write."""
    for key in ("qosClass", "observedGeneration"):
        if not status.get(key):
            keep(status, old, key)
    observed: dict[str, list[Any]] = {}
    for condition in old.get("conditions") or ():
        observed.setdefault(condition["type"], []).append(condition.get("observedGeneration"))
    for condition in status.get("conditions") or ():
        generations = observed.get(condition.get("type", ""))
        before = generations.pop(0) if generations else None
        if before and not condition.get("observedGeneration"):
            condition["observedGeneration"] = before
