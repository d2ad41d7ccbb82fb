"""kubectl, as people use it, against the running server."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.running import IMAGE, RunningCluster, eventually, forwarded_pages, pod_manifest, terminal

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


def test_apply_creates_then_configures_then_leaves_unchanged(cluster: RunningCluster, name: str) -> None:
    """apply creates, patches what changed, and says unchanged the second time."""
    manifest = json.loads(pod_manifest(name))
    assert "created" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    assert "unchanged" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    manifest["metadata"]["labels"]["more"] = "yes"
    assert "configured" in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest)).stdout
    assert cluster.get("pod", name)["metadata"]["labels"]["more"] == "yes"
    cluster.kubectl("delete", "pod", name, "--now")


def test_apply_refuses_unknown_fields_strictly(cluster: RunningCluster, name: str) -> None:
    """A misspelt field is refused by strict validation, with its path."""
    manifest = pod_manifest(name, restartPolcy="Never")
    refused = cluster.kubectl("apply", "-f", "-", stdin=manifest, check=False)
    assert refused.returncode == 1
    assert 'unknown field "spec.restartPolcy"' in refused.stderr


def test_get_in_every_form(cluster: RunningCluster, pod: str) -> None:
    """get prints tables, wide ones, YAML, JSON paths and custom columns."""
    table = cluster.kubectl("get", "pods").stdout
    assert table.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    row = next(line for line in table.splitlines() if line.startswith(pod)).split()
    assert row[1:4] == ["1/1", "Running", "0"]
    wide = cluster.kubectl("get", "pod", pod, "-o", "wide").stdout
    assert wide.splitlines()[0].split()[5:7] == ["IP", "NODE"]
    assert f"name: {pod}" in cluster.kubectl("get", "pod", pod, "-o", "yaml").stdout
    assert cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}").stdout == "Running"
    columns = cluster.kubectl(
        "get", "pod", pod, "--no-headers", "-o", "custom-columns=A:.metadata.name,B:.spec.nodeName"
    )
    assert columns.stdout.split()[0] == pod
    assert cluster.kubectl("get", "pods", "-l", f"app={pod}", "-o", "name").stdout.strip() == f"pod/{pod}"
    assert cluster.kubectl("get", "nodes").stdout.splitlines()[1].split()[1] == "Ready"
    assert "kube-system" in cluster.kubectl("get", "ns").stdout


def test_policies_are_listed_and_described(cluster: RunningCluster, name: str) -> None:
    """`netpol` is listed by its selector and described rule by rule; an impossible range is refused in upstream's words."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": name}},
            "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80, "endPort": 90}]}],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    head, row = cluster.kubectl("get", "netpol", name).stdout.splitlines()
    assert (head.split(), row.split()[:2]) == (["NAME", "POD-SELECTOR", "AGE"], [name, f"app={name}"])
    text = cluster.kubectl("describe", "netpol", name).stdout
    for words in ("To Port Range: 80-90/TCP", "CIDR: 10.0.0.0/8", "Policy Types: Ingress"):
        assert words in text, text
    policy["spec"]["ingress"][0]["ports"][0]["endPort"] = 70  # type: ignore[index]
    refused = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy), check=False)
    assert "spec.ingress[0].ports[0].endPort" in refused.stderr
    assert "must be greater than or equal to `port`" in refused.stderr
    cluster.kubectl("delete", "netpol", name)


def test_describe_tells_the_whole_story(cluster: RunningCluster, pod: str) -> None:
    """describe shows state, conditions and the events from Scheduled to Started."""
    text = cluster.kubectl("describe", "pod", pod).stdout
    for word in ("Status:", "Running", "PodScheduled", "Scheduled", "Pulled", "Created", "Started", "QoS Class:"):
        assert word in text
    node = cluster.kubectl("describe", "node").stdout
    for word in ("MemoryPressure", "Allocatable", "Non-terminated Pods"):
        assert word in node


def test_logs_and_follow(cluster: RunningCluster, name: str) -> None:
    """logs prints what was written; -f goes on until the container ends."""
    command = ("sh", "-c", "echo one; sleep 1; echo two; sleep 1; echo three")
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, *command, restartPolicy="Never"))
    eventually(lambda: cluster.get("pod", name)["status"]["phase"] != "Pending")
    assert cluster.kubectl("logs", "-f", name).stdout.split() == ["one", "two", "three"]
    assert cluster.kubectl("logs", name, "--tail=1").stdout == "three\n"
    assert cluster.kubectl("logs", name, "--timestamps").stdout.split()[1] == "one"
    cluster.kubectl("delete", "pod", name, "--now")


