"""Services: what is drawn for them, what they keep and lose with their type, and every way in which that is refused."""

from __future__ import annotations

import pytest
from tests.served import Served

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.apiserver.service_addresses import AddressRange, Full

PATH = "/api/v1/namespaces/default/services"


def body(name="s", **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec}


TAKEN = "10.96.0.77"
REFUSALS = [
    (
        {"clusterIP": TAKEN},
        f'spec.clusterIPs: Invalid value: ["{TAKEN}"]: failed to allocate IP {TAKEN}: provided IP is already allocated',
    ),
    (
        {"clusterIP": "192.0.2.1"},
        (
            'spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is '
            "not in the valid range. The range of valid IPs is 10.96.0.0/16"
        ),
    ),
    (
        {"clusterIP": "fd00::1"},
        'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
    ),
    ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
    (
        {"ipFamilyPolicy": "RequireDualStack"},
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
    ),
    (
        {"ipFamilies": ["IPv4", "IPv6"]},
        (
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when "
            "multiple IP families are specified"
        ),
    ),
    (
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30077}]},
        "spec.ports[0].nodePort: Invalid value: 30077: provided port is already allocated",
    ),
    (
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
        (
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
            "The range of valid ports is 30000-32767"
        ),
    ),
    (
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30077},
        "spec.healthCheckNodePort: Invalid value: 30077: provided port is already allocated",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSALS)
def test_what_cannot_be_had_is_refused_in_upstreams_words(run, spec, message):
    """And takes nothing: what was drawn before the refusal is free again."""

    async def main():
        async with Served() as api:
            taken = body("taken", type="NodePort", clusterIP=TAKEN, ports=[{"port": 80, "nodePort": 30077}])
            await api.post(PATH, taken)
            with pytest.raises(StatusError) as refused:
                await api.post(PATH, body(**spec))
            assert (refused.value.code, refused.value.message) == (422, f'Service "s" is invalid: {message}')

    run(main())


@pytest.mark.parametrize(
    ("spec", "policy", "families"),
    [
        ({}, "SingleStack", ["IPv4"]),
        ({"ipFamilyPolicy": "PreferDualStack"}, "PreferDualStack", ["IPv4"]),
        ({"clusterIP": "None", "selector": {"a": "b"}}, "SingleStack", ["IPv4"]),
        ({"clusterIP": "None"}, "RequireDualStack", ["IPv4", "IPv6"]),
        ({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}, "SingleStack", ["IPv4"]),
        ({"clusterIP": "None", "ipFamilies": ["IPv6"]}, "RequireDualStack", ["IPv6", "IPv4"]),
    ],
)
def test_families_on_a_cluster_with_one(run, spec, policy, families):
    async def main():
        async with Served() as api:
            made = (await api.post(PATH, body(**spec)))["spec"]
            assert (made["ipFamilyPolicy"], made["ipFamilies"]) == (policy, families)
            kept = (await api.put(f"{PATH}/s", body(**spec | {"ipFamilies": families})))["spec"]
            assert (kept["clusterIPs"], kept["ipFamilies"]) == (made["clusterIPs"], families)

    run(main())


def test_what_a_type_needed_falls_away_with_it(run):
    """Every way from one type to another by a patch of the type alone, as `kubectl patch` does it."""

    async def main():
        async with Served() as api:
            needs = {"LoadBalancer": {"externalTrafficPolicy": "Local", "loadBalancerClass": "example.com/x"}}
            types = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
            outside = {"externalName": "example.com"}
            for before in types:
                for after in types:
                    more = needs.get(before, {}) | (outside if before == "ExternalName" else {})
                    await api.post(PATH, body(type=before, **more))
                    target = {"externalName": "example.com" if after == "ExternalName" else None}
                    patched = (await api.patch(f"{PATH}/s", {"spec": {"type": after} | target}))["spec"]
                    assert patched["type"] == after
                    assert ("clusterIP" in patched) == (after != "ExternalName")
                    assert bool(patched["ports"][0].get("nodePort")) == (after in ("NodePort", "LoadBalancer"))
                    assert ("allocateLoadBalancerNodePorts" in patched) == (after == "LoadBalancer")
                    await api.delete(f"{PATH}/s")

    run(main())


