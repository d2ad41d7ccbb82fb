"""Custom kinds by kubectl and the official Python client, over HTTPS, and across a kill of Podling."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.custom import definition, version, widget
from tests.running import RunningCluster, eventually, started

pytestmark = [
    pytest.mark.root,
    # The library leaves its watch's sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
SCALE = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}


def body(group: str) -> dict[str, Any]:
    parts = {"status": {}, "scale": SCALE}
    names = {"shortNames": ["wd"], "categories": ["gadgets"]}
    versions = [version(additionalPrinterColumns=COLUMNS, subresources=parts), version("v1beta1", storage=False)]
    return definition(group=group, names=names, versions=versions)


@pytest.fixture
def group(name: str) -> str:
    """A group that no other test uses."""
    return f"{name}.example.com"


@pytest.fixture
def kind(kubectl, cluster: RunningCluster, group: str) -> Iterator[str]:
    """A kind that kubectl has applied; the resource's full name, gone after the test."""
    full = f"widgets.{group}"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body(group)))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{full}", "--timeout=10s")
    yield full
    cluster.kubectl("delete", "crd", full, "--ignore-not-found")


def test_kubectl_lives_with_a_kind(cluster: RunningCluster, kind: str, group: str) -> None:
    """Apply, get by its names and columns, describe, explain, apply again, patch, scale, and delete."""
    manifest = widget("w", api_version=f"{group}/v1", parts=[{"name": "x", "count": 2}])
    assert "created" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    assert "unchanged" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    header, row = cluster.kubectl("get", kind).stdout.splitlines()
    assert (header.split(), row.split()[:2]) == (["NAME", "SIZE", "AGE"], ["w", "3"])
    assert cluster.kubectl("get", kind, "-o", "wide").stdout.split()[:4] == ["NAME", "SIZE", "COLOR", "AGE"]
    assert f"widget.{group}/w" in cluster.kubectl("get", f"wd.{group}", "-o", "name").stdout
    assert f"widget.{group}/w" in cluster.kubectl("get", "gadgets", "-o", "name").stdout
    described = cluster.kubectl("describe", kind, "w").stdout.splitlines()
    assert ["Size:", "3"] in [line.split() for line in described]
    manifest["spec"]["parts"] = [{"name": "y"}]
    assert "configured" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    assert cluster.get(kind, "w")["spec"]["parts"] == [{"name": "y", "count": 1}]
    cluster.kubectl("patch", kind, "w", "--type=merge", "-p", '{"spec":{"size":4}}')
    refused = cluster.kubectl("patch", kind, "w", "-p", '{"spec":{"size":4}}', check=False)
    assert refused.returncode != 0
    cluster.kubectl("scale", f"{kind}/w", "--replicas=5")
    assert cluster.get(kind, "w")["spec"]["size"] == 5
    assert cluster.get(f"widgets.v1beta1.{group}", "w")["apiVersion"] == f"{group}/v1beta1"
    cluster.kubectl("annotate", kind, "w", "a=b")
    cluster.kubectl("delete", kind, "w")
    assert cluster.get(kind)["items"] == []


def test_kubectl_explains_a_kind(cluster: RunningCluster, kind: str, group: str) -> None:
    """What its author wrote of it, down to single fields."""
    del kind
    ask = f"--api-version={group}/v1"
    shown = cluster.kubectl("explain", "widgets", ask).stdout
    assert "A widget is what tests are made of." in shown
    field = cluster.kubectl("explain", "widgets.spec", ask).stdout
    assert "size" in field and "<integer>" in field
    assert "not exist" in cluster.kubectl("explain", "widgets.spec.nothing", ask, check=False).stderr


OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DESCRIBED = {"description": "Has a field that takes anything.", "type": "object", "properties": {"spec": OPEN}}


TAKEN: dict[str, tuple[dict[str, Any], str]] = {
    "without a schema": (OPEN, "<empty>"),
    "at the root": ({**OPEN, "description": "Takes anything.", "properties": {"spec": {"type": "object"}}}, "Widget"),
    "in a field": (DESCRIBED, "Has a field that takes anything."),
}
"""Schemas that leave fields open, and what `explain` shows of them."""


