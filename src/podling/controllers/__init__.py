"""The controllers: what keeps the cluster as its objects say it should be.

Each is a reconciler: a pure `plan` over what is desired and observed, and a thin shell with a work queue. To add one,
write it beside the others and name it in `controllers()`. They know the cluster only through `Client` and `Informers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.informer import Informers
    from podling.controllers.certificates import Authority
    from podling.controllers.context import Context
    from podling.controllers.node_folders import NodeFolders
    from podling.controllers.settings import Settings


class Controller(Protocol):
    """One reconciler."""

    account: str
    """The ServiceAccount in `kube-system` that it acts as: upstream's; empty for `system:kube-controller-manager`."""

    def __init__(self, context: Context) -> None: ...

    def start(self) -> None:
        """Run under the supervisor, from now on."""
        ...


def controllers() -> tuple[type[Controller], ...]:
    """Return every controller, in the order in which they are started."""
    from podling.controllers.account_tokens import AccountTokens
    from podling.controllers.certificates import CertificateSigner
    from podling.controllers.cron_jobs import CronJobs
    from podling.controllers.daemon_sets import DaemonSets
    from podling.controllers.deployments import Deployments
    from podling.controllers.disruption import Disruption
    from podling.controllers.endpoint_slice_mirroring import EndpointSliceMirroring
    from podling.controllers.endpoint_slices import EndpointSlices
    from podling.controllers.endpoints import EndpointsController
    from podling.controllers.ephemeral_volumes import EphemeralVolumes
    from podling.controllers.garbage_collector import GarbageCollector
    from podling.controllers.jobs import Jobs
    from podling.controllers.load_balancers import LoadBalancers
    from podling.controllers.local_paths import LocalPaths
    from podling.controllers.namespace_lifecycle import NamespaceLifecycle
    from podling.controllers.node_lifecycle import NodeLifecycle
    from podling.controllers.persistent_volumes import PersistentVolumes
    from podling.controllers.pod_garbage_collector import PodGarbageCollector
    from podling.controllers.replicas import ReplicaSets, ReplicationControllers
    from podling.controllers.resource_quota import ResourceQuotaController
    from podling.controllers.root_ca import RootCertificatePublisher
    from podling.controllers.service_accounts import ServiceAccounts
    from podling.controllers.stateful_sets import StatefulSets
    from podling.controllers.taint_eviction import TaintEviction
    from podling.controllers.ttl_after_finished import TtlAfterFinished
    from podling.controllers.volume_protection import ClaimProtection, VolumeProtection

    return (
        ServiceAccounts,
        AccountTokens,
        RootCertificatePublisher,
        NamespaceLifecycle,
        GarbageCollector,
        NodeLifecycle,
        TaintEviction,
        PodGarbageCollector,
        ReplicationControllers,
        ReplicaSets,
        Deployments,
        DaemonSets,
        StatefulSets,
        Jobs,
        CronJobs,
        TtlAfterFinished,
        Disruption,
        ResourceQuotaController,
        EndpointSlices,
        EndpointsController,
        EndpointSliceMirroring,
        LoadBalancers,
        PersistentVolumes,
        ClaimProtection,
        VolumeProtection,
        EphemeralVolumes,
        LocalPaths,
        CertificateSigner,
    )


def run(
    supervisor: Supervisor,
    client_as: Callable[[str], Client],
    informers: Informers,
    clock: Clock,
    root_ca: str,
    settings: Settings | None = None,
    folders: NodeFolders | None = None,
    authority: Authority | None = None,
) -> None:
    """Start every controller under `supervisor`.

    `client_as` gives the client of one ServiceAccount in `kube-system`, by its name: the bootstrap roles let each
    controller do its own work and no more. `informers` must be allowed to list and watch everything, as
    `system:kube-controller-manager` is. `root_ca` is what Pods verify the API server with, in PEM. `settings` are
    upstream's unless given. `folders` are those of the Nodes on which volumes can be made from here.
    `authority` signs certificates, where its key is at hand.
    """
    from podling.controllers.context import Context
    from podling.controllers.node_folders import NodeFolders
    from podling.controllers.settings import Settings

    settings = settings or Settings()
    folders = folders or NodeFolders()
    for controller in controllers():
        client = client_as(controller.account)
        controller(Context(supervisor, client, informers, clock, root_ca, settings, folders, authority)).start()
