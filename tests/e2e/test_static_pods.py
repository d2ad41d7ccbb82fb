"""Pods from the manifest folder of a node, on real containers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.conftest import missing_for_containers
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest

pytestmark = pytest.mark.root


@pytest.fixture
def cluster(tmp_path) -> Iterator[RunningCluster]:
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    running = RunningCluster(tmp_path / "data", free_port(), "oci")
    try:
        running.up()
        running.podling("image", "load", str(busybox_archive(tmp_path)))
        yield running
    finally:
        running.podling("down", check=False)


def pods(cluster: RunningCluster) -> dict[str, dict]:
    return {pod["metadata"]["name"]: pod for pod in cluster.get("pods")["items"]}


def test_a_manifest_is_a_pod_for_as_long_as_it_is_there(cluster):
    """It runs and is mirrored; changed it is another; deleted through the API it comes back; removed it goes."""
    (node,) = cluster.get("nodes")["items"]
    name = f"web-{node['metadata']['name']}"
    folder = cluster.data / "manifests"
    eventually(folder.is_dir)
    (folder / "broken.yaml").write_text("kind: Pod\nspec: [")
    (folder / "web.yaml").write_text(pod_manifest("web", "sh", "-c", "echo one; sleep 3600"))
    eventually(lambda: name in pods(cluster))
    cluster.wait_ready(name)
    first = pods(cluster)[name]["metadata"]
    notes = first["annotations"]
    assert notes["kubernetes.io/config.source"] == "file"
    assert notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"]
    (owner,) = first["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Node", node["metadata"]["uid"], True)
    assert "one" in cluster.kubectl("logs", name).stdout

    (folder / ".next").write_text(pod_manifest("web", "sh", "-c", "echo two; sleep 3600"))
    os.replace(folder / ".next", folder / "web.yaml")
    eventually(lambda: pods(cluster).get(name, {"metadata": first})["metadata"]["uid"] != first["uid"])
    cluster.wait_ready(name)
    assert "two" in cluster.kubectl("logs", name).stdout
    second = pods(cluster)[name]["metadata"]["uid"]

    cluster.kubectl("delete", "pod", name, "--wait=false")
    eventually(lambda: name in pods(cluster) and pods(cluster)[name]["metadata"]["uid"] != second)
    cluster.wait_ready(name)

    (folder / "web.yaml").unlink()
    eventually(lambda: pods(cluster) == {})


def test_a_mirror_that_nobody_wrote_a_manifest_for_is_removed(cluster):
    """The annotation alone makes no static Pod, and static Pods survive a restart of Podling."""
    (node,) = cluster.get("nodes")["items"]
    (cluster.data / "manifests" / "kept.json").write_text(pod_manifest("kept"))
    kept = f"kept-{node['metadata']['name']}"
    eventually(lambda: kept in pods(cluster))
    cluster.wait_ready(kept)
    before = pods(cluster)[kept]
    forged = json.loads(pod_manifest("forged", nodeName=node["metadata"]["name"]))
    forged["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(forged))
    eventually(lambda: set(pods(cluster)) == {kept})
    cluster.podling("down", "--keep-pods")  # the ranges, too: another cluster could take them meanwhile
    cluster.up()
    cluster.wait_ready(kept)
    assert pods(cluster)[kept]["metadata"]["uid"] == before["metadata"]["uid"]
