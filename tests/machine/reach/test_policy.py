"""NetworkPolicies: judged against a plain reading of their documentation, and followed as things change."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podling.api import defaults
from podling.api.resources import NETWORK_POLICIES
from podling.api.types.core_v1 import Pod
from podling.api.types.networking_v1 import NetworkPolicy
from podling.reach.policy import Direction, Party, Policy, judge, party_of
from podling.reach.policy_index import Changes, Isolation, PolicyIndex
from podling.reach.policy_reading import compile_policy

# --- a plain reading of the documentation, on plain trees -------------------------------------------------------------


def labels_match(selector: dict, labels: dict) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], expression.get("values", [])
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[expression["operator"]]:
            return False
    return True


def is_peer(peer: dict, end: dict, home: str, namespaces: dict) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(end["ip"])
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(text) for text in block.get("except", [])
        )
    if not end.get("name"):
        return False
    if "namespaceSelector" in peer:
        known = namespaces.get(end["namespace"])
        if known is None or not labels_match(peer["namespaceSelector"], known):
            return False
    elif end["namespace"] != home:
        return False
    return labels_match(peer.get("podSelector", {}), end["labels"])


def is_port(port: dict, called: dict, protocol: str, number: int) -> bool:
    if port.get("protocol", "TCP") != protocol:
        return False
    wanted = port.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return wanted <= number <= port.get("endPort", wanted)
    for p, name, n in called.get("ports", []):
        if (p, name) == (protocol, wanted):
            return n == number
    return False


def side(
    direction: str, policies: list[dict], namespaces: dict, source: dict, called: dict, protocol: str, number: int
) -> bool:
    """Whether the policies of one end, of the caller's for Egress and the called's for Ingress, let a call pass."""
    subject, peer, word = (source, called, "to") if direction == "Egress" else (called, source, "from")
    mine = [
        policy
        for policy in policies
        if subject.get("name")
        and policy["metadata"]["namespace"] == subject["namespace"]
        and labels_match(policy["spec"].get("podSelector", {}), subject["labels"])
        and direction in policy["spec"]["policyTypes"]
    ]
    rules = [(policy, rule) for policy in mine for rule in policy["spec"].get(direction.lower(), [])]
    return not mine or any(
        (not rule.get(word) or any(is_peer(p, peer, policy["metadata"]["namespace"], namespaces) for p in rule[word]))
        and (not rule.get("ports") or any(is_port(p, called, protocol, number) for p in rule["ports"]))
        for policy, rule in rules
    )


def same(source: dict, called: dict) -> bool:
    return bool(source.get("name")) and all(source[key] == called.get(key) for key in ("namespace", "name"))


def passes(policies: list[dict], namespaces: dict, source: dict, called: dict, protocol: str, number: int) -> bool:
    """Whether a call between two ends on different nodes is allowed."""
    return same(source, called) or all(
        side(direction, policies, namespaces, source, called, protocol, number) for direction in ("Egress", "Ingress")
    )


# --- arbitrary clusters -----------------------------------------------------------------------------------------------

LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b"]), max_size=2)
EXPRESSION = st.one_of(
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": v},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True),
    ),
    st.builds(
        lambda k, o: {"key": k, "operator": o},
        st.sampled_from(["app", "tier"]),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)
SELECTOR = st.one_of(
    st.just({}),
    LABELS.map(lambda labels: {"matchLabels": labels}),
    st.builds(lambda labels, e: {"matchLabels": labels, "matchExpressions": [e]}, LABELS, EXPRESSION),
)
BLOCK = st.sampled_from([
    {"cidr": "10.0.0.0/24"},
    {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/30", "10.0.0.5/32"]},
    {"cidr": "0.0.0.0/0", "except": ["10.0.0.4/31", "10.0.0.0/29"]},
    {"cidr": "10.0.0.3/32"},
    {"cidr": "::/0"},
    {"cidr": "fd00::/64", "except": ["fd00::/126", "fd00::5/128"]},
    {"cidr": "::/0", "except": ["fd00::4/127", "fd00::/120", "10.0.0.0/8"]},
])  # fmt: skip
PEER = st.one_of(
    SELECTOR.map(lambda s: {"podSelector": s}),
    SELECTOR.map(lambda s: {"namespaceSelector": s}),
    st.builds(lambda p, n: {"podSelector": p, "namespaceSelector": n}, SELECTOR, SELECTOR),
    BLOCK.map(lambda b: {"ipBlock": b}),
)
PORT = st.one_of(
    st.sampled_from([{"port": 80}, {"port": 80, "protocol": "UDP"}, {"port": 79, "endPort": 81}, {"protocol": "UDP"}]),
    st.sampled_from([{"port": "web"}, {"port": "web", "protocol": "UDP"}, {"port": 81, "endPort": 90}]),
)


def rules_of(word: str) -> st.SearchStrategy[list[dict]]:
    rule = st.builds(
        lambda peers, ports: {**({word: peers} if peers else {}), **({"ports": ports} if ports else {})},
        st.lists(PEER, max_size=2),
        st.lists(PORT, max_size=2),
    )
    return st.lists(rule, min_size=1, max_size=2) | st.just([])


SPEC = st.builds(
    lambda selector, ingress, egress, types: {
        "podSelector": selector,
        **({"ingress": ingress} if ingress is not None else {}),
        **({"egress": egress} if egress is not None else {}),
        **({"policyTypes": types} if types else {}),
    },
    SELECTOR,
    st.none() | rules_of("from"),
    st.none() | rules_of("to"),
    st.sampled_from([None, ["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
)
NAMESPACE = st.sampled_from(["one", "two"])
NAME = st.sampled_from(["p", "q", "r"])
KEY = st.tuples(NAMESPACE, NAME)
POD = st.builds(
    lambda labels, ip, families, ports: {"labels": labels, "ips": [f"{at}{ip}" for at in families], "ports": ports},
    LABELS,
    st.integers(1, 6),
    st.sampled_from([("10.0.0.", "fd00::"), ("10.0.0.",), ("fd00::",)]),
    st.sampled_from([[], [("TCP", "web", 80)], [("TCP", "web", 81), ("UDP", "web", 80)], [("TCP", "web", 80), ("TCP", "web", 81)]]),
)  # fmt: skip
STEP = st.one_of(
    st.tuples(st.just("pod"), KEY, st.none() | POD),
    st.tuples(st.just("policy"), KEY, st.none() | SPEC),
    st.tuples(st.just("namespace"), NAMESPACE, st.none() | LABELS),
)


def policy_tree(key: tuple[str, str], spec: dict) -> dict[str, Any]:
    tree = {"metadata": {"namespace": key[0], "name": key[1]}, "spec": msgspec.json.decode(msgspec.json.encode(spec))}
    defaults.apply(NETWORK_POLICIES, tree)
    return tree


def compiled(key: tuple[str, str], spec: dict) -> Policy:
    return compile_policy(msgspec.convert(policy_tree(key, spec), NetworkPolicy))


def party(key: tuple[str, str], pod: dict) -> Party:
    labels = tuple(sorted(pod["labels"].items()))
    first, *further = pod["ips"]
    return Party(first, key[1], key[0], labels, tuple(pod["ports"]), f"node-of-{key[0]}-{key[1]}", tuple(further))


def ends(key: tuple[str, str], pod: dict) -> list[tuple[dict, Party]]:
    """A Pod by each of its addresses, in the plain reading and as it is judged."""
    return [({"namespace": key[0], "name": key[1], "ip": ip, **pod}, party(key, pod).at(ip)) for ip in pod["ips"]]


class Table:
    """What a node's rules amount to, made of nothing but the changes that the index told of."""

    def __init__(self) -> None:
        self.policies: dict = {}
        self.pods: dict = {}
        self.elements: set = set()

    def apply(self, changes: Changes) -> None:
        for key, policy in changes.policies.items():
            self.policies[key] = policy
        for key, isolation in changes.pods.items():
            self.pods[key] = isolation
        for held, there in changes.elements.items():
            assert (held in self.elements) is not there, "nothing is told that has not changed"
            (self.elements.add if there else self.elements.discard)(held)

    def side(self, direction: Direction, subject: str, peer: str, called: str, protocol: str, port: int) -> bool:
        mine = [i for i in self.pods.values() if i is not None and subject in i.addresses and i.of(direction)]
        if not mine:
            return True
        for key in mine[0].of(direction):
            for number, rule in enumerate(self.policies[key].rules(direction)):
                where = (key, direction, number)
                from_peer = rule.anyone or any(r.holds(peer) for r in rule.ranges) or (where, peer) in self.elements
                numbered = rule.any_port or any(
                    p.protocol == protocol and p.first <= port <= p.last for p in rule.ports
                )
                named = (where, (called, protocol, port)) in self.elements
                if (from_peer and numbered) or (named and (from_peer or direction is Direction.EGRESS)):
                    return True
        return False


