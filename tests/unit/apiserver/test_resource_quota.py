"""ResourceQuotas as the API server holds them: charged in one transaction with what they are charged for."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
SECRETS = "/api/v1/namespaces/default/secrets"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


async def given(api: Served, used: dict | None = None, name: str = "q", **hard: str) -> None:
    """Make a quota whose usage is known, as the controller would."""
    await api.post(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard}})
    status = {"hard": hard, "used": {**dict.fromkeys(hard, "0"), **(used or {})}}
    await api.patch(f"{QUOTAS}/{name}/status", {"status": status})


async def used(api: Served, name: str = "q") -> dict:
    return (await api.get(f"{QUOTAS}/{name}"))["status"]["used"]


def secret(name: str) -> dict:
    return {"metadata": {"name": name}}


def test_usage_and_objects_never_come_apart(run):
    """Whoever reads the log finds after each of its batches as many Secrets as are used; so does who comes after a crash."""

    async def main():
        async with Served() as api:
            watching = asyncio.create_task(_follow(api, 12))
            await given(api, secrets="12")
            made = [api.post(SECRETS, secret(f"s{i}")) for i in range(20)]
            outcomes = await asyncio.gather(*made, return_exceptions=True)
            assert sum(not isinstance(it, BaseException) for it in outcomes) == 12
            assert await watching >= 12

    run(main())


async def _follow(api: Served, most: int) -> int:
    """Read the log until `most` are used, and return in how many batches that came."""
    there, counted, batches = set(), 0, 0
    async for batch in api.store.watch("/registry/", api.store.revision):
        for change in batch:
            if change.key.startswith("/registry/secrets/"):
                there.add(change.key)
            elif change.key == "/registry/resourcequotas/default/q":
                counted = int(msgspec.json.decode(change.value).get("status", {}).get("used", {}).get("secrets", "0"))
        assert len(there) == counted
        batches += 1
        if counted == most:
            return batches
    raise AssertionError("the log ended")


def test_who_fails_is_not_charged(run):
    """A name that is taken, a dry run, an invalid object and a lost race cost nothing, whatever the order."""

    async def main():
        async with Served() as api:
            await given(api, secrets="3", pods="1")
            await api.post(SECRETS, secret("s"))
            with pytest.raises(StatusError, match="already exists"):
                await api.post(SECRETS, secret("s"))
            await api.post(f"{SECRETS}?dryRun=All", secret("t"))
            with pytest.raises(StatusError, match="a valid config key"):
                await api.post(SECRETS, {**secret("t"), "data": {"/": ""}})
            race = await asyncio.gather(*(api.post(SECRETS, secret("r")) for _ in range(3)), return_exceptions=True)
            assert sorted(getattr(it, "reason", "") for it in race) == ["", "AlreadyExists", "AlreadyExists"]
            assert await used(api) == {"secrets": "2", "pods": "0"}
            await api.post(SECRETS, secret("u"))
            for path in (f"{SECRETS}?dryRun=All", SECRETS):
                with pytest.raises(
                    StatusError, match='secrets "t" is forbidden: exceeded quota: q, requested: secrets=1,'
                ):
                    await api.post(path, secret("t"))

    run(main())


def test_a_quota_that_is_not_reckoned_lets_nothing_pass(run):
    """Limits whose usage nobody has told yet refuse; a quota without limits in its status is none."""

    async def main():
        async with Served() as api:
            await api.post(
                QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "1"}}, "status": {"hard": {}}}
            )
            await api.post(SECRETS, secret("s"))
            await api.patch(f"{QUOTAS}/q/status", {"status": {"hard": {"secrets": "1"}}})
            with pytest.raises(StatusError, match="status unknown for quota: q, resources: secrets"):
                await api.post(SECRETS, secret("t"))

    run(main())


def test_several_quotas_are_charged_together_or_none(run):
    """The one that cannot pay refuses for all; quotas of other namespaces are not asked."""

    async def main():
        async with Served() as api:
            await given(api, name="a", secrets="5")
            await given(api, {"secrets": "1"}, name="b", secrets="2")
            await api.post(SECRETS, secret("s"))
            with pytest.raises(StatusError, match="exceeded quota: b"):
                await api.post(SECRETS, secret("t"))
            assert (await used(api, "a"), await used(api, "b")) == ({"secrets": "1"}, {"secrets": "2"})
            await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
            await api.post("/api/v1/namespaces/other/secrets", secret("t"))

    run(main())


def test_a_resize_is_charged_by_how_much_it_grows(run):
    """And refused where that is too much, in the words of a resize's Pod."""

    async def main():
        async with Served() as api:
            await given(api, **{"requests.cpu": "3"})
            containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]
            made = await api.post(PODS, pod(containers=containers))
            assert await used(api) == {"requests.cpu": "1"}
            for cpu, said in (("2", ""), ("4", "exceeded quota: q, requested: requests.cpu=2, used: requests.cpu=2,")):
                made["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
                made["metadata"].pop("resourceVersion", None)
                if said:
                    with pytest.raises(StatusError, match=said):
                        await api.put(f"{PODS}/web/resize", made)
                else:
                    await api.put(f"{PODS}/web/resize", made)
                assert await used(api) == {"requests.cpu": "2"}

    run(main())


def test_what_a_status_says_of_a_claim_is_charged_without_a_limit(run):
    """An expansion that is under way is a fact: it counts, also beyond what there was."""

    async def main():
        async with Served() as api:
            await given(api, **{"requests.storage": "1Gi"})
            ask = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            await api.post(CLAIMS, {"metadata": {"name": "c"}, "spec": ask})
            status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "2Gi"}}
            await api.patch(f"{CLAIMS}/c/status", {"status": status})
            assert await used(api) == {"requests.storage": "2Gi"}

    run(main())
