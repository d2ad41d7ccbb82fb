"""The machine of one container instance: one attempt of one container of a Pod.

    WAITING ──CREATE──▶ CREATING ──CREATED──▶ CREATED ──START──▶ STARTING ──STARTED──▶ RUNNING ──DIED──▶ EXITED
       ▲                   │                     │                  │                     │                ▲  │
       └───CREATE_FAILED───┘                     │                  └────START_FAILED─────│────────────────┤  │
                                                 │                                       STOP              │  │
                                                 │                                        └──▶ STOPPING ─DIED │
                                                 └──────────────REMOVE──────────────▶ REMOVED ◀──REMOVE───────┘

Owns which step of an instance may follow which. Knows no restart policy: a restart is a new instance with the next
attempt. Invariants: `START` leads out of CREATED alone and nothing leads back into CREATED, so that an instance starts
at most once; what has EXITED never runs again.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from podling.lifecycle.machine import IGNORED, Machine


class Stage(Enum):
    """Where an instance is."""

    WAITING = "waiting"
    CREATING = "creating"
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    REMOVED = "removed"


class Event(Enum):
    """What is asked of an instance (imperative) and what is heard of it (past)."""

    CREATE = "create"
    CREATE_FAILED = "create failed"
    CREATED = "created"
    START = "start"
    START_FAILED = "start failed"
    STARTED = "started"
    STOP = "stop"
    DIED = "died"
    REMOVE = "remove"


CONTAINER: Final[Machine[Stage, Event]] = Machine(
    "container",
    Stage.WAITING,
    {
        Stage.WAITING: {
            Event.CREATE: Stage.CREATING,
            Event.STOP: IGNORED,
            Event.REMOVE: Stage.REMOVED,
        },
        Stage.CREATING: {
            Event.CREATED: Stage.CREATED,
            Event.CREATE_FAILED: Stage.WAITING,
            Event.STOP: IGNORED,
        },
        Stage.CREATED: {
            Event.CREATED: IGNORED,
            Event.START: Stage.STARTING,
            Event.STOP: IGNORED,
            Event.REMOVE: Stage.REMOVED,
        },
        Stage.STARTING: {
            Event.STARTED: Stage.RUNNING,
            Event.START_FAILED: Stage.EXITED,
            Event.DIED: Stage.EXITED,
            Event.STOP: Stage.STOPPING,
        },
        Stage.RUNNING: {
            Event.STARTED: IGNORED,
            Event.STOP: Stage.STOPPING,
            Event.DIED: Stage.EXITED,
        },
        Stage.STOPPING: {
            Event.STARTED: IGNORED,
            Event.START_FAILED: Stage.EXITED,
            Event.STOP: IGNORED,
            Event.DIED: Stage.EXITED,
        },
        Stage.EXITED: {
            Event.STOP: IGNORED,
            Event.STARTED: IGNORED,
            Event.START_FAILED: IGNORED,
            Event.DIED: IGNORED,
            Event.REMOVE: Stage.REMOVED,
        },
        Stage.REMOVED: {
            Event.STOP: IGNORED,
            Event.DIED: IGNORED,
            Event.REMOVE: IGNORED,
        },
    },
)
