"""ReplicaSets and ReplicationControllers through the front door, and the Scale of both."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served

from podling.api.errors import StatusError

SETS = "/apis/apps/v1/namespaces/default/replicasets"
CONTROLLERS = "/api/v1/namespaces/default/replicationcontrollers"


def template(labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "busybox"}]
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": containers, **spec}}


def replica_set(name: str = "web", **spec: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}


def controller(name: str = "web", **spec: Any) -> dict[str, Any]:
    spec = {"template": template(), **spec}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}


def test_a_created_set_is_complete(run):
    """One replica, the template's defaults and no more than a template gets, generation 1, nothing counted yet."""

    async def main():
        async with Served() as api:
            made = await api.post(SETS, {**replica_set(), "status": {"replicas": 9}})
            assert made["status"] == {"replicas": 0}
            assert made["metadata"]["generation"] == 1
            assert made["spec"]["replicas"] == 1
            spec = made["spec"]["template"]["spec"]
            assert (spec["restartPolicy"], spec["dnsPolicy"], spec["schedulerName"]) == (
                "Always",
                "ClusterFirst",
                "default-scheduler",
            )
            assert "enableServiceLinks" not in spec

    run(main())


def test_a_controller_takes_its_templates_labels(run):
    """Selector and labels are the template's where the author gave none."""

    async def main():
        async with Served() as api:
            made = await api.post(CONTROLLERS, controller())
            assert made["spec"]["selector"] == {"app": "web"}
            assert made["metadata"]["labels"] == {"app": "web"}

    run(main())


