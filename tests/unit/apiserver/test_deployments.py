"""Deployments through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served
from tests.unit.apiserver.test_replicas import template

from podling.api.errors import StatusError

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WEB = f"{DEPLOYMENTS}/web"


def deployment(**spec: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def rolling(**posts: Any) -> dict[str, Any]:
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": posts}}


def test_a_created_deployment_is_complete(run):
    """It rolls by a quarter, keeps ten revisions, gives up after ten minutes, and has no status yet."""

    async def main():
        async with Served() as api:
            made = await api.post(DEPLOYMENTS, {**deployment(), "status": {"replicas": 3}})
            spec = made["spec"]
            assert spec["strategy"] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            }
            assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
            assert (made["status"], made["metadata"]["generation"]) == ({}, 1)

    run(main())


_NO_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
REFUSED = [
    ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    ({"selector": {"matchLabels": {"app": "x"}}},
     'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'),
    ({"strategy": {"type": "Fast"}},
     'spec.strategy: Unsupported value: {"type":"Fast"}: supported values: "Recreate", "RollingUpdate"'),
    ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
     "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
    (rolling(maxSurge=0, maxUnavailable="0%"),
     'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'),
    (rolling(maxSurge=-1), "spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0"),
    (rolling(maxSurge="x"), f'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": {_NO_PERCENT}'),
    (rolling(maxUnavailable="101%"),
     'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'),
    ({"minReadySeconds": -1}, "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"),
    ({"revisionHistoryLimit": -1}, "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
    ({"progressDeadlineSeconds": 30, "minReadySeconds": 30},
     "spec.progressDeadlineSeconds: Invalid value: 30: must be greater than minReadySeconds"),
    ({"template": template(restartPolicy="OnFailure")},
     'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "said"), REFUSED)
def test_refusals(run, spec, said):
    """What cannot be is refused with upstream's paths and sentences."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(DEPLOYMENTS, deployment(**spec))
            assert refused.value.message == f'Deployment.apps "web" is invalid: {said}'

    run(main())


def test_annotations_count_as_a_change(run):
    """They go to the ReplicaSets, so they raise the generation; labels do not."""

    async def main():
        async with Served() as api:
            await api.post(DEPLOYMENTS, deployment())
            made = await api.patch(WEB, {"metadata": {"labels": {"a": "b"}}})
            assert made["metadata"]["generation"] == 1
            made = await api.patch(WEB, {"metadata": {"annotations": {"a": "b"}}})
            assert made["metadata"]["generation"] == 2
            made = await api.patch(WEB, {"metadata": {"annotations": {"a": "c"}}, "spec": {"paused": True}})
            assert made["metadata"]["generation"] == 3
            with pytest.raises(StatusError, match="field is immutable"):
                other = deployment(selector={"matchLabels": {"app": "x"}}, template=template({"app": "x"}))
                await api.put(WEB, other)

    run(main())


def test_its_status_is_read_and_written_apart(run):
    """With the status come annotations (the revision is one), but neither labels nor a specification."""

    async def main():
        async with Served() as api:
            await api.post(DEPLOYMENTS, deployment())
            held = await api.get(f"{WEB}/status")
            held["status"] = {"replicas": 2, "readyReplicas": 1, "collisionCount": 3}
            held["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
            held["metadata"]["labels"] = {"a": "b"}
            held["spec"]["replicas"] = 9
            done = await api.put(f"{WEB}/status", held)
            assert done["status"]["replicas"] == 2
            assert done["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
            assert "labels" not in done["metadata"]
            assert (done["spec"]["replicas"], done["metadata"]["generation"]) == (1, 1)
            for body, said in (
                ({"collisionCount": 2}, "status.collisionCount: Invalid value: 2: cannot be decremented"),
                (
                    {"updatedReplicas": 3},
                    "status.updatedReplicas: Invalid value: 3: cannot be greater than status.replicas",
                ),
                (
                    {"availableReplicas": 2},
                    "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
                ),
            ):
                with pytest.raises(StatusError) as refused:
                    await api.patch(f"{WEB}/status", {"status": body})
                assert refused.value.message == f'Deployment.apps "web" is invalid: {said}'

    run(main())  # fmt: skip


def test_it_is_scaled_by_its_scale(run):
    """The Scale's size is the Deployment's, and a change of it is a change of the specification."""

    async def main():
        async with Served() as api:
            await api.post(DEPLOYMENTS, deployment(replicas=2))
            scale = await api.get(f"{WEB}/scale")
            assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=web"})
            await api.patch(f"{WEB}/scale", {"spec": {"replicas": 5}})
            made = await api.get(WEB)
            assert (made["spec"]["replicas"], made["metadata"]["generation"]) == (5, 2)

    run(main())


def test_another_strategy_drops_what_the_first_had(run):
    """`kubectl apply` says by `$retainKeys` that a Recreate has no rolling update."""

    async def main():
        async with Served() as api:
            await api.post(DEPLOYMENTS, deployment())
            patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
            made = await api.patch(WEB, patch, "strategic-merge-patch+json")
            assert made["spec"]["strategy"] == {"type": "Recreate"}

    run(main())
