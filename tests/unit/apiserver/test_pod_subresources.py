"""What may be written through `pods/ephemeralcontainers`, `pods/resize` and `pods/status`."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.kinds.pod_gates import drop_alpha

WEB = f"{PODS}/web"
STRATEGIC = "strategic-merge-patch+json"


def debugger(name: str = "debugger", **more: object) -> dict:
    return {"spec": {"ephemeralContainers": [{"name": name, "image": "busybox", **more}]}}


def amounts(cpu: str, memory: str, cpu_limit: str, memory_limit: str) -> dict:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu_limit, "memory": memory_limit}}


def resized(resources: dict, name: str = "c") -> dict:
    return {"spec": {"containers": [{"name": name, "resources": resources}]}}


def sized(**spec: object) -> dict:
    container = {"name": "c", "image": "i", "resources": amounts("100m", "64Mi", "200m", "128Mi")}
    return pod(containers=[container], **spec)


def test_containers_are_added_to_debug_with(run):
    """kubectl debug's strategic patch adds a defaulted container, raises the generation and touches nothing else."""

    async def main():
        async with Served() as api:
            made = await api.post(PODS, pod())
            body = {
                **debugger(targetContainerName="c"),
                "metadata": {"labels": {"a": "b"}},
                "status": {"phase": "Failed"},
            }
            done = await api.patch(f"{WEB}/ephemeralcontainers", body, STRATEGIC)
            (added,) = done["spec"]["ephemeralContainers"]
            assert (added["name"], added["terminationMessagePolicy"], added["imagePullPolicy"]) == (
                "debugger",
                "File",
                "Always",
            )
            assert done["metadata"]["generation"] == 2
            assert done["metadata"].get("labels") is None
            assert done["status"] == made["status"]
            done = await api.patch(f"{WEB}/ephemeralcontainers", debugger("second"), STRATEGIC)
            assert {it["name"] for it in done["spec"]["ephemeralContainers"]} == {"second", "debugger"}
            assert (await api.get(f"{WEB}/ephemeralcontainers")) == done == await api.get(WEB)
            again = await api.put(f"{WEB}/ephemeralcontainers", done)
            assert again["metadata"]["resourceVersion"] == done["metadata"]["resourceVersion"]

    run(main())


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (debugger("first", image="other"), STRATEGIC, 'Pod "web" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "first" may not be changed\n'),
        ({"spec": {"ephemeralContainers": []}}, "merge-patch+json", 'Pod "web" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "first" may not be removed\n'),
        (debugger("c"), STRATEGIC, 'Pod "web" is invalid: spec.ephemeralContainers[0].name: Duplicate value: "c"'),
        (debugger("d", targetContainerName="no"), STRATEGIC, 'Pod "web" is invalid: spec.ephemeralContainers[0].targetContainerName: Not found: "no"'),
        (debugger("d", ports=[{"containerPort": 80}]), STRATEGIC, 'Pod "web" is invalid: spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container'),
    ],
)  # fmt: skip
def test_containers_are_only_added(run, body, kind, message):
    """An ephemeral container is never changed or removed, and has only what may be had there."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            await api.patch(f"{WEB}/ephemeralcontainers", debugger("first"), STRATEGIC)
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{WEB}/ephemeralcontainers", body, kind)
            assert (refused.value.code, refused.value.message[: len(message)]) == (422, message)

    run(main())


def test_a_resize_changes_resources_alone(run):
    """CPU and memory become what was asked for, the generation rises, and all else that came along is dropped."""

    async def main():
        async with Served() as api:
            await api.post(PODS, sized())
            body = resized(amounts("150m", "32Mi", "400m", "64Mi")) | {"metadata": {"labels": {"a": "b"}}}
            body["spec"]["containers"][0]["image"] = "other"
            body["spec"]["hostname"] = "h"
            done = await api.patch(f"{WEB}/resize", body, STRATEGIC)
            (container,) = done["spec"]["containers"]
            assert container["resources"] == amounts("150m", "32Mi", "400m", "64Mi")
            assert (container["image"], done["metadata"]["generation"]) == ("i", 2)
            assert "hostname" not in done["spec"]
            assert "labels" not in done["metadata"]
            same = await api.patch(f"{WEB}/resize", resized(amounts("150m", "32Mi", "400m", "64Mi")), STRATEGIC)
            assert same["metadata"] == done["metadata"]
            assert await api.get(f"{WEB}/resize") == done

    run(main())


NO = 'Pod "web" is invalid: spec'


@pytest.mark.parametrize(
    ("made", "body", "kind", "message"),
    [
        (sized(), resized(amounts("100m", "64Mi", "100m", "64Mi")), STRATEGIC, f'{NO}: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'),
        (sized(), resized({"limits": {"cpu": None}}), STRATEGIC, f"{NO}.containers[0].resources.limits: Forbidden: resource limits cannot be removed"),
        (pod(containers=[{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]), resized({"requests": {"memory": None}}), STRATEGIC, f"{NO}.containers[0].resources.requests: Forbidden: resource requests cannot be removed"),
        (sized(), resized({"requests": {"cpu": "300m"}}), STRATEGIC, f'{NO}.containers[0].resources.requests: Invalid value: "300m": must be less than or equal to cpu limit of 200m'),
        (sized(), resized({"requests": {"ephemeral-storage": "1Gi"}}), STRATEGIC, f"{NO}: Forbidden: only cpu and memory resources are mutable"),
        (sized(), {"spec": {"containers": [{"name": "c", "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]}}, STRATEGIC, f"{NO}: Forbidden: only cpu and memory resources are mutable"),
        (sized(), {"spec": {"containers": [{"name": "d", "image": "i", "resources": amounts("1", "64Mi", "2", "128Mi")}]}}, "merge-patch+json", f"{NO}.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"),
        (sized(), resized({}, "d"), STRATEGIC, "spec.containers: Forbidden: containers may not be added or removed on resize"),
        (sized(os={"name": "windows"}), resized({"limits": {"cpu": "1"}}), STRATEGIC, "windows pods cannot be resized"),
        (sized(nodeName="n", metadata_mirror=True), resized({"limits": {"cpu": "1"}}), STRATEGIC, "static pods cannot be resized"),
    ],
)  # fmt: skip
def test_refused_resizes(run, made, body, kind, message):
    """A resize that takes away, changes the QoS class or means something else is refused in upstream's words."""

    async def main():
        async with Served() as api:
            if made["spec"].pop("metadata_mirror", None):
                made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
            await api.post(PODS, made)
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{WEB}/resize", body, kind)
            assert refused.value.code == 422
            assert message in refused.value.message

    run(main())


