"""ServiceCIDR and IPAddress: the allocator's state as objects that follow it, and addresses that others take."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.served import Served

from podling.api import resources as r
from podling.api.errors import StatusError
from podling.apiserver import bootstrap
from podling.apiserver.record import User

RANGES = ("10.96.0.0/24", "fd00:10:96::/120")
SERVICES = "/api/v1/namespaces/default/services"
IPS = "/apis/networking.k8s.io/v1/ipaddresses"
CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OURS = "ipallocator.k8s.io"
MANAGED_BY = "ipaddress.kubernetes.io/managed-by"


def service(name="web", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec}


def reserved(address, name="gate", **labels):
    parent = {"group": "example.com", "resource": "gateways", "namespace": "default", "name": name}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


async def settle(api):
    """Let the server's own writers come to rest."""
    before = -1
    while before != api.store.revision:
        before = api.store.revision
        for _ in range(20):
            await asyncio.sleep(0)


async def shown(api):
    """Address → (family, who manages it, who holds it)."""
    await settle(api)
    found = {}
    for each in (await api.get(IPS))["items"]:
        labels, parent = each["metadata"].get("labels", {}), each["spec"]["parentRef"]
        owner = "/".join((parent["resource"], parent.get("namespace", ""), parent["name"]))
        family = labels.get("ipaddress.kubernetes.io/ip-family")
        found[each["metadata"]["name"]] = (family, labels.get(MANAGED_BY), owner)
    return found


def test_each_cluster_address_has_an_object(run):
    """With upstream's labels and reference; it comes and goes with the address, by whichever way."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            own = {"10.96.0.1": ("IPv4", OURS, "services/default/kubernetes")}
            assert await shown(api) == own
            both = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:10:96::9"]}
            await api.post(SERVICES, service(ipFamilyPolicy="RequireDualStack", **both))
            await api.post(SERVICES, service("none", clusterIP="None"))
            four = {"10.96.0.9": ("IPv4", OURS, "services/default/web")}
            six = {"fd00:10:96::9": ("IPv6", OURS, "services/default/web")}
            assert await shown(api) == own | four | six
            await api.patch(f"{SERVICES}/web", {"spec": {"ipFamilyPolicy": "SingleStack"}})
            assert await shown(api) == own | four
            await api.delete(f"{SERVICES}/web")
            await api.post(SERVICES, service("next", clusterIP="10.96.0.9"))
            assert await shown(api) == own | {"10.96.0.9": ("IPv4", OURS, "services/default/next")}
            await api.patch(f"{SERVICES}/next", {"spec": {"type": "ExternalName", "externalName": "example.com"}})
            assert await shown(api) == own

    run(main())


def test_what_is_deleted_comes_back_and_what_is_false_goes(run):
    """An object that says of itself that it is the allocator's is what the allocator says, or is not there."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await api.post(SERVICES, service(clusterIP="10.96.0.9"))
            before = await shown(api)
            first = (await api.get(f"{IPS}/10.96.0.9"))["metadata"]["uid"]
            await api.delete(f"{IPS}/10.96.0.9")
            assert await shown(api) == before
            assert (await api.get(f"{IPS}/10.96.0.9"))["metadata"]["uid"] != first
            await api.post(IPS, reserved("10.96.0.10", **{MANAGED_BY: OURS}))
            assert await shown(api) == before

    run(main())


