"""Services on a cluster of two families: what they get, come to, let go of, and every way in which that is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.served import Served

from podling.api import resources
from podling.api.errors import StatusError
from podling.apiserver.service_addresses import Full

PATH = "/api/v1/namespaces/default/services"
RANGES = ("10.96.0.0/25", "fd00:10:96::/121")
FOUR, SIX = "10.96.0.77", "fd00:10:96::4d"
V4, V6 = ["IPv4"], ["IPv6"]
BOTH, REVERSED = ["IPv4", "IPv6"], ["IPv6", "IPv4"]
SELECTOR = {"selector": {"a": "b"}}


def body(name="s", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec}


def shape(spec):
    """The families of the addresses that a Service has."""
    addresses = spec.get("clusterIPs", ())
    return [f"IPv{ipaddress.ip_address(address).version}" for address in addresses if address != "None"]


def held_of(api):
    """Every address of the ranges that the allocator would refuse."""
    return {
        str(address)
        for each in api.server.addresses.ranges
        for address in each.network.hosts()
        if not each.is_free(str(address))
    }


def stored_of(services):
    return {address for it in services for address in it["spec"].get("clusterIPs", ()) if address != "None"}


def check(spec, policy, families, *, headless=False):
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == (policy, families)
    assert spec["clusterIPs"][0] == spec["clusterIP"]
    assert spec["clusterIPs"] == ["None"] if headless else shape(spec) == families


@pytest.mark.parametrize(
    ("spec", "policy", "families"),
    [
        ({}, "SingleStack", V4),
        ({"ipFamilies": V6}, "SingleStack", V6),
        ({"clusterIP": SIX}, "SingleStack", V6),
        ({"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", BOTH),
        ({"ipFamilyPolicy": "RequireDualStack"}, "RequireDualStack", BOTH),
        ({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": V6}, "PreferDualStack", REVERSED),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": REVERSED}, "RequireDualStack", REVERSED),
        ({"ipFamilyPolicy": "PreferDualStack", "clusterIP": SIX}, "PreferDualStack", REVERSED),
        ({"ipFamilyPolicy": "PreferDualStack", "clusterIP": FOUR}, "PreferDualStack", BOTH),
        (
            {"ipFamilyPolicy": "RequireDualStack", "clusterIP": FOUR, "clusterIPs": [FOUR, SIX]},
            "RequireDualStack",
            BOTH,
        ),
        (
            {"ipFamilyPolicy": "RequireDualStack", "clusterIP": SIX, "clusterIPs": [SIX, FOUR]},
            "RequireDualStack",
            REVERSED,
        ),
        ({"type": "NodePort", "ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", BOTH),
        ({"type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", BOTH),
    ],
)
def test_addresses_of_the_families_that_a_service_asks_for(run, spec, policy, families):
    """Those it names are the ones it gets; sent again as it was written, it keeps them."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            made = (await api.post(PATH, body(**spec)))["spec"]
            check(made, policy, families)
            wanted = spec.get("clusterIPs") or [each for each in [spec.get("clusterIP")] if each]
            assert made["clusterIPs"][: len(wanted)] == wanted
            again = (await api.put(f"{PATH}/s", made_again(spec, made)))["spec"]
            assert again == made

    run(main())


def made_again(spec, made):
    """What a writer who knows the families sends: without them, a put that names fewer is a wish for fewer."""
    return body(**spec) | {"spec": body(**spec)["spec"] | {"ipFamilies": made["ipFamilies"]}}


