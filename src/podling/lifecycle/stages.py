"""The states of a Pod's life as a person sees them, and which may follow which.

    create ─▶ SchedulingGated ─▶ Pending ─▶ ContainerCreating ─▶ Init:N/M ─▶ PodInitializing ─▶ Running ⇄ NotReady
                                                │    ▲                                            │  ▲
                     ErrImagePull ⇄ ImagePullBackOff │                    Error, OOMKilled, Completed │
                     CreateContainerConfigError, CreateContainerError             CrashLoopBackOff ───┘
    from everywhere: Failed, Evicted, Terminating, Unknown; at the end Succeeded or Failed; then gone

Owns the table, what each state shows (phase, and the STATUS column of kubectl), and the derivation of a state from a
Pod object. Nothing is decided by a state: `pod.plan` decides by facts. Invariant: what `stage_of` says of the statuses
that a kubelet tells one after the other is a walk through the table.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.lifecycle.display import status_text
from podling.lifecycle.machine import IGNORED, Cell, Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod


class PodStage(Enum):
    """Where a Pod is."""

    CREATE = "create"
    GATED = "SchedulingGated"
    PENDING = "Pending"
    CREATING = "ContainerCreating"
    INIT = "Init:N/M"
    INIT_ERROR = "Init:Error"
    INIT_CRASH_LOOP = "Init:CrashLoopBackOff"
    INITIALIZING = "PodInitializing"
    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    CONFIG_ERROR = "CreateContainerConfigError"
    CREATE_ERROR = "CreateContainerError"
    RUN_ERROR = "RunContainerError"
    RUNNING = "Running"
    NOT_READY = "NotReady"
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    COMPLETED = "Completed"
    CRASH_LOOP = "CrashLoopBackOff"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    EVICTED = "Evicted"
    UNKNOWN = "Unknown"
    TERMINATING = "Terminating"
    GONE = "gone"


class Shown(Struct, frozen=True):
    """How a state looks from outside."""

    phases: tuple[str, ...]
    status: tuple[str, ...]
    """What kubectl prints as STATUS; `N/M` stands for numbers, `…` for any reason of a container or Pod."""
    means: str


_P, _R, _S, _F = "Pending", "Running", "Succeeded", "Failed"

SHOWN: Final[Mapping[PodStage, Shown]] = {
    PodStage.CREATE: Shown((), (), "asked for, not yet stored"),
    PodStage.GATED: Shown((_P,), ("SchedulingGated",), "a scheduling gate holds it back"),
    PodStage.PENDING: Shown((_P,), ("Pending",), "waits for a node, or for its node to take it up"),
    PodStage.CREATING: Shown((_P,), ("ContainerCreating",), "volumes, sandbox, images, first containers; postStart"),
    PodStage.INIT: Shown((_P, _R), ("Init:N/M",), "N of M init containers are done"),
    PodStage.INIT_ERROR: Shown((_P, _R), ("Init:Error", "Init:OOMKilled", "Init:…"), "an init container ended badly"),
    PodStage.INIT_CRASH_LOOP: Shown((_P, _R), ("Init:CrashLoopBackOff",), "an init container waits to be tried again"),
    PodStage.INITIALIZING: Shown((_P, _R), ("PodInitializing",), "init containers are done, main ones not begun"),
    PodStage.ERR_IMAGE_PULL: Shown(
        (_P, _R), ("ErrImagePull", "Init:ErrImagePull", "InvalidImageName", "ErrImageNeverPull"), "no image to be had"
    ),
    PodStage.IMAGE_PULL_BACK_OFF: Shown(
        (_P, _R), ("ImagePullBackOff", "Init:ImagePullBackOff"), "waits to ask for the image again"
    ),
    PodStage.CONFIG_ERROR: Shown(
        (_P, _R),
        ("CreateContainerConfigError", "Init:CreateContainerConfigError"),
        "a ConfigMap, Secret, key or user is missing",
    ),
    PodStage.CREATE_ERROR: Shown(
        (_P, _R), ("CreateContainerError", "Init:CreateContainerError"), "the runtime does not make the container"
    ),
    PodStage.RUN_ERROR: Shown(
        (_P, _R),
        ("RunContainerError", "PostStartHookError", "Init:RunContainerError"),
        "the runtime does not start it, or its postStart hook failed",
    ),
    PodStage.RUNNING: Shown((_R,), ("Running",), "every main container has begun and none waits"),
    PodStage.NOT_READY: Shown((_R,), ("NotReady",), "some containers are done: the others are ready, it is not"),
    PodStage.ERROR: Shown((_P, _R), ("Error", "…"), "a container ended badly and is about to be started again"),
    PodStage.OOM_KILLED: Shown((_P, _R), ("OOMKilled",), "a container went over its memory limit"),
    PodStage.COMPLETED: Shown((_P, _R), ("Completed",), "a container ended well, the Pod has not"),
    PodStage.CRASH_LOOP: Shown((_P, _R), ("CrashLoopBackOff",), "a container waits to be started again"),
    PodStage.SUCCEEDED: Shown((_S,), ("Completed",), "every container ended well, for good"),
    PodStage.FAILED: Shown((_F,), ("Error", "OOMKilled", "DeadlineExceeded", "Init:Error", "…"), "over, and not well"),
    PodStage.EVICTED: Shown((_F,), ("Evicted",), "its node was short of something"),
    PodStage.UNKNOWN: Shown((_P, _R, "Unknown"), ("Unknown",), "its node is lost"),
    PodStage.TERMINATING: Shown(
        (_P, _R, _S, _F), ("Terminating", "Completed", "Error", "…"), "to be deleted; one that was over shows its end"
    ),
    PodStage.GONE: Shown((), (), "the API has it no more"),
}


class PodEvent(Enum):
    """What happened to a Pod."""

    ACCEPTED = "stored"
    HELD = "stored with scheduling gates"
    UNGATED = "the last scheduling gate is gone"
    TAKEN = "its node begins with it"
    INIT_BEGUN = "init containers are on their way"
    INIT_FAILED = "an init container ended badly"
    INIT_BACKED_OFF = "an init container waits"
    INIT_DONE = "the last init container is done"
    PULL_FAILED = "an image cannot be had"
    PULL_BACKED_OFF = "an image waits to be asked for"
    CONFIG_MISSING = "something that a container needs is missing"
    CREATE_FAILED = "a container cannot be made"
    START_FAILED = "a container cannot be started"
    BEGUN = "every main container has begun"
    UNREADY = "of a Pod partly done the rest is ready"
    ENDED_BADLY = "a container ended badly"
    OOM = "a container was killed for memory"
    ENDED_WELL = "a container ended well"
    BACKED_OFF = "a container waits to be started again"
    SUCCEEDED = "every container ended well for good"
    FAILED = "failed"
    EVICTED = "evicted"
    NODE_LOST = "node lost"
    NODE_FOUND = "node found"
    DELETED = "deletion asked for"
    RELEASED = "let go of"


def _row(stays: PodEvent | None, *edges: Mapping[PodEvent, Cell[PodStage]]) -> Mapping[PodEvent, Cell[PodStage]]:
    row: dict[PodEvent, Cell[PodStage]] = {}
    for edge in edges:
        row.update(edge)
    if stays is not None:
        row[stays] = IGNORED
    return row


_ENDS: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    PodEvent.FAILED: PodStage.FAILED,
    PodEvent.EVICTED: PodStage.EVICTED,
    PodEvent.DELETED: PodStage.TERMINATING,
    PodEvent.RELEASED: PodStage.GONE,
}

_ON_NODE: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    **_ENDS,
    PodEvent.SUCCEEDED: PodStage.SUCCEEDED,
    PodEvent.NODE_LOST: PodStage.UNKNOWN,
    PodEvent.NODE_FOUND: IGNORED,
}
"""What can happen to any Pod that its node has taken up."""

_STEPS: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    PodEvent.PULL_FAILED: PodStage.ERR_IMAGE_PULL,
    PodEvent.PULL_BACKED_OFF: PodStage.IMAGE_PULL_BACK_OFF,
    PodEvent.CONFIG_MISSING: PodStage.CONFIG_ERROR,
    PodEvent.CREATE_FAILED: PodStage.CREATE_ERROR,
    PodEvent.START_FAILED: PodStage.RUN_ERROR,
}
"""The steps to a container that do not come off."""

_INIT: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    PodEvent.INIT_BEGUN: PodStage.INIT,
    PodEvent.INIT_FAILED: PodStage.INIT_ERROR,
    PodEvent.INIT_BACKED_OFF: PodStage.INIT_CRASH_LOOP,
    PodEvent.INIT_DONE: PodStage.INITIALIZING,
}

_MAIN: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    PodEvent.BEGUN: PodStage.RUNNING,
    PodEvent.ENDED_BADLY: PodStage.ERROR,
    PodEvent.OOM: PodStage.OOM_KILLED,
    PodEvent.ENDED_WELL: PodStage.COMPLETED,
    PodEvent.BACKED_OFF: PodStage.CRASH_LOOP,
    PodEvent.UNREADY: PodStage.NOT_READY,
}
"""What the main containers do. A new sandbox begins with the init containers again."""

_OVER: Final[Mapping[PodEvent, Cell[PodStage]]] = {
    PodEvent.NODE_LOST: IGNORED,
    PodEvent.NODE_FOUND: IGNORED,
    PodEvent.DELETED: PodStage.TERMINATING,
    PodEvent.RELEASED: PodStage.GONE,
}

_CREATING: Final[Mapping[PodEvent, Cell[PodStage]]] = {PodEvent.TAKEN: PodStage.CREATING}
_LIVING: Final = _row(None, _ON_NODE, _STEPS, _INIT, _MAIN, _CREATING)
"""Containers fail, end and start in any order: several of them, at once. A sidecar that ends shows as `Init:…`."""

POD: Final[Machine[PodStage, PodEvent]] = Machine(
    "pod",
    PodStage.CREATE,
    {
        PodStage.CREATE: {PodEvent.ACCEPTED: PodStage.PENDING, PodEvent.HELD: PodStage.GATED},
        PodStage.GATED: {
            PodEvent.HELD: IGNORED,
            PodEvent.UNGATED: PodStage.PENDING,
            PodEvent.DELETED: PodStage.TERMINATING,
            PodEvent.RELEASED: PodStage.GONE,
        },
        PodStage.PENDING: _row(
            PodEvent.ACCEPTED,
            _CREATING,
            _ENDS,
            {
                PodEvent.INIT_BEGUN: PodStage.INIT,
                PodEvent.UNGATED: IGNORED,
                PodEvent.NODE_LOST: IGNORED,
                PodEvent.NODE_FOUND: IGNORED,
            },
        ),
        PodStage.CREATING: _row(PodEvent.TAKEN, _ON_NODE, _STEPS, _MAIN),
        PodStage.INIT: _row(PodEvent.INIT_BEGUN, _ON_NODE, _STEPS, _INIT, _MAIN),
        PodStage.INIT_ERROR: _row(PodEvent.INIT_FAILED, _LIVING),
        PodStage.INIT_CRASH_LOOP: _row(PodEvent.INIT_BACKED_OFF, _LIVING),
        PodStage.INITIALIZING: _row(PodEvent.INIT_DONE, _ON_NODE, _STEPS, _INIT, _MAIN),
        PodStage.ERR_IMAGE_PULL: _row(PodEvent.PULL_FAILED, _LIVING),
        PodStage.IMAGE_PULL_BACK_OFF: _row(PodEvent.PULL_BACKED_OFF, _LIVING),
        PodStage.CONFIG_ERROR: _row(PodEvent.CONFIG_MISSING, _LIVING),
        PodStage.CREATE_ERROR: _row(PodEvent.CREATE_FAILED, _LIVING),
        PodStage.RUN_ERROR: _row(PodEvent.START_FAILED, _LIVING),
        PodStage.RUNNING: _row(PodEvent.BEGUN, _LIVING),
        PodStage.NOT_READY: _row(PodEvent.UNREADY, _LIVING),
        PodStage.ERROR: _row(PodEvent.ENDED_BADLY, _LIVING),
        PodStage.OOM_KILLED: _row(PodEvent.OOM, _LIVING),
        PodStage.COMPLETED: _row(PodEvent.ENDED_WELL, _LIVING),
        PodStage.CRASH_LOOP: _row(PodEvent.BACKED_OFF, _LIVING),
        PodStage.UNKNOWN: _row(
            PodEvent.NODE_LOST,
            _ENDS,
            _MAIN,
            {PodEvent.NODE_FOUND: PodStage.RUNNING, PodEvent.SUCCEEDED: PodStage.SUCCEEDED},
        ),
        PodStage.SUCCEEDED: _row(PodEvent.SUCCEEDED, _OVER),
        PodStage.FAILED: _row(PodEvent.FAILED, _OVER),
        PodStage.EVICTED: _row(PodEvent.EVICTED, _OVER, {PodEvent.FAILED: IGNORED}),
        PodStage.TERMINATING: {
            **{event: IGNORED for event in PodEvent if event not in (PodEvent.ACCEPTED, PodEvent.HELD)},
            PodEvent.NODE_LOST: PodStage.UNKNOWN,
            PodEvent.RELEASED: PodStage.GONE,
        },
        PodStage.GONE: {PodEvent.RELEASED: IGNORED, PodEvent.DELETED: IGNORED},
    },
)

_BY_STATUS: Final[Mapping[str, PodStage]] = {
    text: stage
    for stage in (
        PodStage.GATED,
        PodStage.PENDING,
        PodStage.CREATING,
        PodStage.INIT_CRASH_LOOP,
        PodStage.INITIALIZING,
        PodStage.ERR_IMAGE_PULL,
        PodStage.IMAGE_PULL_BACK_OFF,
        PodStage.CONFIG_ERROR,
        PodStage.CREATE_ERROR,
        PodStage.RUN_ERROR,
        PodStage.RUNNING,
        PodStage.NOT_READY,
        PodStage.OOM_KILLED,
        PodStage.COMPLETED,
        PodStage.CRASH_LOOP,
        PodStage.UNKNOWN,
    )
    for text in SHOWN[stage].status
}


def stage_of(pod: Pod) -> PodStage:
    """Return the state that a Pod object is in."""
    status = pod.status
    if pod.metadata.deletion_timestamp is not None:
        return PodStage.UNKNOWN if status.reason == "NodeLost" else PodStage.TERMINATING
    if status.phase == "Succeeded":
        return PodStage.SUCCEEDED
    if status.phase == "Failed":
        return PodStage.EVICTED if status.reason == "Evicted" else PodStage.FAILED
    if status.phase == "Unknown" or status.reason == "NodeLost":
        return PodStage.UNKNOWN
    text = status_text(pod) or "Pending"
    found = _BY_STATUS.get(text)
    if found is not None:
        return found
    if text.startswith("Init:"):
        return PodStage.INIT if "/" in text else _BY_STATUS.get(text[5:], PodStage.INIT_ERROR)
    return PodStage.ERROR
