"""StatefulSets, DaemonSets and ControllerRevisions through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served
from tests.unit.apiserver.test_replicas import template

from podling.api.errors import StatusError

APPS = "/apis/apps/v1/namespaces/default"
STATEFUL, DAEMONS, REVISIONS = (f"{APPS}/{kind}" for kind in ("statefulsets", "daemonsets", "controllerrevisions"))
WEB = f"{STATEFUL}/web"
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
}
MOUNTS = [{"name": "data", "mountPath": "/data"}]
SELECTOR = {"matchLabels": {"app": "web"}}


def stateful_set(**spec: Any) -> dict[str, Any]:
    spec = {"selector": SELECTOR, "template": template(), "serviceName": "web", **spec}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": spec}


def daemon_set(**spec: Any) -> dict[str, Any]:
    spec = {"selector": SELECTOR, "template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web"}, "spec": spec}


def revision(**given: Any) -> dict[str, Any]:
    given = {"data": {"spec": {"template": {"$patch": "replace", "of": "anything"}}}, "revision": 1, **given}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "web-1"}, **given}


def strategy(kind: str = "RollingUpdate", **rolling: Any) -> dict[str, Any]:
    return {"updateStrategy": {"type": kind, **({"rollingUpdate": rolling} if rolling else {})}}


def test_a_created_stateful_set_is_complete(run):
    """Ordered, rolling one by one from the last on; its claims are retained and complete in themselves."""

    async def main():
        async with Served() as api:
            made = await api.post(STATEFUL, {**stateful_set(volumeClaimTemplates=[CLAIM]), "status": {"replicas": 3}})
            spec = made["spec"]
            assert spec["podManagementPolicy"] == "OrderedReady"
            assert spec["updateStrategy"] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": 0, "maxUnavailable": 1},
            }
            assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
            assert (spec["replicas"], spec["revisionHistoryLimit"]) == (1, 10)
            (claim,) = spec["volumeClaimTemplates"]
            assert (claim["apiVersion"], claim["kind"], claim["status"]) == (
                "v1",
                "PersistentVolumeClaim",
                {"phase": "Pending"},
            )
            assert claim["spec"]["volumeMode"] == "Filesystem"
            assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
            assert made["status"] == {"replicas": 0, "availableReplicas": 0}
            assert made["metadata"]["generation"] == 1

    run(main())


def test_a_created_daemon_set_is_complete(run):
    """It rolls Node by Node; its first template is number one, and only a new template counts on."""

    async def main():
        async with Served() as api:
            made = await api.post(DAEMONS, daemon_set())
            spec, number = made["spec"], "deprecated.daemonset.template.generation"
            assert spec["updateStrategy"] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            }
            assert (spec["revisionHistoryLimit"], made["metadata"]["annotations"]) == (10, {number: "1"})
            counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
            assert made["status"] == dict.fromkeys(counts, 0)
            made = await api.patch(f"{DAEMONS}/web", {"metadata": {"annotations": {number: "9"}}})
            assert made["metadata"]["annotations"] == {number: "1"}
            made = await api.patch(f"{DAEMONS}/web", {"spec": {"minReadySeconds": 1}})
            assert (made["metadata"]["generation"], made["metadata"]["annotations"]) == (2, {number: "1"})
            made = await api.patch(f"{DAEMONS}/web", {"spec": {"template": {"spec": {"hostNetwork": True}}}})
            assert (made["metadata"]["generation"], made["metadata"]["annotations"]) == (3, {number: "2"})

    run(main())


_LABELS = 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
REFUSED_STATEFUL = [
    ({"podManagementPolicy": "Any"}, "spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"),
    (strategy("Fast"), "spec.updateStrategy: Invalid value: {\"type\":\"Fast\"}: must be 'RollingUpdate' or 'OnDelete'"),
    (strategy("OnDelete", partition=1),
     "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'"),
    (strategy(partition=-1),
     "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"),
    (strategy(maxUnavailable=0), "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"),
    (strategy(maxUnavailable="101%"),
     'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'),
    ({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Maybe"}},
     'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Maybe": supported values: "Delete", "Retain"'),
    ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    ({"minReadySeconds": -1}, "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"),
    ({"ordinals": {"start": -1}}, "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"),
    ({"selector": {"matchLabels": {"app": "x"}}}, _LABELS),
    ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"),
    ({"template": template(restartPolicy="Never")},
     'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    ({"template": template(activeDeadlineSeconds=1)},
     "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported"),
    ({"template": template(containers=[{"name": "c", "image": "i", "volumeMounts": MOUNTS}])},
     'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'),
]  # fmt: skip
REFUSED_DAEMONS = [
    ({"selector": {"matchLabels": {"app": "x"}}}, _LABELS),
    (strategy("Fast"), 'spec.updateStrategy: Unsupported value: {"type":"Fast"}: supported values: "OnDelete", "RollingUpdate"'),
    (strategy(maxUnavailable=0), "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
    (strategy(maxUnavailable=1, maxSurge=1),
     "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"),
    (strategy(maxUnavailable=0, maxSurge="101%"),
     'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "101%": must not be greater than 100%'),
    ({"revisionHistoryLimit": -1}, "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
    ({"template": template(restartPolicy="OnFailure")},
     'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "made", "said"),
    [
        *((STATEFUL, stateful_set(**spec), f'StatefulSet.apps "web" is invalid: {said}') for spec, said in REFUSED_STATEFUL),
        *((DAEMONS, daemon_set(**spec), f'DaemonSet.apps "web" is invalid: {said}') for spec, said in REFUSED_DAEMONS),
        (REVISIONS, {k: v for k, v in revision().items() if k != "data"}, 'ControllerRevision.apps "web-1" is invalid: data: Required value: data is mandatory'),
        (REVISIONS, revision(revision=-1),
         'ControllerRevision.apps "web-1" is invalid: revision: Invalid value: -1: must be greater than or equal to 0'),
    ],
)  # fmt: skip
def test_refusals(run, where, made, said):
    """What cannot be is refused with upstream's paths and sentences."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(where, made)
            assert refused.value.message == said

    run(main())


