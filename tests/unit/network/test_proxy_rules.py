"""Services as elements of maps: what each is, what a change costs, and who has what two want."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.network.proxy import chains as ch
from podling.network.proxy.chains import Drop, External, ExternalLocal, Facts, Internal, Learn, Refuse, Spread
from podling.network.proxy.claims import Changes, Claims
from podling.network.proxy.rules import MOST_ELEMENTS, NOTHING, arranged, frontend_key, plan
from podling.reach.selection import Target

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Address("10.244.0.1"), "pdx")


def web(**spec):
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": spec.pop("nodePort", None)}]
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ports": ports} | spec
    status = spec.pop("status", {})
    return from_tree(Service, {"metadata": {"name": "web", "namespace": "d"}, "spec": spec, "status": status})


def cut(*addresses, node="n1", ready=True):
    endpoints = [
        {"addresses": [address], "nodeName": node, "conditions": {"ready": ready}} for address in addresses
    ]  # fmt: skip
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return from_tree(EndpointSlice, {"addressType": "IPv4", "endpoints": endpoints, "ports": ports})


def made(service, *slices, before=NOTHING):
    return plan(service, slices, "n1", FACTS, before)


def at(rules, named, address="10.96.0.9", port=80, more=b""):
    return rules.elements.get((named.name, frontend_key(address, 6, port) + more))


def test_a_cluster_address():
    """Its endpoints stand under their numbers, its way spreads over as many, local ones may call themselves."""
    rules = made(web(), cut("10.244.0.5"), cut("10.244.1.5", node="n2"))
    assert at(rules, ch.SERVICES) == Internal(Spread(2))
    values = [at(rules, ch.ENDPOINTS, more=bytes((number, 0, 0, 0))) for number in (0, 1)]
    assert values == [socket.inet_aton(a) + b"\x1f\x90\0\0" for a in ("10.244.0.5", "10.244.1.5")]
    hairpins = [key for name, key in rules.elements if name == ch.HAIRPINS.name]
    assert hairpins == [2 * socket.inet_aton("10.244.0.5")]
    assert (ch.CLUSTER.name, socket.inet_aton("10.96.0.9")) in rules.elements


def test_external_addresses_are_outside():
    """Whoever may make Services may not have what goes to another Service, to a Pod or to the cluster's DNS."""
    facts = replace(FACTS, services=IPv4Network("10.96.0.0/16"))
    theirs = ["10.96.0.10", "10.244.0.2", "10.244.3.4", "192.0.2.1"]
    rules = plan(web(externalIPs=theirs), [cut("10.244.0.5")], "n1", facts)
    fronts = {socket.inet_ntoa(key[:4]) for name, key in rules.elements if name == ch.SERVICES.name}
    assert fronts == {"10.96.0.9", "192.0.2.1"}
    assert rules.passed_over == 0


def test_nobody_there():
    """Without endpoints callers are refused; with none on this node they are dropped where the policy is Local."""
    assert at(made(web()), ch.UNSERVED) == Refuse()
    local = web(internalTrafficPolicy="Local")
    assert at(made(local, cut("10.244.1.5", node="n2")), ch.UNSERVED) == Drop()
    assert at(made(local), ch.UNSERVED) == Refuse()
    assert at(made(local, cut("10.244.0.5")), ch.SERVICES) == Internal(Spread(1, ch.LOCAL))


