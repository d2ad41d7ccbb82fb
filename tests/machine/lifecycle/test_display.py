"""How a Pod is shown in one line."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.times import from_wire
from podling.api.types.core_v1 import Pod
from podling.lifecycle.display import display, readiness_gates_text

NOW = from_wire("2026-11-23T12:00:00Z")


def running(ready: bool = True, restarts: int = 0, ended: str = "") -> dict[str, Any]:
    return container({"running": {}}, ready, restarts, ended)


def container(
    state: dict[str, Any], ready: bool = False, restarts: int = 0, ended: str = "", **more: Any
) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "finishedAt": ended}} if ended else {}
    base = {"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": restarts}
    return base | {"state": state, "lastState": last} | more


def pod(status: dict[str, Any], *, containers: int = 1, inits: list[dict[str, Any]] | None = None, **meta: Any) -> Pod:
    spec: dict[str, Any] = {"containers": [{"name": f"c{i}"} for i in range(containers)]}
    if inits:
        spec["initContainers"] = inits
    return from_tree(Pod, {"metadata": {"name": "p", **meta}, "spec": spec, "status": status})


READY = {"type": "Ready", "status": "True"}
DELETED = {"deletionTimestamp": "2026-11-23T11:59:00Z"}
INIT = [{"name": "i0"}, {"name": "i1"}]
SIDECAR = [{"name": "s", "restartPolicy": "Always"}]

CASES: list[tuple[str, Pod, tuple[str, str, str]]] = [
    ("pending", pod({"phase": "Pending"}), ("0/1", "Pending", "0")),
    (
        "gated",
        pod(
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }
        ),
        ("0/1", "SchedulingGated", "0"),
    ),
    (
        "creating",
        pod({"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": "ContainerCreating"}})]}),
        ("0/1", "ContainerCreating", "0"),
    ),
    ("running", pod({"phase": "Running", "containerStatuses": [running()]}), ("1/1", "Running", "0")),
    (
        "restarted",
        pod({"phase": "Running", "containerStatuses": [running(restarts=3, ended="2026-11-23T11:55:00Z")]}),
        ("1/1", "Running", "3 (5m ago)"),
    ),
    (
        "crash loop, the first container's word wins",
        pod(
            {
                "phase": "Running",
                "containerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=2), running()],
            },
            containers=2,
        ),
        ("1/2", "CrashLoopBackOff", "2"),
    ),
    (
        "completed",
        pod(
            {
                "phase": "Succeeded",
                "containerStatuses": [container({"terminated": {"exitCode": 0, "reason": "Completed"}})],
            }
        ),
        ("0/1", "Completed", "0"),
    ),
    (
        "one completed, one running and ready",
        pod(
            {
                "phase": "Running",
                "conditions": [READY],
                "containerStatuses": [container({"terminated": {"exitCode": 0, "reason": "Completed"}}), running()],
            },
            containers=2,
        ),
        ("1/2", "Running", "0"),
    ),
    (
        "one completed, one running, not ready",
        pod(
            {
                "phase": "Running",
                "containerStatuses": [container({"terminated": {"exitCode": 0, "reason": "Completed"}}), running()],
            },
            containers=2,
        ),
        ("1/2", "NotReady", "0"),
    ),
    (
        "ended without a reason",
        pod({"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 7}})]}),
        ("0/1", "ExitCode:7", "0"),
    ),
    (
        "ended by a signal",
        pod({"phase": "Failed", "containerStatuses": [container({"terminated": {"exitCode": 137, "signal": 9}})]}),
        ("0/1", "Signal:9", "0"),
    ),
    ("evicted", pod({"phase": "Failed", "reason": "Evicted"}), ("0/1", "Evicted", "0")),
    (
        "initializing",
        pod(
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    container({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                    container({"running": {}}),
                ],
                "containerStatuses": [container({"waiting": {"reason": "PodInitializing"}})],
            },
            inits=INIT,
        ),
        ("0/1", "Init:1/2", "0"),
    ),
    (
        "initialization failed",
        pod(
            {"phase": "Pending", "initContainerStatuses": [container({"terminated": {"exitCode": 2}}, restarts=1)]},
            inits=INIT,
        ),
        ("0/1", "Init:ExitCode:2", "1"),
    ),
    (
        "initialization in back-off",
        pod(
            {"phase": "Pending", "initContainerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}})]},
            inits=INIT,
        ),
        ("0/1", "Init:CrashLoopBackOff", "0"),
    ),
    (
        "a started sidecar counts, an ended init container's restarts do not",
        pod(
            {
                "phase": "Running",
                "initContainerStatuses": [container({"running": {}}, True, 4, name="s", started=True)],
                "containerStatuses": [running(restarts=1)],
            },
            inits=SIDECAR,
        ),
        ("2/2", "Running", "5"),
    ),
    (
        "terminating",
        pod({"phase": "Running", "containerStatuses": [running()]}, **DELETED),
        ("1/1", "Terminating", "0"),
    ),
    ("over, though being deleted", pod({"phase": "Failed", "reason": "Evicted"}, **DELETED), ("0/1", "Evicted", "0")),
    ("its node is lost", pod({"phase": "Running", "reason": "NodeLost"}, **DELETED), ("0/1", "Unknown", "0")),
]


@pytest.mark.parametrize(("shown", "expected"), [pytest.param(p, e, id=name) for name, p, e in CASES])
def test_line(shown: Pod, expected: tuple[str, str, str]) -> None:
    """READY, STATUS and RESTARTS are what upstream's printer prints."""
    line = display(shown)
    assert (f"{line.ready}/{line.total}", line.status, line.restarts_text(NOW)) == expected


def test_readiness_gates() -> None:
    """A gate counts once its condition is true; without gates there is nothing to count."""
    tree = {
        "spec": {"containers": [], "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        "status": {"conditions": [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}]},
    }
    assert readiness_gates_text(from_tree(Pod, tree)) == "1/2"
    assert readiness_gates_text(pod({})) == "<none>"