def test_exec_carries_output_input_and_exit_codes(cluster: RunningCluster, pod: str) -> None:
    """exec returns both streams, the exit code, and what is fed in."""
    done = cluster.kubectl("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n")
    assert cluster.kubectl("exec", "-i", pod, "--", "wc", "-c", stdin="x" * 300_000).stdout.strip() == "300000"
    missing = cluster.kubectl("exec", pod, "--", "nosuchcommand", check=False)
    assert missing.returncode != 0
    assert "nosuchcommand" in missing.stderr


def test_exec_gives_a_terminal(cluster: RunningCluster, pod: str) -> None:
    """exec -it is a terminal: it has a name, echoes, and ends with the shell."""
    shown, code = terminal(cluster, pod)
    assert b"/dev/pts/" in shown
    assert b"done-42" in shown
    assert code == 3


def test_attach_sees_what_is_written(cluster: RunningCluster, name: str) -> None:
    """attach joins a running container's output."""
    command = ("sh", "-c", "while true; do echo tick; sleep 0.2; done")
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, *command))
    cluster.wait_ready(name)
    process = subprocess.Popen(
        ["kubectl", "--kubeconfig", str(cluster.data / "kubeconfig"), "attach", name],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"tick"
    process.kill()
    process.wait()
    process.stdout.close()
    cluster.kubectl("delete", "pod", name, "--now")


def test_cp_both_ways(cluster: RunningCluster, pod: str, tmp_path: Path) -> None:
    """cp takes a file in and brings it back the same."""
    (tmp_path / "in").write_bytes(os.urandom(200_000))
    cluster.kubectl("cp", str(tmp_path / "in"), f"{pod}:/tmp/file")
    cluster.kubectl("cp", f"{pod}:/tmp/file", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_port_forward_reaches_the_container(cluster: RunningCluster, name: str) -> None:
    """port-forward brings a port of the Pod to the client's loopback, several times over."""
    command = ("sh", "-c", "mkdir -p /w; echo hello from inside > /w/index.html; exec httpd -f -p 8080 -h /w")
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, *command))
    cluster.wait_ready(name)
    assert forwarded_pages(cluster, name) == ["hello from inside\n"] * 2
    cluster.kubectl("delete", "pod", name, "--now")


def test_label_annotate_and_patch(cluster: RunningCluster, pod: str) -> None:
    """label, annotate and every kind of patch change what they say, and nothing else."""
    cluster.kubectl("label", "pod", pod, "tier=web")
    cluster.kubectl("annotate", "pod", pod, "note=hello world")
    cluster.kubectl("patch", "pod", pod, "--type=merge", "-p", '{"metadata":{"labels":{"merged":"1"}}}')
    cluster.kubectl(
        "patch", "pod", pod, "--type=json", "-p", '[{"op":"add","path":"/metadata/labels/added","value":"2"}]'
    )
    image = json.dumps({"spec": {"containers": [{"name": "main", "image": IMAGE}]}})
    cluster.kubectl("patch", "pod", pod, "-p", image)
    metadata = cluster.get("pod", pod)["metadata"]
    assert metadata["labels"] == {"app": pod, "tier": "web", "merged": "1", "added": "2"}
    assert metadata["annotations"]["note"] == "hello world"
    cluster.kubectl("label", "pod", pod, "tier-")
    assert "tier" not in cluster.get("pod", pod)["metadata"]["labels"]


