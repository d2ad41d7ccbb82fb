"""Services as elements of maps: what each is, what a change costs, and who has what two want."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podling.api.codec import from_tree
from podling.api.pods import HostPort
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.linux.families import FAMILIES, IPV4, IPV6, Family
from podling.network.proxy import hostports, sets
from podling.network.proxy.chains import LOCAL, Drop, External, ExternalLocal, Facts, Internal, Learn, Refuse, Spread
from podling.network.proxy.claims import Changes, Claims
from podling.network.proxy.rules import MOST_ELEMENTS, NOTHING, arranged, plan
from podling.network.proxy.sets import any_address, at_any_address, frontend_key, parts_of
from podling.reach.selection import Target


@dataclass(frozen=True)
class World:
    """A node's addresses of one family, numbered."""

    family: Family

    def _pick(self, ipv4: str, ipv6: str) -> str:
        return ipv4 if self.family is IPV4 else ipv6

    def vip(self, number: int = 9) -> str:
        return self._pick(f"10.96.0.{number}", f"fd00:10:96::{number}")

    def pod(self, number: int, node: int = 0) -> str:
        return self._pick(f"10.244.{node}.{number}", f"fd00:10:244:{node}::{number}")

    def external(self, number: int) -> str:
        return self._pick(f"203.0.{number // 250}.{number % 250}", f"2001:db8::{number}")

    def balanced(self, number: int) -> str:
        return self._pick(f"10.97.0.{number}", f"fd00:10:97::{number}")

    @property
    def facts(self) -> Facts:
        pods = ip_network(self._pick("10.244.0.0/16", "fd00:10:244::/56"))
        services = ip_network(self._pick("10.96.0.0/16", "fd00:10:96::/112"))
        return Facts(pods, ip_address(self.pod(1)), "pdx", services)

    def key(self, address: str, port: int = 80, protocol: int = 6) -> bytes:
        packed = ip_address(address).packed if address else any_address(self.family)
        return frontend_key(packed, protocol, port)

    def at(self, rules, named, address="", port=80, more=b""):
        return rules.elements.get((named, self.key(address or self.vip(), port) + more))

    def at_node(self, rules, named, port):
        return rules.elements.get((named, self.key("", port)))

    def web(self, **spec):
        ports = [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": spec.pop("nodePort", None)}]
        vip = {"clusterIP": self.vip(), "clusterIPs": [self.vip()], "ipFamilies": [self.family.name]}
        spec = {"type": "ClusterIP", "ports": ports} | vip | spec
        status = spec.pop("status", {})
        return from_tree(Service, {"metadata": {"name": "web", "namespace": "d"}, "spec": spec, "status": status})

    def cut(self, *numbers, on=0, ready=True):
        endpoints = [
            {"addresses": [self.pod(number, on)], "nodeName": f"n{on}", "conditions": {"ready": ready}}
            for number in numbers
        ]
        ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
        tree = {"addressType": self.family.name, "endpoints": endpoints, "ports": ports}
        return from_tree(EndpointSlice, tree)

    def made(self, service, *slices, before=NOTHING):
        return plan(service, slices, "n0", self.facts, before)


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def world(request):
    return World(request.param)


def test_a_cluster_address(world):
    """Its endpoints stand under their numbers, its way spreads over as many, local ones may call themselves."""
    rules = world.made(world.web(), world.cut(5), world.cut(5, on=1))
    assert world.at(rules, sets.SERVICES) == Internal(Spread(2))
    values = [world.at(rules, sets.ENDPOINTS, more=bytes((number, 0, 0, 0))) for number in (0, 1)]
    packed = [ip_address(address).packed for address in (world.pod(5), world.pod(5, 1))]
    assert values == [address + b"\x1f\x90\0\0" for address in packed]
    assert [key for name, key in rules.elements if name == sets.HAIRPINS] == [2 * packed[0]]
    assert (sets.CLUSTER, ip_address(world.vip()).packed) in rules.elements


def test_external_addresses_are_outside(world):
    """Whoever may make Services may not have what goes to another Service, to a Pod or to the cluster's DNS."""
    theirs = [world.vip(10), world.pod(2), world.pod(4, 3), world.external(1)]
    rules = world.made(world.web(externalIPs=theirs), world.cut(5))
    fronts = {str(ip_address(parts_of(key)[0])) for name, key in rules.elements if name == sets.SERVICES}
    assert fronts == {world.vip(), world.external(1)}
    assert rules.passed_over == 0


def test_a_service_of_both_families():
    """Each table has the addresses and endpoints of its family, and node ports where the Service has a cluster address."""
    four, six = World(IPV4), World(IPV6)
    status = {"loadBalancer": {"ingress": [{"ip": four.balanced(1)}, {"ip": six.balanced(1)}]}}
    spec = {
        "type": "LoadBalancer", "nodePort": 30080, "status": status, "clusterIPs": [four.vip(), six.vip()],
        "externalIPs": [four.external(1), six.external(1)], "ipFamilies": ["IPv4", "IPv6"],
        "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8:1::/48"],
    }  # fmt: skip
    slices = [four.cut(5), six.cut(5, 6)]
    for world, count in ((four, 1), (six, 2)):
        rules = plan(four.web(**spec), slices, "n0", world.facts)
        fronts = {parts_of(key)[0] for name, key in rules.elements if name == sets.SERVICES}
        own = (world.vip(), world.external(1), world.balanced(1))
        assert fronts == {any_address(world.family), *(ip_address(each).packed for each in own)}
        assert world.at(rules, sets.SERVICES) == Internal(Spread(count))
        assert world.at_node(rules, sets.SERVICES, 30080) == External(Spread(count, any_address=True))
        assert sum(name == sets.SOURCES for name, _ in rules.elements) == 1
    # One that has IPv4 alone has nothing in the other table, whatever addresses it names.
    single = four.web(**spec | {"clusterIPs": [four.vip()], "ipFamilies": ["IPv4"]})
    assert plan(single, slices, "n0", six.facts) == NOTHING