def test_a_service_becomes_an_alias_when_its_address_is_cleared(run):
    """By a whole update as read back, with `clusterIP` emptied alone: who knows one address means all of them."""

    async def main():
        async with Served() as api:
            made = await api.post(PATH, body())
            made["spec"] |= {"type": "ExternalName", "externalName": "example.com", "clusterIP": ""}
            changed = (await api.put(f"{PATH}/s", made))["spec"]
            assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & changed.keys()

    run(main())


def test_one_number_for_two_protocols(run):
    """Protocols of one port share a node port, as a DNS server's do, drawn or given; those of two Services may not."""

    async def main():
        async with Served() as api:
            ports = [
                {"name": "udp", "port": 53, "protocol": "UDP", "nodePort": 30053},
                {"name": "tcp", "port": 53, "protocol": "TCP", "nodePort": 30053},
                {"name": "sctp", "port": 53, "protocol": "SCTP"},
            ]
            made = (await api.post(PATH, body(type="NodePort", ports=ports)))["spec"]["ports"]
            assert [port["nodePort"] for port in made[:2]] == [30053, 30053]
            assert made[2]["nodePort"] == 30053
            drawn = [{"name": p.lower(), "port": 53, "protocol": p} for p in ("UDP", "TCP")]
            later = [{"name": "other", "port": 54}, *drawn[:1], {**drawn[1], "nodePort": 30054}]
            for name, ports in (("drawn", drawn), ("later", later)):
                made = (await api.post(PATH, body(name, type="NodePort", ports=ports)))["spec"]["ports"]
                numbers = [port["nodePort"] for port in made if port["port"] == 53]
                assert len(set(numbers)) == 1
                assert 30053 not in numbers
            assert numbers[0] == 30054
            with pytest.raises(StatusError, match="provided port is already allocated"):
                await api.post(PATH, body("t", type="NodePort", ports=[{"port": 1, "nodePort": 30053}]))

    run(main())


def test_a_balancer_may_do_without_node_ports(run):
    async def main():
        async with Served() as api:
            spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
            made = (await api.post(PATH, body(**spec)))["spec"]
            assert "nodePort" not in made["ports"][0]
            assert "healthCheckNodePort" not in made

    run(main())


def test_whoever_asks_for_endpoints_is_warned(run):
    """On reading and on writing, as upstream has done since 1.33."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/endpoints"
            for method, where, sent in (
                ("POST", path, {"metadata": {"name": "a"}}),
                ("GET", path, None),
                ("GET", f"{path}/a", None),
                ("DELETE", f"{path}/a", None),
            ):
                answer = await api.ask(method, where, sent)
                assert list(answer.warnings) == [
                    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
                ]
            assert not (await api.ask("GET", PATH)).warnings

    run(main())


def test_a_full_range_says_so(run):
    """In upstream's words, for addresses and for ports; one that is given back can be had again."""
    for cidr, size in (("10.96.0.0/29", 6), ("fd00:10:96::/125", 7)):
        small = AddressRange(cidr, Chance(1))
        held = [small.take() for _ in range(size)]
        assert len(set(held)) == size
        with pytest.raises(Full):
            small.take()
        small.release(held[2])
        assert small.take() == held[2]

    async def main():
        async with Served() as api:

            def full(*_):
                raise Full

            primary = api.server.addresses.ranges[0]
            primary.take = full
            with pytest.raises(StatusError) as refused:
                await api.post(PATH, body())
            assert refused.value.code == 500
            assert refused.value.message == "Internal error occurred: failed to allocate a serviceIP: range is full"
            del primary.take
            api.server.addresses.take_port = full
            with pytest.raises(StatusError) as refused:
                await api.post(PATH, body(type="NodePort"))
            assert refused.value.message == "Internal error occurred: failed to allocate a nodePort: range is full"

    run(main())


