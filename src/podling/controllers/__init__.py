"""The controllers: what keeps the cluster as its objects say it should be.

Each is a reconciler: a pure `plan` over what is desired and observed, and a thin shell with a work queue. To add one,
write it beside the others and name it in `controllers()`. They know the cluster only through `Client` and `Informers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.informer import Informers
    from podling.controllers.context import Context


class Controller(Protocol):
    """One reconciler."""

    def __init__(self, context: Context) -> None: ...

    def start(self) -> None:
        """Run under the supervisor, from now on."""
        ...


def controllers() -> tuple[type[Controller], ...]:
    """Return every controller, in the order in which they are started."""
    from podling.controllers.garbage_collector import GarbageCollector
    from podling.controllers.namespace_lifecycle import NamespaceLifecycle
    from podling.controllers.root_ca import RootCertificatePublisher
    from podling.controllers.service_accounts import ServiceAccounts

    return (
        ServiceAccounts,
        RootCertificatePublisher,
        NamespaceLifecycle,
        GarbageCollector,
    )


def run(supervisor: Supervisor, client: Client, informers: Informers, clock: Clock, root_ca: str) -> None:
    """Start every controller under `supervisor`; `root_ca` is what Pods verify the API server with (PEM)."""
    from podling.controllers.context import Context

    context = Context(supervisor, client, informers, clock, root_ca)
    for controller in controllers():
        controller(context).start()
