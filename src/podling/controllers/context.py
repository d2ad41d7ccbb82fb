"""What every controller is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from podling.controllers.node_folders import NodeFolders
from podling.controllers.settings import Settings

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.events import EventRecorder
    from podling.client.informer import Informers
    from podling.controllers.certificates import Authority


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
    folders: NodeFolders = field(default_factory=NodeFolders)
    """Where this process can make volumes."""
    authority: Authority | None = None
    """Who signs certificates of this cluster; None where its key is not at hand."""

    def recorder(self, component: str) -> EventRecorder:
        """Return a recorder that speaks as `component`, started."""
        from podling.client.events import EventRecorder

        made = EventRecorder(self.client, self.clock, component)
        self.supervisor.component(f"events {component}", made.run)
        return made