@pytest.mark.parametrize(("node", "shown"), TAKEN.values(), ids=TAKEN)
def test_kubectl_takes_what_a_schema_leaves_open(
    kubectl: Any, cluster: RunningCluster, group: str, node: dict[str, Any], shown: str
) -> None:
    """Unknown fields are created, applied and kept, nulls and all, and explained as far as anything is known."""
    body = definition(group=group, versions=[version(schema={"openAPIV3Schema": node})])
    try:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}", "--timeout=10s")
        path = f"/apis/{group}/v1/namespaces/default/widgets"
        manifest = widget("w", api_version=f"{group}/v1")
        manifest["spec"] = {} if shown == "Widget" else {"a": None, "b": [{"c": "d"}]}
        if node is not DESCRIBED:
            manifest["a"] = {"b": [{"c": "d"}]}
        # Of what is applied, kubectl leaves nulls out.
        kept = {key: value for key, value in manifest["spec"].items() if value is not None}
        for words, spec in (("create --raw", manifest["spec"]), ("create", manifest["spec"]), ("apply", kept)):
            where = (path,) if "raw" in words else ()
            cluster.kubectl(*words.split(), *where, "-f", "-", stdin=json.dumps(manifest))
            found = json.loads(cluster.kubectl("get", "--raw", f"{path}/w").stdout)
            assert (words, found["spec"], found.get("a")) == (words, spec, manifest.get("a"))
            cluster.kubectl("delete", f"widgets.{group}", "w")
        assert shown in cluster.kubectl("explain", "widgets", f"--api-version={group}/v1").stdout
    finally:
        cluster.kubectl("delete", "crd", f"widgets.{group}", "--ignore-not-found")


def test_kubectl_tells_what_is_wrong(cluster: RunningCluster, kind: str, group: str) -> None:
    """Unknown fields are refused before they are pruned, and values in the server's words."""
    del kind
    odd = widget("w", api_version=f"{group}/v1", odd=1)
    refused = cluster.kubectl("create", "-f", "-", stdin=json.dumps(odd), check=False)
    assert refused.returncode != 0
    assert "odd" in refused.stderr
    wrong = widget("w", api_version=f"{group}/v1", size=10, color="green")
    refused = cluster.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(wrong), check=False)
    assert "spec.size in body should be less than or equal to 9" in refused.stderr
    assert 'spec.color: Unsupported value: "green": supported values: "red", "blue"' in refused.stderr


def test_who_may_read_one_object(cluster: RunningCluster, kind: str, group: str) -> None:
    """Roles name custom resources as any other, and single objects of them."""
    who, where = "somebody", ("-n", "default")
    role = f"reads-{group.partition('.')[0]}"
    try:
        cluster.kubectl("create", "role", role, "--verb=get", f"--resource={kind}", "--resource-name=mine", *where)
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", f"--user={who}", *where)
        for name in ("mine", "other"):
            manifest = widget(name, api_version=f"{group}/v1")
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        eventually(lambda: cluster.kubectl("get", kind, "mine", f"--as={who}", check=False).returncode == 0)
        refused = cluster.kubectl("get", kind, "other", f"--as={who}", check=False)
        assert f'widgets.{group} "other" is forbidden: User "somebody" cannot get' in refused.stderr
    finally:
        for what in ("role", "rolebinding"):
            cluster.kubectl("delete", what, role, "--ignore-not-found", *where)


kubernetes = pytest.importorskip("kubernetes", reason="the official Python client is not installed")


def api_client(cluster: RunningCluster) -> Any:
    warnings.simplefilter("ignore", DeprecationWarning)
    return kubernetes.config.new_client_from_config(str(cluster.data / "kubeconfig"))


@pytest.fixture
def client(cluster: RunningCluster) -> Iterator[Any]:
    found = api_client(cluster)
    yield found
    found.close()


