"""kubectl's commands for workloads, on real containers: create, scale, set image, rollout, expose, delete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import IMAGE, RunningCluster, eventually

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]

NEXT = "podling.dev/test/busybox:next"


@pytest.fixture(scope="module")
def next_image(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A second image, to roll to."""
    from podling.runtime.oci.images.build import build_busybox

    archive: Path = tmp_path_factory.mktemp("next") / "busybox.tar"
    build_busybox(archive, NEXT)
    cluster.podling("image", "load", str(archive))
    return NEXT


@pytest.fixture
def deployment(cluster: RunningCluster, name: str) -> Iterator[str]:
    """Two Pods that end at once when they are told to."""
    command = ("--", "sh", "-c", "trap exit TERM; while :; do sleep 0.1; done")
    said = cluster.kubectl("create", "deployment", name, f"--image={IMAGE}", "--replicas=2", *command).stdout
    assert said == f"deployment.apps/{name} created\n"
    status(cluster, name)
    yield name
    cluster.kubectl("delete", "deployment", name, "--ignore-not-found", "--cascade=foreground")


def status(cluster: RunningCluster, name: str) -> str:
    return cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=50s").stdout


def rows(cluster: RunningCluster, *words: str) -> list[list[str]]:
    return [line.split() for line in cluster.kubectl("get", *words, "--no-headers").stdout.splitlines()]


