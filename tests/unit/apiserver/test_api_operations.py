"""What upstream's conformance cases do with a kind, step by step: find it, make three, read, watch, change, delete.

A kind whose strategy has no rules of its own is one more row here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests.served import Served

from podling.api import resources as r
from podling.api.errors import StatusError
from podling.api.resources import Resource
from podling.apiserver.gaps import unenforced
from podling.client.transport import Selection

TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
RULES = [
    {
        "subjects": [{"kind": "User", "user": {"name": "example-e2e-flow-schema"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
]
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
NOBODY = {
    "name": "nobody.example.com",
    "clientConfig": {"url": "https://nowhere.example.com"},
    "rules": [{"operations": ["*"], "apiGroups": ["nothing.example.com"], "apiVersions": ["*"], "resources": ["*"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


@dataclass
class Row:
    """A kind, what makes an object of it, and a status that may be written."""

    resource: Resource[Any]
    body: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] | None = None
    in_full: bool = False
    """Whether the answer to a deletion is the object."""
    frozen: bool = False
    """Whether a write of the status leaves the metadata as they were."""


ROWS = [
    Row(r.POD_TEMPLATES, {"template": TEMPLATE}, in_full=True),
    Row(
        r.RESOURCE_QUOTAS,
        {"spec": {"hard": {"pods": "1"}}},
        {"hard": {"pods": "2"}, "used": {"pods": "0"}},
        in_full=True,
    ),
    Row(r.INGRESS_CLASSES, {"spec": {"controller": "example.com/controller"}}),
    Row(
        r.INGRESSES,
        {"spec": {"defaultBackend": BACKEND}},
        {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
    ),
    Row(
        r.FLOW_SCHEMAS,
        {
            "spec": {
                "matchingPrecedence": 10000,
                "priorityLevelConfiguration": {"name": "global-default"},
                "rules": RULES,
            }
        },
        {"conditions": [{"type": "Dangling", "status": "True", "reason": "Test"}]},
        frozen=True,
    ),
    Row(
        r.PRIORITY_LEVELS,
        {"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}},
        {"conditions": [{"type": "Tested", "status": "False"}]},
        frozen=True,
    ),
    Row(r.STORAGE_CLASSES, {"provisioner": "example.com/disk"}, in_full=True),
    Row(r.MUTATING_WEBHOOKS, {"webhooks": [NOBODY]}),
    Row(r.VALIDATING_WEBHOOKS, {"webhooks": [NOBODY]}),
    Row(r.CSI_DRIVERS, in_full=True),
    Row(r.CSI_NODES, {"spec": {"drivers": []}}, in_full=True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.resource.kind)
def test_a_kind_answers_to_every_verb(run, row: Row):
    """Discovery names it; create, get, list here and everywhere, watch, patch, update, status, delete, collections."""
    resource = row.resource
    here = resource.path("default")

    async def main():
        async with Served() as api:
            await _is_discovered(api, row)
            made = [await api.post(here, _body(row, f"one-{i}")) for i in range(3)]
            assert all(it["metadata"]["uid"] and it["kind"] == resource.kind for it in made)
            name = made[0]["metadata"]["name"]
            assert await api.get(f"{here}/{name}") == made[0]
            listed = await api.get(f"{here}?labelSelector=special-label=generic")
            assert [it["metadata"]["name"] for it in listed["items"]] == ["one-0", "one-1", "one-2"]
            assert (await api.get(f"{resource.path()}?labelSelector=special-label=generic"))["items"] == listed["items"]
            began = int(listed["metadata"]["resourceVersion"])

            patched = await api.patch(f"{here}/{name}", {"metadata": {"annotations": {"patched": "true"}}})
            assert patched["metadata"]["annotations"]["patched"] == "true"
            patched["metadata"]["annotations"]["updated"] = "true"
            updated = await api.put(f"{here}/{name}", patched)
            assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
            stale = msgspec.json.decode(msgspec.json.encode(made[0])) | {"metadata": dict(made[0]["metadata"])}
            stale["metadata"]["labels"] = {}
            with pytest.raises(StatusError, match="the object has been modified"):
                await api.put(f"{here}/{name}", stale)
            seen = await _watched(api, row, began, 2)
            assert [(kind, tree["metadata"]["annotations"].get("updated")) for kind, tree in seen] == [
                ("MODIFIED", None),
                ("MODIFIED", "true"),
            ]
            if row.status is not None:
                await _has_a_status(api, row, name, updated)

            gone = await api.delete(f"{here}/{name}")
            assert gone["kind"] == (resource.kind if row.in_full else "Status")
            with pytest.raises(StatusError) as refused:
                await api.get(f"{here}/{name}")
            assert refused.value.code == 404
            await api.delete(f"{here}?labelSelector=special-label=generic")
            assert (await api.get(f"{here}?labelSelector=special-label=generic"))["items"] == []

    run(main())


async def _is_discovered(api: Served, row: Row) -> None:
    resource = row.resource
    if resource.group:
        groups = {it["name"]: it for it in (await api.get("/apis"))["groups"]}
        assert {"groupVersion": resource.api_version, "version": resource.version} in groups[resource.group]["versions"]
        assert (await api.get(f"/apis/{resource.group}"))["kind"] == "APIGroup"
    served = {it["name"]: it for it in (await api.get(resource.prefix))["resources"]}
    assert len(served[resource.plural]["verbs"]) == 8
    assert (f"{resource.plural}/status" in served) == (row.status is not None)


async def _has_a_status(api: Served, row: Row, name: str, updated: dict[str, Any]) -> None:
    """`/status` changes the status and nothing else of the object, the object itself everything but the status."""
    status = f"{row.resource.path('default', name)}/status"
    annotations = {"annotations": {"patchedstatus": "true"}}
    patched = await api.patch(status, {"metadata": annotations, "status": row.status, "spec": None})
    assert (patched["status"], patched["spec"]) == (row.status, updated["spec"])
    assert ("patchedstatus" in patched["metadata"]["annotations"]) == (not row.frozen)
    assert patched["metadata"].get("generation") == updated["metadata"].get("generation")
    assert (await api.get(status))["status"] == row.status
    kept = await api.put(row.resource.path("default", name), patched | {"status": {}})
    assert kept["status"] == row.status
    assert (await api.put(status, kept | {"spec": {}}))["spec"] == updated["spec"]


async def _watched(api: Served, row: Row, since: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    async for event in api.door.watch(row.resource, Selection(labels="special-label=generic"), revision=since):
        found.append((event.type, msgspec.json.decode(event.object.wire())))
        if len(found) == count:
            break
    return found


def _body(row: Row, name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"special-label": "generic"}}, **row.body}


def test_a_flow_without_a_level_is_refused_and_one_with_is_warned_of(run):
    """What is missing has its path; that nothing waits is said at every write, and conditions are of one type each."""
    path = r.FLOW_SCHEMAS.path()

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError, match=r"spec.priorityLevelConfiguration.name: Required value"):
                await api.post(path, {"metadata": {"name": "a"}})
            made = await api.post(
                path, {"metadata": {"name": "a"}, "spec": {"priorityLevelConfiguration": {"name": "l"}}}
            )
            assert made["spec"]["matchingPrecedence"] == 1000
            twice = [{"type": "Dangling", "status": "True"}] * 2
            with pytest.raises(StatusError, match=r'status.conditions\[1\].type: Duplicate value: "Dangling"'):
                await api.put(f"{path}/a/status", made | {"status": {"conditions": twice}})
            with pytest.raises(StatusError, match=r"status.conditions\[0\].type: Required value: must not be empty"):
                await api.put(f"{path}/a/status", made | {"status": {"conditions": [{"type": ""}]}})

    run(main())
    assert unenforced(r.FLOW_SCHEMAS, {"spec": {"rules": []}}) == [
        "spec: priority and fairness is off: no request waits for others, and none is refused for them"
    ]