def test_the_python_client_brings_a_kind(client: Any, group: str) -> None:
    """The typed API of definitions: create, read its status, list, patch, replace, delete and see it gone."""
    api = kubernetes.client.ApiextensionsV1Api(client)
    full = f"widgets.{group}"
    api.create_custom_resource_definition(body(group))
    found = eventually(lambda: _established(api, full))
    assert found.status.accepted_names.list_kind == "WidgetList"
    api.patch_custom_resource_definition(full, {"metadata": {"labels": {"a": "b"}}})
    listed = api.list_custom_resource_definition(label_selector="a=b")
    assert [it.metadata.name for it in listed.items] == [full]
    found = api.read_custom_resource_definition_status(full)
    condition = {"type": "Tested", "status": "True", "reason": "Here", "message": "m"}
    api.patch_custom_resource_definition_status(
        full, [{"op": "add", "path": "/status/conditions/-", "value": condition}]
    )
    assert "Tested" in [it.type for it in api.read_custom_resource_definition(full).status.conditions]
    api.delete_collection_custom_resource_definition(label_selector="a=b")
    eventually(lambda: full not in [it.metadata.name for it in api.list_custom_resource_definition().items])


def _established(api: Any, full: str) -> Any:
    found = api.read_custom_resource_definition(full)
    status = {it.type: it.status for it in found.status.conditions or []}
    return found if status.get("Established") == "True" else None


def test_the_python_client_lives_with_a_kind(client: Any, kind: str, group: str) -> None:
    """CustomObjectsApi and the dynamic client: every verb, status and scale, and a watch."""
    del kind
    api = kubernetes.client.CustomObjectsApi(client)
    place = (group, "v1", "default", "widgets")
    made = api.create_namespaced_custom_object(*place, widget("w", api_version=f"{group}/v1"))
    assert made["spec"] == {"size": 3, "color": "red"}
    assert api.list_cluster_custom_object(group, "v1", "widgets")["items"] == [made]
    made["spec"]["size"] = 4
    assert api.replace_namespaced_custom_object(*place, "w", made)["metadata"]["generation"] == 2
    api.patch_namespaced_custom_object_status(*place, "w", {"status": {"phase": "x", "size": 4}})
    assert api.get_namespaced_custom_object_status(*place, "w")["status"]["phase"] == "x"
    assert api.get_namespaced_custom_object_scale(*place, "w")["status"]["replicas"] == 4
    with pytest.raises(kubernetes.client.ApiException) as refusal:
        api.patch_namespaced_custom_object(*place, "w", {"spec": {"size": "many"}})
    assert "must be of type integer" in refusal.value.body
    dynamic = kubernetes.dynamic.DynamicClient(client)
    widgets = dynamic.resources.get(api_version=f"{group}/v1", kind="Widget")
    assert widgets.get("w", "default").spec.size == 4
    seen = []
    watcher = kubernetes.watch.Watch()
    for event in widgets.watch(namespace="default", timeout=10, watcher=watcher):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 1:
            api.delete_namespaced_custom_object(*place, "w")
        else:
            watcher.stop()
    assert seen == [("ADDED", "w"), ("DELETED", "w")]


def test_a_kill_loses_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Definitions, objects and their revisions are there again, and a watch goes on from where it was."""
    with started(tmp_path_factory.mktemp("custom")) as cluster:
        group = "killed.example.com"
        client = api_client(cluster)
        api = kubernetes.client.ApiextensionsV1Api(client)
        api.create_custom_resource_definition(body(group))
        eventually(lambda: _established(api, f"widgets.{group}"))
        objects = kubernetes.client.CustomObjectsApi(client)
        place = (group, "v1", "default", "widgets")
        made = objects.create_namespaced_custom_object(*place, widget("a", api_version=f"{group}/v1"))
        handle = os.pidfd_open(cluster.pid)
        os.kill(cluster.pid, signal.SIGKILL)
        select.select([handle], [], [], 10)
        os.close(handle)
        cluster.up()
        # A new connection: the old one's certificates are the same, its sockets are not.
        client.close()
        client = api_client(cluster)
        objects = kubernetes.client.CustomObjectsApi(client)
        assert objects.get_namespaced_custom_object(*place, "a") == made
        later = threading.Timer(
            0.5, objects.create_namespaced_custom_object, (*place, widget("b", api_version=f"{group}/v1"))
        )
        later.start()
        watcher = kubernetes.watch.Watch()
        since = made["metadata"]["resourceVersion"]
        stream = watcher.stream(
            objects.list_namespaced_custom_object, *place, resource_version=since, timeout_seconds=10
        )
        assert [next(stream)["object"]["metadata"]["name"]] == ["b"]
        watcher.stop()
        later.join()
        stream.close()
        client.close()
