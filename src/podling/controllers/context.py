"""What every controller is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from podling.controllers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.events import EventRecorder
    from podling.client.informer import Informers
    from podling.client.seams import VolumeFolders


@dataclass(frozen=True, slots=True)
class Context:
    """The cluster, the time, and who runs tasks."""

    supervisor: Supervisor
    client: Client
    """As the controller's own account."""
    informers: Informers
    clock: Clock
    root_ca: str
    """The CA bundle in PEM."""
    settings: Settings = field(default_factory=Settings)
    folders: Mapping[str, VolumeFolders] = field(default_factory=dict)
    """By Node, those that this process has at hand."""

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder that speaks as `component`, started."""
        from podling.client.events import EventRecorder

        made = EventRecorder(self.client, self.clock, component)
        self.supervisor.component(f"events {component}", made.run)
        return made