def test_a_write_that_fails_is_made_again(run):
    """Whoever keeps the objects may be ended at any moment: nothing is forgotten that was not written."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await settle(api)
            put, failures = api.server.registry.put, []

            async def failing(record, key, tree, expected, charges=()):
                if record.resource is r.IP_ADDRESSES and len(failures) < 1:
                    failures.append(key)
                    raise OSError("no space left on the device")
                return await put(record, key, tree, expected, charges)

            api.server.registry.put = failing
            await asyncio.gather(*(api.post(SERVICES, service(name)) for name in "abcde"))
            await settle(api)
            (ended,) = [task for task in api._tasks if task.done()]
            with pytest.raises(ExceptionGroup):
                ended.result()
            (main,) = [main for name, main in api.server.components() if name == "service-ips"]
            api._tasks.append(asyncio.create_task(main()))
            assert sorted(owner for _, _, owner in (await shown(api)).values()) == sorted(
                f"services/default/{name}" for name in ("kubernetes", *"abcde")
            )
            assert failures

    run(main())


def test_an_address_that_somebody_reserves_is_given_to_nobody(run):
    """Neither on demand nor by chance, until it is given back; nor can what a Service holds be reserved."""

    async def main():
        async with Served(service_cidrs=("10.96.0.0/29",)) as api:
            for last in range(2, 6):
                await api.post(IPS, reserved(f"10.96.0.{last}", **{MANAGED_BY: "example.com"}))
            await api.post(IPS, reserved("192.0.2.1"))
            made = await api.post(SERVICES, service())
            assert made["spec"]["clusterIP"] == "10.96.0.6"
            with pytest.raises(StatusError, match="range is full"):
                await api.post(SERVICES, service("b"))
            with pytest.raises(
                StatusError, match=r"failed to allocate IP 10\.96\.0\.3: provided IP is already allocated"
            ):
                await api.post(SERVICES, service("b", clusterIP="10.96.0.3"))
            for address in ("10.96.0.6", "10.96.0.3"):
                with pytest.raises(StatusError) as refused:
                    await api.post(IPS, reserved(address))
                assert refused.value.message == f'ipaddresses.networking.k8s.io "{address}" already exists'
            await api.delete(f"{IPS}/10.96.0.3")
            assert (await api.post(SERVICES, service("b")))["spec"]["clusterIP"] == "10.96.0.3"
            assert (await shown(api))["10.96.0.4"] == (None, "example.com", "gateways/default/gate")

    run(main())


def test_a_dry_run_reserves_nothing(run):
    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await api.post(f"{IPS}?dryRun=All", reserved("10.96.0.9"))
            await api.post(SERVICES, service(clusterIP="10.96.0.9"))

    run(main())


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            reserved("10.96.0.010"),
            'metadata.name: Invalid value: "10.96.0.010": must be in canonical form ("10.96.0.10")',
        ),
        (
            reserved("fd00::0:1"),
            'metadata.name: Invalid value: "fd00::0:1": must be in canonical form ("fd00::1")',
        ),
        (
            reserved("web"),
            'metadata.name: Invalid value: "web": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        ({"metadata": {"name": "10.96.0.9"}, "spec": {}}, "spec.parentRef: Required value"),
        (
            {"metadata": {"name": "10.96.0.9"}, "spec": {"parentRef": {"resource": "a/b", "name": "x"}}},
            "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            {"metadata": {"name": "10.96.0.9"}, "spec": {"parentRef": {"resource": "services", "name": ""}}},
            "spec.parentRef.name: Required value",
        ),
    ],
)
def test_what_is_no_address_is_refused(run, tree, said):
    async def main():
        async with Served(service_cidrs=RANGES) as api:
            with pytest.raises(StatusError) as refused:
                await api.post(IPS, tree)
            name = tree["metadata"]["name"]
            assert (refused.value.code, refused.value.message) == (
                422,
                f'IPAddress.networking.k8s.io "{name}" is invalid: {said}',
            )
            await api.post(IPS, reserved("10.96.0.9"))
            with pytest.raises(StatusError, match=r"spec\.parentRef: Invalid value: .*: field is immutable"):
                await api.put(f"{IPS}/10.96.0.9", reserved("10.96.0.9", "other"))

    run(main())


@pytest.mark.parametrize("ranges", [RANGES, RANGES[:1]])
def test_the_ranges_are_shown_and_cannot_be_changed(run, ranges):
    """The ServiceCIDR of upstream's name is Ready; it may be labelled, and else no write of anybody's is let through."""

    async def main():
        async with Served(service_cidrs=ranges) as api:
            (found,) = (await api.get(CIDRS))["items"]
            assert (found["metadata"]["name"], found["spec"]["cidrs"]) == ("kubernetes", list(ranges))
            (condition,) = found["status"]["conditions"]
            assert (condition["type"], condition["status"]) == ("Ready", "True")
            more = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}}
            for method, path, sent in (
                ("POST", CIDRS, more),
                ("PUT", f"{CIDRS}/kubernetes", found | {"spec": {"cidrs": ["10.97.0.0/24"]}}),
                ("DELETE", f"{CIDRS}/kubernetes", None),
                ("PUT", f"{CIDRS}/kubernetes/status", found | {"status": {}}),
            ):
                with pytest.raises(StatusError) as refused:
                    await api.ask(method, path, sent)
                assert refused.value.code == 403
                assert refused.value.message.endswith(
                    "is forbidden: the ranges of Services are chosen when a cluster first starts, and cannot be changed "
                    "through the API"
                )
            assert (await api.get(CIDRS))["items"] == [found]
            noted = await api.patch(f"{CIDRS}/kubernetes", {"metadata": {"annotations": {"patched": "true"}}})
            noted["metadata"]["labels"] = {"updated": "true"}
            noted = await api.put(f"{CIDRS}/kubernetes", noted)
            assert (noted["metadata"]["annotations"], noted["spec"]) == ({"patched": "true"}, found["spec"])

    run(main())


def test_the_ranges_follow_a_cluster_that_comes_to_a_second_family(run):
    """As upstream's do: shown anew at the next start, and only then."""

    async def main():
        async with Served(service_cidrs=RANGES[:1]) as api:
            server = api.server
            before = await api.get(f"{CIDRS}/kubernetes")
            await bootstrap.publish_service_ranges(server.registry, RANGES[:1])
            assert await api.get(f"{CIDRS}/kubernetes") == before
            await bootstrap.publish_service_ranges(server.registry, RANGES)
            after = await api.get(f"{CIDRS}/kubernetes")
            assert after["spec"]["cidrs"] == list(RANGES)
            assert after["metadata"]["uid"] == before["metadata"]["uid"]

    run(main())


