"""What the server says of itself."""

from __future__ import annotations

from typing import Any

import msgspec

from podling.api import resources as r
from podling.apiserver.discovery import Discovery
from podling.apiserver.record import Record

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


def discovery() -> Discovery:
    def record(resource: Any, *subresources: str, **verbs: tuple[str, ...]) -> Record:
        return Record(resource, "/", None, subresources=subresources, subresource_verbs=verbs)  # type: ignore[arg-type]

    records = [
        record(r.LEASES),
        record(r.PODS, "exec", "eviction", "status", exec=("get", "create"), eviction=("create",)),
        record(r.ROLES),
        record(r.SERVICE_ACCOUNTS, "token", token=("create",)),
    ]
    return Discovery(records, (r.TOKEN_REVIEWS,), "127.0.0.1:6443")


def get(path: str, accept: str = "application/json") -> dict[str, Any]:
    answer = discovery().answer(path, accept)
    assert answer is not None
    tree: dict[str, Any] = msgspec.json.decode(answer.body)
    return tree


def test_plain() -> None:
    """Versions, groups and resources each by themselves, in upstream's order."""
    assert get("/api")["versions"] == ["v1"]
    groups = get("/apis")["groups"]
    assert [g["name"] for g in groups] == ["authentication.k8s.io", "rbac.authorization.k8s.io", "coordination.k8s.io"]
    assert get("/apis/coordination.k8s.io")["preferredVersion"] == {
        "groupVersion": "coordination.k8s.io/v1",
        "version": "v1",
    }
    pods = {it["name"]: it for it in get("/api/v1")["resources"]}
    assert pods["pods"] == {
        "name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "shortNames": ["po"], "categories": ["all"],
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }  # fmt: skip
    assert pods["pods/eviction"] == {
        "name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"],
    }  # fmt: skip
    assert pods["pods/exec"]["kind"] == "PodExecOptions"
    assert pods["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert pods["serviceaccounts/token"]["group"] == "authentication.k8s.io"
    assert get("/apis/authentication.k8s.io/v1")["resources"][0]["verbs"] == ["create"]


def test_aggregated() -> None:
    """Who asks for everything at once gets it, in the version asked for first, and can tell by an ETag whether it changed."""
    answer = discovery().answer("/api", AGGREGATED)
    assert answer is not None
    assert answer.content_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert answer.etag == (discovery().answer("/api", AGGREGATED) or answer).etag
    tree = msgspec.json.decode(answer.body)
    pods = tree["items"][0]["versions"][0]["resources"][0]
    assert (pods["resource"], pods["scope"], pods["responseKind"]) == (
        "pods",
        "Namespaced",
        {"group": "", "version": "v1", "kind": "Pod"},
    )
    assert pods["subresources"][1]["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert get("/apis", AGGREGATED.split(",", 1)[1])["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert get("/apis", "application/json," + AGGREGATED)["kind"] == "APIGroupList"
    assert [g["metadata"] for g in get("/apis", AGGREGATED)["items"]][0] == {"name": "authentication.k8s.io"}


def test_other_paths() -> None:
    """Groups and versions that are not served, and resources' own paths, are not discovery's to answer."""
    for path in ("/api/v2", "/apis/none", "/apis/none/v1", "/api/v1/pods", "/version", "/"):
        assert discovery().answer(path) is None
