"""The records of the cluster's zone: the tables of the Kubernetes DNS specification 1.1.0, and what is not there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podling.api.codec import from_tree
from podling.api.types.discovery_v1 import EndpointSlice
from podling.reach.names import Zone
from tests.machine.reach.reached import service


def slice_(*endpoints, ports=(("http", "TCP", 8080),), name="web", family="IPv4"):
    tree = {
        "metadata": {"name": f"{name}-x", "namespace": "default"},
        "addressType": family,
        "endpoints": [
            {"addresses": list(e["addresses"]), "hostname": e.get("hostname"), "conditions": {"ready": e.get("ready")}}
            for e in endpoints
        ],
        "ports": [{"name": n, "protocol": p, "port": number} for n, p, number in ports],
    }
    return from_tree(EndpointSlice, tree)


def end(*addresses, **more):
    return {"addresses": addresses} | more


def zone(*services):
    made = Zone(servers=["10.244.0.2"])
    made.put_namespace("default")
    for svc, *slices in services:
        made.put_service(svc, slices)
    return made


def ask(made, name, kind):
    found = made.find(name, kind)
    return [record.data for record in found.records] if found.exists else "NXDOMAIN"


PORTS = [
    {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080},
    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
]
WEB = "web.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (WEB, "A", ["10.96.0.50"]),
        (WEB, "AAAA", []),
        (WEB, "SRV", []),
        (f"_http._tcp.{WEB}", "SRV", [(0, 100, 80, WEB)]),
        (f"_dns._udp.{WEB}", "SRV", [(0, 100, 53, WEB)]),
        (f"_http._tcp.{WEB}", "A", []),
        (f"_tcp.{WEB}", "SRV", []),
        (f"_http._udp.{WEB}", "SRV", "NXDOMAIN"),
        (f"_none._tcp.{WEB}", "SRV", "NXDOMAIN"),
        ("50.0.96.10.in-addr.arpa", "PTR", [WEB]),
        ("50.0.96.10.in-addr.arpa", "A", []),
        ("cluster.local", "A", []),
        ("cluster.local", "NS", ["ns.dns.cluster.local"]),
        ("ns.dns.cluster.local", "A", ["10.244.0.2"]),
        ("svc.cluster.local", "A", []),
        ("pod.cluster.local", "A", []),
        ("default.svc.cluster.local", "A", []),
        ("default.pod.cluster.local", "A", []),
        ("other.svc.cluster.local", "A", "NXDOMAIN"),
        ("no.default.svc.cluster.local", "A", "NXDOMAIN"),
        ("default.cluster.local", "A", "NXDOMAIN"),
        (f"a.{WEB}", "A", "NXDOMAIN"),
        ("dns-version.cluster.local", "TXT", ["1.1.0"]),
        ("10-244-0-9.default.pod.cluster.local", "A", ["10.244.0.9"]),
        ("10-244-0-9.default.pod.cluster.local", "AAAA", []),
        ("10-244-0--9.default.pod.cluster.local", "A", []),
        ("fd00-10-244--9.default.pod.cluster.local", "AAAA", ["fd00:10:244::9"]),
        ("fd00-10-244--9.default.pod.cluster.local", "A", []),
        ("fd00-10-244-0-0-0-0-9.default.pod.cluster.local", "AAAA", ["fd00:10:244::9"]),
        ("--1.default.pod.cluster.local", "AAAA", ["::1"]),
        ("fd00-10-244--9.other.pod.cluster.local", "AAAA", "NXDOMAIN"),
        ("fe80--1%eth0.default.pod.cluster.local", "AAAA", "NXDOMAIN"),
        ("fd00--244--9.default.pod.cluster.local", "AAAA", "NXDOMAIN"),
        ("10-244-0-999.default.pod.cluster.local", "A", "NXDOMAIN"),
        ("10-244-0-9.other.pod.cluster.local", "A", "NXDOMAIN"),
        ("x.10-244-0-9.default.pod.cluster.local", "A", "NXDOMAIN"),
    ],
)
def test_a_service_with_an_address(name, kind, expected):
    assert ask(zone((service(ports=PORTS),)), name, kind) == expected


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (WEB, "A", ["10.244.0.5", "10.244.0.6", "10.244.0.8"]),
        (WEB, "AAAA", ["fd00::8"]),
        (f"db-0.{WEB}", "A", ["10.244.0.5"]),
        (f"10-244-0-6.{WEB}", "A", ["10.244.0.6"]),
        (f"10-244-0-5.{WEB}", "A", "NXDOMAIN"),
        (f"db-1.{WEB}", "A", "NXDOMAIN"),
        (
            f"_http._tcp.{WEB}",
            "SRV",
            [
                (0, 25, 8080, f"db-0.{WEB}"),
                (0, 25, 8080, f"10-244-0-6.{WEB}"),
                (0, 25, 9090, f"10-244-0-8.{WEB}"),
                (0, 25, 9090, f"fd00--8.{WEB}"),
            ],
        ),
        ("5.0.244.10.in-addr.arpa", "PTR", [f"db-0.{WEB}"]),
        ("6.0.244.10.in-addr.arpa", "PTR", [f"10-244-0-6.{WEB}"]),
    ],
)
def test_a_headless_service(name, kind, expected):
    """Its ready endpoints, by hostname or by address; those that are not ready are not there."""
    one = slice_(end("10.244.0.5", hostname="db-0"), end("10.244.0.6"), end("10.244.0.7", hostname="db-1", ready=False))
    two = slice_(end("10.244.0.8", "fd00::8"), ports=[("http", "TCP", 9090)])
    assert ask(zone((service(clusterIP="None"), one, two)), name, kind) == expected


BACK6 = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f.ip6.arpa"
"""Behind the last four digits of an address of fd00:10:244::/64."""


def test_a_service_of_both_families():
    """Each of its addresses under its name and in its own reverse tree; a port's target brings both."""
    both = service(ports=PORTS, clusterIPs=["10.96.0.50", "fd00:10:96::50"])
    made = zone((both,))
    assert (ask(made, WEB, "A"), ask(made, WEB, "AAAA")) == (["10.96.0.50"], ["fd00:10:96::50"])
    assert ask(made, f"_http._tcp.{WEB}", "SRV") == [(0, 100, 80, WEB)]
    assert [record.data for record in made.find(f"_http._tcp.{WEB}", "SRV").more] == ["10.96.0.50", "fd00:10:96::50"]
    back = "0.5.0.0." + BACK6.replace("4.4.2.0", "6.9.0.0")
    assert (ask(made, back, "PTR"), ask(made, "50.0.96.10.in-addr.arpa", "PTR")) == ([WEB], [WEB])
    made.put_service(service(clusterIP="fd00:10:96::50"), [])
    assert (ask(made, WEB, "A"), ask(made, WEB, "AAAA")) == ([], ["fd00:10:96::50"])
    assert (ask(made, back, "PTR"), ask(made, "50.0.96.10.in-addr.arpa", "PTR")) == ([WEB], "NXDOMAIN")


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (WEB, "A", ["10.244.0.5", "10.244.0.6"]),
        (WEB, "AAAA", ["fd00:10:244::5", "fd00:10:244::6", "fd00:10:244::"]),
        (f"db-0.{WEB}", "A", ["10.244.0.5"]),
        (f"db-0.{WEB}", "AAAA", ["fd00:10:244::5"]),
        (f"10-244-0-6.{WEB}", "A", ["10.244.0.6"]),
        (f"10-244-0-6.{WEB}", "AAAA", []),
        (f"fd00-10-244--6.{WEB}", "AAAA", ["fd00:10:244::6"]),
        (f"fd00-10-244--0.{WEB}", "AAAA", ["fd00:10:244::"]),
        (f"fd00-10-244--7.{WEB}", "AAAA", "NXDOMAIN"),
        (
            f"_http._tcp.{WEB}",
            "SRV",
            [
                (0, 25, 8080, f"db-0.{WEB}"),
                (0, 25, 8080, f"10-244-0-6.{WEB}"),
                (0, 25, 8080, f"fd00-10-244--6.{WEB}"),
                (0, 25, 8080, f"fd00-10-244--0.{WEB}"),
            ],
        ),
        ("5.0.244.10.in-addr.arpa", "PTR", [f"db-0.{WEB}"]),
        (f"5.0.0.0.{BACK6}", "PTR", [f"db-0.{WEB}"]),
        (f"6.0.0.0.{BACK6}", "PTR", [f"fd00-10-244--6.{WEB}"]),
        (f"7.0.0.0.{BACK6}", "PTR", "NXDOMAIN"),
    ],
)
def test_a_headless_service_of_both_families(name, kind, expected):
    """A hostname has both addresses; without one each address has a name of its own, whatever form it was written in."""
    four = slice_(end("10.244.0.5", hostname="db-0"), end("10.244.0.6"))
    six = slice_(
        end("fd00:10:244::5", hostname="db-0"),
        end("FD00:10:244:0::6"),
        end("fd00:10:244::"),
        end("fd00:10:244::7", ready=False),
        family="IPv6",
    )
    made = zone((service(clusterIP="None", ipFamilies=["IPv4", "IPv6"]), four, six))
    assert ask(made, name, kind) == expected
    made.drop_service("default", "web")
    assert not made._reverse


