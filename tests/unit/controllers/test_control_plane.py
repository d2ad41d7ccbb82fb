"""Scheduler and controllers against the real API server, each as the user it is upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from podling.api.types.core_v1 import ConfigMap, Namespace, Node, Pod
from podling.apiserver.record import User
from podling.apiserver.server import ApiServer
from podling.client.client import ApiClient
from podling.client.events import EventRecorder
from podling.client.informer import Informers
from podling.controllers import run as run_controllers
from podling.scheduler.scheduler import Scheduler
from podling.store.memory import MemoryStore

Run = Callable[[Any], Any]


@asynccontextmanager
async def _control_plane(clock: VirtualClock) -> AsyncIterator[ApiClient]:
    store = MemoryStore(clock)
    server = ApiServer(store, clock, Chance(1))

    def client_of(name: str, *groups: str) -> ApiClient:
        return ApiClient(server.transport(User(name, (*groups, "system:authenticated"))))

    def client_as(account: str) -> ApiClient:
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
        return client_of(f"system:serviceaccount:kube-system:{account}", *groups)

    async with Supervisor(clock) as supervisor:
        for name, component in server.components():
            supervisor.component(name, component)
        await server.start()
        manager = client_of("system:kube-controller-manager")
        informers = Informers(manager, clock, Chance(2), supervisor)
        run_controllers(supervisor, client_as, informers, clock, "PEM")
        scheduler = client_of("system:kube-scheduler")
        recorder = EventRecorder(scheduler, clock, "default-scheduler")
        supervisor.component("events", recorder.run)
        watched = Informers(scheduler, clock, Chance(3), supervisor)
        Scheduler(scheduler, watched, recorder, clock, Chance(4), supervisor).start()
        await clock.settle()
        yield client_of("admin", "system:masters")
        await clock.settle()
        assert supervisor.failures == 0
        assert recorder.dropped == 0
        await server.close()
    await store.close()


def _node(name: str) -> Node:
    given = {"cpu": "2", "memory": "4Gi", "pods": "110"}
    return from_tree(Node, {"metadata": {"name": name}, "status": {"allocatable": given, "capacity": given}})


def _pod(name: str, cpu: str, namespace: str = "team") -> Pod:
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}}
    return from_tree(Pod, {"metadata": {"name": name, "namespace": namespace}, "spec": {"containers": [container]}})


def test_the_control_plane_works_as_its_own_users(run: Run, clock: VirtualClock) -> None:
    """Within no time a namespace is furnished, Pods are scheduled or told why not, and a deleted namespace is gone."""

    async def main() -> None:
        async with _control_plane(clock) as admin:
            began = clock.monotonic()
            await admin.create(NAMESPACES, from_tree(Namespace, {"metadata": {"name": "team"}}))
            await clock.settle()
            assert await admin.get(SERVICE_ACCOUNTS, "default", "team")
            held = await admin.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
            assert held.data == {"ca.crt": "PEM"}
            forged = from_tree(ConfigMap, {"metadata": {"name": held.metadata.name, "namespace": "team"}, "data": {}})
            await admin.update(CONFIG_MAPS, forged)
            await clock.settle()
            assert (await admin.get(CONFIG_MAPS, "kube-root-ca.crt", "team")).data == {"ca.crt": "PEM"}

            await admin.create(NODES, _node("n1"))
            await admin.update_status(NODES, _node("n1"))
            taints = {"spec": {"taints": None}}
            await admin.patch(NODES, "n1", taints)
            await admin.create(PODS, _pod("fits", "1"))
            await admin.create(PODS, _pod("large", "3"))
            await clock.settle()
            fits = await admin.get(PODS, "fits", "team")
            assert fits.spec.node_name == "n1"
            assert [(c.type, c.status) for c in fits.status.conditions] == [("PodScheduled", "True")]
            large = await admin.get(PODS, "large", "team")
            (condition,) = large.status.conditions
            assert condition.reason == "Unschedulable"
            assert condition.message.startswith("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes")
            reasons = {(e.involved_object.name, e.reason) for e in await admin.list(EVENTS, "team")}
            assert reasons == {("fits", "Scheduled"), ("large", "FailedScheduling")}
            assert clock.monotonic() == began

            await admin.delete(NAMESPACES, "team")
            await clock.settle()
            await admin.delete(PODS, "fits", "team", grace=0)  # as the kubelet would, once it has stopped
            await clock.settle()
            try:
                left = await admin.get(NAMESPACES, "team")
            except StatusError as refusal:
                assert refusal.is_not_found
            else:
                raise AssertionError(left.status)
            assert not len(await admin.list(PODS, "team"))

    run(main())
