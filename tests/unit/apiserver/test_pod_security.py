"""Namespaces' Pod Security labels: who is refused, who is warned, and what namespaces may say."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError

NAMESPACE = "/api/v1/namespaces/default"
REFUSED = (
    'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" '
    'must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
    'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)  # fmt: skip


async def label(api, **labels):
    """Label the namespace `default`; the answer holds its warnings."""
    named = {f"pod-security.kubernetes.io/{name.replace('_', '-')}": value for name, value in labels.items()}
    body = {"metadata": {"labels": named}}
    return await api.ask("PATCH", NAMESPACE, body, content_type="application/merge-patch+json")


def privileged(name: str) -> dict:
    made = pod(name)
    made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


async def refusal(asked) -> tuple[int, str]:
    """Code and sentence of what must not come through."""
    with pytest.raises(StatusError) as refused:
        await asked
    return refused.value.code, refused.value.message


def test_a_pod_that_violates_what_is_enforced_is_refused(run):
    """403 with all that is wrong; a namespace without labels refuses nobody, and one that warns only says so."""

    async def main():
        async with Served() as api:
            free = await api.ask("POST", PODS, pod("free", hostNetwork=True))
            assert (free.code, [w for w in free.warnings if "PodSecurity" in w]) == (201, [])
            await label(api, warn="restricted", audit="restricted")
            warned = await api.ask("POST", PODS, pod("web"))
            assert (warned.code, list(warned.warnings)) == (
                201,
                ["would violate PodSecurity" + REFUSED.partition("violates PodSecurity")[2]],
            )
            await api.delete(f"{PODS}/web")
            await label(api, enforce="restricted")
            assert await refusal(api.post(PODS, pod("web"))) == (403, REFUSED)
            assert await refusal(api.post(f"{PODS}?dryRun=All", pod("web"))) == (403, REFUSED)

    run(main())


def test_changes_that_matter_are_judged_and_no_others(run):
    """A Pod from before the label may be labelled and ended, but gets no new image and no other container."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod("web", hostPID=True))
            await label(api, enforce="baseline")
            path = f"{PODS}/web"
            assert (await api.patch(path, {"metadata": {"labels": {"a": "b"}}}))["metadata"]["labels"] == {"a": "b"}
            image = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
            more = {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}
            for where, change in (("", image), ("/ephemeralcontainers", more)):
                code, words = await refusal(api.patch(path + where, change, "strategic-merge-patch+json"))
                assert (code, words.partition(": ")[2]) == (
                    403,
                    'violates PodSecurity "baseline:latest": host namespaces (hostPID=true)',
                )
            status = {"status": {"phase": "Running"}}
            assert (await api.patch(f"{path}/status", status))["status"]["phase"] == "Running"

    run(main())


def test_debugging_containers_are_judged(run):
    """An ephemeral container has to keep to what its namespace enforces."""

    async def main():
        async with Served() as api:
            await label(api, enforce="baseline")
            await api.post(PODS, pod("web"))
            kind = "strategic-merge-patch+json"
            bad = {"name": "e", "image": "i", "securityContext": {"privileged": True}}
            asked = api.patch(f"{PODS}/web/ephemeralcontainers", {"spec": {"ephemeralContainers": [bad]}}, kind)
            assert (await refusal(asked))[0] == 403
            good = {"name": "e", "image": "i"}
            made = await api.patch(f"{PODS}/web/ephemeralcontainers", {"spec": {"ephemeralContainers": [good]}}, kind)
            assert made["spec"]["ephemeralContainers"][0]["name"] == "e"

    run(main())


def test_a_namespace_that_becomes_stricter_is_told_of_its_pods(run):
    """Existing Pods stay; those that would be refused are gathered by what is wrong with them."""

    async def main():
        async with Served() as api:
            for name in ("c", "a", "b"):
                await api.post(PODS, pod(name, hostNetwork=True))
            await api.post(PODS, privileged("d"))
            await api.post(PODS, pod("fine"))
            answer = await label(api, enforce="baseline")
            assert list(answer.warnings) == [
                'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
                "a (and 2 other pods): host namespaces",
                "d: privileged",
            ]
            assert list((await label(api, enforce="baseline", audit="restricted")).warnings) == []
            assert list((await label(api, enforce="privileged")).warnings) == []
            answer = await label(api, enforce="baseline", enforce_version="v1.30")
            assert answer.warnings[0].endswith('"baseline:v1.30"')

    run(main())


def test_a_namespace_may_only_say_what_is_known(run):
    """422 that names the label; a mistake that stands already keeps nobody from changing something else."""

    async def main():
        async with Served() as api:
            bad = {"metadata": {"name": "typo", "labels": {"pod-security.kubernetes.io/enforce": "strict"}}}
            words = (
                'Namespace "typo" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: '
                'Invalid value: "strict": must be one of privileged, baseline, restricted'
            )
            assert await refusal(api.post("/api/v1/namespaces", bad)) == (422, words)
            code, words = await refusal(label(api, warn_version="newest"))
            assert (code, words.rpartition('"newest": ')[2]) == (422, 'must be "latest" or "v1.x"')
            assert (await label(api, warn_version="v1.20", enforce="baseline")).code == 200
            made = await api.get(NAMESPACE)
            assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"

    run(main())
