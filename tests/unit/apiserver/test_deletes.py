"""Deletion: grace, finalizers, preconditions, namespaces, collections, evictions, retention of Events."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.event_retention import EventLimits


async def _running(api: Served, name: str = "web", **spec: object) -> None:
    await api.post(PODS, pod(name, **spec))
    await api.post(f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": "n"}})


def test_an_unscheduled_pod_goes_at_once(run):
    """Nobody waits for a Pod that no node runs; the answer is the Pod."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            assert (await api.delete(f"{PODS}/web"))["kind"] == "Pod"
            with pytest.raises(StatusError, match='pods "web" not found'):
                await api.get(f"{PODS}/web")

    run(main())


def test_a_bound_pod_is_deleted_gracefully(run):
    """Deletion marks the Pod; grace may be shortened, not lengthened; the kubelet's delete with grace 0 ends it."""

    async def main():
        async with Served() as api:
            await _running(api)
            gone = (await api.delete(f"{PODS}/web"))["metadata"]
            assert (gone["deletionTimestamp"], gone["deletionGracePeriodSeconds"]) == ("2023-11-14T22:13:50Z", 30)
            assert gone["generation"] == 2
            again = (await api.delete(f"{PODS}/web", {"gracePeriodSeconds": 40}))["metadata"]
            assert again["resourceVersion"] == gone["resourceVersion"]
            shorter = (await api.delete(f"{PODS}/web", {"gracePeriodSeconds": 5}))["metadata"]
            assert (shorter["deletionTimestamp"], shorter["deletionGracePeriodSeconds"]) == ("2023-11-14T22:13:25Z", 5)
            with pytest.raises(StatusError, match="pod web is being deleted|already assigned"):
                await api.post(f"{PODS}/web/binding", {"target": {"name": "m"}})
            await api.delete(f"{PODS}/web?gracePeriodSeconds=0")
            with pytest.raises(StatusError):
                await api.get(f"{PODS}/web")

    run(main())


def test_finalizers_hold_an_object(run):
    """With finalizers deletion only marks; the object goes with the last of them."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/configmaps"
            await api.post(path, {"metadata": {"name": "c", "finalizers": ["example.com/a", "example.com/b"]}})
            marked = await api.delete(f"{path}/c")
            assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
            await api.patch(f"{path}/c", {"metadata": {"finalizers": ["example.com/a"]}})
            with pytest.raises(StatusError, match="Forbidden: no new finalizers can be added"):
                await api.patch(f"{path}/c", {"metadata": {"finalizers": ["example.com/a", "example.com/z"]}})
            await api.patch(f"{path}/c", {"metadata": {"finalizers": None}})
            with pytest.raises(StatusError, match='configmaps "c" not found'):
                await api.get(f"{path}/c")

    run(main())


def test_finalizers_hold_a_pod_after_its_grace(run):
    """A Pod whose grace is over stays as long as it has finalizers."""

    async def main():
        async with Served() as api:
            body = pod()
            body["metadata"]["finalizers"] = ["example.com/a"]
            await api.post(PODS, body)
            assert (await api.delete(f"{PODS}/web"))["metadata"]["deletionGracePeriodSeconds"] == 0
            await api.patch(f"{PODS}/web", [{"op": "remove", "path": "/metadata/finalizers"}], "json-patch+json")
            with pytest.raises(StatusError):
                await api.get(f"{PODS}/web")

    run(main())


def test_preconditions_and_propagation(run):
    """A uid or resourceVersion that is not the object's refuses; a propagation policy becomes a finalizer."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/configmaps"
            made = await api.post(path, {"metadata": {"name": "c"}})
            with pytest.raises(StatusError, match="Precondition failed: UID in precondition: x, UID in object meta: "):
                await api.delete(f"{path}/c", {"preconditions": {"uid": "x"}})
            with pytest.raises(StatusError, match="Precondition failed: ResourceVersion in precondition: 1"):
                await api.delete(f"{path}/c", {"preconditions": {"resourceVersion": "1"}})
            with pytest.raises(StatusError, match='Unsupported value: "Never"'):
                await api.delete(f"{path}/c", {"propagationPolicy": "Never"})
            kept = await api.delete(
                f"{path}/c", {"propagationPolicy": "Foreground", "preconditions": {"uid": made["metadata"]["uid"]}}
            )
            assert kept["metadata"]["finalizers"] == ["foregroundDeletion"]
            status = await api.delete(f"{path}/c", {"propagationPolicy": "Background"})
            assert (status["kind"], status["status"], status["details"]["name"]) == ("Status", "Success", "c")

    run(main())


