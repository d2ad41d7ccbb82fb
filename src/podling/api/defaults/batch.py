"""Defaults of Jobs, and of the CronJobs that make them."""

from __future__ import annotations

from typing import Any

from podling.api.defaults.pod import apply_pod_template

_Tree = dict[str, Any]
_FOR_EVER = 2**31 - 1


def apply_job(tree: _Tree) -> None:
    """Fill in a Job, which also shows its template's labels as its own where it has none."""
    spec = _child(tree, "spec")
    apply_job_spec(spec)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    metadata = _child(tree, "metadata")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def apply_job_spec(spec: _Tree) -> None:
    """Fill in what a Job gets: one Pod at a time and once, unless its author left the number to the Pods."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    for name, value in (
        ("parallelism", 1),
        ("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _FOR_EVER),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("podReplacementPolicy", "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"),
        ("manualSelector", False),
    ):
        if spec.get(name) is None:
            spec[name] = value
    _template(spec)


def apply_cron_job(tree: _Tree) -> None:
    """Fill in a CronJob. What its Jobs get is theirs to be given: the template's Pods alone are filled in."""
    spec = _child(tree, "spec")
    for name, value in (
        ("concurrencyPolicy", "Allow"),
        ("suspend", False),
        ("successfulJobsHistoryLimit", 3),
        ("failedJobsHistoryLimit", 1),
    ):
        if spec.get(name) is None or spec[name] == "":
            spec[name] = value
    _template(_child(_child(spec, "jobTemplate"), "spec"))


def _template(spec: _Tree) -> None:
    """Fill in what a Job's specification gets also where it is a template of Jobs."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    apply_pod_template(_child(spec, "template"))


def _child(tree: _Tree, name: str) -> _Tree:
    """Return a member that is a tree, made where there is none."""
    found: _Tree | None = tree.get(name)
    if found is None:
        found = tree[name] = {}
    return found