_EMPTY = "empty selector is invalid for deployment"
_UNLIKE = "`selector` does not match template `labels`"
REFUSED = [
    (SETS, replica_set(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (SETS, replica_set(minReadySeconds=-1), "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"),
    (SETS, replica_set(selector=None),
     f'[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {_UNLIKE}]'),
    (SETS, replica_set(selector={}), "spec.selector: Invalid value: {}: " + _EMPTY),
    (SETS, replica_set(selector={"matchLabels": {"app": "x"}}),
     f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {_UNLIKE}'),
    (SETS, replica_set(template=template(restartPolicy="Never")),
     'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    (SETS, replica_set(template=template(activeDeadlineSeconds=5)),
     "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"),
    (SETS, replica_set(template=None),
     f"[spec.template.metadata.labels: Invalid value: null: {_UNLIKE}, spec.template.spec.containers: Required value]"),
    (CONTROLLERS, controller(template=None), "[spec.selector: Required value, spec.template: Required value]"),
    (CONTROLLERS, controller(selector={"app": "x"}),
     f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {_UNLIKE}'),
    (CONTROLLERS, controller(template=template(activeDeadlineSeconds=5)),
     "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "said"), REFUSED)
def test_refusals(run, path, body, said):
    """What cannot be is refused with upstream's paths and sentences."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(path, body)
            assert refused.value.message == f'{body["kind"]}{_group(path)} "web" is invalid: {said}'

    run(main())


def _group(path: str) -> str:
    return ".apps" if path == SETS else ""


def test_the_selector_stays(run):
    """Of a ReplicaSet, what is selected cannot change; of a controller it can, with the template."""

    async def main():
        async with Served() as api:
            await api.post(SETS, replica_set())
            other = replica_set(selector={"matchLabels": {"app": "x"}}, template=template({"app": "x"}))
            with pytest.raises(StatusError, match=r'spec.selector: Invalid value: .*"app":"x".*: field is immutable'):
                await api.put(f"{SETS}/web", other)
            await api.post(CONTROLLERS, controller())
            made = await api.put(
                f"{CONTROLLERS}/web", controller(selector={"app": "x"}, template=template({"app": "x"}))
            )
            assert made["metadata"]["generation"] == 2

    run(main())


def test_the_status_is_the_controllers(run):
    """Who writes the specification keeps the status, who writes the status keeps the specification."""

    async def main():
        async with Served() as api:
            made = await api.post(SETS, replica_set())
            done = await api.put(
                f"{SETS}/web/status",
                {**made, "status": {"replicas": 3, "readyReplicas": 1}, "spec": replica_set(replicas=7)["spec"]},
            )
            assert (done["status"]["replicas"], done["spec"]["replicas"], done["metadata"]["generation"]) == (3, 1, 1)
            done = await api.put(f"{SETS}/web", replica_set(replicas=2))
            assert (done["status"]["replicas"], done["spec"]["replicas"], done["metadata"]["generation"]) == (3, 2, 2)
            with pytest.raises(
                StatusError, match=r"status.readyReplicas: Invalid value: 4: cannot be greater than status.replicas"
            ):
                await api.patch(f"{SETS}/web/status", {"status": {"readyReplicas": 4}})

    run(main())  # fmt: skip


@pytest.mark.parametrize(("path", "made", "group"), [(SETS, replica_set, "apps"), (CONTROLLERS, controller, "")])
def test_the_size_is_read_and_set_by_its_scale(run, path, made, group):
    """A Scale has the size, the count and the selector; PUT and PATCH change the size and count a generation."""

    async def main():
        async with Served() as api:
            await api.post(path, made(replicas=2))
            scale = await api.get(f"{path}/web/scale")
            assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
            assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=web"})
            held = await api.get(f"{path}/web")
            assert scale["metadata"]["resourceVersion"] == held["metadata"]["resourceVersion"]
            table = await api.get(f"{path}/web/scale", "application/json;as=Table;v=v1;g=meta.k8s.io")
            assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
            assert table["rows"][0]["cells"][:3] == ["web", 2, 0]
            assert table["metadata"]["resourceVersion"] == held["metadata"]["resourceVersion"]
            done = await api.put(f"{path}/web/scale", {**scale, "spec": {"replicas": 4}})
            assert done["spec"] == {"replicas": 4}
            done = await api.patch(f"{path}/web/scale", {"spec": {"replicas": 0}})
            assert done["spec"] == {}
            held = await api.get(f"{path}/web")
            assert (held["spec"]["replicas"], held["metadata"]["generation"]) == (0, 3)
            with pytest.raises(StatusError, match="the object has been modified") as refused:
                await api.put(f"{path}/web/scale", {**scale, "spec": {"replicas": 5}})
            assert refused.value.code == 409
            with pytest.raises(
                StatusError,
                match=r'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or',
            ):
                await api.patch(f"{path}/web/scale", {"spec": {"replicas": -1}})
            with pytest.raises(StatusError) as refused:
                await api.get(f"{path}/none/scale")
            plural = path.rpartition("/")[2] + (f".{group}" if group else "")
            assert refused.value.message == f'{plural} "none" not found'
            with pytest.raises(StatusError, match="cannot be handled as a Scale"):
                await api.put(f"{path}/web/scale", made())

    run(main())


def test_a_deleted_controller_leaves_its_pods_and_a_set_does_not(run):
    """Where nobody says what becomes of dependents: a controller is older than garbage collection."""

    async def main():
        async with Served() as api:
            await api.post(CONTROLLERS, controller())
            gone = await api.delete(f"{CONTROLLERS}/web")
            assert gone["metadata"]["finalizers"] == ["orphan"]
            await api.post(CONTROLLERS, controller("other"))
            gone = await api.delete(f"{CONTROLLERS}/other", {"propagationPolicy": "Background"})
            assert gone["status"] == "Success"
            await api.post(SETS, replica_set())
            assert (await api.delete(f"{SETS}/web"))["status"] == "Success"

    run(main())


def test_writers_are_warned_of_the_template(run):
    """A field that is not carried out, an alpha one, and a name that makes no host name are said with their path."""

    async def main():
        async with Served() as api:
            containers = [{"name": "c", "image": "i", "resources": {"claims": [{"name": "c"}]}}]
            body = replica_set(
                "a.b",
                template=template(
                    containers=containers,
                    resourceClaims=[{"name": "c", "resourceClaimName": "x"}],
                    volumes=[{"name": "v", "emptyDir": {"mode": 1}}],
                ),
            )
            answer = await api.ask("POST", SETS, body)
            told = list(answer.warnings)
            assert "spec.template.spec.containers[0].resources.claims[0]: devices are not allocated" in told
            assert any(it.startswith("spec.template.spec.volumes[0].emptyDir.mode: dropped") for it in told)
            assert any(it.startswith("metadata.name: this is used in Pod names and hostnames") for it in told)

    run(main())