@pytest.mark.parametrize(
    ("spec", "policy", "families"),
    [
        (SELECTOR, "SingleStack", V4),
        (SELECTOR | {"ipFamilies": V6}, "SingleStack", V6),
        (SELECTOR | {"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", BOTH),
        (SELECTOR | {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": V6}, "RequireDualStack", REVERSED),
        ({}, "RequireDualStack", BOTH),
        ({"ipFamilies": V6}, "RequireDualStack", REVERSED),
        ({"ipFamilyPolicy": "SingleStack"}, "SingleStack", V4),
        ({"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", BOTH),
    ],
)
def test_families_of_headless_services(run, spec, policy, families):
    """They name families and have no addresses; without a selector they have both unless they say otherwise."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            check((await api.post(PATH, body(clusterIP="None", **spec)))["spec"], policy, families, headless=True)

    run(main())


PREFER, REQUIRE, SINGLE = ({"ipFamilyPolicy": each} for each in ("PreferDualStack", "RequireDualStack", "SingleStack"))
OUTSIDE = {"type": "ExternalName", "externalName": "example.com"}
INSIDE = {"type": "ClusterIP", "externalName": None}
CHANGES = [
    ({}, PREFER, "PreferDualStack", BOTH),
    ({}, REQUIRE, "RequireDualStack", BOTH),
    ({"ipFamilies": V6}, REQUIRE, "RequireDualStack", REVERSED),
    ({}, REQUIRE | {"ipFamilies": BOTH}, "RequireDualStack", BOTH),
    ({"clusterIP": FOUR}, REQUIRE | {"clusterIPs": [FOUR, SIX]}, "RequireDualStack", BOTH),
    (PREFER, SINGLE, "SingleStack", V4),
    (REQUIRE | {"ipFamilies": V6}, SINGLE, "SingleStack", V6),
    (PREFER, SINGLE | {"ipFamilies": V4}, "SingleStack", V4),
    (PREFER, REQUIRE, "RequireDualStack", BOTH),
    (REQUIRE, PREFER, "PreferDualStack", BOTH),
    (PREFER, {"type": "NodePort"}, "PreferDualStack", BOTH),
    (OUTSIDE, INSIDE, "SingleStack", V4),
    (OUTSIDE, INSIDE | PREFER, "PreferDualStack", BOTH),
    (OUTSIDE, INSIDE | REQUIRE | {"clusterIP": SIX}, "RequireDualStack", REVERSED),
]


@pytest.mark.parametrize(("before", "change", "policy", "families"), CHANGES)
def test_a_service_comes_to_a_second_family_and_lets_it_go(run, before, change, policy, families):
    """By a patch that names its policy alone. The first address stays, and what is let go of is free for others."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            old = (await api.post(PATH, body(**before)))["spec"]
            new = (await api.patch(f"{PATH}/s", {"spec": change}))["spec"]
            check(new, policy, families)
            kept = old.get("clusterIPs") or []
            assert new["clusterIPs"][:1] == kept[:1] or not kept
            ranges = {each.family: each for each in api.server.addresses.ranges}
            for address in new["clusterIPs"]:
                assert not any(each.is_free(address) for each in ranges.values())
            for address in set(kept) - set(new["clusterIPs"]):
                assert any(each.is_free(address) for each in ranges.values())

    run(main())


def test_a_headless_service_comes_to_a_second_family_and_lets_it_go(run):
    """It has no addresses to give or to take; its families are those of its endpoints."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            check((await api.post(PATH, body(clusterIP="None", **SELECTOR)))["spec"], "SingleStack", V4, headless=True)
            for change, policy, families in (
                (PREFER, "PreferDualStack", BOTH),
                (REQUIRE, "RequireDualStack", BOTH),
                (SINGLE, "SingleStack", V4),
                (SINGLE | {"ipFamilies": V6}, "SingleStack", V6),
            ):
                made = (await api.patch(f"{PATH}/s", {"spec": change}))["spec"]
                check(made, policy, families, headless=True)

    run(main())


@pytest.mark.parametrize("before", [PREFER, REQUIRE | {"ipFamilies": V6}, {"clusterIP": "None"}])
def test_nothing_is_left_of_families_in_an_external_name(run, before):
    """Both addresses are free once the Service points elsewhere."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            old = (await api.post(PATH, body(**before)))["spec"]
            new = (await api.patch(f"{PATH}/s", {"spec": OUTSIDE}))["spec"]
            assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(new)
            for address in old["clusterIPs"]:
                assert address == "None" or any(each.is_free(address) for each in api.server.addresses.ranges)

    run(main())


def _invalid(field, value, message):
    return f'Service "s" is invalid: {field}: Invalid value: {value}: {message}'


REFUSED_CREATES = [
    (
        {"ipFamilies": BOTH},
        _invalid(
            "spec.ipFamilyPolicy",
            '"SingleStack"',
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
    ),
    (
        {"clusterIP": FOUR, "clusterIPs": [FOUR, SIX]},
        _invalid(
            "spec.ipFamilyPolicy",
            '"SingleStack"',
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        ),
    ),
    (
        {"clusterIP": FOUR, "ipFamilies": V6},
        _invalid("spec.clusterIPs[0]", f'"{FOUR}"', "expected an IPv6 value as indicated by `ipFamilies[0]`"),
    ),
    (
        {"clusterIPs": [FOUR]},
        _invalid("spec.clusterIPs", f'["{FOUR}"]', "must be empty when `clusterIP` is not specified"),
    ),
    (
        REQUIRE | {"clusterIP": FOUR, "clusterIPs": [SIX, FOUR]},
        _invalid("spec.clusterIPs", f'["{SIX}","{FOUR}"]', "first value must match `clusterIP`"),
    ),
    (
        REQUIRE | {"clusterIP": FOUR, "clusterIPs": [FOUR, "10.96.0.78"]},
        _invalid("spec.clusterIPs", f'["{FOUR}","10.96.0.78"]', "may specify no more than one IP for each IP family"),
    ),
    (
        REQUIRE | {"clusterIP": FOUR, "clusterIPs": [FOUR, "2001:db8::1"]},
        _invalid(
            "spec.clusterIPs",
            f'["{FOUR}","2001:db8::1"]',
            "failed to allocate IP 2001:db8::1: the provided IP (2001:db8::1) is not in the valid range. "
            "The range of valid IPs is fd00:10:96::/121",
        ),
    ),
    (
        REQUIRE | {"clusterIP": FOUR, "clusterIPs": [FOUR, "fd00:10:96::1f"]},
        _invalid(
            "spec.clusterIPs",
            f'["{FOUR}","fd00:10:96::1f"]',
            "failed to allocate IP fd00:10:96::1f: provided IP is already allocated",
        ),
    ),
]
REFUSED_CHANGES = [
    (
        PREFER,
        {"ipFamilies": V4},
        _invalid(
            "spec.ipFamilyPolicy", '"PreferDualStack"', "must be 'SingleStack' to release the secondary IP family"
        ),
    ),
    (
        REQUIRE | {"clusterIP": FOUR},
        {"clusterIPs": [FOUR]},
        _invalid(
            "spec.ipFamilyPolicy", '"RequireDualStack"', "must be 'SingleStack' to release the secondary cluster IP"
        ),
    ),
    (
        {},
        {"ipFamilies": BOTH},
        _invalid(
            "spec.ipFamilyPolicy",
            '"SingleStack"',
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
    ),
    (
        {"clusterIP": FOUR},
        REQUIRE | {"ipFamilies": REVERSED},
        _invalid("spec.clusterIPs[0]", f'"{FOUR}"', "expected an IPv6 value as indicated by `ipFamilies[0]`"),
    ),
    (
        {"clusterIP": FOUR},
        {"clusterIP": "10.96.0.78"},
        _invalid("spec.clusterIPs[0]", '["10.96.0.78"]', "may not change once set"),
    ),
    (
        {"clusterIP": FOUR},
        {"clusterIP": "None"},
        _invalid("spec.clusterIPs[0]", '["None"]', "may not change once set"),
    ),
    (
        {"clusterIP": FOUR},
        REQUIRE | {"clusterIPs": [FOUR, "fd00:10:96::1f"]},
        _invalid(
            "spec.clusterIPs",
            f'["{FOUR}","fd00:10:96::1f"]',
            "failed to allocate IP fd00:10:96::1f: provided IP is already allocated",
        ),
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED_CREATES)
def test_what_two_families_cannot_give_is_refused_in_upstreams_words(run, spec, message):
    """And gives back what it had taken before it was refused, the address of the first family."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await api.post(PATH, body("taken", clusterIP="fd00:10:96::1f"))
            with pytest.raises(StatusError) as refused:
                await api.post(PATH, body(**spec))
            assert (refused.value.code, refused.value.message) == (422, message)
            assert all(api.server.addresses.range_of(f"IPv{n}").is_free(each) for n, each in ((4, FOUR), (6, SIX)))

    run(main())


@pytest.mark.parametrize(("before", "change", "message"), REFUSED_CHANGES)
def test_a_change_that_is_refused_leaves_a_service_as_it_was(run, before, change, message):
    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await api.post(PATH, body("taken", clusterIP="fd00:10:96::1f"))
            old = await api.post(PATH, body(**before))
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{PATH}/s", {"spec": change})
            assert (refused.value.code, refused.value.message) == (422, message)
            assert await api.get(f"{PATH}/s") == old
            assert held_of(api) == stored_of((await api.get("/api/v1/services"))["items"])

    run(main())


def test_a_range_that_is_full_gives_the_first_address_back(run):
    async def main():
        async with Served(service_cidrs=RANGES) as api:

            def full(*_):
                raise Full

            six = api.server.addresses.range_of("IPv6")
            six.take = full
            with pytest.raises(StatusError) as refused:
                await api.post(PATH, body(clusterIP=FOUR, **PREFER))
            assert refused.value.message == "Internal error occurred: failed to allocate a serviceIP: range is full"
            assert api.server.addresses.ranges[0].is_free(FOUR)
            await api.post(PATH, body("single", clusterIP=FOUR))
            with pytest.raises(StatusError, match="range is full"):
                await api.patch(f"{PATH}/single", {"spec": PREFER})
            assert (await api.get(f"{PATH}/single"))["spec"]["clusterIPs"] == [FOUR]

    run(main())


def test_a_dry_run_takes_nothing(run):
    async def main():
        async with Served(service_cidrs=RANGES) as api:
            made = await api.post(f"{PATH}?dryRun=All", body(**REQUIRE))
            addresses = made["spec"]["clusterIPs"]
            assert shape(made["spec"]) == BOTH
            assert all(
                each.is_free(address) for each, address in zip(api.server.addresses.ranges, addresses, strict=True)
            )

    run(main())


@pytest.mark.parametrize("policy", ["SingleStack", "PreferDualStack"])
def test_a_service_stays_as_it_is_when_the_cluster_comes_to_a_second_family(run, policy):
    """Written again as it stands it has one address still; one that asks for two by its policy gets them."""

    async def main():
        async with Served() as single:
            stored = await single.post(PATH, body(clusterIP=FOUR, ipFamilyPolicy=policy))
            raw = {key: stored[key] for key in ("metadata", "spec")}
        raw["metadata"].pop("resourceVersion")
        async with Served(service_cidrs=RANGES) as api:
            record = api.server.registry.record(resources.SERVICES)
            tree = {"kind": "Service", "apiVersion": "v1", **raw}
            await api.server.registry.put(record, record.key("default", "s"), tree, 0)
            labelled = await api.patch(f"{PATH}/s", {"metadata": {"labels": {"a": "b"}}})
            assert labelled["spec"] == raw["spec"]
            check((await api.patch(f"{PATH}/s", {"spec": REQUIRE}))["spec"], "RequireDualStack", BOTH)

    run(main())


def test_a_service_outlives_its_clusters_second_family(run):
    """One that prefers two is written as before; one that requires them is not, as upstream has it. Both can go."""

    async def main():
        async with Served(service_cidrs=RANGES) as dual:
            stored = [await dual.post(PATH, body(name, **spec)) for name, spec in (("a", PREFER), ("b", REQUIRE))]
        async with Served(service_cidrs=RANGES[:1]) as api:
            record = api.server.registry.record(resources.SERVICES)
            for name, held in zip("ab", stored, strict=True):
                held["metadata"].pop("resourceVersion")
                await api.server.registry.put(record, record.key("default", name), held, 0)
            labels = {"metadata": {"labels": {"a": "b"}}}
            assert (await api.patch(f"{PATH}/a", labels))["spec"] == stored[0]["spec"]
            with pytest.raises(StatusError, match="this cluster is not configured for dual-stack services"):
                await api.patch(f"{PATH}/b", labels)
            check((await api.patch(f"{PATH}/b", {"spec": SINGLE}))["spec"], "SingleStack", V4)
            for name in "ab":
                await api.delete(f"{PATH}/{name}")
            services = (await api.get("/api/v1/services"))["items"]
            assert held_of(api) == stored_of(services)

    run(main())


WISHES = st.fixed_dictionaries(
    {},
    optional={
        "ipFamilyPolicy": st.sampled_from(["SingleStack", "PreferDualStack", "RequireDualStack"]),
        "ipFamilies": st.sampled_from([V4, V6, BOTH, REVERSED]),
        "clusterIP": st.sampled_from(["None", "10.96.0.3", "fd00:10:96::3", "10.96.0.4"]),
        "clusterIPs": st.sampled_from([["10.96.0.3"], ["10.96.0.3", "fd00:10:96::3"], ["fd00:10:96::4", "10.96.0.4"]]),
        "type": st.sampled_from(["ClusterIP", "NodePort", "ExternalName"]),
        "externalName": st.sampled_from(["example.com", ""]),
    },
)
REQUESTS = st.lists(
    st.tuples(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), st.sampled_from("ab"), WISHES), max_size=12
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS, ranges=st.sampled_from([RANGES, RANGES[:1], RANGES[::-1]]))
def test_what_is_held_is_what_is_stored(run, requests, ranges):
    """Whatever is asked, in whatever order, and refused or not: no address leaks, none is given twice."""

    async def main():
        async with Served(service_cidrs=ranges) as api:
            refusals = set()
            for method, name, spec in requests:
                path = PATH if method == "POST" else f"{PATH}/{name}"
                sent = {"spec": spec} if method == "PATCH" else body(name, **spec)
                try:
                    kind = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
                    await api.ask(method, path, None if method == "DELETE" else sent, **kind)
                except StatusError as error:
                    refusals.add(error.code)
                services = (await api.get("/api/v1/services"))["items"]
                assert held_of(api) == stored_of(services)
                assert sum(len(shape(it["spec"])) for it in services) == len(stored_of(services))
            assert refusals <= {404, 409, 422}

    run(main())
