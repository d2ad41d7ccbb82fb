"""Custom kinds in a whole cluster: who owns them and whom they own, namespaces that go, definitions that go."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from podling.api.custom.objects import CustomObject
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, NETWORK_POLICIES, CustomResource
from podling.client.transport import Call
from podling.testing import SimulatedCluster
from tests.custom import DEFINITIONS, definition, widget
from tests.custom import version as one_version

WIDGETS = CustomResource("example.com", "v1", "widgets", "Widget", True)


async def post(cluster: SimulatedCluster, path: str, tree: dict[str, Any]) -> dict[str, Any]:
    answer = await cluster.client.raw(Call("POST", path, body=msgspec.json.encode(tree)))
    made: dict[str, Any] = msgspec.json.decode(answer.body)
    return made


async def define(cluster: SimulatedCluster, body: dict[str, Any]) -> None:
    await post(cluster, DEFINITIONS, body)
    await cluster.advance(1)


def owned(tree: dict[str, Any], *owners: dict[str, Any], **more: Any) -> dict[str, Any]:
    tree["metadata"]["ownerReferences"] = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            **more,
        }
        for owner in owners
    ]
    return tree


def config(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def there(cluster: SimulatedCluster, resource: Any, name: str, namespace: str = "default") -> Any:
    try:
        return await cluster.client.get(resource, name, namespace)
    except StatusError as refusal:
        assert refusal.is_not_found
        return None


def test_who_owns_goes_and_who_is_owned_follows(run):
    """Custom owners of built-in objects, built-in owners of custom ones, custom ones of each other, by either version."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            both = definition(versions=[*definition()["spec"]["versions"]])
            both["spec"]["versions"].append({**both["spec"]["versions"][0], "name": "v2", "storage": False})
            await define(cluster, both)
            path, maps = WIDGETS.path("default"), CONFIG_MAPS.path("default")
            top = await post(cluster, path, widget("top"))
            middle = await post(cluster, path, owned(widget("middle"), {**top, "apiVersion": "example.com/v2"}))
            bottom = await post(cluster, maps, owned(config("bottom"), middle))
            await post(cluster, path, owned(widget("last"), bottom))
            await cluster.advance(5)
            assert await there(cluster, WIDGETS, "last") is not None
            await cluster.client.delete(WIDGETS, "top", "default")
            await cluster.advance(5)
            assert [await there(cluster, WIDGETS, name) for name in ("middle", "last")] == [None, None]
            assert await there(cluster, CONFIG_MAPS, "bottom") is None
            assert cluster.failures == 0

    run(main())


