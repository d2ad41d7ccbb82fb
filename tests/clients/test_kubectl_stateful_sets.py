"""kubectl on StatefulSets, in real containers: names, claims, scale and the ways of rolling out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import IMAGE, RunningCluster, eventually

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]

SERVE = (
    "trap exit TERM; test -e /data/first || hostname > /data/first; mkdir /www; cp /data/first /www/index.html; "
    "httpd -p 8080 -h /www; while :; do sleep 0.1; done"
)


def manifests(name: str, replicas: int) -> str:
    labels = {"app": name}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 8080}]},
    }
    container = {
        "name": "c",
        "image": IMAGE,
        "command": ["sh", "-c", SERVE],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"exec": {"command": ["wget", "-qO-", "http://localhost:8080"]}, "periodSeconds": 1},
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
        },
        "volumeClaimTemplates": [claim],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, body]})


@pytest.fixture
def stateful(cluster: RunningCluster, name: str) -> Iterator[str]:
    """Two Pods that each serve the name of the first that had their claim."""
    cluster.kubectl("apply", "-f", "-", stdin=manifests(name, 2))
    rolled(cluster, name)
    yield name
    cluster.kubectl("delete", "sts,svc", "-l", f"app={name}", "--ignore-not-found")
    cluster.kubectl("delete", "sts", name, "--ignore-not-found", "--cascade=foreground")
    eventually(lambda: not cluster.get("pvc", "-l", f"app={name}")["items"], seconds=40)


def rolled(cluster: RunningCluster, name: str) -> str:
    return cluster.kubectl("rollout", "status", f"sts/{name}", "--timeout=60s", timeout=90).stdout


def pods(cluster: RunningCluster, name: str) -> dict[str, dict[str, Any]]:
    found = cluster.get("pods", "-l", f"app={name}")["items"]
    return {pod["metadata"]["name"]: pod for pod in found}


def test_each_pod_keeps_its_name_and_its_data(cluster: RunningCluster, stateful: str) -> None:
    """Found by its name from its neighbour; deleted, it comes back with what it wrote."""
    name = stateful
    head, row = (line.split() for line in cluster.kubectl("get", "sts", name).stdout.splitlines())
    assert (head, row[:2]) == (["NAME", "READY", "AGE"], [name, "2/2"])
    assert cluster.kubectl("exec", f"{name}-1", "--", "hostname").stdout == f"{name}-1\n"
    ask = ("exec", f"{name}-0", "--", "wget", "-qO-", f"http://{name}-1.{name}:8080")
    assert eventually(lambda: cluster.kubectl(*ask, check=False).stdout) == f"{name}-1\n"
    before = pods(cluster, name)[f"{name}-1"]
    cluster.kubectl("exec", f"{name}-1", "--", "sh", "-c", "echo kept > /data/first")
    cluster.kubectl("delete", "pod", f"{name}-1")
    rolled(cluster, name)
    after = pods(cluster, name)[f"{name}-1"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert eventually(lambda: cluster.kubectl(*ask, check=False).stdout == "kept\n")


def test_it_is_scaled(cluster: RunningCluster, stateful: str) -> None:
    """Up and down by kubectl scale; the claims of Pods that are gone stay for those that come."""
    name = stateful
    assert cluster.kubectl("scale", "sts", name, "--replicas=1").stdout == f"statefulset.apps/{name} scaled\n"
    eventually(lambda: list(pods(cluster, name)) == [f"{name}-0"])
    assert len(cluster.get("pvc", "-l", f"app={name}")["items"]) == 2
    cluster.kubectl("scale", "sts", name, "--current-replicas=1", "--replicas=3")
    rolled(cluster, name)
    eventually(lambda: cluster.get("sts", name)["status"].get("readyReplicas") == 3, seconds=40)
    assert sorted(pods(cluster, name)) == [f"{name}-{number}" for number in range(3)]
    said = cluster.kubectl("describe", "sts", name).stdout
    assert "Replicas:           3 desired | 3 total" in said
    assert f"create Pod {name}-0 in StatefulSet {name} successful" in said


def test_it_is_rolled_out_and_back(cluster: RunningCluster, stateful: str) -> None:
    """set env, rollout status, history and undo, restart; a partition lets it through to the last alone."""
    name = stateful

    def colors() -> list[str]:
        found = sorted(pods(cluster, name).items())
        return [env["value"] for _, pod in found for env in pod["spec"]["containers"][0].get("env", ())]

    cluster.kubectl("set", "env", f"sts/{name}", "COLOR=blue")
    assert "roll out complete: 2 new pods have been updated" in rolled(cluster, name)
    assert colors() == ["blue", "blue"]
    assert cluster.kubectl("rollout", "history", f"sts/{name}").stdout.split()[-4:] == ["1", "<none>", "2", "<none>"]
    assert "COLOR" in cluster.kubectl("rollout", "history", f"sts/{name}", "--revision=2").stdout
    assert cluster.kubectl("rollout", "undo", f"sts/{name}").stdout == f"statefulset.apps/{name} rolled back\n"
    rolled(cluster, name)
    assert colors() == []
    assert cluster.kubectl("rollout", "history", f"sts/{name}").stdout.split()[-4:] == ["2", "<none>", "3", "<none>"]
    before = {pod["metadata"]["uid"] for pod in pods(cluster, name).values()}
    cluster.kubectl("rollout", "restart", f"sts/{name}")
    rolled(cluster, name)
    assert not before & {pod["metadata"]["uid"] for pod in pods(cluster, name).values()}
    partition = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}
    cluster.kubectl("patch", "sts", name, "-p", json.dumps(partition))
    cluster.kubectl("set", "env", f"sts/{name}", "COLOR=red")
    assert "partitioned roll out complete: 1 new pods have been updated" in rolled(cluster, name)
    assert colors() == ["red"]
