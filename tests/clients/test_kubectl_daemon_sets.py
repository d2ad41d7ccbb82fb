"""kubectl on DaemonSets, in real containers."""

from __future__ import annotations

import json

import pytest

from tests.running import IMAGE, RunningCluster

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


def test_a_daemon_set_is_rolled_out_and_back(cluster: RunningCluster, name: str) -> None:
    """apply, rollout status, set env, rollout history, undo, get in both widths, describe, delete."""
    container = {"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def settled() -> None:
        cluster.kubectl("rollout", "status", f"ds/{name}", "--timeout=60s", timeout=90)

    settled()
    head, row = (line.split() for line in cluster.kubectl("get", "ds", name).stdout.splitlines())
    assert head == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE", "SELECTOR", "AGE"]
    assert row[:7] == [name, "1", "1", "1", "1", "1", "<none>"]
    cluster.kubectl("set", "env", f"ds/{name}", "COLOR=blue")
    settled()
    pod = json.loads(cluster.kubectl("get", "pods", "-l", f"app={name}", "-o", "json").stdout)["items"][0]
    assert pod["spec"]["containers"][0]["env"] == [{"name": "COLOR", "value": "blue"}]
    lines = cluster.kubectl("rollout", "history", f"ds/{name}").stdout.split()
    assert lines[-4:] == ["1", "<none>", "2", "<none>"]
    assert "COLOR" in cluster.kubectl("rollout", "history", f"ds/{name}", "--revision=2").stdout
    cluster.kubectl("rollout", "undo", f"ds/{name}")
    settled()
    pod = json.loads(cluster.kubectl("get", "pods", "-l", f"app={name}", "-o", "json").stdout)["items"][0]
    assert "env" not in pod["spec"]["containers"][0]
    said = cluster.kubectl("describe", "ds", name).stdout
    assert "Desired Number of Nodes Scheduled: 1" in said
    assert f"daemonset.apps/{name}" in cluster.kubectl("get", "controllerrevisions", "-l", f"app={name}").stdout
    cluster.kubectl("rollout", "restart", f"ds/{name}")
    settled()
    cluster.kubectl("delete", "ds", name)
    cluster.kubectl("wait", "--for=delete", "pod", "-l", f"app={name}", "--timeout=30s")
