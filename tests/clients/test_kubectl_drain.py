"""kubectl cordon, drain and uncordon against a budget, on real containers."""

from __future__ import annotations

import json

import pytest

from tests.running import RunningCluster, eventually, pod_manifest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


def _node(cluster: RunningCluster) -> str:
    return cluster.kubectl("get", "nodes", "-o", "name").stdout.strip().removeprefix("node/")


def test_drain_waits_for_the_budget(cluster: RunningCluster, name: str) -> None:
    """Drain cordons, is refused while the budget allows nobody to go, and empties the Node once it does."""
    node = _node(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name))
    cluster.wait_ready(name)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(budget))
    try:
        eventually(lambda: cluster.get("pdb", name).get("status", {}).get("currentHealthy") == 1)
        row = cluster.kubectl("get", "pdb", name, "--no-headers").stdout.split()
        assert row[:4] == [name, "1", "N/A", "0"]
        drain = ("drain", node, "--force", "--pod-selector", f"app={name}", "--grace-period=1")
        refused = cluster.kubectl(*drain, "--timeout=3s", check=False)
        assert refused.returncode == 1
        assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr
        assert cluster.get("node", node)["spec"]["unschedulable"] is True
        assert "SchedulingDisabled" in cluster.kubectl("get", "node", node).stdout
        assert cluster.get("pod", name)["status"]["phase"] == "Running"
        cluster.kubectl("patch", "pdb", name, "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
        done = cluster.kubectl(*drain, "--timeout=30s")
        assert "evicted" in done.stdout
        assert cluster.kubectl("get", "pod", name, check=False).returncode == 1
    finally:
        cluster.kubectl("uncordon", node)
        cluster.kubectl("delete", "pdb", name)
        cluster.kubectl("delete", "pod", name, "--now", "--ignore-not-found")
    eventually(lambda: not cluster.get("node", node)["spec"].get("taints"))


def test_drain_knows_whose_pods_come_back(cluster: RunningCluster, name: str) -> None:
    """Refused for a DaemonSet's Pod until told to ignore those; a StatefulSet's goes, and comes back to the Node."""
    node, labels = _node(cluster), {"app": name}
    pod = json.loads(pod_manifest(name))["spec"]

    def workload(kind: str, **spec: object) -> str:
        template = {"metadata": {"labels": {**labels, "of": kind}}, "spec": pod}
        selector = {"matchLabels": {**labels, "of": kind}}
        body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels}}
        return json.dumps({**body, "spec": {"selector": selector, "template": template, **spec}})

    def uid(kind: str) -> str:
        found = cluster.get("pods", "-l", f"app={name},of={kind}")["items"]
        return found[0]["metadata"]["uid"] if found else ""

    cluster.kubectl("apply", "-f", "-", stdin=workload("DaemonSet"))
    cluster.kubectl("apply", "-f", "-", stdin=workload("StatefulSet", serviceName=name))
    try:
        for kind in ("ds", "sts"):
            cluster.kubectl("rollout", "status", f"{kind}/{name}", "--timeout=60s", timeout=90)
        daemon, stateful = uid("DaemonSet"), uid("StatefulSet")
        drain = ("drain", node, "--pod-selector", f"app={name}", "--grace-period=1", "--timeout=30s")
        refused = cluster.kubectl(*drain, check=False)
        assert refused.returncode == 1
        assert "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" in refused.stderr
        assert "evicted" in cluster.kubectl(*drain, "--ignore-daemonsets").stdout
        waiting = eventually(lambda: cluster.get("pod", f"{name}-0")["status"]["phase"] == "Pending")
        assert waiting
        assert uid("DaemonSet") == daemon
        cluster.kubectl("uncordon", node)
        cluster.kubectl("rollout", "status", f"sts/{name}", "--timeout=60s", timeout=90)
        assert uid("StatefulSet") not in {"", stateful}
    finally:
        cluster.kubectl("uncordon", node)
        cluster.kubectl("delete", "ds,sts", "-l", f"app={name}", "--cascade=foreground")
    eventually(lambda: not cluster.get("node", node)["spec"].get("taints"))