BEGINNING = st.tuples(
    st.lists(st.tuples(st.just("namespace"), NAMESPACE, LABELS), min_size=1, max_size=2),
    st.lists(st.tuples(st.just("pod"), KEY, POD), min_size=2, max_size=4),
    st.lists(st.tuples(st.just("policy"), KEY, SPEC), min_size=1, max_size=3),
).flatmap(lambda parts: st.permutations([step for part in parts for step in part]))


@settings(max_examples=500, deadline=None)
@given(st.builds(list.__add__, BEGINNING, st.lists(STEP, max_size=4)))
def test_judged_and_followed_as_documented(steps: list) -> None:
    """After any changes the judgement, and the rules made of the changes alone, agree with the plain reading."""
    index, table = PolicyIndex(), Table()
    pods: dict = {}
    policies: dict = {}
    namespaces: dict = {}
    for what, key, value in steps:
        if what == "pod":
            if value is not None and any(
                set(other["ips"]) & set(value["ips"]) for k, other in pods.items() if k != key
            ):
                continue
            pods[key] = value
            index.set_pod(key, party(key, value) if value is not None else None)
        elif what == "policy":
            policies[key] = value
            index.set_policy(key, compiled(key, value) if value is not None else None)
        else:
            namespaces[key] = value
            index.set_namespace(key, value)
        for held in (pods, policies, namespaces):
            for gone in [k for k, v in held.items() if v is None]:
                del held[gone]
        table.apply(index.take())
        assert not index.take()

    trees = [policy_tree(key, spec) for key, spec in policies.items()]
    outside = [({"ip": ip}, Party(ip)) for ip in ("192.0.2.1", "2001:db8::1")]
    known = [one for key, pod in pods.items() for one in ends(key, pod)] + outside
    for here, source in known:
        for there, called in known:
            if (":" in here["ip"]) is not (":" in there["ip"]):
                continue
            for protocol, port in (("TCP", 80), ("TCP", 81), ("UDP", 80), ("TCP", 90)):
                expected = passes(trees, namespaces, here, there, protocol, port)
                verdict = judge(index.policies.values(), index.namespaces, source, called, protocol, port)
                assert verdict.allowed is expected
                assert (verdict.deciding is None) is expected
                primary = source.at(source.addresses[-1])
                assert judge(index.policies.values(), index.namespaces, primary, called, protocol, port) == verdict
                if here is there:
                    continue
                assert expected is (
                    table.side(Direction.EGRESS, source.address, called.address, called.address, protocol, port)
                    and table.side(Direction.INGRESS, called.address, source.address, called.address, protocol, port)
                )


