"""Whatever is sent: a precise refusal or a sound object, never a defect; and writers who meet."""

from __future__ import annotations

import asyncio
import copy
import random

import pytest
from tests.served import PODS, Served, pod

from podling.api import resources as r
from podling.api.errors import StatusError
from podling.store.memory import MemoryStore

_SEEDS = {
    r.PODS: pod("p", volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}], tolerations=[{"key": "a", "operator": "Exists"}]),
    r.SERVICES: {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80, "nodePort": 30001}]}},
    r.NAMESPACES: {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}},
    r.NODES: {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": "1"}}},
    r.SECRETS: {"metadata": {"name": "s"}, "data": {"a": "Yg=="}, "stringData": {"a": "b"}},
    r.ROLE_BINDINGS: {"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "x"}, "subjects": [{"kind": "User", "name": "u"}]},
    r.RUNTIME_CLASSES: {"metadata": {"name": "r"}, "handler": "h", "scheduling": {"nodeSelector": {"a": "b"}}},
    r.NETWORK_POLICIES: {"metadata": {"name": "n"}, "spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"ports": [{"port": 80, "endPort": 90}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]}},
    r.PRIORITY_CLASSES: {"metadata": {"name": "c"}, "value": 1, "globalDefault": False},
    r.EVENTS_V1: {"metadata": {"name": "e"}, "regarding": {"kind": "Pod"}, "eventTime": "2023-01-01T00:00:00.000000Z", "series": {"count": 2}},
}  # fmt: skip
_VALUES = [None, "", [], {}, 0, -1, True, "x", [None], [{}], {"a": None}, 1.5, "9" * 20, [["x"]], {"name": None}]


def _paths(tree, path=()):
    members = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in members:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _spoilt(chance: random.Random, seed: dict) -> dict:
    tree = copy.deepcopy(seed)
    path = chance.choice(list(_paths(tree)))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = copy.deepcopy(chance.choice(_VALUES))
    return tree


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_body_finds_a_defect(run, method):
    """Objects spoilt at random are accepted or refused, in words of ours; none ends in an error that was not meant."""

    async def main():
        chance = random.Random(method)
        async with Served() as api:
            for _ in range(250):
                resource, seed = chance.choice(list(_SEEDS.items()))
                collection = resource.path("default")
                path = collection if method == "POST" else f"{collection}/{seed['metadata']['name']}"
                try:
                    if method != "POST":
                        await api.post(collection, seed)
                except StatusError as error:
                    assert error.code < 500
                kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
                body = _spoilt(chance, seed)
                try:
                    await api.ask(method, path, body, content_type=kind)
                except StatusError as error:
                    assert error.__cause__ is None or error.code < 500, (path, body)

    run(main())


class _Slow(MemoryStore):
    """Commits as a disk does: later."""

    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().put(key, value, expected=expected)


def test_writers_who_meet(run):
    """Of creates of one name one succeeds; patches of one object all do; stale updates are Conflicts."""

    async def main():
        async with Served() as api:
            api.store.__class__ = _Slow

            async def outcome(work) -> int:
                try:
                    return (await work).code
                except StatusError as error:
                    return error.code

            made = await asyncio.gather(*(outcome(api.ask("POST", PODS, pod())) for _ in range(5)))
            assert sorted(made) == [201, 409, 409, 409, 409]
            merge = "application/merge-patch+json"
            patches = (
                api.ask("PATCH", f"{PODS}/web", {"metadata": {"labels": {f"l{n}": "x"}}}, content_type=merge)
                for n in range(5)
            )
            assert await asyncio.gather(*(outcome(it) for it in patches)) == [200] * 5
            current = await api.get(f"{PODS}/web")
            assert len(current["metadata"]["labels"]) == 5
            updates = []
            for number in range(3):
                tree = copy.deepcopy(current)
                tree["metadata"]["labels"]["u"] = str(number)
                updates.append(outcome(api.ask("PUT", f"{PODS}/web", tree)))
            assert sorted(await asyncio.gather(*updates)) == [200, 409, 409]
            services = "/api/v1/namespaces/default/services"
            wanted = {"metadata": {"generateName": "s-"}, "spec": {"clusterIP": "10.96.9.9", "ports": [{"port": 1}]}}
            assert sorted(await asyncio.gather(*(outcome(api.ask("POST", services, wanted)) for _ in range(3)))) == [
                201,
                422,
                422,
            ]

    run(main())
