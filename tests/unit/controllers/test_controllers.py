from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.small_cluster import SmallCluster

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api import errors
from podling.api.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from podling.client.client import ApiClient
from podling.client.informer import Informers
from podling.controllers import run as run_controllers

Run = Callable[[Any], Any]


@asynccontextmanager
async def _controlling(cluster: SmallCluster, clock: VirtualClock, root_ca: str = "PEM") -> AsyncIterator[ApiClient]:
    client = ApiClient(cluster)
    async with Supervisor(clock) as supervisor:
        informers = Informers(client, clock, Chance(1), supervisor)
        run_controllers(supervisor, lambda _: client, informers, clock, root_ca)
        await clock.settle()
        yield client
        await clock.settle()
        assert supervisor.failures == 0


def _object(name: str, namespace: str = "team", owners: tuple[dict[str, Any], ...] = (), **meta: Any) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    tree: dict[str, Any] = {"metadata": {"name": name, "namespace": namespace} | meta}
    if references:
        tree["metadata"]["ownerReferences"] = references
    return tree


def _pod(name: str, node: str = "n1", grace: int = 30, **more: Any) -> dict[str, Any]:
    spec = {"containers": [], "nodeName": node, "terminationGracePeriodSeconds": grace}
    return _object(name, **more) | {"spec": spec}


def _namespace(cluster: SmallCluster, name: str = "team") -> dict[str, Any]:
    return cluster.put(NAMESPACES, {"metadata": {"name": name}})


def _conditions(cluster: SmallCluster, name: str = "team") -> dict[str, tuple[str, str, str]]:
    namespace = cluster.get(NAMESPACES, name)
    assert namespace is not None
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in namespace["status"]["conditions"]}


def test_each_namespace_gets_what_pods_need(run: Run, clock: VirtualClock) -> None:
    """A namespace, old or new, has the default ServiceAccount and the CA at once, and gets them back when they go."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster, "old")
        async with _controlling(cluster, clock):
            _namespace(cluster, "new")
            await clock.settle()
            for namespace in ("old", "new"):
                assert cluster.get(SERVICE_ACCOUNTS, "default", namespace)
                held = cluster.get(CONFIG_MAPS, "kube-root-ca.crt", namespace)
                assert held is not None
                assert held["data"] == {"ca.crt": "PEM"}
            cluster.remove(SERVICE_ACCOUNTS, "default", "new")
            cluster.remove(CONFIG_MAPS, "kube-root-ca.crt", "new")
            await clock.settle()
            assert cluster.get(SERVICE_ACCOUNTS, "default", "new")
            assert cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "new")
        assert clock.monotonic() == 0

    run(main())


def test_changed_root_ca_is_put_right(run: Run, clock: VirtualClock) -> None:
    """Whatever is written into kube-root-ca.crt is undone, and labels that users add stay."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster)
        async with _controlling(cluster, clock) as client:
            patch = {"data": {"ca.crt": "forged", "more": "x"}, "metadata": {"labels": {"mine": "1"}}}
            await client.patch(CONFIG_MAPS, "kube-root-ca.crt", patch, namespace="team")
            await clock.settle()
            held = cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
            assert held is not None
            assert held["data"] == {"ca.crt": "PEM"}
            assert held["metadata"]["labels"] == {"mine": "1"}

    run(main())


def test_deleting_a_namespace_deletes_what_is_in_it(run: Run, clock: VirtualClock) -> None:
    """Pods go first and with their grace, then the rest, then the namespace; other namespaces are left alone."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster)
        _namespace(cluster, "other")
        cluster.put(SECRETS, _object("s"))
        cluster.put(SECRETS, _object("s", "other"))
        async with _controlling(cluster, clock) as client:
            cluster.put(PODS, _pod("web"))
            cluster.put(PODS, _pod("waiting", node=""))
            await client.delete(NAMESPACES, "team")
            await clock.advance(1)
            assert [tree["metadata"]["name"] for tree in cluster.all(PODS)] == ["web"]
            assert cluster.get(SECRETS, "s", "team")
            said = _conditions(cluster)
            assert said["NamespaceContentRemaining"] == (
                "True",
                "SomeResourcesRemain",
                "Some resources are remaining: pods. has 1 resource instances",
            )
            assert said["NamespaceDeletionContentFailure"][0] == "False"
            cluster.remove(PODS, "web", "team")
            await clock.settle()
            assert cluster.get(NAMESPACES, "team") is None
            assert [key for key in cluster.objects if key[1] == "team"] == []
            assert cluster.get(SECRETS, "s", "other")
            assert cluster.get(NAMESPACES, "other")

    run(main())


def test_foreign_finalizers_hold_a_namespace(run: Run, clock: VirtualClock) -> None:
    """What somebody else's finalizer holds is named in the conditions, and waited for."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster)
        async with _controlling(cluster, clock) as client:
            held = cluster.put(CONFIG_MAPS, _object("held", finalizers=["example.com/mine"]))
            await client.delete(NAMESPACES, "team")
            await clock.advance(60)
            assert _conditions(cluster)["NamespaceFinalizersRemaining"] == (
                "True",
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: example.com/mine in 1 resource instances",
            )
            cluster.remove(CONFIG_MAPS, "held", "team")
            await clock.advance(9)
            assert cluster.get(NAMESPACES, "team") is None
            assert held

    run(main())


