"""The stages of a Pod's life as a person tells them, and which may follow which.

                 ┌────────────────────────────── DELETED ───────────────────────────────┐
                 │                                                                      ▼
    PENDING ─BOUND▶ CREATING ─SANDBOX_READY▶ INITIALIZING ─STARTED▶ RUNNING ──────▶ TERMINATING ─RELEASED▶ GONE
                        │                         │                   │  │              ▲
                        └──────── FAILED ─────────┴───────────────────┘  └─SUCCEEDED    │
                                    ▼                                         ▼         │
                             FAILED, EVICTED                              SUCCEEDED ────┘

Owns the table and the derivation of a stage from a Pod object. Nothing is decided by a stage: `pod.plan` decides by
facts. Invariant: what `stage_of` says of a Pod's successive revisions is a walk through the table.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from podling.lifecycle.machine import IGNORED, Cell, Machine
from podling.lifecycle.specs import has_begun

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod


class PodStage(Enum):
    """Where a Pod is."""

    PENDING = "Pending"
    CREATING = "ContainerCreating"
    INITIALIZING = "Initializing"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    EVICTED = "Evicted"
    UNKNOWN = "Unknown"
    TERMINATING = "Terminating"
    GONE = "gone"


class PodEvent(Enum):
    """What happened to a Pod."""

    BOUND = "bound to a node"
    INITIALIZING = "init containers begin"
    STARTED = "every main container has started"
    SUCCEEDED = "every container ended well"
    FAILED = "failed"
    EVICTED = "evicted"
    NODE_LOST = "node lost"
    NODE_FOUND = "node found"
    DELETED = "deletion asked for"
    RELEASED = "let go by its node"


_ENDS: Final = {
    PodEvent.FAILED: PodStage.FAILED,
    PodEvent.EVICTED: PodStage.EVICTED,
    PodEvent.DELETED: PodStage.TERMINATING,
    PodEvent.RELEASED: PodStage.GONE,
}

_OVER: Final[dict[PodEvent, Cell[PodStage]]] = {
    PodEvent.NODE_LOST: IGNORED,
    PodEvent.NODE_FOUND: IGNORED,
    PodEvent.DELETED: PodStage.TERMINATING,
    PodEvent.RELEASED: PodStage.GONE,
}

POD: Final[Machine[PodStage, PodEvent]] = Machine(
    "pod",
    PodStage.PENDING,
    {
        PodStage.PENDING: {PodEvent.BOUND: PodStage.CREATING, **_ENDS},
        PodStage.CREATING: {
            PodEvent.BOUND: IGNORED,
            PodEvent.INITIALIZING: PodStage.INITIALIZING,
            PodEvent.STARTED: PodStage.RUNNING,
            PodEvent.SUCCEEDED: PodStage.SUCCEEDED,
            PodEvent.NODE_LOST: IGNORED,
            PodEvent.NODE_FOUND: IGNORED,
            **_ENDS,
        },
        PodStage.INITIALIZING: {
            PodEvent.INITIALIZING: IGNORED,
            PodEvent.STARTED: PodStage.RUNNING,
            PodEvent.SUCCEEDED: PodStage.SUCCEEDED,
            PodEvent.NODE_LOST: IGNORED,
            PodEvent.NODE_FOUND: IGNORED,
            **_ENDS,
        },
        PodStage.RUNNING: {
            PodEvent.STARTED: IGNORED,
            PodEvent.INITIALIZING: IGNORED,
            PodEvent.SUCCEEDED: PodStage.SUCCEEDED,
            PodEvent.NODE_LOST: PodStage.UNKNOWN,
            PodEvent.NODE_FOUND: IGNORED,
            **_ENDS,
        },
        PodStage.UNKNOWN: {
            PodEvent.NODE_LOST: IGNORED,
            PodEvent.NODE_FOUND: PodStage.RUNNING,
            PodEvent.STARTED: PodStage.RUNNING,
            PodEvent.SUCCEEDED: PodStage.SUCCEEDED,
            **_ENDS,
        },
        PodStage.SUCCEEDED: {PodEvent.SUCCEEDED: IGNORED, **_OVER},
        PodStage.FAILED: {PodEvent.FAILED: IGNORED, **_OVER},
        PodStage.EVICTED: {PodEvent.EVICTED: IGNORED, PodEvent.FAILED: IGNORED, **_OVER},
        PodStage.TERMINATING: {
            PodEvent.BOUND: IGNORED,
            PodEvent.INITIALIZING: IGNORED,
            PodEvent.STARTED: IGNORED,
            PodEvent.SUCCEEDED: IGNORED,
            PodEvent.FAILED: IGNORED,
            PodEvent.EVICTED: IGNORED,
            PodEvent.NODE_LOST: IGNORED,
            PodEvent.NODE_FOUND: IGNORED,
            PodEvent.DELETED: IGNORED,
            PodEvent.RELEASED: PodStage.GONE,
        },
        PodStage.GONE: {PodEvent.RELEASED: IGNORED, PodEvent.DELETED: IGNORED},
    },
)


def stage_of(pod: Pod) -> PodStage:
    """Return the stage that a Pod object is in."""
    status = pod.status
    if pod.metadata.deletion_timestamp is not None:
        return PodStage.TERMINATING
    if status.phase == "Succeeded":
        return PodStage.SUCCEEDED
    if status.phase == "Failed":
        return PodStage.EVICTED if status.reason == "Evicted" else PodStage.FAILED
    if status.phase == "Unknown" or status.reason == "NodeLost":
        return PodStage.UNKNOWN
    if status.phase == "Running":
        return PodStage.RUNNING
    if not pod.spec.node_name:
        return PodStage.PENDING
    begun = any(has_begun(init) for init in status.init_container_statuses)
    return PodStage.INITIALIZING if begun else PodStage.CREATING