def test_resizing_init_containers_and_the_pod(run):
    """Sidecars and init containers are resized too; one that would have to restart is not; nor is what a Pod asks for lost."""

    async def main():
        async with Served() as api:
            resources = {"requests": {"cpu": "10m"}}
            policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
            init = [
                {
                    "name": "side",
                    "image": "i",
                    "restartPolicy": "Always",
                    "resources": resources,
                    "resizePolicy": policy,
                },
                {"name": "init", "image": "i", "resources": resources},
                {"name": "slow", "image": "i", "resources": resources, "resizePolicy": policy},
            ]
            await api.post(PODS, sized(initContainers=init, resources={"requests": {"cpu": "1", "memory": "1Gi"}}))

            async def resize(name: str, cpu: str = "20m") -> dict:
                body = {"spec": {"initContainers": [{"name": name, "resources": {"requests": {"cpu": cpu}}}]}}
                return await api.patch(f"{WEB}/resize", body, STRATEGIC)

            for generation, name in enumerate(("side", "init"), 2):
                assert (await resize(name))["metadata"]["generation"] == generation
            said = "initContainers[2]: Forbidden: non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            with pytest.raises(StatusError) as refused:
                await resize("slow")
            assert said in refused.value.message
            done = await api.patch(f"{WEB}/resize", {"spec": {"resources": {"requests": {"cpu": "2"}}}}, STRATEGIC)
            assert done["spec"]["resources"]["requests"]["cpu"] == "2"
            with pytest.raises(StatusError, match="spec.resources: Forbidden: pod-level resources cannot be removed"):
                await api.patch(f"{WEB}/resize", {"spec": {"resources": None}}, STRATEGIC)

    run(main())