def test_foreground_and_orphans(run):
    """An owner waits for who blocks it; orphans live on without their reference; one owner of two that goes is taken out."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await define(cluster, definition())
            path = WIDGETS.path("default")
            a, b = [await post(cluster, path, widget(name)) for name in "ab"]
            held = owned(widget("held"), a, blockOwnerDeletion=True)
            held["metadata"]["finalizers"] = ["example.com/wait"]
            await post(cluster, path, held)
            await post(cluster, path, owned(widget("shared"), a, b))
            await cluster.advance(1)
            await cluster.client.delete(WIDGETS, "a", "default", propagation="Foreground")
            await cluster.advance(5)
            assert (await there(cluster, WIDGETS, "a")).metadata.deletion_timestamp
            await cluster.client.patch(WIDGETS, "held", {"metadata": {"finalizers": None}}, namespace="default")
            await cluster.advance(5)
            assert await there(cluster, WIDGETS, "a") is None
            shared = await there(cluster, WIDGETS, "shared")
            assert [it.name for it in shared.metadata.owner_references] == ["b"]
            await cluster.client.delete(WIDGETS, "b", "default", propagation="Orphan")
            await cluster.advance(5)
            assert await there(cluster, WIDGETS, "b") is None
            assert (await there(cluster, WIDGETS, "shared")).metadata.owner_references == ()
            assert cluster.failures == 0

    run(main())


def test_a_definition_takes_what_its_objects_own(run):
    """Dependents go although nobody can be asked about their owners any more."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await define(cluster, definition())
            for n in range(20):
                owner = await post(cluster, WIDGETS.path("default"), widget(f"w{n}"))
                await post(cluster, CONFIG_MAPS.path("default"), owned(config(f"c{n}"), owner))
            await cluster.advance(1)
            # The controllers' watches of them break off, so that the garbage collector never hears of their end.
            watches = [task for task in asyncio.all_tasks() if task.get_name().endswith("informer widgets")]
            assert watches
            for watch in watches:
                watch.cancel()
            await cluster.advance(1)
            await cluster.client.delete(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")
            await cluster.advance(10)
            assert await there(cluster, CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com") is None
            left = await cluster.client.list(CONFIG_MAPS, "default")
            assert [it.metadata.name for it in left if it.metadata.name.startswith("c")] == []
            # The next of that name begins anew.
            await define(cluster, definition())
            owner = await post(cluster, WIDGETS.path("default"), widget("w0"))
            await post(cluster, CONFIG_MAPS.path("default"), owned(config("c0"), owner))
            await cluster.advance(5)
            assert await there(cluster, CONFIG_MAPS, "c0") is not None
            assert cluster.failures == 0

    run(main())


def test_a_namespace_takes_its_custom_objects(run):
    """Those of its own go with it, others stay; one with a finalizer holds it up, and is named."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await define(cluster, definition())
            await post(cluster, NAMESPACES.path(), {"metadata": {"name": "going"}})
            await post(cluster, WIDGETS.path("default"), widget("stays"))
            await post(cluster, WIDGETS.path("going"), widget("goes"))
            held = widget("held")
            held["metadata"]["finalizers"] = ["example.com/wait"]
            await post(cluster, WIDGETS.path("going"), held)
            await cluster.client.delete(NAMESPACES, "going")
            await cluster.advance(5)
            namespace = await cluster.client.get(NAMESPACES, "going")
            said = {it.type: it.message for it in namespace.status.conditions}
            assert "widgets.example.com has 1 resource instances" in said["NamespaceContentRemaining"]
            assert await there(cluster, WIDGETS, "goes", "going") is None
            patch = {"metadata": {"finalizers": None}}
            made: CustomObject = await cluster.client.patch(WIDGETS, "held", patch, namespace="going")
            assert made.metadata.name == "held"
            await cluster.advance(30)
            assert await there(cluster, NAMESPACES, "going", "") is None
            assert await there(cluster, WIDGETS, "stays") is not None
            assert cluster.failures == 0

    run(main())


def test_a_restart_of_the_api_server(run):
    """Kinds and objects are there again; who follows them goes on, though every watch must list anew."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await define(cluster, definition())
            owner = await post(cluster, WIDGETS.path("default"), widget("owner"))
            await cluster.restart_api_server(down_for=5, forget_history=True)
            await cluster.advance(60)
            await post(cluster, CONFIG_MAPS.path("default"), owned(config("dependent"), owner))
            await cluster.advance(5)
            assert (await there(cluster, WIDGETS, "owner")).spec == {"size": 3, "color": "red"}
            await cluster.client.delete(WIDGETS, "owner", "default")
            await cluster.advance(5)
            assert await there(cluster, CONFIG_MAPS, "dependent") is None
            # What changes while nobody answers is found at the next start.
            await post(cluster, WIDGETS.path("default"), widget("last"))
            await cluster.client.delete(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")
            await cluster.restart_api_server(down_for=5)
            await cluster.advance(60)
            assert await there(cluster, CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com") is None
            await define(cluster, definition())
            assert await there(cluster, WIDGETS, "last") is None
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize(
    ("plural", "kind", "version"),
    [("networkpolicies", "NetworkPolicy", "v1"), ("networkpolicies", "Other", "v2"), ("others", "NetworkPolicy", "v1")],
)
def test_a_definition_that_would_hide_a_built_in_kind(run, plural, kind, version):
    """It is not served and nobody follows it: garbage of the built-in kind is collected before, beside and after it."""

    async def main():
        async with SimulatedCluster() as cluster:
            body = definition(plural, kind, group="networking.k8s.io", versions=[one_version(version)])
            body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved"}
            await define(cluster, body)

            async def collects(name: str) -> bool:
                owner = await post(cluster, "/api/v1/namespaces/default/configmaps", config(name))
                policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
                tree = owned(policy | {"spec": {"podSelector": {}}}, owner)
                await post(cluster, "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", tree)
                await cluster.advance(1)
                assert await there(cluster, NETWORK_POLICIES, name) is not None
                await cluster.client.delete(CONFIG_MAPS, name, "default")
                await cluster.advance(5)
                return await there(cluster, NETWORK_POLICIES, name) is None

            assert await collects("beside")
            await cluster.client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"{plural}.networking.k8s.io")
            await cluster.advance(5)
            assert await there(cluster, CUSTOM_RESOURCE_DEFINITIONS, f"{plural}.networking.k8s.io", "") is None
            assert await collects("after")
            assert cluster.failures == 0

    run(main())
