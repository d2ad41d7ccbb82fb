"""kubectl on Jobs and CronJobs, in real containers."""

from __future__ import annotations

import json

import pytest

from tests.running import IMAGE, RunningCluster

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


def test_a_job_is_created_and_waited_for(cluster: RunningCluster, name: str) -> None:
    """create job, wait --for=condition=complete, logs, describe, get in both widths, and delete with its Pods."""
    cluster.kubectl("create", "job", name, f"--image={IMAGE}", "--", "echo", "done")
    cluster.kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=60s")
    assert cluster.kubectl("logs", f"job/{name}").stdout == "done\n"
    head, row = (line.split() for line in cluster.kubectl("get", "job", name).stdout.splitlines())
    assert head == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert row[:3] == [name, "Complete", "1/1"]
    wide = cluster.kubectl("get", "job", name, "-o", "wide").stdout
    assert f"batch.kubernetes.io/controller-uid={cluster.get('job', name)['metadata']['uid']}" in wide
    said = cluster.kubectl("describe", "job", name).stdout
    assert "Pods Statuses:    0 Active (0 Ready) / 1 Succeeded / 0 Failed" in said
    assert "Job completed" in said
    cluster.kubectl("delete", "job", name)
    left = json.loads(cluster.kubectl("get", "pods", "-l", f"job-name={name}", "-o", "json").stdout)
    assert left["items"] == []


def test_an_indexed_job_tells_each_pod_its_number(cluster: RunningCluster, name: str) -> None:
    """The index is in the environment and in the hostname; a Job that fails says so to who waits."""
    container = {
        "name": "c",
        "image": IMAGE,
        "command": ["sh", "-c", 'echo "$JOB_COMPLETION_INDEX $(hostname)"; test "$JOB_COMPLETION_INDEX" != 1'],
    }
    spec = {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimit": 0,
        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
    }
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    cluster.kubectl("wait", "--for=condition=failed", f"job/{name}", "--timeout=60s")
    for index in range(2):
        label = f"job-name={name},batch.kubernetes.io/job-completion-index={index}"
        assert cluster.kubectl("logs", "-l", label).stdout == f"{index} {name}-{index}\n"
    found = cluster.get("job", name)["status"]
    assert (found["completedIndexes"], found["succeeded"], found["failed"]) == ("0", 1, 1)
    cluster.kubectl("delete", "job", name)


def test_a_cron_job_is_created_and_begun_by_hand(cluster: RunningCluster, name: str) -> None:
    """create cronjob, get, describe, create job --from=cronjob, and delete with the Jobs that are its own."""
    cluster.kubectl("create", "cronjob", name, f"--image={IMAGE}", "--schedule=0 0 31 2 *", "--", "echo", "ticked")
    head, row = (line.split(maxsplit=9) for line in cluster.kubectl("get", "cj", name).stdout.splitlines())
    assert head[:6] == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST"]
    assert row[:9] == [name, "0", "0", "31", "2", "*", "<none>", "False", "0"]
    cluster.kubectl("create", "job", f"{name}-now", f"--from=cronjob/{name}")
    cluster.kubectl("wait", "--for=condition=complete", f"job/{name}-now", "--timeout=60s")
    assert cluster.kubectl("logs", f"job/{name}-now").stdout == "ticked\n"
    assert "Concurrency Policy:            Allow" in cluster.kubectl("describe", "cronjob", name).stdout
    cluster.kubectl("delete", "cronjob", name)
    cluster.kubectl("wait", "--for=delete", f"job/{name}-now", "--timeout=30s")