def test_a_resize_needs_a_node_that_tells(run):
    """Where a container runs whose status says nothing of resources, the node cannot resize."""

    async def main():
        async with Served() as api:
            await api.post(PODS, sized(nodeName="n"))
            status = {
                "name": "c",
                "image": "i",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {}},
            }
            await api.patch(f"{WEB}/status", {"status": {"containerStatuses": [status]}})
            body = resized(amounts("150m", "64Mi", "400m", "128Mi"))
            with pytest.raises(StatusError, match="Pod running on node without support for resize"):
                await api.patch(f"{WEB}/resize", body, STRATEGIC)
            told = {
                **status,
                "resources": amounts("100m", "64Mi", "200m", "128Mi"),
                "allocatedResources": {"cpu": "100m"},
            }
            shown = await api.patch(f"{WEB}/status", {"status": {"containerStatuses": [told]}})
            assert shown["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "100m"}
            await api.patch(f"{WEB}/resize", body, STRATEGIC)

    run(main())


def test_generations_that_were_observed_stay(run):
    """A status write without observedGeneration keeps what was observed; one with it changes it."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            ready = {"type": "Ready", "status": "False", "observedGeneration": 1}
            await api.patch(f"{WEB}/status", {"status": {"observedGeneration": 1, "conditions": [ready]}})
            status = {"type": "Ready", "status": "True"}
            done = await api.patch(f"{WEB}/status", {"status": {"observedGeneration": None, "conditions": [status]}})
            assert done["status"]["observedGeneration"] == done["status"]["conditions"][0]["observedGeneration"] == 1
            newer = {**status, "observedGeneration": 2}
            done = await api.patch(f"{WEB}/status", {"status": {"observedGeneration": 2, "conditions": [newer]}})
            assert done["status"]["observedGeneration"] == done["status"]["conditions"][0]["observedGeneration"] == 2
            assert done["metadata"]["generation"] == 1

    run(main())


def test_generation_counts_changes_of_the_specification(run):
    """Images and tolerations raise a Pod's generation, labels and statuses do not, and its deletion does."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod(nodeName="n"))
            bodies = (
                (WEB, {"metadata": {"labels": {"a": "b"}}}, 1),
                (WEB, {"spec": {"activeDeadlineSeconds": 9}}, 2),
                (f"{WEB}/status", {"status": {"phase": "Running"}}, 2),
                (WEB, {"spec": {"activeDeadlineSeconds": 9}}, 2),
            )
            for path, body, generation in bodies:
                assert (await api.patch(path, body))["metadata"]["generation"] == generation
            assert (await api.delete(WEB))["metadata"]["generation"] == 3

    run(main())


def test_label_keys_become_requirements(run):
    """matchLabelKeys and mismatchLabelKeys are written into the selectors of affinity and spread, with this Pod's values."""

    async def main():
        async with Served() as api:
            term = {
                "topologyKey": "zone",
                "labelSelector": {},
                "matchLabelKeys": ["hash"],
                "mismatchLabelKeys": ["team", "no"],
            }
            spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            body = pod(
                affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
                topologySpreadConstraints=[{**spread, "matchLabelKeys": ["hash"]}],
            )
            body["metadata"]["labels"] = {"hash": "1", "team": "a"}
            spec = (await api.post(PODS, body))["spec"]
            made = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
            assert made["labelSelector"]["matchExpressions"] == [
                {"key": "hash", "operator": "In", "values": ["1"]},
                {"key": "team", "operator": "NotIn", "values": ["a"]},
            ]
            made = spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"]
            assert made == [{"key": "hash", "operator": "In", "values": ["1"]}]

    run(main())


def test_alpha_fields_are_dropped(run):
    """What upstream's gates, at their defaults, keep out is taken out with a warning; what carries it already keeps it."""

    async def main():
        async with Served() as api:
            probe = {"httpGet": {"port": 80, "protocol": "HTTP2"}}
            mount = {"name": "v", "mountPath": "/v", "bindMountOptions": ["noexec"]}
            body = pod(
                containers=[{"name": "c", "image": "i", "livenessProbe": probe, "volumeMounts": [mount]}],
                volumes=[
                    {"name": "v", "emptyDir": {"mode": 0o700}},
                    {"name": "w", "secret": {"secretName": "s", "defaultUser": 7}},
                ],
                evictionResponders=[{"name": "example.com/a", "priority": 1}],
            )
            answer = await api.ask("POST", PODS, body)
            dropped = {warning.partition(": ")[0] for warning in answer.warnings if ": dropped: " in warning}
            assert dropped == {
                "spec.evictionResponders",
                "spec.containers[0].livenessProbe.httpGet.protocol",
                "spec.containers[0].volumeMounts[0].bindMountOptions",
                "spec.volumes[0].emptyDir.mode",
                "spec.volumes[1].secret.defaultUser",
            }
            spec = (await api.get(WEB))["spec"]
            assert "evictionResponders" not in spec
            assert "protocol" not in spec["containers"][0]["livenessProbe"]["httpGet"]
            assert spec["volumes"][0] == {"name": "v", "emptyDir": {}}

    run(main())


def test_alpha_fields_that_are_there_stay():
    """A field that the stored Pod has is not taken from an update of it."""
    spec = {"volumes": [{"name": "v", "emptyDir": {"mode": 1}}]}
    tree, warnings = {"spec": {"volumes": [{"name": "v", "emptyDir": {"mode": 1}}]}}, []
    drop_alpha(tree, {"spec": spec}, warnings)
    assert (tree["spec"], warnings) == (spec, [])
    drop_alpha(tree, {"spec": {}}, warnings)
    assert (tree["spec"]["volumes"][0]["emptyDir"], len(warnings)) == ({}, 1)
