"""Every kind by the official Python client, verb by verb, as upstream's suite goes through "API operations".

Found by discovery; created, read, listed (whole, by label, in pieces), watched, patched in each form, updated, its status
too; deleted by name and by label. One row a kind; a kind that is served and has no row fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.requests import body as certificate_request
from tests.running import RunningCluster, eventually

pytestmark = [
    pytest.mark.root,
    # The library leaves its watch's sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

kubernetes = pytest.importorskip("kubernetes", reason="the official Python client is not installed")

NAMESPACE = "operations"
EVENT = {"kind": "Pod", "name": "p", "namespace": NAMESPACE}
SECOND = "2026-01-01T00:00:00.123456Z"
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}

TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
NOBODY = {
    "name": "nobody.example.com",
    "clientConfig": {"url": "https://nowhere.example.com"},
    "rules": [{"operations": ["*"], "apiGroups": ["nothing.example.com"], "apiVersions": ["*"], "resources": ["*"]}],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def definition(name: str) -> dict[str, Any]:
    """Return what a CustomResourceDefinition of this name defines."""
    plural, _, group = name.partition(".")
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": plural, "singular": plural[:-1], "kind": plural.title()}
    return {"spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}}


class Kind(NamedTuple):
    """A kind and what one of it has beside its metadata."""

    api_version: str
    plural: str
    body: dict[str, Any] | Callable[[str], dict[str, Any]] = {}
    """The same for all, or made of an object's name."""
    names: tuple[str, str, str] | None = None
    """For kinds whose names mean something."""
    collection: bool = True
    """Whether many may be deleted at once."""
    frozen: bool = False
    """Whether a write of the status leaves the metadata as they were."""