def test_who_answers_for_the_zone_is_named_in_each_family():
    made = Zone(servers=["10.244.0.2", "fd00:10:244::2"])
    answers = [ask(made, "ns.dns.cluster.local", kind) for kind in ("A", "AAAA")]
    assert answers == [["10.244.0.2"], ["fd00:10:244::2"]]


def test_targets_bring_their_addresses():
    made = zone((service(clusterIP="None"), slice_(end("10.244.0.5", hostname="db-0"))))
    more = made.find(f"_http._tcp.{WEB}", "SRV").more
    assert [(record.name, record.kind, record.data) for record in more] == [(f"db-0.{WEB}", "A", "10.244.0.5")]


def test_a_headless_service_without_ready_endpoints_has_no_name():
    assert ask(zone((service(clusterIP="None"), slice_(end("10.244.0.5", ready=False)))), WEB, "A") == "NXDOMAIN"


def test_an_external_name_is_an_alias():
    made = zone((service(type="ExternalName", externalName="Example.COM.", clusterIP="", ports=[]),))
    for kind in ("A", "AAAA", "CNAME", "SRV"):
        (record,) = made.find(WEB, kind).records
        assert (record.kind, record.data) == ("CNAME", "example.com")


def test_what_goes_leaves_nothing():
    """Names, names between and reverse names; a change of type replaces them all."""
    made = zone((service(clusterIP="None"), slice_(end("10.244.0.5", hostname="db-0"))))
    version = made.version
    made.put_service(service(clusterIP="None"), [slice_(end("10.244.0.5", hostname="db-0"))])
    assert made.version == version
    made.put_service(service(), [])
    assert (made.version > version, ask(made, f"db-0.{WEB}", "A")) == (True, "NXDOMAIN")
    assert ask(made, "5.0.244.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    made.drop_service("default", "web")
    made.drop_service("default", "web")
    made.drop_namespace("default")
    for name in (WEB, f"_tcp.{WEB}", "default.svc.cluster.local", "50.0.96.10.in-addr.arpa"):
        assert ask(made, name, "A") == "NXDOMAIN"
    assert vars(made) | {"version": 0} == vars(Zone(servers=["10.244.0.2"]))


_SERVICE = st.builds(
    lambda name, headless, ips: (
        service(name, clusterIP="None" if headless else "10.96.0.50"),
        slice_(*(end(f"10.244.0.{ip}", hostname=f"h{ip}" if ip % 2 else None, ready=ip % 5 != 0) for ip in ips)),
    ),
    st.sampled_from(["a", "b", "c"]),
    st.booleans(),
    st.lists(st.integers(1, 9), max_size=4, unique=True),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_SERVICE, st.sampled_from(["a", "b", "c"])), max_size=12))
def test_any_history_is_as_good_as_its_end(steps):
    """A zone that has followed puts and drops equals one that was told the end alone."""
    made, final = zone(), {}
    for step in steps:
        if isinstance(step, str):
            final.pop(step, None)
            made.drop_service("default", step)
        else:
            final.pop(step[0].metadata.name, None)
            final[step[0].metadata.name] = step
            made.put_service(step[0], step[1:])
    fresh = zone(*final.values())
    assert (made._names, made._between) == (fresh._names, fresh._between)
    assert {key: dict(each) for key, each in made._reverse.items()} == fresh._reverse
