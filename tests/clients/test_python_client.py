"""The official Python client over HTTPS: create, watch, exec, port-forward, delete."""

from __future__ import annotations

import warnings

import pytest

from tests.running import IMAGE, RunningCluster

pytestmark = [
    pytest.mark.root,
    # The library leaves its watch's and its stream's sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

kubernetes = pytest.importorskip("kubernetes", reason="the official Python client is not installed")


@pytest.fixture
def core(cluster: RunningCluster):
    warnings.simplefilter("ignore", DeprecationWarning)
    client = kubernetes.config.new_client_from_config(str(cluster.data / "kubeconfig"))
    yield kubernetes.client.CoreV1Api(client)
    client.close()


def test_a_pods_life(core, name: str) -> None:
    """Create, watch until Ready, read logs, exec, delete, and see it go."""
    container = kubernetes.client.V1Container(name="main", image=IMAGE, command=["sh", "-c", "echo hi; sleep 3600"])
    body = kubernetes.client.V1Pod(
        metadata=kubernetes.client.V1ObjectMeta(name=name, labels={"app": name}),
        spec=kubernetes.client.V1PodSpec(containers=[container], termination_grace_period_seconds=1),
    )
    core.create_namespaced_pod("default", body)
    phases = []
    watch = kubernetes.watch.Watch()
    selector = f"app={name}"
    for event in watch.stream(core.list_namespaced_pod, "default", label_selector=selector, timeout_seconds=30):
        phases.append(event["object"].status.phase)
        conditions = {one.type: one.status for one in event["object"].status.conditions or []}
        if conditions.get("Ready") == "True":
            watch.stop()
    assert phases[0] == "Pending"
    assert phases[-1] == "Running"
    assert core.read_namespaced_pod_log(name, "default") == "hi\n"
    from kubernetes.stream import stream

    out = stream(core.connect_get_namespaced_pod_exec, name, "default", command=["echo", "from exec"],
                 stdout=True, stderr=True, stdin=False, tty=False)  # fmt: skip
    assert out == "from exec\n"
    core.delete_namespaced_pod(name, "default")
    for event in watch.stream(core.list_namespaced_pod, "default", label_selector=selector, timeout_seconds=30):
        if event["type"] == "DELETED":
            watch.stop()
    with pytest.raises(kubernetes.client.ApiException) as refusal:
        core.read_namespaced_pod(name, "default")
    assert refusal.value.status == 404


def test_refusals_are_statuses(core) -> None:
    """A conflict and an invalid object come as the Status that clients read."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name"}}
    with pytest.raises(kubernetes.client.ApiException) as refusal:
        core.create_namespaced_config_map("default", body)
    assert refusal.value.status == 422
    assert "RFC 1123" in refusal.value.body