def images(cluster: RunningCluster, name: str) -> set[str]:
    """Return what the Pods that are to stay run."""
    pods = cluster.get("pods", "-l", f"app={name}")["items"]
    return {pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def revisions(cluster: RunningCluster, name: str) -> list[str]:
    lines = cluster.kubectl("rollout", "history", f"deployment/{name}").stdout.splitlines()
    return [line.split()[0] for line in lines[2:] if line.strip()]


def test_a_deployment_from_its_creation_to_its_end(cluster: RunningCluster, deployment: str) -> None:
    """Made, shown with everything of its own, scaled, reached through a Service, and gone with all of it."""
    name = deployment
    assert rows(cluster, "deployment", name)[0][1:4] == ["2/2", "2", "2"]
    wide = cluster.kubectl("get", "deployment", name, "-o", "wide").stdout
    assert wide.split()[:8] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert f"app={name}" in wide
    (found,) = rows(cluster, "replicaset", "-l", f"app={name}")
    assert found[1:4] == ["2", "2", "2"]
    everything = cluster.kubectl("get", "all", "-l", f"app={name}", "-o", "name").stdout.split()
    assert sorted(line.partition("/")[0] for line in everything) == [
        "deployment.apps",
        "pod",
        "pod",
        "replicaset.apps",
    ]
    cluster.kubectl("wait", "--for=condition=Available", f"deployment/{name}", "--timeout=10s")
    assert cluster.kubectl("exec", f"deploy/{name}", "--", "echo", "hello").stdout == "hello\n"
    cluster.kubectl("scale", f"deployment/{name}", "--replicas=3")
    eventually(lambda: rows(cluster, "deployment", name)[0][1:4] == ["3/3", "3", "3"])
    scale = cluster.kubectl("get", "deployment", name, "--subresource=scale").stdout.split()
    assert scale[:7] == ["NAME", "DESIRED", "AVAILABLE", "AGE", name, "3", "3"]
    refused = cluster.kubectl("scale", f"deployment/{name}", "--current-replicas=9", "--replicas=1", check=False)
    assert "Expected replicas to be 9, was 3" in refused.stderr
    cluster.kubectl("expose", f"deployment/{name}", "--port=80")
    slices = ("endpointslices", "-l", f"kubernetes.io/service-name={name}")
    eventually(lambda: [len(it.get("endpoints") or ()) for it in cluster.get(*slices)["items"]] == [3])
    cluster.kubectl("delete", "service", name)
    told = cluster.kubectl("describe", "deployment", name).stdout
    assert f"Scaled up replica set {found[0]} from 2 to 3" in told
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in told
    assert "Progressing    True    NewReplicaSetAvailable" in told
    cluster.kubectl("delete", "deployment", name)
    eventually(lambda: not rows(cluster, "replicasets,pods", "-l", f"app={name}"))


def test_set_image_history_and_undo(cluster: RunningCluster, deployment: str, next_image: str) -> None:
    """A new image is rolled out and back again; each is a revision, with its cause."""
    name = deployment
    cluster.kubectl("set", "image", f"deployment/{name}", f"busybox={next_image}")
    cluster.kubectl("annotate", f"deployment/{name}", "kubernetes.io/change-cause=next")
    assert f'deployment "{name}" successfully rolled out' in status(cluster, name)
    assert images(cluster, name) == {next_image}
    assert revisions(cluster, name) == ["1", "2"]
    assert "next" in cluster.kubectl("rollout", "history", f"deployment/{name}").stdout
    told = cluster.kubectl("rollout", "history", f"deployment/{name}", "--revision=1").stdout
    assert f"Image:\t{IMAGE}" in told
    assert cluster.kubectl("rollout", "undo", f"deployment/{name}").stdout == f"deployment.apps/{name} rolled back\n"
    status(cluster, name)
    assert images(cluster, name) == {IMAGE}
    assert revisions(cluster, name) == ["2", "3"]
    cluster.kubectl("rollout", "undo", f"deployment/{name}", "--to-revision=2")
    status(cluster, name)
    assert images(cluster, name) == {next_image}
    gone = cluster.kubectl("rollout", "undo", f"deployment/{name}", "--to-revision=1", check=False)
    assert "unable to find specified revision 1 in history" in gone.stderr


def test_a_bad_image_stops_the_rollout_and_is_undone(cluster: RunningCluster, deployment: str) -> None:
    """What cannot be pulled takes no Pod of the old image away; `rollout status` waits, then says why no longer."""
    name = deployment
    before = {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")}
    cluster.kubectl("patch", "deployment", name, "-p", '{"spec":{"progressDeadlineSeconds":3}}')
    cluster.kubectl("set", "image", f"deployment/{name}", "busybox=podling.dev/test/none:1")
    stuck = cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=40s", check=False)
    assert stuck.returncode == 1
    assert "1 out of 2 new replicas have been updated" in stuck.stdout
    assert f'deployment "{name}" exceeded its progress deadline' in stuck.stderr
    assert before <= {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")}
    cluster.kubectl("rollout", "undo", f"deployment/{name}")
    status(cluster, name)
    assert {row[0] for row in rows(cluster, "pods", "-l", f"app={name}") if row[2] == "Running"} == before


def test_pause_resume_and_restart(cluster: RunningCluster, deployment: str, next_image: str) -> None:
    """Paused, changes gather; resumed, they are one revision. A restart is one too, of the same image."""
    name = deployment
    cluster.kubectl("rollout", "pause", f"deployment/{name}")
    cluster.kubectl("set", "image", f"deployment/{name}", f"busybox={next_image}")
    cluster.kubectl("set", "resources", f"deployment/{name}", "--limits=memory=64Mi")
    eventually(lambda: cluster.get("deployment", name)["status"]["observedGeneration"] >= 4)
    assert images(cluster, name) == {IMAGE}
    again = cluster.kubectl("rollout", "pause", f"deployment/{name}", check=False)
    assert "already paused" in again.stderr
    cluster.kubectl("rollout", "resume", f"deployment/{name}")
    status(cluster, name)
    assert images(cluster, name) == {next_image}
    assert revisions(cluster, name) == ["1", "2"]
    before = {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")}
    cluster.kubectl("rollout", "restart", f"deployment/{name}")
    status(cluster, name)
    eventually(lambda: not before & {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")})
    assert revisions(cluster, name) == ["1", "2", "3"]


def test_apply_turns_a_rolling_update_into_recreate(cluster: RunningCluster, name: str) -> None:
    """`kubectl apply` changes strategy and template at once; new Pods come when the old ones are gone."""
    labels = {"app": name}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}],
                },
            },
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        status(cluster, name)
        manifest["spec"]["strategy"] = {"type": "Recreate"}
        manifest["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        status(cluster, name)
        assert cluster.get("deployment", name)["spec"]["strategy"] == {"type": "Recreate"}
        found = cluster.kubectl("exec", f"deploy/{name}", "--", "sh", "-c", "echo $A").stdout
        assert found == "b\n"
    finally:
        cluster.kubectl("delete", "deployment", name, "--cascade=foreground")


def test_a_replication_controller_by_kubectl(cluster: RunningCluster, name: str) -> None:
    """Created, scaled, and deleted without its Pods, which a namesake takes over."""
    labels = {"app": name}
    containers = [{"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}]
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": containers}}
    manifest = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "template": template},
    }
    made = ("create", "-f", "-")
    cluster.kubectl(*made, stdin=json.dumps(manifest))
    try:
        eventually(lambda: rows(cluster, "rc", name)[0][1:4] == ["1", "1", "1"])
        cluster.kubectl("scale", "rc", name, "--replicas=2")
        eventually(lambda: rows(cluster, "rc", name)[0][1:4] == ["2", "2", "2"])
        pods = {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")}
        cluster.kubectl("delete", "rc", name, "--cascade=orphan")
        assert {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")} == pods
        cluster.kubectl(*made, stdin=json.dumps({**manifest, "spec": {**manifest["spec"], "replicas": 2}}))
        eventually(lambda: rows(cluster, "rc", name)[0][1:4] == ["2", "2", "2"])
        assert {row[0] for row in rows(cluster, "pods", "-l", f"app={name}")} == pods
    finally:
        cluster.kubectl("delete", "rc", name)
    eventually(lambda: not rows(cluster, "pods", "-l", f"app={name}"))