def test_a_namespace_goes_when_it_is_finalized(run):
    """Deletion makes a namespace Terminating, which refuses new content; finalizing it ends it."""

    async def main():
        async with Served() as api:
            await api.post("/api/v1/namespaces", {"metadata": {"name": "x"}})
            gone = await api.delete("/api/v1/namespaces/x")
            assert (gone["status"]["phase"], gone["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
            with pytest.raises(StatusError, match="because it is being terminated") as refused:
                await api.post("/api/v1/namespaces/x/configmaps", {"metadata": {"name": "c"}})
            assert refused.value.details["causes"][0]["reason"] == "NamespaceTerminating"
            gone["spec"]["finalizers"] = []
            await api.put("/api/v1/namespaces/x/finalize", gone)
            with pytest.raises(StatusError, match='namespaces "x" not found'):
                await api.get("/api/v1/namespaces/x")
            with pytest.raises(
                StatusError, match='namespaces "default" is forbidden: this namespace may not be deleted'
            ):
                await api.delete("/api/v1/namespaces/default")

    run(main())


def test_collections_are_deleted_by_selector(run):
    """deletecollection deletes what its selectors choose, and nothing else."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/configmaps"
            for name in "abc":
                await api.post(path, {"metadata": {"name": name, "labels": {"app": "x" if name < "c" else "y"}}})
            done = await api.delete(f"{path}?labelSelector=app=x")
            assert [it["metadata"]["name"] for it in done["items"]] == ["a", "b"]
            assert [it["metadata"]["name"] for it in (await api.get(path))["items"]] == ["c"]

    run(main())


def test_eviction_deletes_with_grace(run):
    """An eviction is a deletion with the grace that it asks for."""

    async def main():
        async with Served() as api:
            await _running(api)
            await api.post(
                f"{PODS}/web/eviction", {"metadata": {"name": "web"}, "deleteOptions": {"gracePeriodSeconds": 7}}
            )
            evicted = await api.get(f"{PODS}/web")
            assert evicted["metadata"]["deletionGracePeriodSeconds"] == 7
            assert [it["reason"] for it in evicted["status"]["conditions"] if it["type"] == "DisruptionTarget"] == [
                "EvictionByEvictionAPI"
            ]

    run(main())


def test_events_are_kept_within_limits(run):
    """Events over a cap go oldest first, and all go when their time is over."""

    async def main():
        async with Served(event_limits=EventLimits(seconds=600, per_object=3, total=5)) as api:
            path = "/api/v1/namespaces/default/events"

            async def names() -> list[str]:
                await api.clock.settle()
                return [it["metadata"]["name"] for it in (await api.get(path))["items"]]

            for number in range(5):
                about = {"kind": "Pod", "name": "a", "namespace": "default"}
                await api.post(path, {"metadata": {"name": f"a{number}"}, "involvedObject": about})
            assert await names() == ["a2", "a3", "a4"]
            await api.clock.advance(300)
            for number in range(3):
                about = {"kind": "Pod", "name": f"b{number}", "namespace": "default"}
                await api.post(path, {"metadata": {"name": f"b{number}"}, "involvedObject": about})
            assert await names() == ["a3", "a4", "b0", "b1", "b2"]
            await api.clock.advance(301)
            assert await names() == ["b0", "b1", "b2"]
            await api.clock.advance(400)
            assert await names() == []

    run(main())


def test_events_outlive_their_object(run):
    """Events stay while their object lives, however old they are, and for a set time after it; a namesake is another."""

    async def main():
        async with Served(event_limits=EventLimits(seconds=600)) as api:
            path = "/api/v1/namespaces/default/events"

            async def tell(called: str, **about: str) -> None:
                await api.post(
                    path, {"metadata": {"name": called}, "involvedObject": {"namespace": "default", **about}}
                )

            async def names() -> list[str]:
                await api.clock.settle()
                return [it["metadata"]["name"] for it in (await api.get(path))["items"]]

            made = await api.post(PODS, pod())
            await api.post("/api/v1/nodes", {"metadata": {"name": "n"}})
            await tell("of-pod", kind="Pod", name="web", uid=made["metadata"]["uid"])
            await tell("of-another", kind="Pod", name="web", uid="another")
            await tell("of-custom", kind="Custom", name="web")
            await tell("of-node", kind="Node", name="n", uid="n", namespace="")
            await api.clock.advance(601)
            assert await names() == ["of-node", "of-pod"]
            await api.clock.advance(86_400)
            assert await names() == ["of-node", "of-pod"]
            await api.delete(f"{PODS}/web")
            await api.clock.advance(599)
            assert await names() == ["of-node", "of-pod"]
            await api.clock.advance(2)
            assert await names() == ["of-node"]
            await api.delete("/api/v1/nodes/n")
            await api.clock.advance(601)
            assert await names() == []

    run(main())


def test_a_new_server_finds_everything(run):
    """A second server on the same store serves the same objects, and draws no address twice."""

    async def main():
        async with Served() as api:
            import asyncio

            from tests.served import ADMIN

            from podling.aio.chance import Chance
            from podling.apiserver.server import ApiServer
            from podling.client.transport import Call

            await api.post(PODS, pod())
            other = ApiServer(api.store, api.clock, Chance(seed=2))
            follow = asyncio.create_task(other.follow())
            await other.start()
            door = other.transport(ADMIN)
            assert (await door.call(Call("GET", f"{PODS}/web"))).body == (await api.ask("GET", f"{PODS}/web")).body
            body = b'{"metadata":{"name":"s"},"spec":{"clusterIP":"10.96.0.1","ports":[{"port":1}]}}'
            with pytest.raises(StatusError, match="provided IP is already allocated"):
                await door.call(Call("POST", "/api/v1/namespaces/default/services", body=body))
            await other.close()
            follow.cancel()

    run(main())
