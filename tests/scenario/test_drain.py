"""A Node is cordoned and drained as kubectl does it, against a budget."""

from __future__ import annotations

import pytest

from podling.api.errors import StatusError
from podling.api.resources import NODES, POD_DISRUPTION_BUDGETS, PODS
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def pod(name, node="node-0", **spec):
    container = {"name": "c", "image": "web"}
    script = '{"c": {"runs": [{"ignoresSigterm": true}]}}'
    meta = {
        "name": name,
        "namespace": "default",
        "labels": {"app": "web"},
        "annotations": {SCRIPT_ANNOTATION: script},
    }
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 10, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def budget(name="web", labels=None, **spec):
    selector = {"matchLabels": labels or {"app": "web"}}
    meta = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": {"selector": selector, **spec},
    }


def status(cluster, name="web"):
    held = cluster.get(POD_DISRUPTION_BUDGETS, name).status
    return held.current_healthy, held.desired_healthy, held.expected_pods, held.disruptions_allowed


def condition(cluster, name="web"):
    (held,) = cluster.get(POD_DISRUPTION_BUDGETS, name).status.conditions
    return held.type, held.status, held.reason


def is_ready(cluster, name):
    found = cluster.get(PODS, name)
    return found is not None and any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)


def leaving(cluster, *names):
    found = [(name, cluster.get(PODS, name)) for name in names]
    return [name for name, pod in found if pod is None or pod.metadata.deletion_timestamp]


async def evict(cluster, name, **options):
    meta = {"name": name, "namespace": "default"}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    if options:
        body["deleteOptions"] = options
    await cluster.client.create_subresource(PODS, name, "eviction", body, namespace="default")


async def guarded(cluster, *pods, **spec):
    await cluster.apply([*pods, budget(**spec)])
    await cluster.run_until(lambda: all(is_ready(cluster, p["metadata"]["name"]) for p in pods))


def test_a_drain_goes_as_fast_as_the_budget_lets_it(run):
    """One at a time where one may be missing: refused with upstream's words, granted when the one before is replaced."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await guarded(cluster, pod("a"), pod("b"), pod("c", "node-1"), minAvailable=2)
            await cluster.advance(0)
            assert status(cluster) == (3, 2, 3, 1)
            assert condition(cluster) == ("DisruptionAllowed", "True", "SufficientPods")
            await cluster.client.patch(NODES, "node-0", {"spec": {"unschedulable": True}})
            began = cluster.clock.monotonic()
            await evict(cluster, "a")
            with pytest.raises(StatusError) as refused:
                await evict(cluster, "b")
            await cluster.advance(0)
            assert (refused.value.code, refused.value.reason, refused.value.message) == (
                429,
                "TooManyRequests",
                REFUSED,
            )
            with pytest.raises(StatusError) as refused:
                await evict(cluster, "b")
            assert refused.value.details["causes"] == [
                {
                    "reason": "DisruptionBudget",
                    "message": "The disruption budget web needs 2 healthy pods and has 2 currently",
                }
            ]
            (target,) = [c for c in cluster.get(PODS, "a").status.conditions if c.type == "DisruptionTarget"]
            assert (target.status, target.reason) == ("True", "EvictionByEvictionAPI")
            assert target.message == "Eviction API: evicting"
            assert status(cluster) == (2, 2, 3, 0)
            assert condition(cluster) == ("DisruptionAllowed", "False", "InsufficientPods")
            await cluster.run_until(lambda: cluster.get(PODS, "a") is None)
            assert cluster.clock.monotonic() - began == 10
            with pytest.raises(StatusError):
                await evict(cluster, "b")
            await cluster.apply(pod("a2", "", nodeName=None))
            await cluster.run_until(lambda: is_ready(cluster, "a2"))
            await cluster.advance(0)
            assert cluster.get(PODS, "a2").spec.node_name == "node-1"
            await evict(cluster, "b")
            await cluster.advance(20)
            assert not [p for p in cluster.list(PODS, "default") if p.spec.node_name == "node-0"]
            assert status(cluster) == (2, 2, 2, 0)
            assert cluster.failures == 0

    run(main())


def test_two_evictions_at_once_are_not_both_granted(run):
    """Though the controller has not yet seen the first, the budget knows of it."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await guarded(cluster, pod("a"), pod("b"), minAvailable=1)
            await cluster.advance(0)
            await evict(cluster, "a")
            assert "a" in cluster.get(POD_DISRUPTION_BUDGETS, "web").status.disrupted_pods
            with pytest.raises(StatusError, match="disruption budget"):
                await evict(cluster, "b")
            await cluster.advance(30)
            assert cluster.get(POD_DISRUPTION_BUDGETS, "web").status.disrupted_pods == {}
            assert leaving(cluster, "a", "b") == ["a"]

    run(main())


