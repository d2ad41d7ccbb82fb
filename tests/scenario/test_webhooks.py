"""Admission webhooks in the middle of a cluster at work, on its own clock: who waits, who is refused, who comes again."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, MUTATING_WEBHOOKS, PODS, REPLICA_SETS, VALIDATING_WEBHOOKS
from podling.api.validation.shape import typed
from podling.apiserver.admission.webhooks.destination import Destination
from podling.testing import SimulatedCluster
from tests.scenario.test_replica_sets import available, pods, workload

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


class Scripted:
    """Answers after so many seconds of the cluster's clock, as `says` has it."""

    def __init__(self, cluster: SimulatedCluster, says: Callable[[dict[str, Any]], dict[str, Any]], seconds: float = 0):
        self._clock = cluster.clock
        self.says = says
        self.seconds = seconds
        self.asked: list[float] = []
        cluster._plane.server.webhooks.caller = self

    async def post(self, destination: Destination, body: bytes) -> bytes:
        assert destination.host == "hooks.example.com"
        self.asked.append(self._clock.monotonic())
        review = json.loads(body)
        await self._clock.sleep(self.seconds)
        response = {"uid": review["request"]["uid"], **self.says(review["request"])}
        return json.dumps({k: review[k] for k in ("apiVersion", "kind")} | {"response": response}).encode()


def configuration(resource, **more: Any) -> dict[str, Any]:
    hook = {
        "name": "pods.example.com",
        "rules": [RULE],
        "clientConfig": {"url": "https://hooks.example.com"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    meta = {"name": "pods"}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "webhooks": [hook | more]}


def test_a_refused_pod_comes_when_the_webhook_is_gone(run):
    """The controller says why, in the webhook's words, tries again less and less often, and needs nobody to wake it."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            hooks = Scripted(cluster, lambda _: {"allowed": False, "status": {"message": "not today"}})
            await cluster.apply(configuration(VALIDATING_WEBHOOKS))
            await cluster.apply(workload(REPLICA_SETS, replicas=2))
            await cluster.advance(30)
            assert pods(cluster) == []
            sentence = 'Error creating: admission webhook "pods.example.com" denied the request: not today'
            assert {(it.reason, it.message) for it in cluster.events("web")} == {("FailedCreate", sentence)}
            (condition,) = cluster.get(REPLICA_SETS, "web").status.conditions
            assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
            assert 3 < len(hooks.asked) < 20
            await cluster.client.delete(VALIDATING_WEBHOOKS, "pods")
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 2, limit=120)
            assert not cluster.get(REPLICA_SETS, "web").status.conditions

    run(main())


def test_what_a_webhook_adds_is_what_runs(run):
    """A container that somebody adds to every Pod is started and counted as one of the Pod's own."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            added = [{"op": "add", "path": "/spec/containers/-", "value": {"name": "added", "image": "side"}}]
            patch = base64.b64encode(json.dumps(added).encode()).decode()
            Scripted(cluster, lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": patch}, seconds=0.5)
            await cluster.apply(configuration(MUTATING_WEBHOOKS))
            await cluster.apply(workload(REPLICA_SETS, replicas=3))
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 3)
            for pod in pods(cluster):
                assert [it.name for it in pod.status.container_statuses if it.ready] == ["c", "added"]

    run(main())


@pytest.mark.parametrize(("policy", "comes"), [("Fail", False), ("Ignore", True)])
def test_a_webhook_that_thinks_too_long_is_waited_for_exactly_as_long_as_it_says(run, policy: str, comes: bool):
    """To the instant, on the cluster's clock; everybody else's writes go on meanwhile."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            hooks = Scripted(cluster, lambda _: {"allowed": True}, seconds=60)
            await cluster.apply(configuration(VALIDATING_WEBHOOKS, failurePolicy=policy, timeoutSeconds=7))
            pod = workload(REPLICA_SETS)["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
            pod["metadata"] = {"name": "slow", "namespace": "default"}
            before = cluster.clock.monotonic()
            creating = asyncio.create_task(cluster.client.create(PODS, typed(PODS.type, pod)))
            meanwhile = {"metadata": {"name": "m", "namespace": "default"}, "data": {"a": "b"}}
            await cluster.client.create(CONFIG_MAPS, typed(CONFIG_MAPS.type, meanwhile))
            assert cluster.clock.monotonic() == before
            await cluster.run_until(creating.done)
            assert cluster.clock.monotonic() - before == 7
            assert hooks.asked == [before]
            if comes:
                assert (await creating).metadata.name == "slow"
            else:
                with pytest.raises(StatusError, match="context deadline exceeded"):
                    await creating

    run(main())