def test_refused_deletion_is_said_and_tried_again(run: Run, clock: VirtualClock) -> None:
    """A resource that cannot be deleted is named, and the namespace stays until it can."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster)
        cluster.put(SECRETS, _object("s"))
        broken = True

        def refuse(call: Any) -> Any:
            bad = broken and call.method == "DELETE" and call.path.endswith("/secrets")
            return errors.service_unavailable("away") if bad else None

        cluster.refuse = refuse
        async with _controlling(cluster, clock) as client:
            await client.delete(NAMESPACES, "team")
            await clock.advance(3)
            assert _conditions(cluster)["NamespaceDeletionContentFailure"] == (
                "True",
                "ContentDeletionFailed",
                "Failed to delete all resource types, 1 remaining: away",
            )
            broken = False
            await clock.advance(2)
            assert cluster.get(NAMESPACES, "team") is None

    run(main())


def test_dependents_go_with_their_last_owner(run: Run, clock: VirtualClock) -> None:
    """A dependent is deleted once no owner is left, also through generations and where the owner was never seen."""

    async def main() -> None:
        cluster = SmallCluster()
        one, two = (cluster.put(CONFIG_MAPS, _object(name)) for name in ("one", "two"))
        both = cluster.put(SECRETS, _object("both", owners=(one, two)))
        cluster.put(PODS, _pod("grandchild", node="", owners=(both,)))
        lost = one | {"metadata": one["metadata"] | {"uid": "another", "name": "never"}}
        cluster.put(SECRETS, _object("stray", owners=(lost,)))
        async with _controlling(cluster, clock):
            assert cluster.get(SECRETS, "stray", "team") is None
            cluster.remove(CONFIG_MAPS, "one", "team")
            await clock.settle()
            kept = cluster.get(SECRETS, "both", "team")
            assert kept is not None
            assert [r["name"] for r in kept["metadata"]["ownerReferences"]] == ["two"]
            assert cluster.get(PODS, "grandchild", "team")
            cluster.remove(CONFIG_MAPS, "two", "team")
            await clock.settle()
            assert cluster.get(SECRETS, "both", "team") is None
            assert cluster.get(PODS, "grandchild", "team") is None

    run(main())


def test_owners_that_cannot_be_asked_for_count_as_present(run: Run, clock: VirtualClock) -> None:
    """A kind that is not served here, or an owner in a namespace for a dependent in none, deletes nothing."""

    async def main() -> None:
        cluster = SmallCluster()
        foreign = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "uid": "u"}}
        cluster.put(PODS, _pod("kept", node="", owners=(foreign,)))
        owner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gone", "uid": "u"}}
        cluster.put(NODES, _object("kept", namespace="", owners=(owner,)))
        async with _controlling(cluster, clock):
            await clock.advance(60)
        assert cluster.get(PODS, "kept", "team")
        assert cluster.get(NODES, "kept")

    run(main())


def test_namesake_of_a_deleted_namespace_keeps_what_is_in_it(run: Run, clock: VirtualClock) -> None:
    """A namespace made anew is not emptied for the sake of the old one, however late the news of that is."""

    async def main() -> None:
        cluster = SmallCluster()
        _namespace(cluster)
        renewed = False

        def renew(call: Any) -> None:
            nonlocal renewed
            if call.method == "GET" and call.path.endswith("/namespaces/team") and not renewed:
                renewed = True
                cluster.remove(NAMESPACES, "team")
                _namespace(cluster)
                cluster.put(SECRETS, _object("s"))

        cluster.refuse = renew  # type: ignore[assignment]
        async with _controlling(cluster, clock) as client:
            await client.delete(NAMESPACES, "team")
            await clock.advance(60)
        assert renewed
        assert cluster.get(SECRETS, "s", "team")

    run(main())


@pytest.mark.parametrize(("finalizer", "survives"), [("foregroundDeletion", False), ("orphan", True)])
def test_owner_waits_for_its_dependents(run: Run, clock: VirtualClock, finalizer: str, survives: bool) -> None:
    """In the foreground dependents go before their owner; orphaned, they stay and no longer name it."""

    async def main() -> None:
        cluster = SmallCluster()
        owner = cluster.put(CONFIG_MAPS, _object("owner", finalizers=[finalizer]))
        cluster.put(PODS, _pod("child", grace=5, owners=(owner,)))
        async with _controlling(cluster, clock) as client:
            await client.delete(CONFIG_MAPS, "owner", "team")
            await clock.settle()
            child = cluster.get(PODS, "child", "team")
            assert child is not None
            if survives:
                assert child["metadata"]["ownerReferences"] == []
            else:
                assert child["metadata"]["deletionTimestamp"]
                assert cluster.get(CONFIG_MAPS, "owner", "team")
                cluster.remove(PODS, "child", "team")
                await clock.settle()
            assert cluster.get(CONFIG_MAPS, "owner", "team") is None

    run(main())