def test_as_tables(run):
    """What `kubectl get servicecidrs,ipaddresses` prints: upstream's columns."""

    async def main():
        async with Served(service_cidrs=RANGES) as api:
            await api.post(IPS, reserved("192.0.2.1"))
            await settle(api)
            ranges = await api.get(CIDRS, TABLE)
            assert [column["name"] for column in ranges["columnDefinitions"]] == ["Name", "CIDRs", "Age"]
            assert [row["cells"][:2] for row in ranges["rows"]] == [["kubernetes", ",".join(RANGES)]]
            addresses = await api.get(IPS, TABLE)
            assert [column["name"] for column in addresses["columnDefinitions"]] == ["Name", "ParentRef", "Age"]
            assert [row["cells"][:2] for row in addresses["rows"]] == [
                ["10.96.0.1", "services/default/kubernetes"],
                ["192.0.2.1", "gateways.example.com/default/gate"],
            ]
            groups = await api.get("/apis/networking.k8s.io/v1")
            names = {each["name"]: each.get("shortNames") for each in groups["resources"]}
            assert names["ipaddresses"] == ["ip"]
            assert "servicecidrs" in names

    run(main())


def test_who_may_not_write_addresses_reserves_none(run):
    async def main():
        async with Served(service_cidrs=RANGES) as api:
            api.door = api.server.transport(User("someone", ("system:authenticated",)))
            with pytest.raises(StatusError) as refused:
                await api.post(IPS, reserved("10.96.0.9"))
            assert refused.value.code == 403
            assert api.server.addresses.ranges[0].is_free("10.96.0.9")

    run(main())


NAMES = st.sampled_from("abc")
ADDRESSES = st.sampled_from([f"10.96.0.{last}" for last in range(2, 6)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("service"), NAMES, ADDRESSES),
        st.tuples(st.just("drop"), NAMES, st.just("")),
        st.tuples(st.just("reserve"), st.just(""), ADDRESSES),
        st.tuples(st.just("remove"), st.just(""), ADDRESSES),
        st.tuples(st.just("steal"), st.just(""), ADDRESSES),
    ),
    max_size=14,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, pauses=st.lists(st.integers(0, 3), max_size=14))
def test_the_objects_come_to_agree_with_the_allocator(run, steps, pauses):
    """Whatever is written in whatever haste: in the end each address is taken by whom its object names."""

    async def main():
        async with Served(service_cidrs=("10.96.0.0/29",)) as api:
            for number, (what, name, address) in enumerate(steps):
                try:
                    match what:
                        case "service":
                            await api.post(SERVICES, service(name, clusterIP=address))
                        case "drop":
                            await api.delete(f"{SERVICES}/{name}")
                        case "reserve":
                            await api.post(IPS, reserved(address))
                        case "remove":
                            await api.delete(f"{IPS}/{address}")
                        case "steal":
                            await api.patch(f"{IPS}/{address}", {"metadata": {"labels": {MANAGED_BY: "example.com"}}})
                except StatusError as error:
                    assert error.code in {404, 409, 422}, error.message  # noqa: PT017
                for _ in range(pauses[number] if number < len(pauses) else 0):
                    await asyncio.sleep(0)
            found = await shown(api)
            services = api.server.registry.shelf(api.server.registry.record(r.SERVICES))
            held = {}
            for key in ("default/a", "default/b", "default/c", "default/kubernetes"):
                seen = services.get(f"/registry/services/specs/{key}")
                if seen is not None:
                    held[seen.view(r.SERVICES.type).spec.cluster_ip] = f"services/{key}"
            assert {address: owner for address, (_, who, owner) in found.items() if who == OURS} == {
                address: owner for address, owner in held.items() if found[address][1] == OURS
            }
            taken = {str(each) for each in api.server.addresses.ranges[0].network.hosts()}
            taken = {each for each in taken if not api.server.addresses.ranges[0].is_free(each)}
            assert taken == set(found) | set(held)

    run(main())