@pytest.mark.parametrize(("held", "expected"), [(None, "10.96.0.10"), ("10.96.0.10", None), ("kube-dns", "10.96.0.99")])
def test_the_dns_has_its_usual_address(run, held, expected):
    """The tenth of the range; in data where a user's Service has that, or the DNS another, what can be had."""

    async def main():
        async with Served() as api:
            if held == "kube-dns":
                await api.post("/api/v1/namespaces/kube-system/services", body(held, clusterIP=expected))
            elif held:
                await api.post(PATH, body(clusterIP=held))
            (found,) = await api.server.publish_dns(["10.244.0.2"])
            assert found == expected if expected else found.startswith("10.96.") and found != held
            where = "/api/v1/namespaces/kube-system"
            made = (await api.get(f"{where}/services/kube-dns"))["spec"]
            assert made["clusterIP"] == found
            (subset,) = (await api.get(f"{where}/endpoints/kube-dns"))["subsets"]
            assert [port["port"] for port in subset["ports"]] == [53, 53]

    run(main())


def test_the_dns_has_a_slice_for_each_family(run):
    """Of a family that is no longer there nobody is led anywhere; Endpoints have the primary one alone."""

    async def main():
        async with Served() as api:
            where = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"

            async def slices():
                found = (await api.get(where))["items"]
                return {
                    (each["metadata"]["name"], each["addressType"]): [e["addresses"] for e in each["endpoints"] or ()]
                    for each in found
                }

            await api.server.publish_dns(["10.244.0.2"])
            assert await slices() == {("kube-dns", "IPv4"): [["10.244.0.2"]]}
            await api.server.publish_dns(["10.244.0.2", "fd00:10:244::2"])
            expected = {("kube-dns", "IPv4"): [["10.244.0.2"]], ("kube-dns-ipv6", "IPv6"): [["fd00:10:244::2"]]}
            assert await slices() == expected
            (subset,) = (await api.get("/api/v1/namespaces/kube-system/endpoints/kube-dns"))["subsets"]
            assert subset["addresses"] == [{"ip": "10.244.0.2"}]
            await api.server.publish_dns(["10.244.0.2"])
            assert await slices() == expected | {("kube-dns-ipv6", "IPv6"): []}

    run(main())


@pytest.mark.parametrize(
    ("listens", "held", "expected"),
    [
        (["10.244.0.2", "fd00:10:244::2"], "", ("PreferDualStack", ["10.96.0.10", "fd00:10:96::a"])),
        (["10.244.0.2", "fd00:10:244::2"], "fd00:10:96::a", ("PreferDualStack", ["10.96.0.10", "fd00:10:96::…"])),
        (["10.244.0.2"], "", ("SingleStack", ["10.96.0.10"])),
    ],
)
def test_the_dns_service_has_the_families_that_the_dns_has(run, listens, held, expected):
    """The tenth of each range, as far as nobody holds it; told in the order in which Pods are to be told."""

    async def main():
        async with Served(service_cidrs=("10.96.0.0/16", "fd00:10:96::/112")) as api:
            if held:
                await api.post(PATH, body(clusterIP=held, ipFamilies=["IPv6"]))
            told = list(await api.server.publish_dns(listens))
            spec = (await api.get("/api/v1/namespaces/kube-system/services/kube-dns"))["spec"]
            assert spec["clusterIPs"] == told
            if held:
                assert told[1].startswith("fd00:10:96::") and told[1] != held
                told[1] = "fd00:10:96::…"
            assert (spec["ipFamilyPolicy"], told) == expected
            assert list(await api.server.publish_dns(listens)) == spec["clusterIPs"]

    run(main())