def test_a_dry_run_asks_and_changes_nothing(run):
    """Granted or refused as it would be; neither the Pod nor the budget is touched."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await guarded(cluster, pod("a"), pod("b"), minAvailable=1)
            await cluster.advance(0)
            before = [cluster.get(PODS, "a"), cluster.get(POD_DISRUPTION_BUDGETS, "web")]
            await evict(cluster, "a", dryRun=["All"])
            await cluster.advance(0)
            assert [cluster.get(PODS, "a"), cluster.get(POD_DISRUPTION_BUDGETS, "web")] == before
            await evict(cluster, "b")
            with pytest.raises(StatusError, match="disruption budget"):
                await evict(cluster, "a", dryRun=["All"])

    run(main())


@pytest.mark.parametrize(
    ("policy", "healthy", "granted"),
    [
        (None, 2, True),
        ("IfHealthyBudget", 2, True),
        (None, 1, False),
        ("IfHealthyBudget", 1, False),
        ("AlwaysAllow", 1, True),
    ],
)
def test_a_pod_that_is_not_ready(run, policy, healthy, granted):
    """It may go where enough others are healthy; with AlwaysAllow it always may."""

    async def main():
        broken = pod("broken")
        broken["spec"]["readinessGates"] = [{"conditionType": "example.com/never"}]
        spec = {"minAvailable": 2, **({"unhealthyPodEvictionPolicy": policy} if policy else {})}
        async with SimulatedCluster(nodes=1) as cluster:
            await guarded(cluster, *(pod(f"p{n}") for n in range(healthy)), **spec)
            await cluster.apply(broken)
            await cluster.run_until(lambda: cluster.get(PODS, "broken").status.phase == "Running")
            await cluster.advance(0)
            assert status(cluster) == (healthy, 2, healthy + 1, 0)
            if granted:
                await evict(cluster, "broken")
            else:
                with pytest.raises(StatusError, match="disruption budget"):
                    await evict(cluster, "broken")
            assert leaving(cluster, "broken") == (["broken"] if granted else [])
            assert cluster.get(POD_DISRUPTION_BUDGETS, "web").status.disrupted_pods == {}

    run(main())


def test_what_a_budget_does_not_protect(run):
    """Pods without a budget, finished ones and those that go already are deleted without a question."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            other = pod("other")
            other["metadata"]["labels"] = {"app": "db"}
            done = pod("done")
            done["metadata"]["annotations"][SCRIPT_ANNOTATION] = '{"c": {"runs": [{"lasts": 1, "exitCode": 0}]}}'
            done["spec"]["restartPolicy"] = "Never"
            await guarded(cluster, pod("a"), other, minAvailable=5)
            await cluster.apply(done)
            await cluster.client.delete(PODS, "a", "default")
            await cluster.run_until(lambda: cluster.get(PODS, "done").status.phase == "Succeeded", 60)
            for name in ("a", "other", "done"):
                await evict(cluster, name)
            assert leaving(cluster, "a", "other", "done") == ["a", "other", "done"]

    run(main())


def test_budgets_that_cannot_be_kept(run):
    """Two budgets for one Pod are an error; one by share for Pods that nobody controls allows nothing and says why."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await guarded(cluster, pod("a"), maxUnavailable="50%")
            await cluster.advance(0)
            assert status(cluster) == (1, 0, 0, 0)
            assert "UnmanagedPods" in [e.reason for e in cluster.events("web")]
            with pytest.raises(StatusError, match="violate"):
                await evict(cluster, "a")
            await cluster.apply(budget("second", minAvailable=0))
            with pytest.raises(StatusError) as refused:
                await evict(cluster, "a")
            assert refused.value.code == 500
            assert "more than one PodDisruptionBudget" in refused.value.message
            assert leaving(cluster, "a") == []

    run(main())


def test_an_eviction_that_nobody_carried_out_is_forgotten(run):
    """After two minutes a granted Pod that is still there counts again, and is no target any more."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await guarded(cluster, pod("a"), pod("b"), minAvailable=1)
            await cluster.advance(0)
            held = cluster.get(POD_DISRUPTION_BUDGETS, "web")
            from podling.api.times import to_wire

            now = to_wire(cluster.clock.time())
            told = {"disruptedPods": {"a": now}, "disruptionsAllowed": 0}
            patch = {"status": told}
            await cluster.client.patch(
                POD_DISRUPTION_BUDGETS, held.metadata.name, patch, namespace="default", subresource="status"
            )
            target = {"type": "DisruptionTarget", "status": "True", "reason": "X", "lastTransitionTime": now}
            await cluster.client.patch(
                PODS,
                "a",
                {"status": {"conditions": [target]}},
                namespace="default",
                kind="strategic",
                subresource="status",
            )
            await cluster.advance(119)
            assert status(cluster) == (1, 1, 2, 0)
            await cluster.advance(2)
            assert status(cluster) == (2, 1, 2, 1)
            (target,) = [c for c in cluster.get(PODS, "a").status.conditions if c.type == "DisruptionTarget"]
            assert target.status == "False"
            assert "NotDeleted" in [e.reason for e in cluster.events("a")]

    run(main())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "minAvailable and maxUnavailable cannot be both set"),
        ({"minAvailable": -1}, "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"),
        ({"maxUnavailable": "120%"}, 'spec.maxUnavailable: Invalid value: "120%": must not be greater than 100%'),
        (
            {"maxUnavailable": "half"},
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex",
        ),
        ({"unhealthyPodEvictionPolicy": "No"}, 'supported values: "AlwaysAllow", "IfHealthyBudget"'),
    ],
)
def test_bad_budgets_are_refused(run, spec, said):
    """With upstream's paths and words."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            with pytest.raises(StatusError) as refused:
                await cluster.apply(budget(**spec))
            assert refused.value.code == 422
            assert said in refused.value.message

    run(main())
