"""The official Python client inside a Pod, with the in-cluster configuration: by the `kubernetes` Service, as its account."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.running import RunningCluster, eventually, pod_manifest

pytestmark = pytest.mark.root

SCRIPT = """
import json, os
from kubernetes import client, config

config.load_incluster_config()
api, found = client.CoreV1Api(), {}
name, namespace = os.environ["POD_NAME"], open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()
found["host"] = client.Configuration.get_default_copy().host
found["me"] = api.read_namespaced_pod(name, namespace).status.pod_ip
for what, ask in (
    ("list pods", lambda: api.list_namespaced_pod(namespace)),
    ("read secrets", lambda: api.list_namespaced_secret(namespace)),
    ("delete me", lambda: api.delete_namespaced_pod(name, namespace)),
    ("other namespace", lambda: api.read_namespaced_pod("x", "kube-system")),
):
    try:
        ask()
        found[what] = 200
    except client.exceptions.ApiException as refusal:
        found[what] = refusal.status
print(json.dumps(found))
"""


def python_pod(name: str, script: str) -> str:
    """A busybox Pod that borrows the machine's Python and this environment's packages, read-only, at their own paths."""
    python = Path(sys.executable).resolve()
    places = dict.fromkeys(["/usr", "/lib", "/lib64", str(python.parent.parent), sysconfig.get_path("purelib")])
    borrowed = [place for place in places if Path(place).is_dir()]
    container = {
        "name": "main",
        "image": "podling.dev/test/busybox:1",
        "command": [str(python), "-c", script],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "PYTHONPATH", "value": sysconfig.get_path("purelib")},
        ],
        "volumeMounts": [
            {"name": f"place-{number}", "mountPath": place, "readOnly": True} for number, place in enumerate(borrowed)
        ],
    }
    volumes = [{"name": f"place-{number}", "hostPath": {"path": place}} for number, place in enumerate(borrowed)]
    return pod_manifest(
        name, containers=[container], volumes=volumes, restartPolicy="Never", serviceAccountName="reader"
    )


def test_a_pod_reads_itself_and_may_do_no_more_than_its_role(cluster: RunningCluster) -> None:
    """Address and port from the Service's variables, CA and token from the mounted volume; what the role lacks is 403."""
    cluster.kubectl("create", "serviceaccount", "reader")
    cluster.kubectl("create", "role", "own-pod", "--verb=get", "--resource=pods", "--resource-name=inside")
    cluster.kubectl("create", "rolebinding", "own-pod", "--role=own-pod", "--serviceaccount=default:reader")
    cluster.kubectl("apply", "-f", "-", stdin=python_pod("inside", SCRIPT))
    phase = eventually(
        lambda: (found := cluster.get("pod", "inside")["status"]["phase"]) in ("Succeeded", "Failed") and found, 60
    )
    log = cluster.kubectl("logs", "inside").stdout
    assert phase == "Succeeded", log
    found = json.loads(log)
    assert found == {
        "host": f"https://{cluster.get('service', 'kubernetes')['spec']['clusterIP']}:443",
        "me": cluster.get("pod", "inside")["status"]["podIP"],
        "list pods": 403,
        "read secrets": 403,
        "delete me": 403,
        "other namespace": 403,
    }