# --- cases worth a name -----------------------------------------------------------------------------------------------


def of(name: str, **spec: Any) -> Policy:
    return compiled(("one", name), spec)


A = Party("10.0.0.1", "a", "one", (("app", "a"),), (), "n1")
B = Party("10.0.0.2", "b", "one", (("app", "b"),), (("TCP", "web", 80),), "n2")


def test_the_first_rule_that_lets_through_is_named() -> None:
    """A verdict says which policies isolate and which of their rules let the call through."""
    policies = [
        of("deny", podSelector={}),
        of("web", podSelector={"matchLabels": {"app": "b"}}, ingress=[{"ports": [{"port": 81}]}, {"ports": [{"port": "web"}]}]),
    ]  # fmt: skip
    ingress = judge(policies, {}, A, B, "TCP", 80).ingress
    assert (ingress.policy, ingress.rule) == (("one", "web"), 1)
    assert ingress.isolating == (("one", "deny"), ("one", "web"))
    verdict = judge(policies, {}, A, B, "UDP", 80)
    assert not verdict.allowed
    assert verdict.deciding is verdict.ingress
    assert verdict.egress.isolating == ()


@pytest.mark.parametrize(
    ("source", "called"),
    [(A, A), (Party("10.0.0.254", node="n1"), A), (A, Party("10.0.0.254", node="n1"))],
    ids=["itself", "from its node", "to its node"],
)
def test_never_refused(source: Party, called: Party) -> None:
    """A Pod reaches itself, and its own node and it reach each other, whatever policies say; another node is anybody."""
    deny = of("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
    assert judge([deny], {}, source, called, "TCP", 80).allowed
    assert not judge([deny], {}, Party("10.0.1.1", node="n2"), A, "TCP", 80).allowed


def test_who_is_no_party() -> None:
    """Pods on the host's network, without an address, or over, are selected by nobody."""

    def pod(phase: str = "Running", ip: str = "10.0.0.1", **spec: Any) -> Pod:
        port = {"name": "web", "containerPort": 80}
        tree = {
            "metadata": {"name": "p", "namespace": "one", "labels": {"b": "1", "a": "2"}},
            "spec": {"containers": [{"name": "c", "ports": [port]}], "nodeName": "n", **spec},
            "status": {"phase": phase, "podIP": ip},
        }
        return msgspec.convert(tree, Pod)

    assert party_of(pod()) == Party("10.0.0.1", "p", "one", (("a", "2"), ("b", "1")), (("TCP", "web", 80),), "n")
    assert party_of(pod(ip=""), ("10.0.0.9",)) == party_of(pod(ip="10.0.0.9"))
    both = party_of(pod(), ("10.0.0.1", "FD00::1", "::ffff:10.0.0.1", "nowhere"))
    assert both is not None
    assert (both.address, both.addresses) == ("10.0.0.1", ("10.0.0.1", "fd00::1"))
    for other in (pod(hostNetwork=True), pod(ip=""), pod(ip="nowhere"), pod("Succeeded"), pod("Failed")):
        assert party_of(other) is None


def test_a_party_is_judged_by_the_address_that_is_called() -> None:
    """A block opens the family that it is of; both ends are seen by their addresses of the called one's family."""
    both = replace(B, further=("fd00::2",))
    caller = replace(A, further=("fd00::1",))
    four = of("four", podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])
    six = of("six", podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "fd00::1/128"}}]}])
    for policies, open_ones in (([four], {"10.0.0.2"}), ([six], {"fd00::2"}), ([four, six], {"10.0.0.2", "fd00::2"})):
        for address in both.addresses:
            verdict = judge(policies, {}, caller, both.at(address), "TCP", 80)
            assert verdict.allowed is (address in open_ones)
            assert verdict.ingress.isolating
    assert both.at("fd00::2").addresses == ("fd00::2", "10.0.0.2")
    assert both.facing("2001:db8::1") == both.at("fd00::2")
    assert B.facing("2001:db8::1") is B


