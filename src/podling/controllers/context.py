"""What every controller is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.informer import Informers


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
