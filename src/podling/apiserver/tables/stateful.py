"""Owns how StatefulSets, DaemonSets and their revisions are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.apiserver.tables.columns import AGE, NAME, NONE, Column, Layout, age
from podling.apiserver.tables.sets import CONTAINERS, IMAGES, count, selector_cell, template_cells

if TYPE_CHECKING:
    from podling.api.types.apps_v1 import ControllerRevision, DaemonSet, StatefulSet

_DAEMON: Final = "More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/"


def _stateful_set(found: StatefulSet, now: float) -> list[Any]:
    ready = (found.status.ready_replicas or 0) if found.status is not None else 0
    return [
        found.metadata.name,
        f"{ready}/{found.spec.replicas or 0}",
        age(found.metadata.creation_timestamp, now),
        *template_cells(found.spec.template),
    ]


STATEFUL_SETS: Final = Layout(
    (NAME, Column("Ready", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES), _stateful_set
)


def _daemon_set(found: DaemonSet, now: float) -> list[Any]:
    status, pod = found.status, found.spec.template.spec
    wanted = pod.node_selector if pod is not None else {}
    return [
        found.metadata.name,
        status.desired_number_scheduled if status is not None else 0,
        status.current_number_scheduled if status is not None else 0,
        status.number_ready if status is not None else 0,
        (status.updated_number_scheduled or 0) if status is not None else 0,
        (status.number_available or 0) if status is not None else 0,
        ",".join(f"{name}={value}" for name, value in sorted(wanted.items())) or NONE,
        age(found.metadata.creation_timestamp, now),
        *template_cells(found.spec.template),
        selector_cell(found.spec.selector),
    ]


DAEMON_SETS: Final = Layout(
    (
        NAME,
        count(
            "Desired",
            "The total number of nodes that should be running the daemon pod (including nodes correctly running the "
            f"daemon pod). {_DAEMON}",
        ),
        count(
            "Current",
            "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. "
            + _DAEMON,
        ),
        count(
            "Ready",
            "numberReady is the number of nodes that should be running the daemon pod and have one or more of the "
            "daemon pod running with a Ready Condition.",
        ),
        count("Up-to-date", "The total number of nodes that are running updated daemon pod"),
        count(
            "Available",
            "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running "
            "and available (ready for at least spec.minReadySeconds)",
        ),
        Column(
            "Node Selector",
            "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a "
            "node's labels for the pod to be scheduled on that node. More info: "
            "https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        Column(
            "Selector",
            "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must "
            "match the pod template's labels. More info: "
            "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
            1,
        ),
    ),
    _daemon_set,
)


def _controller_revision(found: ControllerRevision, now: float) -> list[Any]:
    owner = next((held for held in found.metadata.owner_references if held.controller), None)
    controller = NONE
    if owner is not None:
        group = owner.api_version.rpartition("/")[0]
        controller = f"{owner.kind.lower()}{f'.{group}' if group else ''}/{owner.name}"
    return [
        found.metadata.name,
        controller,
        found.revision or 0,
        age(found.metadata.creation_timestamp, now),
    ]


CONTROLLER_REVISIONS: Final = Layout(
    (
        NAME,
        Column("Controller", "Controller of the object"),
        Column("Revision", "Revision indicates the revision of the state represented by Data."),
        AGE,
    ),
    _controller_revision,
)