def test_nobody_there(world):
    """Without endpoints callers are refused; with none on this node they are dropped where the policy is Local."""
    web, at, made = world.web, world.at, world.made
    assert at(made(web()), sets.UNSERVED) == Refuse()
    local = web(internalTrafficPolicy="Local")
    assert at(made(local, world.cut(5, on=1)), sets.UNSERVED) == Drop()
    assert at(made(local), sets.UNSERVED) == Refuse()
    assert at(made(local, world.cut(5)), sets.SERVICES) == Internal(Spread(1, LOCAL))


def test_every_way_in(world):
    """Node ports, external and balanced addresses; Local policy tells those from outside from the cluster's own."""
    web, at, made = world.web, world.at, world.made
    first, second, external = world.balanced(1), world.balanced(2), world.external(5)
    status = {"loadBalancer": {"ingress": [{"ip": first}, {"ip": second, "ipMode": "Proxy"}]}}
    spec = {"type": "LoadBalancer", "externalIPs": [external], "nodePort": 30080, "status": status}
    both = (world.cut(5), world.cut(5, on=1))
    rules = made(web(**spec), *both)
    assert at(rules, sets.SERVICES, external) == at(rules, sets.SERVICES, first) == External(Spread(2))
    assert world.at_node(rules, sets.SERVICES, 30080) == External(Spread(2, any_address=True))
    assert at(rules, sets.SERVICES, second) is None
    spec |= {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    rules = made(web(**spec), *both)
    here = Spread(1, LOCAL)
    assert at(rules, sets.SERVICES, first) == ExternalLocal(Spread(2), here)
    assert at(rules, sets.SERVICES) == Internal(Spread(2))
    assert rules.health == (30999, 1)
    assert at(made(web(**spec), both[1]), sets.SERVICES, first) == ExternalLocal(Spread(1), None)
    assert at(made(web(**spec)), sets.UNSERVED, first) == Refuse()


def test_source_ranges_fence_balanced_addresses_alone(world):
    """Ranges that lie in others are left out, as the kernel wants it; what is no range at all changes nothing."""
    four = world.family is IPV4
    own = (
        ["192.000.2.0/24", "::ffff:192.0.2.128/121", " 10.244.0.0/16"]
        if four
        else ["2001:db8:1::/48", "2001:db8:1:2::/64"]
    )
    others = ["fd00::/8", "nonsense"] if four else [" fd00:10:244::/56", "10.0.0.0/8", "nonsense"]
    balanced = world.balanced(1)
    status = {"loadBalancer": {"ingress": [{"ip": balanced}]}}
    spec = {"type": "LoadBalancer", "loadBalancerSourceRanges": own + others, "status": status}
    rules = world.made(world.web(**spec), world.cut(5))
    key = world.key(balanced)
    assert (sets.FIREWALLED, key) in rules.elements
    size = len(key)
    fenced = {(k[size:], v[size:]) for (name, k), v in rules.elements.items() if name == sets.SOURCES}
    wanted = ("192.0.2.0/24", "10.244.0.0/16") if four else ("2001:db8:1::/48", "fd00:10:244::/56")
    # The node may call, and does so from the balanced address.
    networks = [ip_network(text) for text in (*wanted, balanced)]
    assert fenced == {(each.network_address.packed, each.broadcast_address.packed) for each in networks}


def test_affinity(world):
    """Clients are remembered for as long as the Service says; three hours unless it does."""
    rules = world.made(world.web(sessionAffinity="ClientIP"), world.cut(5))
    assert world.at(rules, sets.SERVICES) == Internal(Spread(1, sticky=True))
    assert world.at(rules, sets.STICKY) == Learn(10800)
    config = {"clientIP": {"timeoutSeconds": 7}}
    service = world.web(sessionAffinity="ClientIP", sessionAffinityConfig=config)
    assert world.at(world.made(service, world.cut(5)), sets.STICKY) == Learn(7)


def test_what_has_no_cluster_address_is_no_business_of_the_proxy(world):
    """Headless Services, ExternalNames, and those that another proxy serves."""
    headless = world.web(clusterIP="None", clusterIPs=["None"])
    assert world.made(headless, world.cut(5)) == NOTHING
    assert world.made(world.web(type="ExternalName", clusterIP="", clusterIPs=[]), world.cut(5)) == NOTHING


@pytest.mark.parametrize("label", ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"])
def test_what_is_labelled_for_somebody_else_is_no_business_of_the_proxy(label):
    """As upstream's proxy looks away: by the label alone, whatever its value, address or not."""
    world = World(IPV4)
    service = world.web()
    labelled = replace(service, metadata=replace(service.metadata, labels={label: ""}))
    assert world.made(service, world.cut(5)) != NOTHING
    assert world.made(labelled, world.cut(5)) == NOTHING


def test_one_endpoint_more_or_less_moves_at_most_one_other(world):
    """Of two hundred endpoints one goes, and the last takes its place."""
    numbers = range(2, 202)
    before = world.made(world.web(), world.cut(*numbers))
    after = world.made(world.web(), world.cut(*numbers[:50], *numbers[51:]), before=before)
    gone = {place for place, value in before.elements.items() if after.elements.get(place, 0) != value}
    assert len(gone) == 4  # its place, the last one's, its hairpin, and the way over so many


def test_one_service_is_bounded(world):
    """Ports times addresses times endpoints are more than anybody needs: what is too much is left out, and counted."""
    ports = [{"name": f"p{n}", "port": n + 1, "protocol": "TCP"} for n in range(600)]
    externals = [world.external(n) for n in range(500)]
    endpoints = [{"addresses": [world.pod(n)], "nodeName": "n0"} for n in range(2, 252)]
    offered = [{"name": port["name"], "port": 8080, "protocol": "TCP"} for port in ports]
    tree = {"addressType": world.family.name, "endpoints": endpoints, "ports": offered}
    rules = world.made(world.web(ports=ports, externalIPs=externals), from_tree(EndpointSlice, tree))
    assert len(rules.elements) < 4 * MOST_ELEMENTS
    assert rules.passed_over > 0
    assert world.at(rules, sets.SERVICES, port=600) == Internal(Spread(1))
    assert world.made(world.web(), world.cut(*range(2, 252))).passed_over == 0


def test_a_host_port_is_of_the_family_of_its_address(world):
    """Of both where it names none; an unspecified address stands for all of its family; nothing is at ::1."""

    def fronts(address):
        rules = hostports.plan(world.family, world.pod(5), [HostPort(8080, 80, "TCP", address)])
        return [key for name, key in rules.elements if name == sets.SERVICES]

    other = World(IPV6 if world.family is IPV4 else IPV4)
    unspecified = {IPV4: "0.0.0.0", IPV6: "::"}
    everywhere = [world.key("", 8080)]
    assert fronts("") == fronts(unspecified[world.family]) == everywhere
    assert fronts(world.external(1)) == [world.key(world.external(1), 8080)]
    assert fronts(unspecified[other.family]) == fronts(other.external(1)) == fronts("nonsense") == []
    assert fronts("::1") == []


def test_keys_tell_what_they_are_of(world):
    """Whoever has the key of a frontend finds its parts again, and the same port at any address of the node."""
    key = world.key(world.vip(), 4242, 17)
    assert parts_of(key) == (ip_address(world.vip()).packed, 17, 4242)
    assert at_any_address(key) == world.key("", 4242, 17)


@given(st.lists(st.integers(1, 30), unique=True), st.lists(st.integers(1, 30), unique=True))
def test_places_are_kept(before, wanted):
    """Every wanted one has one place, and nobody moves but to fill a gap behind which nobody is left."""
    before = [Target(f"10.0.0.{number}", 1) for number in before]
    wanted = [Target(f"10.0.0.{number}", 1) for number in wanted]
    places = arranged(before, wanted)
    assert sorted(places) == sorted(wanted)
    kept = [place for place, target in enumerate(before) if target in wanted and place < len(places)]
    assert all(places[place] == before[place] for place in kept)


# What is wanted: two frontends, each with up to two elements, and two places that are nobody's frontend.
_ABOUT = st.sampled_from(["frontend 1", "frontend 2", "place 1", "place 2"])
_VALUES = st.dictionaries(st.integers(0, 1), st.integers(0, 2), min_size=1)
WISHES = st.tuples(st.dictionaries(_ABOUT, _VALUES), st.booleans())


def elements_of(family, wanted):
    made = {}
    for about, values in wanted.items():
        for number, value in values.items():
            if about.startswith("frontend"):
                front = frontend_key(bytes((1,) * family.size), 6, int(about[-1]))
                made[sets.ENDPOINTS, front + bytes((number,))] = bytes((value,))
            else:
                made[sets.HAIRPINS, about.encode()] = None
    return made


def fronts_of(family, wanted):
    return {frontend_key(bytes((1,) * family.size), 6, int(about[-1])) for about in wanted if about[0] == "f"}


@given(st.sampled_from(FAMILIES), st.lists(st.lists(st.tuples(st.sampled_from("abc"), WISHES), max_size=3), max_size=6))
def test_the_kernel_holds_what_is_wanted(family, transactions):
    """Whatever owners want one after another: the changes add up, and of a frontend one has all and the others none.

    Who does not give way goes first, then the first by name.
    """
    claims = Claims(family)
    wishes, kernel = {}, {}
    for transaction in transactions:
        changes = Changes()
        for owner, (wanted, yields) in transaction:
            yielding = fronts_of(family, wanted) if yields else ()
            claims.replace(owner, elements_of(family, wanted), changes, yielding)
            wishes[owner] = (wanted, yields)
        for place, value in changes.gone.items():
            assert kernel.pop(place) == value
        for place, value in changes.new.items():
            assert place not in kernel
            kernel[place] = value
        best = {}
        for owner in sorted(wishes, key=lambda name: (wishes[name][1], name)):
            best = wishes[owner][0] | best
        assert kernel == elements_of(family, best) == dict(claims.effective())


def test_an_address_of_a_load_balancer_is_its(world):
    """Whoever names it among its externalIPs does not have it, first by name or not, with endpoints or without."""
    balanced = world.balanced(1)
    status = {"loadBalancer": {"ingress": [{"ip": balanced}]}}
    theirs = world.made(world.web(type="LoadBalancer", status=status), world.cut(5, 6))
    thief = world.web(externalIPs=[balanced])
    for rules in (world.made(thief, world.cut(7)), world.made(thief)):
        for order in (("a-thief", "theirs"), ("theirs", "a-thief")):
            claims = Claims(world.family)
            for owner in order:
                wanted = theirs if owner == "theirs" else rules
                claims.replace(owner, wanted.elements, Changes(), wanted.yielding)
            held = dict(claims.effective())
            assert held[sets.SERVICES, world.key(balanced)] == External(Spread(2))
            assert (sets.UNSERVED, world.key(balanced)) not in held
            claims.replace("theirs", {}, Changes())
            held = dict(claims.effective())
            assert {place: held.get(place) for place in rules.elements} == rules.elements