def test_edit_writes_back(cluster: RunningCluster, pod: str, tmp_path: Path) -> None:
    """edit patches what the editor changed."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/^  labels:$/  labels:\\n    edited: "yes"/\' "$1"\n')
    editor.chmod(0o755)
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.data / "kubeconfig"), "edit", "pod", pod],
        env={**os.environ, "KUBE_EDITOR": str(editor)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "edited" in done.stdout, done.stderr
    assert cluster.get("pod", pod)["metadata"]["labels"]["edited"] == "yes"


def test_wait_and_delete(cluster: RunningCluster, name: str) -> None:
    """wait returns when a Pod is Ready and when it is gone."""
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name))
    cluster.wait_ready(name)
    cluster.kubectl("delete", "pod", name, "--wait=false")
    cluster.kubectl("wait", "--for=delete", f"pod/{name}", "--timeout=20s")
    gone = cluster.kubectl("get", "pod", name, check=False)
    assert f'pods "{name}" not found' in gone.stderr


def test_explain_reads_the_published_schema(cluster: RunningCluster) -> None:
    """explain knows each field with its type and its description."""
    text = cluster.kubectl("explain", "pod.spec.containers.imagePullPolicy").stdout
    assert "imagePullPolicy" in text
    assert "IfNotPresent" in text
    assert "terminationGracePeriodSeconds" in cluster.kubectl("explain", "pod.spec", "--recursive").stdout


def test_api_resources_and_versions(cluster: RunningCluster) -> None:
    """api-resources lists kinds with short names, scope and verbs."""
    text = cluster.kubectl("api-resources", "-o", "wide").stdout
    pods = next(line for line in text.splitlines() if line.startswith("pods ")).split()
    assert pods[1:5] == ["po", "v1", "true", "Pod"]
    assert "rbac.authorization.k8s.io/v1" in cluster.kubectl("api-versions").stdout
    assert "Server Version" in cluster.kubectl("version").stdout


def test_auth_can_i(cluster: RunningCluster) -> None:
    """auth can-i answers for the administrator and for somebody else."""
    assert cluster.kubectl("auth", "can-i", "delete", "pods").stdout.strip() == "yes"
    other = cluster.kubectl("auth", "can-i", "delete", "pods", "--as=nobody", check=False)
    assert other.stdout.strip() == "no"
    listed = cluster.kubectl("auth", "can-i", "--list", "--as=nobody").stdout
    assert "selfsubjectaccessreviews" in listed
    assert "system:masters" in cluster.kubectl("auth", "whoami").stdout


def test_events_of_one_object(cluster: RunningCluster, pod: str) -> None:
    """events lists what happened to an object, in order."""
    help_text = cluster.kubectl("--help").stdout
    if "\n  events " not in help_text:
        pytest.skip("this kubectl has no `events` command (it came with 1.26)")
    eventually(lambda: "Started" in cluster.kubectl("events", "--for", f"pod/{pod}").stdout)
    assert "Scheduled" in cluster.kubectl("events", "--for", f"pod/{pod}").stdout


def test_run_create_and_delete_a_namespace(cluster: RunningCluster, name: str) -> None:
    """A namespace gets its ServiceAccount and CA, and takes what is in it along when it goes."""
    cluster.kubectl("create", "namespace", name)
    eventually(lambda: cluster.kubectl("get", "sa", "default", "-n", name, check=False).returncode == 0)
    eventually(lambda: cluster.kubectl("get", "cm", "kube-root-ca.crt", "-n", name, check=False).returncode == 0)
    cluster.kubectl("apply", "-n", name, "-f", "-", stdin=pod_manifest("web", terminationGracePeriodSeconds=1))
    cluster.kubectl("create", "configmap", "some", "--from-literal=a=b", "-n", name)
    cluster.kubectl("create", "secret", "generic", "other", "--from-literal=a=b", "-n", name)
    cluster.kubectl("delete", "namespace", name, "--timeout=60s", timeout=90)
    assert cluster.kubectl("get", "ns", name, check=False).returncode == 1


def test_dry_run_and_diff_write_nothing(cluster: RunningCluster, name: str) -> None:
    """A server-side dry run answers as if, and stores nothing."""
    done = cluster.kubectl("create", "-f", "-", "--dry-run=server", "-o", "name", stdin=pod_manifest(name))
    assert done.stdout.strip() == f"pod/{name}"
    assert cluster.kubectl("get", "pod", name, check=False).returncode == 1


def test_get_watches(cluster: RunningCluster, name: str) -> None:
    """get -w prints each change as it comes."""
    process = subprocess.Popen(
        ["kubectl", "--kubeconfig", str(cluster.data / "kubeconfig"), "get", "pods", "-w", "-l", f"app={name}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    time.sleep(0.5)
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name))
    cluster.wait_ready(name)
    cluster.kubectl("delete", "pod", name, "--now")
    time.sleep(0.5)
    process.terminate()
    text = process.stdout.read()
    process.wait()
    process.stdout.close()
    states = [line.split()[2] for line in text.splitlines() if line.startswith(name)]
    assert states[0] in {"Pending", "ContainerCreating"}
    assert "Running" in states
