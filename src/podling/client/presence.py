"""One component in the cluster: what it sees by, acts through and is heard by, all as one user.

Owns the sight of these three as one. They are made together, from one user's way to the API server, and a component
that was given the eyes of one user and the hands of another would be refused what it has seen, or told of it too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.client.client import Client
    from podling.client.events import EventRecorder
    from podling.client.informer import Informers


@dataclass(frozen=True, slots=True)
class Presence:
    """How one component is in the cluster."""

    client: Client
    informers: Informers
    recorder: EventRecorder
