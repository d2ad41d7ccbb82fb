"""Manifests of static Pods: what is read, what is refused, and what becomes of the mirrors."""

from __future__ import annotations

import json

import pytest

from podling.kubelet.static import Manifest, Mirror, plan, read_manifest

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": []}}


def test_a_manifest_becomes_a_mirror_of_its_node() -> None:
    """Name, node, annotations and the toleration of everything are the kubelet's; content and file make the hash."""
    read = read_manifest(json.dumps(POD).encode(), "web.yaml", "Node-1", 0)
    assert (read.namespace, read.name, read.tree["spec"]["nodeName"]) == ("default", "web-node-1", "Node-1")
    assert read.tree["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    notes = read.tree["metadata"]["annotations"]
    assert notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"] == read.hash
    assert read_manifest(json.dumps(POD).encode(), "other.yaml", "Node-1", 0).hash != read.hash
    assert read_manifest(json.dumps(POD).encode() + b" ", "web.yaml", "Node-1", 0).hash != read.hash


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"\xff\xfe\x00", b"kind: Deployment", b"[" * 5000, b"{kind: Pod, apiVersion: v1}",
     b"{kind: Pod, apiVersion: v1, metadata: {name: x, annotations: 3}, spec: {}}",
     b"{kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {tolerations: 1}}",
     b"{kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {? [1, 2] : 3}}"],
)  # fmt: skip
def test_what_is_no_pod_is_refused(content: bytes) -> None:
    """Whatever stands in the folder, the kubelet gets a sentence and no surprise."""
    with pytest.raises(ValueError, match="."):
        read_manifest(content, "f", "n", 0)


def test_mirrors_follow_manifests() -> None:
    """A changed or lost manifest ends its mirror; a new one waits until the name is free; a right one is left alone."""
    manifest = {name: Manifest("ns", name, f"{name}-2", {}) for name in ("same", "changed", "new", "ending")}
    mirror = {
        "same": Mirror("ns", "same", "1", "same-2", ending=False),
        "changed": Mirror("ns", "changed", "2", "changed-1", ending=False),
        "lost": Mirror("ns", "lost", "3", "lost-1", ending=False),
        "ending": Mirror("ns", "ending", "4", "ending-1", ending=True),
    }
    chosen = plan(manifest.values(), mirror.values())
    assert chosen.delete == (mirror["changed"], mirror["lost"])
    assert chosen.create == (manifest["new"],)
