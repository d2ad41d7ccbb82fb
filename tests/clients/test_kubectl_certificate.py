"""kubectl on requests for certificates, from the request to the call that is made with its answer."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from tests.requests import body, request
from tests.running import RunningCluster, eventually

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


def test_a_user_is_let_in_by_a_certificate(cluster: RunningCluster, name: str, tmp_path: Path) -> None:
    """`certificate approve`, the answer, and who its bearer is to the cluster."""
    pem, key = request(f"jane-{name}", ("friends",))
    made = body(name, "kubernetes.io/kube-apiserver-client", pem, expirationSeconds=3600)
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    row = cluster.kubectl("get", "csr", name).stdout.splitlines()[1].split()
    assert [row[0], *row[2:]] == [name, "kubernetes.io/kube-apiserver-client", "kubernetes-admin", "60m", "Pending"]
    assert "approved" in cluster.kubectl("certificate", "approve", name).stdout
    eventually(lambda: "Approved,Issued" in cluster.kubectl("get", "csr", name).stdout)
    assert f"jane-{name}" in cluster.kubectl("describe", "csr", name).stdout
    (tmp_path / "tls.crt").write_bytes(base64.b64decode(cluster.get("csr", name)["status"]["certificate"]))
    (tmp_path / "tls.key").write_bytes(key)
    shutil.copy(cluster.data / "kubeconfig", tmp_path / "kubeconfig")
    asked = ("--kubeconfig", str(tmp_path / "kubeconfig"), "--user", "jane")
    files = ("--client-certificate", str(tmp_path / "tls.crt"), "--client-key", str(tmp_path / "tls.key"))
    cluster.kubectl("config", "set-credentials", "jane", *files, *asked[:2])
    user = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", *asked).stdout)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == (f"jane-{name}", ["friends", "system:authenticated"])
    refused = cluster.kubectl("get", "pods", *asked, check=False)
    assert f'User "jane-{name}" cannot list resource "pods"' in refused.stderr


def test_a_request_is_denied(cluster: RunningCluster, name: str) -> None:
    """And stays so."""
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(body(name)))
    assert "denied" in cluster.kubectl("certificate", "deny", name).stdout
    assert cluster.kubectl("get", "csr", name).stdout.split()[-1] == "Denied"
    refused = cluster.kubectl("certificate", "approve", name, check=False)
    assert refused.returncode == 1
    assert "is already Denied" in refused.stderr
