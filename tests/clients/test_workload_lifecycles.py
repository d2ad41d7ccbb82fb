"""Deployments, ReplicaSets and all their kin as upstream's suite goes about them over HTTPS, on real containers.

By the official Python client, step by step, with what a watch tells of each. What can be shown without containers is in
`tests/scenario`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agnhost import server_pod
from tests.clients.dynamic import LEAVES_SOCKETS, MERGE, STRATEGIC, WHERE, dynamic_client, kubernetes, seen
from tests.running import IMAGE, RunningCluster, eventually

pytestmark = [
    pytest.mark.root,
    LEAVES_SOCKETS,
]

COMMAND = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]


@pytest.fixture(scope="module")
def client(cluster: RunningCluster) -> Iterator[Any]:
    with dynamic_client(cluster) as found:
        yield found


def kind(client: Any, name: str) -> Any:
    version = "v1" if name == "ReplicationController" else "apps/v1"
    return client.resources.get(api_version=version, kind=name)


def manifest(kind: str, name: str, replicas: int, image: str = IMAGE, **labels: str) -> dict[str, Any]:
    chosen = {"app": name}
    selector: dict[str, Any] = chosen if kind == "ReplicationController" else {"matchLabels": chosen}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": image, "command": COMMAND}]}
    size = {} if kind == "DaemonSet" else {"replicas": replicas}
    return {
        "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {**chosen, **labels}},
        "spec": {
            **size,
            "selector": selector,
            "template": {"metadata": {"labels": chosen}, "spec": spec},
        },
    }


def ready(count: int) -> Callable[[str, dict[str, Any]], bool]:
    return lambda _, it: it["status"].get("readyReplicas", 0) == count and it["spec"]["replicas"] == count


def said(condition: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda _, it: any(held["type"] == condition for held in it["status"].get("conditions", ()))


@pytest.mark.parametrize("word", ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"])
def test_from_creation_to_deletion(client, name: str, word: str) -> None:
    """Created, labelled, its status written, scaled, patched and updated, listed, deleted with others: all watched."""
    of = kind(client, word)
    made = of.create(manifest(word, name, 1, life=name), **WHERE)
    since = made.metadata.resourceVersion
    seen(of, name, since, ready(1))

    of.patch({"metadata": {"labels": {"patched": "yes"}}}, name, **WHERE, content_type=STRATEGIC)
    seen(of, name, since, lambda _, it: it["metadata"]["labels"].get("patched") == "yes")

    # Somebody else's numbers are put right at once.
    false = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
    now = of.subresources["status"].patch(false, name, **WHERE, content_type=MERGE).metadata.resourceVersion
    seen(of, name, now, ready(1))
    assert of.subresources["status"].get(name, **WHERE).status.readyReplicas == 1

    scale = of.subresources["scale"]
    assert scale.get(name, **WHERE).spec.replicas == 1
    patched = scale.patch({"spec": {"replicas": 2}}, name, **WHERE, content_type=STRATEGIC)
    assert (patched.kind, patched.spec.replicas, patched.status.selector) == ("Scale", 2, f"app={name}")
    now = seen(of, name, since, ready(2))["metadata"]["resourceVersion"]

    def updated() -> bool:
        body = of.get(name, **WHERE).to_dict()
        body["metadata"]["labels"]["updated"] = "yes"
        body["spec"]["replicas"] = 1
        body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
        try:
            of.replace(body, **WHERE)
        except kubernetes.dynamic.exceptions.ConflictError:
            return False
        return True

    eventually(updated)
    seen(of, name, now, lambda _, it: it["metadata"]["labels"].get("updated") == "yes" and ready(1)(_, it))

    found = of.get(label_selector=f"life={name}").items
    assert [it.metadata.name for it in found] == [name]
    now = of.get(name, **WHERE).metadata.resourceVersion
    of.delete(**WHERE, label_selector=f"life={name}", body={"propagationPolicy": "Background"})
    seen(of, name, now, lambda event, _: event == "DELETED")
    pods = client.resources.get(api_version="v1", kind="Pod")
    eventually(lambda: not pods.get(**WHERE, label_selector=f"app={name}").items)


@pytest.mark.parametrize("word", ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"])
def test_conditions_of_others_in_the_status(client, name: str, word: str) -> None:
    """Updated and patched through the status, they come by the watch and stay beside the controller's own."""
    of = kind(client, word)
    of.create(manifest(word, name, 1), **WHERE)
    try:
        status = of.subresources["status"]
        count = "numberReady" if word == "DaemonSet" else "readyReplicas"
        eventually(lambda: of.get(name, **WHERE).to_dict()["status"].get(count) == 1)

        def updated() -> str:
            body = status.get(name, **WHERE).to_dict()
            told = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
            body["status"]["conditions"] = [*body["status"].get("conditions", []), told]
            try:
                return str(status.replace(body, **WHERE).metadata.resourceVersion)
            except kubernetes.dynamic.exceptions.ConflictError:
                return ""

        since = of.get(name, **WHERE).metadata.resourceVersion
        now = eventually(updated)
        seen(of, name, since, said("StatusUpdate"))
        told = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
        status.patch(told, name, **WHERE, content_type=MERGE)
        seen(of, name, now, said("StatusPatched"))
        held = eventually(lambda: of.get(name, **WHERE).status.conditions)
        assert "StatusPatched" in {it.type for it in held}
        if word == "Deployment":
            eventually(
                lambda: (
                    {it.type for it in of.get(name, **WHERE).status.conditions}
                    == {"StatusPatched", "Available", "Progressing"}
                )
            )
    finally:
        of.delete(name, **WHERE)


