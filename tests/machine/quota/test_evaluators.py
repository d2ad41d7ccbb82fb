"""What each kind of object is charged for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podling.api import defaults
from podling.api.resources import CONFIG_MAPS, LEASES, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES, Resource
from podling.api.times import from_wire
from podling.api.types.core_v1 import ScopedResourceSelectorRequirement
from podling.api.validation.shape import typed
from podling.quota.amounts import spelled
from podling.quota.evaluators import EVALUATORS

NOW = from_wire("2026-11-30T12:00:00Z")
ONE = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


def made(resource: Resource[Any], spec: dict, status: dict | None = None, **metadata: Any) -> Any:
    tree = copy.deepcopy(
        {"metadata": {"name": "x", "namespace": "n", **metadata}, "spec": spec, "status": status or {}}
    )
    defaults.apply(resource, tree)
    return typed(resource.type, tree)


def pod(*resources: dict, status: dict | None = None, metadata: dict | None = None, **spec: Any) -> Any:
    containers = [{"name": f"c{i}", "image": "i", "resources": each} for i, each in enumerate(resources)]
    return made(PODS, {"containers": containers, **spec}, status, **(metadata or {}))


def usage(resource: Resource[Any], obj: Any) -> dict[str, str]:
    return spelled(EVALUATORS[resource].usage(obj, NOW))


@pytest.mark.parametrize(
    ("obj", "charged"),
    [
        (pod({}), {}),
        (pod(ONE), {"cpu": "100m", "memory": "1Gi", "limits.cpu": "1", "limits.memory": "2Gi"}),
        (pod(ONE, ONE), {"cpu": "200m", "memory": "2Gi", "limits.cpu": "2", "limits.memory": "4Gi"}),
        (
            pod(ONE, initContainers=[{"name": "i", "image": "i", "resources": {"requests": {"cpu": "2"}}}]),
            {"cpu": "2", "memory": "1Gi", "limits.cpu": "1", "limits.memory": "2Gi"},
        ),
        (
            pod(ONE, overhead={"cpu": "50m", "ephemeral-storage": "1Gi"}),
            {"cpu": "150m", "memory": "1Gi", "limits.cpu": "1050m", "limits.memory": "2Gi", "ephemeral-storage": "1Gi"},
        ),
        (
            pod({}, resources={"requests": {"cpu": "3"}, "limits": {"cpu": "4"}}),
            {"cpu": "3", "limits.cpu": "4"},
        ),
        (
            pod({"limits": {"hugepages-2Mi": "4Mi", "example.com/gpu": "2", "cpu": "1"}}),
            {"cpu": "1", "limits.cpu": "1", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi", "requests.example.com/gpu": "2"},
        ),
        (
            pod(ONE, status={"phase": "Running", "containerStatuses": [{"name": "c0", "image": "", "imageID": "", "ready": True, "restartCount": 0, "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "3"}}}]}),
            {"cpu": "500m", "memory": "1Gi", "limits.cpu": "3", "limits.memory": "2Gi"},
        ),
    ],
    ids=["nothing", "one", "two", "init", "overhead", "pod", "others", "resizing"],
)  # fmt: skip
def test_what_a_pod_is_charged_for(obj: Any, charged: dict[str, str]) -> None:
    """What its containers need at one time, under every name that quotas have for it."""
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in charged:
            charged[f"requests.{name}"] = charged[name]
    assert usage(PODS, obj) == {"pods": "1", "count/pods": "1", **charged}


@pytest.mark.parametrize(
    ("phase", "deleted", "runs"),
    [
        ("Running", "", True),
        ("Succeeded", "", False),
        ("Failed", "", False),
        ("Running", "2026-11-30T11:59:50Z", True),
        ("Running", "2026-11-30T11:59:40Z", False),
    ],
)
def test_how_long_a_pod_counts(phase: str, deleted: str, runs: bool) -> None:
    """A Pod that is over counts as an object alone, and so does one that is a whole grace late to go."""
    gone = {"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 20} if deleted else {}
    found = pod({"requests": {"cpu": "1"}}, status={"phase": phase}, metadata=gone)
    assert usage(PODS, found).get("pods") == ("1" if runs else None)
    assert usage(PODS, found)["count/pods"] == "1"
    until = EVALUATORS[PODS].counts_until(found)
    assert until == (from_wire(deleted) + 20 if deleted else None)


NAMES = ["cpu", "limits.memory", "pods", "requests.example.com/gpu", "example.com/gpu", "count/pods", "count/secrets",
         "services.nodeports", "count/services", "persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage",
         "requests.storage", "count/leases.coordination.k8s.io", "configmaps", "hugepages-2Mi"]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (PODS, ["count/pods", "cpu", "hugepages-2Mi", "limits.memory", "pods", "requests.example.com/gpu"]),
        (SERVICES, ["count/services", "services.nodeports"]),
        (PERSISTENT_VOLUME_CLAIMS, ["gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims", "requests.storage"]),
        (CONFIG_MAPS, ["configmaps"]),
        (LEASES, ["count/leases.coordination.k8s.io"]),
    ],
    ids=["pods", "services", "claims", "configmaps", "leases"],
)  # fmt: skip
def test_which_names_a_kind_is_charged_by(resource: Resource[Any], names: list[str]) -> None:
    """Each kind has its own, and all have `count/…`."""
    assert EVALUATORS[resource].matching(NAMES) == names


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 1}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{"port": 1}]}, "1", "1"),
        (
            {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]},
            "1",
            "1",
        ),
        ({"type": "ExternalName", "externalName": "a"}, "0", "0"),
    ],
)  # fmt: skip
def test_what_a_service_is_charged_for(spec: dict, ports: str, balancers: str) -> None:
    """Node ports as it will have them, and a load balancer where it asks for one."""
    assert usage(SERVICES, made(SERVICES, spec)) == {
        "services": "1", "count/services": "1", "services.nodeports": ports, "services.loadbalancers": balancers,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "allocated", "storage"),
    [("1Gi", None, "1Gi"), ("1.5", None, "2"), ("1Gi", "3Gi", "3Gi"), ("3Gi", "1Gi", "3Gi")],
)
def test_what_a_claim_is_charged_for(asked: str, allocated: str | None, storage: str) -> None:
    """Whole bytes; the larger where an expansion is under way; all of it to its class once more."""
    status = {"allocatedResources": {"storage": allocated}} if allocated else {}
    spec = {"resources": {"requests": {"storage": asked}}, "storageClassName": "gold"}
    both = {"persistentvolumeclaims": "1", "requests.storage": storage}
    of_class = {f"gold.storageclass.storage.k8s.io/{name}": amount for name, amount in both.items()}
    found = usage(PERSISTENT_VOLUME_CLAIMS, made(PERSISTENT_VOLUME_CLAIMS, spec, status))
    assert found == {"count/persistentvolumeclaims": "1", **both, **of_class}


TERM = {"labelSelector": {}, "topologyKey": "k"}


@pytest.mark.parametrize(
    ("spec", "scopes"),
    [
        ({}, ["BestEffort", "NotTerminating"]),
        ({"resources": {"requests": {"cpu": "1"}}}, ["NotBestEffort", "NotTerminating"]),
        ({"activeDeadlineSeconds": 5}, ["BestEffort", "Terminating"]),
        ({"priorityClassName": "high"}, ["BestEffort", "NotTerminating", "PriorityClass"]),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM | {"namespaces": ["a"]}]}}},
            ["BestEffort", "CrossNamespacePodAffinity", "NotTerminating"],
        ),
        (
            {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": TERM}]}}},
            ["BestEffort", "NotTerminating"],
        ),
    ],
)  # fmt: skip
def test_the_scopes_of_a_pod(spec: dict, scopes: list[str]) -> None:
    """Each Pod is in one scope of each pair, and in others as it asks."""
    every = (
        "BestEffort",
        "CrossNamespacePodAffinity",
        "NotBestEffort",
        "NotTerminating",
        "PriorityClass",
        "Terminating",
        "VolumeAttributesClass",
    )
    terms = [ScopedResourceSelectorRequirement(operator="Exists", scope_name=name) for name in every]
    found = pod({}, **spec)
    assert [term.scope_name for term in terms if EVALUATORS[PODS].in_scope(term, found)] == scopes
    assert not any(EVALUATORS[CONFIG_MAPS].in_scope(term, None) for term in terms)


@pytest.mark.parametrize(
    ("resources", "own", "said"),
    [
        ([ONE], {}, ""),
        ([{}], {}, "must specify limits.cpu for: c0; memory for: c0"),
        ([ONE, {"requests": {"memory": "1"}}, {}], {}, "must specify limits.cpu for: c1,c2; memory for: c2"),
        ([{}], {"resources": ONE}, ""),
    ],
)
def test_what_a_pod_has_to_say(resources: list[dict], own: dict, said: str) -> None:
    """Where a quota names CPU or memory, each container must; of all else a Pod may be silent."""
    names = ["limits.cpu", "memory", "pods", "ephemeral-storage"]
    assert EVALUATORS[PODS].missing(names, pod(*resources, **own)) == said