KINDS = [
    Kind("v1", "configmaps", {"data": {"a": "b"}}),
    Kind("v1", "endpoints", {"subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"name": "http", "port": 80}]}]}),
    Kind("v1", "events", {"involvedObject": EVENT, "reason": "Tested", "message": "m", "type": "Normal"}),
    Kind("v1", "limitranges", {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}),
    Kind("v1", "namespaces", collection=False),
    Kind("v1", "nodes"),
    Kind("v1", "persistentvolumeclaims", {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    Kind("v1", "persistentvolumes", {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}}),
    Kind("v1", "pods", {"spec": {"containers": [{"name": "c", "image": "i"}], "schedulingGates": [{"name": "example.com/held"}]}}),
    Kind("v1", "podtemplates", {"template": TEMPLATE}),
    Kind("v1", "replicationcontrollers", {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": TEMPLATE}}),
    Kind("v1", "resourcequotas", {"spec": {"hard": {"count/widgets.example.com": "5"}}}),
    Kind("v1", "secrets", {"data": {"a": "Yg=="}}),
    Kind("v1", "serviceaccounts"),
    Kind("v1", "services", {"spec": {"ports": [{"port": 80}], "selector": {"selects": "nobody"}}}),
    Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", definition,
        names=tuple(f"{plural}.operations.example.com" for plural in ("apples", "pears", "plums"))),
    Kind("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", {"webhooks": [NOBODY]}),
    Kind("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", {"webhooks": [NOBODY]}),
    Kind("apps/v1", "deployments", {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}),
    Kind("apps/v1", "replicasets", {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}),
    Kind("batch/v1", "cronjobs", {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {
        "spec": {"restartPolicy": "Never", "containers": TEMPLATE["spec"]["containers"]}}}}}}),
    Kind("batch/v1", "jobs", {"spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": TEMPLATE["spec"]["containers"]}}}}),
    Kind("certificates.k8s.io/v1", "certificatesigningrequests", {"spec": certificate_request()["spec"]}),
    Kind("apps/v1", "statefulsets", {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}),
    Kind("apps/v1", "daemonsets", {"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "nodeSelector": {"runs": "nowhere"}}}}}),
    Kind("apps/v1", "controllerrevisions", {"data": {"spec": {"template": {"$patch": "replace"}}}, "revision": 1}),
    Kind("coordination.k8s.io/v1", "leases", {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 30, "renewTime": SECOND}}),
    Kind("discovery.k8s.io/v1", "endpointslices", {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": []}),
    Kind("events.k8s.io/v1", "events", {"regarding": EVENT, "reason": "Tested", "note": "m", "type": "Normal", "action": "Test",
        "reportingController": "test", "reportingInstance": "one", "eventTime": SECOND}),
    Kind("flowcontrol.apiserver.k8s.io/v1", "flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "a"}, "rules": [
        {"subjects": [{"kind": "Group", "group": {"name": "a"}}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}, frozen=True),
    Kind("flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}, frozen=True),
    Kind("insight.podling.dev/v1alpha1", "calls"),
    Kind("networking.k8s.io/v1", "ingressclasses", {"spec": {"controller": "example.com/controller"}}),
    Kind("networking.k8s.io/v1", "ingresses", {"spec": {"defaultBackend": BACKEND,
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]}}),
    Kind("networking.k8s.io/v1", "ipaddresses", {"spec": {"parentRef": {"group": "mine", "resource": "things", "name": "one"}}},
        names=("192.0.2.1", "255.255.255.255", "fe80::42:1dff:fe84:f9e2")),
    Kind("networking.k8s.io/v1", "networkpolicies", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
    Kind("node.k8s.io/v1", "runtimeclasses", {"handler": "podling"}),
    Kind("policy/v1", "poddisruptionbudgets", {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}),
    Kind("rbac.authorization.k8s.io/v1", "clusterrolebindings", {"roleRef": ROLE}),
    Kind("rbac.authorization.k8s.io/v1", "clusterroles", {"rules": []}),
    Kind("rbac.authorization.k8s.io/v1", "rolebindings", {"roleRef": ROLE}),
    Kind("rbac.authorization.k8s.io/v1", "roles", {"rules": []}),
    Kind("scheduling.k8s.io/v1", "priorityclasses", {"value": 5}),
    Kind("storage.k8s.io/v1", "csidrivers", {"spec": {"attachRequired": False}}),
    Kind("storage.k8s.io/v1", "csinodes", {"spec": {"drivers": []}}),
    Kind("storage.k8s.io/v1", "csistoragecapacities", {"storageClassName": "none", "capacity": "1Gi"}),
    Kind("storage.k8s.io/v1", "storageclasses", {"provisioner": "example.com/p"}),
    Kind("storage.k8s.io/v1", "volumeattachments", {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}}),
]  # fmt: skip

ELSEWHERE = {
    ("networking.k8s.io/v1", "servicecidrs"): "unit/apiserver/test_service_ips.py",
}
"""Kinds that the cluster alone makes the objects of, and where they are tried."""
STATUS = {"metadata": {"annotations": {"status": "patched"}}}
MERGE, STRATEGIC, JSON = (f"application/{kind}+json" for kind in ("merge-patch", "strategic-merge-patch", "json-patch"))


@pytest.fixture(scope="module")
def client(cluster: RunningCluster) -> Iterator[Any]:
    warnings.simplefilter("ignore", DeprecationWarning)
    found = kubernetes.config.new_client_from_config(str(cluster.data / "kubeconfig"))
    dynamic = kubernetes.dynamic.DynamicClient(found)
    namespaces = dynamic.resources.get(api_version="v1", kind="Namespace")
    namespaces.create({"metadata": {"name": NAMESPACE}})
    yield dynamic
    namespaces.delete(NAMESPACE)
    found.close()


def test_every_kind_has_its_row(client) -> None:
    """Whatever discovery says can be deleted is gone through here, or where it is said."""
    served = {
        (group_version, resource.name)
        for group_version in _group_versions(client)
        for resource in client.request("get", _root(group_version)).resources
        if "delete" in resource.verbs and "/" not in resource.name
    }
    assert served == {(kind.api_version, kind.plural) for kind in KINDS} | ELSEWHERE.keys()


def _group_versions(client) -> list[str]:
    groups = client.request("get", "/apis").groups
    for group in groups:
        assert client.request("get", f"/apis/{group.name}").to_dict()["preferredVersion"] in [
            version.to_dict() for version in group.versions
        ]
    return ["v1", *(version.groupVersion for group in groups for version in group.versions)]


def _root(group_version: str) -> str:
    return f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"


def label(kind: Kind) -> str:
    """Return the name of a kind's row."""
    return f"{kind.api_version.rpartition('/')[0]}/{kind.plural}".strip("/")


@pytest.mark.parametrize("kind", KINDS, ids=[label(it) for it in KINDS])
def test_a_kind_answers_to_every_verb(client, kind: Kind, name: str) -> None:
    """Step by step as upstream's suite does it; each answer holds what the step did."""
    of = client.resources.get(api_version=kind.api_version, name=kind.plural)
    where = {"namespace": NAMESPACE} if of.namespaced else {}
    selected = {"label_selector": f"operations={name}"}

    def listed(**more: Any) -> list[Any]:
        return of.get(**where, **selected, **more).items

    named = [{"name": it} for it in kind.names] if kind.names else [{"generateName": "operations-"}] * 3
    labels = {"operations": name}
    made = [
        of.create(
            {"metadata": {**it, "labels": labels}, **(kind.body(it["name"]) if callable(kind.body) else kind.body)},
            **where,
        )
        for it in named
    ]
    first, one = made[0].metadata.name, made[-1].metadata.name
    assert of.get(one, **where).metadata.uid == made[-1].metadata.uid
    whole = of.get(**where, **selected)
    assert [item.metadata.name for item in whole.items] == sorted(it.metadata.name for it in made)
    if of.namespaced:
        assert len(of.get(**selected).items) == 3
    piece = of.get(**where, **selected, limit=2)
    assert len(piece.items) == 2
    assert len(listed(limit=2, _continue=piece.metadata["continue"])) == 1

    for content_type, patch in (
        (MERGE, {"metadata": {"annotations": {"merge": "1"}}}),
        (STRATEGIC, {"metadata": {"annotations": {"strategic": "1"}}}),
        (JSON, [{"op": "add", "path": "/metadata/annotations/json", "value": "1"}]),
    ):
        patched = of.patch(patch, one, **where, content_type=content_type)
    assert {"merge", "strategic", "json"} <= patched.metadata.annotations.to_dict().keys()
    body = eventually(lambda: _updated(of, one, where))
    stale = body.to_dict()
    stale["metadata"]["resourceVersion"] = made[-1].metadata.resourceVersion
    with pytest.raises(kubernetes.dynamic.exceptions.ConflictError):
        of.replace(stale, **where)
    if "status" in of.subresources:
        status = of.subresources["status"]
        assert status.get(one, **where).metadata.uid == made[-1].metadata.uid
        patched = status.patch(STATUS, one, **where, content_type=MERGE)
        assert patched.metadata.annotations.status == (None if kind.frozen else "patched")
        replaced = status.replace(patched.to_dict(), **where)
        assert replaced.metadata.name == one

    of.delete(one, **where)
    eventually(lambda: len(listed()) == 2)
    seen = _events(of, where, selected, whole.metadata.resourceVersion, one)
    assert {"MODIFIED", "DELETED"} <= seen
    if not kind.collection:
        for left in made[:-1]:
            of.delete(left.metadata.name, **where)
    else:
        of.delete(**where, **selected)
    eventually(lambda: not listed())
    with pytest.raises(kubernetes.dynamic.exceptions.NotFoundError):
        of.get(first, **where)


def _updated(of: Any, name: str, where: dict[str, str]) -> Any:
    """Update an object as it is now; whoever else writes it, a controller, is no reason to fail."""
    body = of.get(name, **where).to_dict()
    body["metadata"]["annotations"]["updated"] = "1"
    try:
        updated = of.replace(body, **where)
    except kubernetes.dynamic.exceptions.ConflictError:
        return None
    assert updated.metadata.annotations.updated == "1"
    return updated


def _events(of: Any, where: dict[str, str], selected: dict[str, str], version: str, name: str) -> set[str]:
    """Return what a watch from `version` on tells of an object, up to its end."""
    seen = set()
    watcher = kubernetes.watch.Watch()
    for event in of.watch(**where, **selected, resource_version=version, timeout=10, watcher=watcher):
        if event["raw_object"]["metadata"]["name"] == name:
            seen.add(event["type"])
            if event["type"] == "DELETED":
                watcher.stop()
    return seen
