"""Aggregating ClusterRoles show what they gather."""

from __future__ import annotations

from tests.served import Served

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
LABELS = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
RULE = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}


def test_gathered_rules_are_written_back(run):
    """A role that is labelled adds its rules to view, edit and admin; taken away, they go; a hand-written rule does not stay."""

    async def main():
        async with Served() as api:

            async def rules(name: str) -> list[dict]:
                await api.clock.settle()
                return (await api.get(f"{ROLES}/{name}"))["rules"]

            before = api.store.revision
            await api.clock.settle()
            assert api.store.revision == before
            usual = {name: await rules(name) for name in ("view", "edit", "admin")}
            assert all(usual.values())
            await api.post(ROLES, {"metadata": {"name": "things", "labels": LABELS}, "rules": [RULE]})
            for name, known in usual.items():
                found = await rules(name)
                assert RULE in found
                assert len(found) == len(known) + 1
            await api.patch(f"{ROLES}/view", {"rules": []})
            assert RULE in await rules("view")
            await api.delete(f"{ROLES}/things")
            assert {name: await rules(name) for name in usual} == usual

    run(main())


def test_a_role_of_ones_own_gathers(run):
    """An aggregationRule that is made gathers at once, and nothing where nothing matches."""

    async def main():
        async with Served() as api:
            await api.post(ROLES, {"metadata": {"name": "things", "labels": {"part": "x"}}, "rules": [RULE]})
            for name, label in (("mine", "x"), ("none", "y")):
                selectors = [{"matchLabels": {"part": label}}]
                await api.post(
                    ROLES,
                    {"metadata": {"name": name}, "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": []},
                )
            await api.clock.settle()
            assert (await api.get(f"{ROLES}/mine"))["rules"] == [RULE]
            assert not (await api.get(f"{ROLES}/none"))["rules"]

    run(main())