def test_every_way_in():
    """Node ports, external and balanced addresses; Local policy tells those from outside from the cluster's own."""
    status = {"loadBalancer": {"ingress": [{"ip": "10.97.0.1"}, {"ip": "10.97.0.2", "ipMode": "Proxy"}]}}
    spec = {"type": "LoadBalancer", "externalIPs": ["203.0.113.5"], "nodePort": 30080, "status": status}
    both = (cut("10.244.0.5"), cut("10.244.1.5", node="n2"))
    rules = made(web(**spec), *both)
    assert at(rules, ch.SERVICES, "203.0.113.5") == at(rules, ch.SERVICES, "10.97.0.1") == External(Spread(2))
    assert at(rules, ch.SERVICES, "", 30080) == External(Spread(2, any_address=True))
    assert at(rules, ch.SERVICES, "10.97.0.2") is None
    spec |= {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    rules = made(web(**spec), *both)
    here = Spread(1, ch.LOCAL)
    assert at(rules, ch.SERVICES, "10.97.0.1") == ExternalLocal(Spread(2), here)
    assert at(rules, ch.SERVICES) == Internal(Spread(2))
    assert rules.health == (30999, 1)
    assert at(made(web(**spec), both[1]), ch.SERVICES, "10.97.0.1") == ExternalLocal(Spread(1), None)
    assert at(made(web(**spec)), ch.UNSERVED, "10.97.0.1") == Refuse()


def test_source_ranges_fence_balanced_addresses_alone():
    """Ranges that lie in others are left out, as the kernel wants it; what is no range at all changes nothing."""
    status = {"loadBalancer": {"ingress": [{"ip": "10.97.0.1"}]}}
    ranges = ["192.0.2.0/24", "192.0.2.128/25", " 10.244.0.0/16", "fd00::/8", "nonsense"]
    rules = made(web(type="LoadBalancer", loadBalancerSourceRanges=ranges, status=status), cut("10.244.0.5"))
    key = frontend_key("10.97.0.1", 6, 80)
    assert (ch.FIREWALLED.name, key) in rules.elements
    fenced = {k[12:]: v[12:] for (name, k), v in rules.elements.items() if name == ch.SOURCES.name}
    aton = socket.inet_aton
    assert fenced == {
        aton("192.0.2.0"): aton("192.0.2.255"),
        aton("10.244.0.0"): aton("10.244.255.255"),
        aton("10.97.0.1"): aton("10.97.0.1"),  # the node may call, and does so from this address
    }


def test_affinity():
    """Clients are remembered for as long as the Service says; three hours unless it does."""
    rules = made(web(sessionAffinity="ClientIP"), cut("10.244.0.5"))
    assert at(rules, ch.SERVICES) == Internal(Spread(1, sticky=True))
    assert at(rules, ch.STICKY) == Learn(10800)
    config = {"clientIP": {"timeoutSeconds": 7}}
    assert at(made(web(sessionAffinity="ClientIP", sessionAffinityConfig=config), cut("10.244.0.5")), ch.STICKY) == Learn(7)  # fmt: skip


def test_what_has_no_cluster_address_is_no_business_of_the_proxy():
    """Headless Services, ExternalNames, and those that another proxy serves."""
    headless = web(clusterIP="None", clusterIPs=["None"])
    assert made(headless, cut("10.244.0.5")) == NOTHING
    assert made(web(type="ExternalName", clusterIP="", clusterIPs=[]), cut("10.244.0.5")) == NOTHING


def test_one_endpoint_more_or_less_moves_at_most_one_other():
    """Of two hundred endpoints one goes, and the last takes its place."""
    addresses = [f"10.244.0.{number}" for number in range(2, 202)]
    before = made(web(), cut(*addresses))
    after = made(web(), cut(*addresses[:50], *addresses[51:]), before=before)
    gone = {place for place, value in before.elements.items() if after.elements.get(place, 0) != value}
    assert len(gone) == 4  # its place, the last one's, its hairpin, and the way over so many


def test_one_service_is_bounded():
    """Ports times addresses times endpoints are more than anybody needs: what is too much is left out, and counted."""
    ports = [{"name": f"p{n}", "port": n + 1, "protocol": "TCP"} for n in range(600)]
    externals = [f"203.0.{n // 250}.{n % 250}" for n in range(500)]
    endpoints = [{"addresses": [f"10.244.0.{n}"], "nodeName": "n1"} for n in range(2, 252)]
    offered = [{"name": port["name"], "port": 8080, "protocol": "TCP"} for port in ports]
    slices = [from_tree(EndpointSlice, {"addressType": "IPv4", "endpoints": endpoints, "ports": offered})]
    rules = plan(web(ports=ports, externalIPs=externals), slices, "n1", FACTS)
    assert len(rules.elements) < 4 * MOST_ELEMENTS
    assert rules.passed_over > 0
    assert at(rules, ch.SERVICES, port=600) == Internal(Spread(1))
    assert made(web(), cut(*(f"10.244.0.{n}" for n in range(2, 252)))).passed_over == 0


@given(st.lists(st.integers(1, 30), unique=True), st.lists(st.integers(1, 30), unique=True))
def test_places_are_kept(before, wanted):
    """Every wanted one has one place, and nobody moves but to fill a gap behind which nobody is left."""
    before = [Target(f"10.0.0.{number}", 1) for number in before]
    wanted = [Target(f"10.0.0.{number}", 1) for number in wanted]
    places = arranged(before, wanted)
    assert sorted(places) == sorted(wanted)
    kept = [place for place, target in enumerate(before) if target in wanted and place < len(places)]
    assert all(places[place] == before[place] for place in kept)


PLACES = st.dictionaries(st.integers(0, 3).map(lambda n: ("set", bytes((n,)))), st.integers(0, 2).map(lambda n: bytes((n,))))  # fmt: skip


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), PLACES), max_size=3), max_size=6))
def test_the_kernel_holds_what_is_wanted(transactions):
    """Whatever owners want one after another: the changes add up, and the first by name has what several want."""
    claims = Claims()
    wishes, kernel = {}, {}
    for transaction in transactions:
        changes = Changes()
        for owner, wanted in transaction:
            claims.replace(owner, wishes.get(owner, {}), wanted, changes)
            wishes[owner] = wanted
        for place, value in changes.gone.items():
            assert kernel.pop(place) == value
        for place, value in changes.new.items():
            assert place not in kernel
            kernel[place] = value
        best = {}
        for owner in sorted(wishes, reverse=True):
            best |= wishes[owner]
        assert kernel == best == dict(claims.effective())