def test_what_may_be_changed_of_a_stateful_set(run):
    """Its Pods' identities stay: claims, policy, Service and selector are as they were created."""

    async def main():
        async with Served() as api:
            mounted = template(containers=[{"name": "c", "image": "i", "volumeMounts": MOUNTS}])
            await api.post(STATEFUL, stateful_set(volumeClaimTemplates=[CLAIM], template=mounted))
            done = await api.patch(
                WEB,
                {
                    "spec": {
                        "replicas": 2,
                        "minReadySeconds": 1,
                        "ordinals": {"start": 3},
                        "revisionHistoryLimit": 2,
                        "updateStrategy": {"rollingUpdate": {"partition": 2}},
                        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
                        "template": {"metadata": {"annotations": {"a": "b"}}},
                    }
                },
            )
            assert done["metadata"]["generation"] == 2
            for change in ({"podManagementPolicy": "Parallel"}, {"serviceName": "x"}, {"volumeClaimTemplates": None}):
                with pytest.raises(StatusError, match="updates to statefulset spec for fields other than 'replicas', "):
                    await api.patch(WEB, {"spec": change})

    run(main())


def test_their_status_is_read_and_written_apart(run):
    """Neither comes with the other, and counts must agree with each other."""

    async def main():
        async with Served() as api:
            await api.post(STATEFUL, stateful_set())
            await api.post(DAEMONS, daemon_set())
            done = await api.patch(
                f"{WEB}/status", {"status": {"replicas": 2, "readyReplicas": 1, "collisionCount": 1}}
            )
            assert (done["status"]["readyReplicas"], done["metadata"]["generation"]) == (1, 1)
            done = await api.patch(WEB, {"status": {"replicas": 9}, "spec": {"replicas": 2}})
            assert (done["status"]["replicas"], done["spec"]["replicas"]) == (2, 2)
            for where, body, said in (
                (WEB, {"collisionCount": 0}, "status.collisionCount: Invalid value: 0: cannot be decremented"),
                (
                    WEB,
                    {"currentReplicas": 3},
                    "status.currentReplicas: Invalid value: 3: cannot be greater than status.replicas",
                ),
                (
                    WEB,
                    {"availableReplicas": 2},
                    "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
                ),
                (
                    f"{DAEMONS}/web",
                    {"numberReady": -1},
                    "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
                ),
            ):
                with pytest.raises(StatusError) as refused:
                    await api.patch(f"{where}/status", {"status": body})
                assert refused.value.message.endswith(f' "web" is invalid: {said}')

    run(main())  # fmt: skip


def test_a_stateful_set_is_scaled_by_its_scale(run):
    """The Scale's size is the set's, and a change of it is a change of the specification."""

    async def main():
        async with Served() as api:
            await api.post(STATEFUL, stateful_set(replicas=2))
            scale = await api.get(f"{WEB}/scale")
            assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=web"})
            await api.patch(f"{WEB}/scale", {"spec": {"replicas": 5}})
            made = await api.get(WEB)
            assert (made["spec"]["replicas"], made["metadata"]["generation"]) == (5, 2)

    run(main())


def test_what_a_revision_recorded_stays(run):
    """Its data is kept as it was given, whatever that is; its number may rise."""

    async def main():
        async with Served() as api:
            made = await api.post(REVISIONS, revision())
            assert made["data"] == {"spec": {"template": {"$patch": "replace", "of": "anything"}}}
            done = await api.patch(f"{REVISIONS}/web-1", {"revision": 3, "metadata": {"labels": {"a": "b"}}})
            assert (done["revision"], done["data"]) == (3, made["data"])
            with pytest.raises(StatusError, match="data: Invalid value: .*: field is immutable"):
                await api.patch(f"{REVISIONS}/web-1", {"data": {"other": 1}})

    run(main())
