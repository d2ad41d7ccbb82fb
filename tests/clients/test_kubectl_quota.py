"""kubectl on ResourceQuotas, budgets, Ingresses and Pod templates, which it creates in protobuf."""

from __future__ import annotations

import json

import pytest

from tests.running import RunningCluster, eventually

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


@pytest.fixture
def namespace(cluster: RunningCluster, name: str):
    """A namespace, gone after the test."""
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_a_quota_is_made_shown_and_held(cluster: RunningCluster, namespace: str) -> None:
    """`create quota`, its row, its description, and the refusal of what is too much."""
    ask = ("-n", namespace)
    cluster.kubectl("create", "quota", "q", "--hard=configmaps=2,limits.cpu=1", *ask)
    eventually(lambda: "configmaps: 1/2" in cluster.kubectl("get", "quota", "q", *ask).stdout)
    header, row = cluster.kubectl("get", "quota", "q", *ask).stdout.splitlines()
    assert header.split() == ["NAME", "REQUEST", "LIMIT", "AGE"]
    assert "limits.cpu: 0/1" in row
    cluster.kubectl("create", "configmap", "one", *ask)
    described = cluster.kubectl("describe", "quota", "q", *ask).stdout.splitlines()
    assert [line.split() for line in described if line.startswith("configmaps")] == [["configmaps", "2", "2"]]
    refused = cluster.kubectl("create", "configmap", "two", *ask, check=False)
    said = "exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2"
    assert f'configmaps "two" is forbidden: {said}' in refused.stderr
    cluster.kubectl("delete", "configmap", "one", *ask)
    eventually(lambda: cluster.kubectl("create", "configmap", "two", *ask, check=False).returncode == 0)


def test_an_ingress_is_made_and_described(cluster: RunningCluster, namespace: str) -> None:
    """`create ingress` and its rules, as kubectl shows them; nobody gives it an address."""
    ask = ("-n", namespace)
    cluster.kubectl("create", "ingress", "web", "--class=none", "--rule=a.example.com/x*=web:80,tls=s", *ask)
    header, row = cluster.kubectl("get", "ingress", *ask).stdout.splitlines()
    assert header.split() == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert row.split()[:5] == ["web", "none", "a.example.com", "80,", "443"]
    described = cluster.kubectl("describe", "ingress", "web", *ask).stdout
    assert "s terminates a.example.com" in described


def test_a_budget_is_made(cluster: RunningCluster, namespace: str) -> None:
    """`create pdb`, by number and by percentage."""
    ask = ("-n", namespace)
    cluster.kubectl("create", "pdb", "a", "--selector=app=a", "--min-available=0", *ask)
    cluster.kubectl("create", "pdb", "b", "--selector=app=b", "--max-unavailable=50%", *ask)
    rows = cluster.kubectl("get", "pdb", *ask).stdout.splitlines()[1:]
    assert [row.split()[:3] for row in rows] == [["a", "0", "N/A"], ["b", "N/A", "50%"]]


def test_a_pod_template_is_applied_twice(cluster: RunningCluster, namespace: str) -> None:
    """The second time nothing changes: what the server filled in is its own."""
    inner = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    manifest = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": inner}
    apply = ("apply", "-n", namespace, "-f", "-")
    assert "created" in cluster.kubectl(*apply, stdin=json.dumps(manifest)).stdout
    assert "unchanged" in cluster.kubectl(*apply, stdin=json.dumps(manifest)).stdout
    assert cluster.kubectl("get", "podtemplates", "-n", namespace).stdout.splitlines()[1].split() == [
        "t",
        "c",
        "i",
        "a=b",
    ]