def test_a_pod_that_loses_an_address() -> None:
    """What stood for it in one family goes, what stands for it in the other stays as it is."""
    index = PolicyIndex()
    index.set_policy(("one", "p"), of("p", ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": "web"}]}]))
    index.set_pod(("one", "b"), replace(B, further=("fd00::2",)))
    index.take()
    index.set_pod(("one", "b"), B)
    changes = index.take()
    rule = (("one", "p"), Direction.INGRESS, 0)
    assert changes.elements == {(rule, "fd00::2"): False, (rule, ("fd00::2", "TCP", 80)): False}
    assert changes.pods == {("one", "b"): Isolation(("10.0.0.2",), (("one", "p"),), ())}


def test_what_cannot_be_opens_nothing() -> None:
    """What validation would have refused, and came past it, isolates and lets nothing pass."""
    ports = [
        {"port": 70000},
        {"port": 90, "endPort": 80},
        {"port": 0},
        {"protocol": "ICMP"},
        {"port": 80, "endPort": 65536},
    ]
    rules = [
        {"ports": ports},
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/99"}}, {"ipBlock": {"cidr": "nonsense"}}]},
        {"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, {}]},
    ]
    policy = of("p", podSelector={}, ingress=rules)
    for protocol in ("TCP", "UDP", "ICMP"):
        for port in (0, 80, 85, 65535):
            assert not judge([policy], {}, B, A, protocol, port).allowed


def test_a_change_compares_only_what_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among 500 policies for other labels, a Pod's change is compared with its own one alone."""
    index = PolicyIndex()
    for number in range(500):
        index.set_policy(
            ("one", f"p{number}"), of(f"p{number}", podSelector={"matchLabels": {"app": f"x{number}"}}, ingress=[{}])
        )
    compared = []
    original = PolicyIndex._bond
    monkeypatch.setattr(PolicyIndex, "_bond", lambda self, key, pod: compared.append(key) or original(self, key, pod))
    index.set_pod(("one", "a"), Party("10.0.0.1", "a", "one", (("app", "x7"),)))
    assert compared == [("one", "p7")]


def test_nested_exceptions_stay_out() -> None:
    """An exception within another gives nothing back; what touches is joined."""
    block = {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/29", "10.0.0.2/31", "10.0.0.128/25"]}
    blocks = [{"ipBlock": block}, {"ipBlock": {"cidr": "10.0.0.128/26"}}]
    (rule,) = of("p", egress=[{"to": blocks}]).egress or ()
    base = int(ipaddress.ip_address("10.0.0.0"))
    assert [(r.first - base, r.last - base) for r in rule.ranges] == [(8, 191)]


def test_a_namespace_that_is_labelled_anew() -> None:
    """Pods become and cease to be peers with the labels of their namespace."""
    index = PolicyIndex()
    index.set_namespace("two", {})
    index.set_pod(("two", "q"), Party("10.0.0.9", "q", "two"))
    index.set_policy(("one", "p"), of("p", ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}]))
    assert index.take().elements == {}
    key = ((("one", "p"), Direction.INGRESS, 0), "10.0.0.9")
    index.set_namespace("two", {"team": "x"})
    assert index.take().elements == {key: True}
    index.set_namespace("two", {"team": "y"})
    assert index.take().elements == {key: False}
    index.set_namespace("two", None)
    assert index.take().elements == {}
