"""ReplicaSets and ReplicationControllers, and the Scale by which their size is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.selectors import from_labels
from podling.api.validation import meta
from podling.api.validation.field import SPEC, STATUS, required
from podling.api.validation.workloads import (
    check_at_most,
    check_not_negative,
    check_running_template,
    check_same_selector,
    check_selector,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apps_v1 import ReplicaSet, ReplicaSetStatus
    from podling.api.types.autoscaling_v1 import Scale
    from podling.api.types.core_v1 import ReplicationController, ReplicationControllerStatus

_PARTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def check_set_create(new: ReplicaSet, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_set(new, causes)


def check_set_update(new: ReplicaSet, old: ReplicaSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_set(new, causes)
    check_same_selector(new.spec.selector, old.spec.selector, SPEC / "selector", causes)


def check_set_status_update(new: ReplicaSet, old: ReplicaSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_status(new.status, causes)


def check_controller_create(new: ReplicationController, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_controller(new, causes)


def check_controller_update(new: ReplicationController, old: ReplicationController, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_controller(new, causes)


def check_controller_status_update(new: ReplicationController, old: ReplicationController, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_status(new.status, causes)


def check_scale(scale: Scale, causes: list[Cause]) -> None:
    meta.check_create(scale.metadata, causes, namespaced=True)
    check_not_negative(SPEC, {"replicas": scale.spec.replicas}, causes)


def _check_set(new: ReplicaSet, causes: list[Cause]) -> None:
    spec = new.spec
    check_not_negative(SPEC, {"replicas": spec.replicas, "minReadySeconds": spec.min_ready_seconds}, causes)
    selector = check_selector(spec.selector, SPEC / "selector", causes)
    check_running_template(spec.template, selector, "ReplicaSet", SPEC / "template", causes)


def _check_controller(new: ReplicationController, causes: list[Cause]) -> None:
    spec = new.spec
    check_not_negative(SPEC, {"minReadySeconds": spec.min_ready_seconds}, causes)
    if not spec.selector:
        causes.append(required(SPEC / "selector"))
    check_not_negative(SPEC, {"replicas": spec.replicas}, causes)
    selector = from_labels(spec.selector)
    check_running_template(spec.template, selector, "ReplicationController", SPEC / "template", causes)


def _check_status(status: ReplicaSetStatus | ReplicationControllerStatus | None, causes: list[Cause]) -> None:
    if status is None:
        return
    counts = {
        "replicas": status.replicas,
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "observedGeneration": status.observed_generation,
        "terminatingReplicas": getattr(status, "terminating_replicas", None),  # a ReplicaSet's alone
    }
    check_not_negative(STATUS, counts, causes)
    check_at_most(STATUS, counts, _PARTS, "replicas", "cannot be greater than status.replicas", causes)
    said = "cannot be greater than readyReplicas"
    check_at_most(STATUS, counts, ("availableReplicas",), "readyReplicas", said, causes)
