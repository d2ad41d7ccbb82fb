"""The states of a Pod: each looks as the table says, and is told from the object alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Pod
from podling.lifecycle.display import status_text
from podling.lifecycle.stages import POD, SHOWN, PodStage, stage_of

DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
BAD = {"terminated": {"exitCode": 3, "reason": "Error"}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
RUNS = {"running": {}}
READY = {"type": "Ready", "status": "True"}
INITIALIZED = {"type": "Initialized", "status": "True"}


def waits(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def status(phase: str, *mains: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    def one(name: str, state: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "image": "i",
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }

    return {
        "phase": phase,
        "containerStatuses": [one(f"c{n}", state) for n, state in enumerate(mains)],
        "initContainerStatuses": [one(f"i{n}", state) for n, state in enumerate(inits)],
        **more,
    }


GATED = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}

CASES: list[tuple[PodStage, dict[str, Any], str]] = [
    (PodStage.GATED, status("Pending", conditions=[GATED]), "SchedulingGated"),
    (PodStage.PENDING, status("Pending"), "Pending"),
    (PodStage.CREATING, status("Pending", waits("ContainerCreating")), "ContainerCreating"),
    (PodStage.INIT, status("Pending", waits("PodInitializing"), inits=(RUNS,)), "Init:0/1"),
    (PodStage.INIT_ERROR, status("Pending", waits("PodInitializing"), inits=(BAD,)), "Init:Error"),
    (PodStage.INIT_CRASH_LOOP, status("Pending", waits("PodInitializing"), inits=(waits("CrashLoopBackOff"),)), "Init:CrashLoopBackOff"),
    (PodStage.INITIALIZING, status("Pending", waits("PodInitializing"), inits=(DONE,)), "PodInitializing"),
    (PodStage.ERR_IMAGE_PULL, status("Pending", waits("ErrImagePull")), "ErrImagePull"),
    (PodStage.ERR_IMAGE_PULL, status("Pending", waits("PodInitializing"), inits=(waits("ErrImagePull"),)), "Init:ErrImagePull"),
    (PodStage.IMAGE_PULL_BACK_OFF, status("Running", waits("ImagePullBackOff")), "ImagePullBackOff"),
    (PodStage.CONFIG_ERROR, status("Pending", waits("CreateContainerConfigError")), "CreateContainerConfigError"),
    (PodStage.CREATE_ERROR, status("Pending", waits("CreateContainerError")), "CreateContainerError"),
    (PodStage.RUN_ERROR, status("Pending", waits("RunContainerError")), "RunContainerError"),
    (PodStage.RUNNING, status("Running", RUNS, conditions=[READY]), "Running"),
    (PodStage.RUNNING, status("Running", RUNS), "Running"),
    (PodStage.NOT_READY, status("Running", DONE, RUNS), "NotReady"),
    (PodStage.ERROR, status("Running", BAD), "Error"),
    (PodStage.OOM_KILLED, status("Running", OOM), "OOMKilled"),
    (PodStage.COMPLETED, status("Running", DONE), "Completed"),
    (PodStage.CRASH_LOOP, status("Running", waits("CrashLoopBackOff")), "CrashLoopBackOff"),
    (PodStage.SUCCEEDED, status("Succeeded", DONE), "Completed"),
    (PodStage.FAILED, status("Failed", BAD), "Error"),
    (PodStage.FAILED, status("Failed", reason="DeadlineExceeded"), "DeadlineExceeded"),
    (PodStage.EVICTED, status("Failed", reason="Evicted"), "Evicted"),
    (PodStage.UNKNOWN, status("Unknown"), "Unknown"),
    (PodStage.UNKNOWN, status("Running", RUNS, reason="NodeLost", deleted=True), "Unknown"),
    (PodStage.TERMINATING, status("Running", RUNS, deleted=True), "Terminating"),
    (PodStage.TERMINATING, status("Succeeded", DONE, deleted=True), "Completed"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "told", "text"), CASES, ids=[f"{s.name}-{n}" for n, (s, _, _) in enumerate(CASES)])
def test_each_state_looks_as_the_table_says(stage, told, text):
    """Phase and STATUS of a Pod in a state are among those of its row, and lead back to the state."""
    told = dict(told)
    meta = {"name": "p", **({"deletionTimestamp": "2026-11-23T11:59:00Z"} if told.pop("deleted", False) else {})}
    spec = {
        "containers": [{"name": s["name"]} for s in told["containerStatuses"]] or [{"name": "c0"}],
        "initContainers": [{"name": s["name"]} for s in told["initContainerStatuses"]],
    }
    pod = from_tree(Pod, {"metadata": meta, "spec": spec, "status": told})
    assert stage_of(pod) is stage
    assert status_text(pod) == text
    assert told["phase"] in SHOWN[stage].phases
    assert "…" in SHOWN[stage].status or re.sub(r"\d+/\d+", "N/M", text) in SHOWN[stage].status


def test_every_state_is_in_the_table_and_tried():
    """No state without a row, none that is shown without a case here; create and gone have no object to look at."""
    assert set(SHOWN) == set(PodStage) == set(POD.table)
    assert {stage for stage, _, _ in CASES} == {stage for stage, shown in SHOWN.items() if shown.phases}


def test_every_state_leads_to_gone():
    """Whatever happens to a Pod, deletion ends it."""
    for stage in PodStage:
        if stage in (PodStage.CREATE, PodStage.GONE):
            continue
        targets = {target for source, _, target in POD.edges() if source is stage}
        assert PodStage.GONE in targets
        assert stage in (PodStage.TERMINATING, PodStage.UNKNOWN) or PodStage.TERMINATING in targets
