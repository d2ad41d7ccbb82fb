"""Owns how the kinds that make Pods from a template are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.selectors import from_label_selector
from podling.apiserver.tables.columns import AGE, NAME, NONE, Column, Layout, age

if TYPE_CHECKING:
    from podling.api.types.apps_v1 import Deployment, ReplicaSet
    from podling.api.types.autoscaling_v1 import Scale
    from podling.api.types.core_v1 import PodTemplateSpec, ReplicationController
    from podling.api.types.meta_v1 import LabelSelector

CONTAINERS: Final = Column("Containers", "Names of each container in the template.", 1)
IMAGES: Final = Column("Images", "Images referenced by each container in the template.", 1)
_LABELS: Final = "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors"
_SET: Final = "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"
_CONTROLLER: Final = (
    "https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller"
)
_POINTER: Final = "This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1."


def count(name: str, description: str) -> Column:
    return Column(name, description, type="integer")


def template_cells(template: PodTemplateSpec | None) -> list[Any]:
    """Return the names and the images of a template's containers."""
    containers = template.spec.containers if template is not None and template.spec is not None else ()
    return [",".join(c.name for c in containers), ",".join(c.image for c in containers)]


def selector_cell(selector: LabelSelector | None) -> str:
    return str(from_label_selector(selector)) or NONE


def _replica_set(found: ReplicaSet, now: float) -> list[Any]:
    status = found.status
    return [
        found.metadata.name,
        found.spec.replicas or 0,
        status.replicas if status is not None else 0,
        (status.ready_replicas or 0) if status is not None else 0,
        age(found.metadata.creation_timestamp, now),
        *template_cells(found.spec.template),
        selector_cell(found.spec.selector),
    ]


REPLICA_SETS: Final = Layout(
    (
        NAME,
        count("Desired", f"Replicas is the number of desired pods. {_POINTER} More info: {_SET}"),
        count(
            "Current",
            f"Replicas is the most recently observed number of non-terminating pods. More info: {_SET}",
        ),
        count("Ready", "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column(
            "Selector",
            "Selector is a label query over pods that should match the replica count. Label keys and values that must "
            "match in order to be controlled by this replica set. It must match the pod template's labels. More info: "
            + _LABELS,
            1,
        ),
    ),
    _replica_set,
)


def _replication_controller(found: ReplicationController, now: float) -> list[Any]:
    status = found.status
    return [
        found.metadata.name,
        found.spec.replicas or 0,
        status.replicas if status is not None else 0,
        (status.ready_replicas or 0) if status is not None else 0,
        age(found.metadata.creation_timestamp, now),
        *template_cells(found.spec.template),
        ",".join(f"{name}={value}" for name, value in sorted(found.spec.selector.items())) or NONE,
    ]


REPLICATION_CONTROLLERS: Final = Layout(
    (
        NAME,
        count("Desired", f"Replicas is the number of desired replicas. {_POINTER} More info: {_CONTROLLER}"),
        count("Current", f"Replicas is the most recently observed number of replicas. More info: {_CONTROLLER}"),
        count("Ready", "The number of ready replicas for this replication controller."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column(
            "Selector",
            "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is "
            "defaulted to the labels present on the Pod template. Label keys and values that must match in order to be "
            "controlled by this replication controller, if empty defaulted to labels on Pod template. More info: "
            + _LABELS,
            1,
        ),
    ),
    _replication_controller,
)


def _deployment(found: Deployment, now: float) -> list[Any]:
    status = found.status
    return [
        found.metadata.name,
        f"{status.ready_replicas or 0}/{found.spec.replicas or 0}",
        status.updated_replicas or 0,
        status.available_replicas or 0,
        age(found.metadata.creation_timestamp, now),
        *template_cells(found.spec.template),
        selector_cell(found.spec.selector),
    ]


DEPLOYMENTS: Final = Layout(
    (
        NAME,
        Column("Ready", "Number of the pod with ready state"),
        count(
            "Up-to-date",
            "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
        ),
        count(
            "Available",
            "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this "
            "deployment.",
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        Column(
            "Selector",
            "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected "
            "by this deployment. It must match the pod template's labels.",
            1,
        ),
    ),
    _deployment,
)


def _scale(found: Scale, now: float) -> list[Any]:
    return [
        found.metadata.name,
        found.spec.replicas or 0,
        found.status.replicas if found.status is not None else 0,
        age(found.metadata.creation_timestamp, now),
    ]


SCALES: Final = Layout(
    (
        NAME,
        count("Desired", "replicas is the desired number of instances for the scaled object."),
        count("Available", "replicas is the actual number of observed instances of the scaled object."),
        AGE,
    ),
    _scale,
)