@pytest.mark.parametrize("word", ["ReplicaSet", "ReplicationController"])
def test_each_replica_serves_its_own_name(client, cluster: RunningCluster, name: str, word: str) -> None:
    """Two Pods from one template answer through the API server's proxy, each with the name that it has."""
    of = kind(client, word)
    body = manifest(word, name, 2)
    body["spec"]["template"]["spec"] = server_pod("server", {})["spec"]
    of.create(body, **WHERE)
    try:
        eventually(lambda: of.get(name, **WHERE).status.readyReplicas == 2, seconds=40)
        pods = client.resources.get(api_version="v1", kind="Pod").get(**WHERE, label_selector=f"app={name}").items
        names = sorted(pod.metadata.name for pod in pods)
        path = "/api/v1/namespaces/default/pods/{}:8080/proxy/hostname"
        answers = [cluster.kubectl("get", "--raw", path.format(it)).stdout for it in names]
        assert answers == names
    finally:
        of.delete(name, **WHERE, body={"propagationPolicy": "Foreground"})


@pytest.mark.parametrize("word", ["ReplicaSet", "ReplicationController"])
def test_a_quota_that_is_used_up_is_a_condition(client, cluster: RunningCluster, name: str, word: str) -> None:
    """Of three Pods a quota of two lets two pass; the failure is said, and over when two are wanted."""
    of = kind(client, word)
    where = {"namespace": name}
    cluster.kubectl("create", "namespace", name)
    try:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "two"},
            "spec": {"hard": {"pods": "2"}},
        }
        cluster.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(quota))
        eventually(lambda: cluster.get("quota", "two", "-n", name).get("status", {}).get("hard") == {"pods": "2"})
        of.create(manifest(word, name, 3), **where)

        def conditions() -> list[tuple[str, str, str]]:
            held = of.get(name, **where).to_dict()["status"].get("conditions", [])
            return [(it["type"], it["status"], it["reason"]) for it in held]

        eventually(lambda: conditions() == [("ReplicaFailure", "True", "FailedCreate")])
        message = of.get(name, **where).status.conditions[0].message
        assert "exceeded quota: two, requested: pods=1, used: pods=2, limited: pods=2" in message
        of.patch({"spec": {"replicas": 2}}, name, **where, content_type=MERGE)
        eventually(lambda: conditions() == [])
        assert of.get(name, **where).status.replicas == 2
    finally:
        cluster.kubectl("delete", "namespace", name)


def test_the_life_of_a_revision(client, name: str) -> None:
    """A second one of the same template is left alone; with the first gone it is the present one, and counted on."""
    of, revisions = kind(client, "DaemonSet"), kind(client, "ControllerRevision")
    made = of.create(manifest("DaemonSet", name, 0), **WHERE)

    def found() -> list[Any]:
        return sorted(revisions.get(label_selector=f"app={name}").items, key=lambda it: it.revision)

    try:
        eventually(lambda: of.get(name, **WHERE).status.numberReady == 1)
        (first,) = found()
        assert (first.metadata.ownerReferences[0].kind, first.metadata.ownerReferences[0].uid) == (
            "DaemonSet",
            made.metadata.uid,
        )
        marked = {"metadata": {"labels": {"marked": "patched"}}}
        patched = revisions.patch(marked, first.metadata.name, **WHERE, content_type=STRATEGIC)
        assert patched.metadata.labels.marked == "patched"
        body = first.to_dict()
        labels = {"app": name, "controller-revision-hash": "5d8"}
        body["metadata"] = {
            "name": f"{name}-5d8",
            "labels": labels,
            "ownerReferences": body["metadata"]["ownerReferences"],
        }
        revisions.create({**body, "revision": first.revision + 1}, **WHERE)
        assert len(found()) == 2
        revisions.delete(first.metadata.name, **WHERE)
        eventually(lambda: [it.metadata.name for it in found()] == [f"{name}-5d8"])

        def updated() -> bool:
            held = revisions.get(f"{name}-5d8", **WHERE).to_dict()
            held["metadata"]["labels"]["marked"] = "updated"
            try:
                revisions.replace(held, **WHERE)
            except kubernetes.dynamic.exceptions.ConflictError:
                return False
            return True

        eventually(updated)
        template = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 2}}}}
        of.patch(template, name, **WHERE, content_type=STRATEGIC)
        eventually(lambda: len(found()) == 2)
        revisions.delete(**WHERE, label_selector="marked=updated")
        eventually(lambda: [it.revision for it in found()] == [3])
    finally:
        of.delete(name, **WHERE)
