"""What LimitRanges of a namespace make of its Pods."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.admission.limit_ranger import claim_problems

LIMITS = "/api/v1/namespaces/default/limitranges"


def limits(*items: dict, name: str = "bounds") -> dict:
    return {"metadata": {"name": name}, "spec": {"limits": list(items)}}


def asking(requests: dict | None = None, given: dict | None = None, **spec: object) -> dict:
    resources = {"requests": requests or {}, "limits": given or {}}
    return pod(containers=[{"name": "c", "image": "i", "resources": resources}], **spec)


def test_containers_get_the_defaults_of_their_namespace(run):
    """What a container does not ask for it gets, init containers too; an annotation says so, and the QoS class follows."""

    async def main():
        async with Served() as api:
            item = {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "500m"}}
            await api.post(LIMITS, limits(item))
            body = pod(
                initContainers=[{"name": "i", "image": "i", "resources": {"limits": {"cpu": "2", "memory": "2Gi"}}}]
            )
            made = await api.post(PODS, body)
            assert made["spec"]["containers"][0]["resources"] == {
                "limits": {"cpu": "1", "memory": "1Gi"},
                "requests": {"cpu": "500m", "memory": "1Gi"},
            }
            assert made["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "2", "memory": "2Gi"}
            assert made["metadata"]["annotations"] == {
                "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
            }
            assert made["status"]["qosClass"] == "Burstable"
            other = "/api/v1/namespaces/kube-system"
            await api.post(f"{other}/serviceaccounts", {"metadata": {"name": "default"}})
            assert (await api.post(f"{other}/pods", pod()))["spec"]["containers"][0]["resources"] == {}

    run(main())


CPU = {"cpu": "1"}


@pytest.mark.parametrize(
    ("item", "body", "message"),
    [
        ({"type": "Pod", "min": CPU}, pod(), "minimum cpu usage per Pod is 1.  No request is specified"),
        ({"type": "Pod", "min": CPU}, asking({"cpu": "500m"}), "minimum cpu usage per Pod is 1, but request is 500m"),
        ({"type": "Container", "min": CPU, "defaultRequest": CPU}, asking({"cpu": "1m"}), "minimum cpu usage per Container is 1, but request is 1m"),
        ({"type": "Pod", "max": CPU}, pod(), "maximum cpu usage per Pod is 1.  No limit is specified"),
        ({"type": "Container", "max": CPU}, asking(given={"cpu": "1500m"}), "maximum cpu usage per Container is 1, but limit is 1500m"),
        ({"type": "Container", "max": {"memory": "1Gi"}}, asking({"cpu": "2"}, {"cpu": "2", "memory": "2Gi"}), "maximum memory usage per Container is 1Gi, but limit is 2Gi"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, asking(CPU, {"cpu": "3"}), "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, pod(), "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
        ({"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}}, asking(CPU), "cpu max limit to request ratio per Pod is 2, but no limit is specified or limit is 0"),
        ({"type": "Container", "max": {"cpu": "1", "memory": "1Mi"}, "default": {"cpu": "1", "memory": "1Mi"}}, asking(given={"cpu": "2", "memory": "2Mi"}), "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Mi, but limit is 2Mi]"),
        ({"type": "Pod", "max": CPU}, asking(CPU, CPU, initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"limits": {"cpu": "500m"}}}]), "maximum cpu usage per Pod is 1, but limit is 1500m"),
        ({"type": "Pod", "max": {"memory": "2Gi"}}, asking(given={"memory": "1Gi"}, resources={"limits": {"memory": "3Gi"}}), "maximum memory usage per Pod is 2Gi, but limit is 3Gi"),
    ],
)  # fmt: skip
def test_pods_out_of_bounds(run, item, body, message):
    """A Pod below a minimum, above a maximum or with too wide a ratio is refused in upstream's words."""

    async def main():
        async with Served() as api:
            await api.post(LIMITS, limits(item))
            with pytest.raises(StatusError) as refused:
                await api.post(PODS, body)
            assert (refused.value.code, refused.value.message) == (403, f'pods "web" is forbidden: {message}')

    run(main())


def test_bounds_hold_for_what_comes_after(run):
    """A Pod that was there before stays and may be updated; a resize of it is judged."""

    async def main():
        async with Served() as api:
            await api.post(PODS, asking({"cpu": "2"}))
            await api.post(LIMITS, limits({"type": "Pod", "min": CPU}))
            await api.patch(f"{PODS}/web", {"metadata": {"labels": {"a": "b"}}})
            body = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}
            with pytest.raises(StatusError, match="minimum cpu usage per Pod is 1, but request is 500m"):
                await api.patch(f"{PODS}/web/resize", body, "strategic-merge-patch+json")
            with pytest.raises(StatusError, match="spec.containers: Required value"):
                await api.post(PODS, {"metadata": {"name": "empty"}})

    run(main())


@pytest.mark.parametrize(
    ("storage", "found"),
    [
        ("1Gi", []),
        ("1Mi", ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]),
        ("1Ti", ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Ti"]),
    ],
)
def test_claims_are_bounded_by_their_request(storage, found):
    """A claim's request is held to the bounds of its own type, and to no other."""
    items = [
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
        {"type": "Pod", "min": {"storage": "1Pi"}},
    ]
    assert claim_problems(items, {"spec": {"resources": {"requests": {"storage": storage}}}}) == found
