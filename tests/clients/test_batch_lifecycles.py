"""Jobs and DaemonSets as upstream's suite goes about them over HTTPS, on real containers.

By the official Python client, step by step, with what a watch tells of each. What needs minutes or many nodes is shown
on virtual time, in `tests/scenario`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.dynamic import LEAVES_SOCKETS, MERGE, STRATEGIC, WHERE, dynamic_client, kubernetes, seen
from tests.running import IMAGE, RunningCluster, eventually

pytestmark = [
    pytest.mark.root,
    LEAVES_SOCKETS,
]

ON = "trap exit TERM; while :; do sleep 0.1; done"
ONCE = "if [ -e /data/x ]; then exit 0; else touch /data/x; exit 1; fi"


@pytest.fixture(scope="module")
def client(cluster: RunningCluster) -> Iterator[Any]:
    with dynamic_client(cluster) as found:
        yield found


@pytest.fixture
def jobs(client: Any) -> Any:
    return client.resources.get(api_version="batch/v1", kind="Job")


@pytest.fixture
def pods(client: Any) -> Any:
    return client.resources.get(api_version="v1", kind="Pod")


def template(command: str, policy: str, **labels: str) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": IMAGE,
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def job(name: str, command: str, policy: str = "Never", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"life": name}},
        "spec": {"parallelism": 2, "completions": 4, "template": template(command, policy, job=name), **spec},
    }


def complete(_: str, found: dict[str, Any]) -> bool:
    held = found["status"].get("conditions", ())
    return any(it["type"] == "Complete" and it["status"] == "True" for it in held)


def running(pods: Any, name: str, count: int) -> list[Any] | None:
    found = [it for it in pods.get(**WHERE, label_selector=f"job-name={name}").items if it.status.phase == "Running"]
    return found if len(found) == count else None


def deleted(of: Any, name: str, propagation: str = "Background") -> None:
    of.delete(name, **WHERE, body={"propagationPolicy": propagation})


def test_tasks_fail_once_and_are_restarted_in_place(jobs, pods, name: str) -> None:
    """Each container fails the first time and is run again by the kubelet; four succeed."""
    made = jobs.create(job(name, ONCE, "OnFailure"), **WHERE)
    done = seen(jobs, name, made.metadata.resourceVersion, complete)
    assert (done["status"]["succeeded"], done["status"].get("failed")) == (4, None)
    found = pods.get(**WHERE, label_selector=f"job-name={name}").items
    assert [it.status.containerStatuses[0].restartCount for it in found] == [1] * 4
    deleted(jobs, name)


def test_a_deleted_job_waits_for_its_pods(jobs, pods, name: str) -> None:
    """In the foreground: when the Job is gone, so are they."""
    jobs.create(job(name, ON), **WHERE)
    eventually(lambda: running(pods, name, 2))
    since = jobs.get(name, **WHERE).metadata.resourceVersion
    deleted(jobs, name, "Foreground")
    seen(jobs, name, since, lambda event, _: event == "DELETED")
    assert pods.get(**WHERE, label_selector=f"job-name={name}").items == []


def test_an_orphan_is_adopted_and_a_stranger_released(jobs, pods, name: str) -> None:
    made = jobs.create(job(name, ON), **WHERE)
    try:
        first = eventually(lambda: running(pods, name, 2))[0].metadata.name
        pods.patch({"metadata": {"ownerReferences": None}}, first, **WHERE, content_type=MERGE)

        def owners() -> list[str]:
            return [it.uid for it in pods.get(first, **WHERE).metadata.ownerReferences or () if it.controller]

        eventually(lambda: owners() == [made.metadata.uid])
        pods.patch({"metadata": {"labels": None}}, first, **WHERE, content_type=MERGE)
        eventually(lambda: owners() == [] and not pods.get(first, **WHERE).metadata.finalizers)
        pods.delete(first, **WHERE)
    finally:
        deleted(jobs, name)


def test_the_status_of_a_job(jobs, pods, name: str) -> None:
    """Patched with another beginning and an annotation, updated, and read by itself."""
    jobs.create(job(name, ON), **WHERE)
    try:
        eventually(lambda: running(pods, name, 2))
        status = jobs.subresources["status"]
        told = {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"startTime": "2026-01-01T00:00:00Z"},
        }
        done = status.patch(told, name, **WHERE, content_type=MERGE)
        assert (done.status.startTime, done.metadata.annotations.patchedstatus) == ("2026-01-01T00:00:00Z", "true")

        def updated() -> bool:
            body = jobs.get(name, **WHERE).to_dict()
            body["status"]["startTime"] = "2026-01-01T00:00:05Z"
            try:
                return bool(status.replace(body, **WHERE).status.startTime == "2026-01-01T00:00:05Z")
            except kubernetes.dynamic.exceptions.ConflictError:
                return False

        eventually(updated)
        assert status.get(name, **WHERE).status.startTime == "2026-01-01T00:00:05Z"
    finally:
        deleted(jobs, name)


def test_the_life_of_a_job(jobs, pods, name: str) -> None:
    """Created at rest, labelled, let go on, listed, complete, deleted with others of its label: all watched."""
    made = jobs.create(job(name, "exit 0", suspend=True), **WHERE)
    since = made.metadata.resourceVersion
    jobs.patch({"metadata": {"labels": {name: "patched"}}}, name, **WHERE, content_type=STRATEGIC)
    now = seen(jobs, name, since, lambda _, it: it["metadata"]["labels"].get(name) == "patched")
    assert pods.get(**WHERE, label_selector=f"job-name={name}").items == []

    def updated() -> bool:
        body = jobs.get(name, **WHERE).to_dict()
        body["spec"]["suspend"] = False
        body["metadata"]["annotations"] = {"updated": "true"}
        try:
            jobs.replace(body, **WHERE)
        except kubernetes.dynamic.exceptions.ConflictError:
            return False
        return True

    eventually(updated)
    since = now["metadata"]["resourceVersion"]
    seen(jobs, name, since, lambda _, it: it["metadata"].get("annotations", {}).get("updated") == "true")
    assert [it.metadata.name for it in jobs.get(label_selector=f"{name}=patched").items] == [name]
    done = seen(jobs, name, since, complete)
    assert (done["status"]["succeeded"], done["status"]["completionTime"] >= done["status"]["startTime"]) == (4, True)
    jobs.delete(**WHERE, label_selector=f"{name}=patched", body={"propagationPolicy": "Background"})
    seen(jobs, name, since, lambda event, _: event == "DELETED")
    assert jobs.get(label_selector=f"{name}=patched").items == []


def test_the_life_of_a_daemon_set(client, pods, name: str) -> None:
    """A failed Pod is replaced, conditions of others stay, a revision is read, and all go with their collection."""
    sets = client.resources.get(api_version="apps/v1", kind="DaemonSet")
    revisions = client.resources.get(api_version="apps/v1", kind="ControllerRevision")
    labels = {"app": name}
    spec = {"selector": {"matchLabels": labels}, "template": template(ON, "Always", **labels)}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "labels": labels}, "spec": spec}
    since = sets.create(body, **WHERE).metadata.resourceVersion

    def available() -> Any:
        found = pods.get(**WHERE, label_selector=f"app={name}").items
        held = [it for it in found if it.status.phase == "Running" and not it.metadata.deletionTimestamp]
        return held[0] if len(held) == 1 and sets.get(name, **WHERE).status.numberAvailable == 1 else None

    first = eventually(available)
    failed = {"status": {"phase": "Failed"}}
    pods.subresources["status"].patch(failed, first.metadata.name, **WHERE, content_type=MERGE)
    eventually(lambda: (held := available()) and held.metadata.uid != first.metadata.uid)

    told = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    sets.subresources["status"].patch(told, name, **WHERE, content_type=MERGE)

    def patched(_: str, found: dict[str, Any]) -> bool:
        return any(it["type"] == "StatusPatched" for it in found["status"].get("conditions", ()))

    seen(sets, name, since, patched)
    (one,) = revisions.get(**WHERE, label_selector=f"app={name}").items
    assert (one.revision, one.metadata.ownerReferences[0].uid) == (1, sets.get(name, **WHERE).metadata.uid)
    sets.delete(**WHERE, label_selector=f"app={name}", body={"propagationPolicy": "Background"})
    eventually(lambda: not pods.get(**WHERE, label_selector=f"app={name}").items)
    eventually(lambda: not revisions.get(**WHERE, label_selector=f"app={name}").items)
