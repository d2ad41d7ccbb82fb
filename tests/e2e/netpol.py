"""What upstream's own suite asks of NetworkPolicies (`test/e2e/network/netpol`), as a table.

Namespaces x, y and z have Pods a, b and c each. A case is a few steps; each has the policies that there are from then on
and, by protocol and port, who is kept from whom. A truth is read from left to right, from everybody reaching everybody:
`- x/* > y/a` closes, `+ x/b > y/a` opens again. What a Pod makes of itself is left out, as upstream does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

NAMESPACES: Final = ("x", "y", "z")
PODS: Final = ("a", "b", "c")
NAME: Final = "kubernetes.io/metadata.name"

Spec = dict[str, Any]
Port = tuple[str, int]

TCP80, TCP81, UDP80, UDP81 = ("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 81)
BOTH: Final = (TCP80, UDP80)


@dataclass(frozen=True)
class Step:
    """What is there, and who then reaches whom."""

    policies: Mapping[str, Spec]
    """By namespace/name; one that was there is changed."""
    truths: Mapping[Port, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    """`key=value` for a namespace or namespace/Pod that gets this label, on top of its own."""


def holds(truth: str, here: str, there: str) -> bool:
    """Whether `here` reaches `there`, both written namespace/Pod."""
    reached = True
    for part in filter(None, map(str.strip, truth.split(","))):
        sign, caller, _, called = part.split()
        if fnmatchcase(here, caller) and fnmatchcase(there, called):
            reached = sign == "+"
    return reached


def pod(*names: str) -> Spec:
    return {"podSelector": {"matchLabels": {"pod": names[0]}} if len(names) == 1 else _among("pod", "In", names)}


def space(*names: str) -> Spec:
    return {"namespaceSelector": {"matchLabels": {NAME: names[0]}} if len(names) == 1 else _among(NAME, "In", names)}


def not_space(*names: str) -> Spec:
    return {"namespaceSelector": _among(NAME, "NotIn", names)}


def block(cidr: str, *but: str) -> Spec:
    return {"ipBlock": {"cidr": cidr, "except": list(but)}}


def _among(key: str, operator: str, values: tuple[str, ...]) -> Spec:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


EVERY: Final[Spec] = {"podSelector": {}}
ANYWHERE: Final[Spec] = {"namespaceSelector": {}}
A: Final = pod("a")


def into(subject: Spec, *rules: Spec) -> Spec:
    return {**subject, "policyTypes": ["Ingress"], "ingress": list(rules)}


def out(subject: Spec, *rules: Spec) -> Spec:
    return {**subject, "policyTypes": ["Egress"], "egress": list(rules)}


def by(*peers: Spec, ports: tuple[int | str | Spec, ...] = ()) -> Spec:
    """A rule of ingress."""
    return {"from": list(peers), "ports": [port if isinstance(port, dict) else {"port": port} for port in ports]}


def to(*peers: Spec, ports: tuple[int | str | Spec, ...] = ()) -> Spec:
    """A rule of egress."""
    return {"to": list(peers), "ports": [port if isinstance(port, dict) else {"port": port} for port in ports]}


def on(ports: tuple[Port, ...], truth: str) -> dict[Port, str]:
    return dict.fromkeys(ports, truth)


SEALED: Final[Spec] = {**EVERY, "policyTypes": ["Ingress", "Egress"]}
OPEN: Final[Spec] = {}
"""A rule about everybody and everything."""

CASES: Final[dict[str, tuple[Step, ...]]] = {
    "nothing in": (Step({"x/p": into(EVERY)}, on(BOTH, "- * > x/*")),),
    "nothing in, nothing out": (Step({"x/p": SEALED}, on(BOTH, "- * > x/*, - x/* > *")),),
    "from a Pod of the namespace": (Step({"x/p": into(A, by(pod("b")))}, on(BOTH, "- * > x/a, + x/b > x/a")),),
    "nothing in but for one": (
        Step({"x/p": into(EVERY), "x/q": into(A, by({**EVERY, **ANYWHERE}))}, on(BOTH, "- * > x/*, + * > x/a")),
    ),
    "from all namespaces": (Step({"x/p": into(A, by(ANYWHERE))}, on(BOTH, "")),),
    "from one namespace": (Step({"x/p": into(A, by(space("y")))}, on(BOTH, "- * > x/a, + y/* > x/a")),),
    "from Pods by an expression": (Step({"x/p": into(A, by(pod("b", "d")))}, on(BOTH, "- * > x/a, + x/b > x/a")),),
    "from namespaces by an expression": (
        Step({"x/p": into(A, by(space("y", "w")))}, on(BOTH, "- * > x/a, + y/* > x/a")),
    ),
    "from Pods or namespaces": (
        Step({"x/p": into(A, by(not_space("x"), pod("b")))}, on(BOTH, "- x/* > x/a, + x/b > x/a")),
    ),
    "from Pods in namespaces": (
        Step({"x/p": into(A, by({**not_space("x"), **pod("b")}))}, on(BOTH, "- * > x/a, + y/b > x/a, + z/b > x/a")),
    ),
    "from several Pods in namespaces": (
        Step({"x/p": into(A, by({**not_space("x"), **pod("b", "c")}))}, on(BOTH, "- x/* > x/a, - ?/a > x/a")),
    ),
    "from any of several Pods": (
        Step({"x/p": into(A, by(pod("b"), pod("c")))}, on(BOTH, "- * > x/a, + x/b > x/a, + x/c > x/a")),
    ),
    "from one Pod of another namespace": (
        Step({"x/p": into(A, by({**space("y"), **pod("a")}))}, on(BOTH, "- * > x/a, + y/a > x/a")),
    ),
    "one port": (
        Step(
            {"x/p": into(A, by(space("y"), ports=(81,)))},
            {TCP81: "- * > x/a, + y/* > x/a", TCP80: "- * > x/a", UDP81: "- * > x/a"},
        ),
    ),
    "one port of UDP": (
        Step(
            {"x/p": into(A, by(space("y"), ports=({"port": 81, "protocol": "UDP"},)))},
            {UDP81: "- * > x/a, + y/* > x/a", UDP80: "- * > x/a", TCP81: "- * > x/a"},
        ),
    ),
    "policies for the same Pod add up": (
        Step(
            {"x/p": into(A, by(space("y"), ports=(81,)))},
            {TCP81: "- * > x/a, + y/* > x/a", TCP80: "- * > x/a"},
        ),
        Step(
            {"x/p": into(A, by(space("y"), ports=(81,))), "x/q": into(A, by(space("y"), ports=(80,)))},
            on((TCP80, TCP81), "- * > x/a, + y/* > x/a"),
        ),
    ),
    "everything in": (Step({"x/p": into(EVERY, OPEN)}, on((TCP80, TCP81, UDP80), "")),),
    "a named port in": (
        Step({"x/p": into(EVERY, by(ports=("serve-81-tcp",)))}, {TCP81: "", TCP80: "- * > x/*", UDP81: "- * > x/*"}),
    ),
    "a named port in from a namespace": (
        Step(
            {"x/p": into(A, by(space("y"), ports=("serve-80-tcp",)))},
            {TCP80: "- * > x/a, + y/* > x/a", TCP81: "- * > x/a"},
        ),
    ),
    "a named port out": (Step({"x/p": out(EVERY, to(ports=("serve-80-tcp",)))}, {TCP80: "", TCP81: "- x/* > *"}),),
    "a policy that changes": (
        Step({"x/p": into(EVERY, OPEN)}, on((TCP81,), "")),
        Step({"x/p": into(EVERY)}, on((TCP81,), "- * > x/*")),
    ),
    "a namespace that is labelled": (
        Step({"x/p": into(A, by({"namespaceSelector": {"matchLabels": {"new": "y"}}}))}, on(BOTH, "- * > x/a")),
        Step(
            {"x/p": into(A, by({"namespaceSelector": {"matchLabels": {"new": "y"}}}))},
            on(BOTH, "- * > x/a, + y/* > x/a"),
            labels={"y": "new=y"},
        ),
    ),
    "a Pod that is labelled": (
        Step({"x/p": into(A, by({"podSelector": {"matchLabels": {"new": "b"}}}))}, on(BOTH, "- * > x/a")),
        Step(
            {"x/p": into(A, by({"podSelector": {"matchLabels": {"new": "b"}}}))},
            on(BOTH, "- * > x/a, + x/b > x/a"),
            labels={"x/b": "new=b"},
        ),
    ),
    "a Pod that is labelled is isolated": (
        Step({"x/p": into({"podSelector": {"matchLabels": {"target": "isolated"}}})}, on(BOTH, "")),
        Step(
            {"x/p": into({"podSelector": {"matchLabels": {"target": "isolated"}}})},
            on(BOTH, "- * > x/a"),
            labels={"x/a": "target=isolated"},
        ),
    ),
    "from the own namespace": (Step({"x/p": into(EVERY, by(EVERY))}, on(BOTH, "- y/* > x/*, - z/* > x/*")),),
    "nothing out of one Pod": (Step({"x/p": out(A)}, on(BOTH, "- x/a > *")),),
    "nothing out": (Step({"x/p": out(EVERY)}, on(BOTH, "- x/* > *")),),
    "in by Pods, out by a port": (
        Step(
            {"x/p": {**into(A, by(pod("b"))), "policyTypes": ["Ingress", "Egress"], "egress": [to(ports=(80,))]}},
            {TCP80: "- * > x/a, + x/b > x/a", TCP81: "- * > x/a, - x/a > *, + x/b > x/a"},
        ),
    ),
    "what the server would take does not leave the client": (
        Step(
            {
                "x/p": out(A, to({**space("y"), **pod("a")})),
                "y/p": into(A, by({**space("x"), **pod("a")})),
                "y/q": into(pod("b"), by({**space("x"), **pod("a")})),
            },
            on(BOTH, "- x/a > *, - * > y/a, - * > y/b, + x/a > y/a"),
        ),
    ),
    "out to one Pod of another namespace": (
        Step({"x/p": out(A, to({**space("y"), **pod("a")}))}, on(BOTH, "- x/a > *, + x/a > y/a")),
    ),
    "a whole protocol in": (
        Step({"x/p": into(A, by(ports=({"protocol": "TCP"},)))}, {TCP80: "", TCP81: "", UDP80: "- * > x/a"}),
    ),
    "one opens in all what another does not": (
        Step({"x/p": into(EVERY, by(ports=(80,)))}, on((TCP81,), "- * > x/*")),
        Step({"x/p": into(EVERY, by(ports=(80,))), "x/q": into(EVERY, OPEN)}, on((TCP81,), "")),
    ),
    "one opens out all what another does not": (
        Step({"x/p": out(EVERY, to(ports=(80,)))}, on((TCP81,), "- x/* > *")),
        Step({"x/p": out(EVERY, to(ports=(80,))), "x/q": out(EVERY, OPEN)}, on((TCP81,), "")),
    ),
    "a policy that goes": (
        Step({"x/p": SEALED}, on(BOTH, "- * > x/*, - x/* > *")),
        Step({}, on(BOTH, "")),
    ),
    "in and out are two things": (
        Step({"x/p": out(A, OPEN)}, on(BOTH, "")),
        Step({"x/p": out(A, OPEN), "x/q": into(A)}, on(BOTH, "- * > x/a")),
    ),
    "SCTP is not TCP": (
        Step(
            {"x/p": into(EVERY), "x/q": into(A, by(ports=({"port": 81, "protocol": "SCTP"},)))},
            on((TCP81, UDP81), "- * > x/*"),
        ),
    ),
    "a rule about SCTP isolates": (
        Step({"x/p": into(A, by(ports=({"port": 80, "protocol": "SCTP"},)))}, on((TCP81, TCP80, UDP80), "- * > x/a")),
    ),
    "UDP is not TCP": (
        Step({"x/p": into(A, by(ports=({"port": 81, "protocol": "UDP"},)))}, {TCP81: "- * > x/a", UDP81: ""}),
    ),
    "out to all namespaces but one": (Step({"x/p": out(A, to(not_space("y")))}, on(BOTH, "- x/a > y/*")),),
}


def blocks(cidrs: Mapping[str, list[str]], wide: list[str]) -> dict[str, tuple[Step, ...]]:
    """Return the cases about addresses: `cidrs` of each Pod, and networks around all of them, one of each family."""
    to_b = out(A, to(*map(block, cidrs["y/b"])))
    but_b = out(A, to(*(block(*pair) for pair in zip(wide, cidrs["x/b"], strict=True))))
    only_b = out(A, to(*map(block, cidrs["x/b"])))
    from_b = into(A, by(*map(block, cidrs["y/b"])))
    return {
        "out to a block": (Step({"x/p": to_b}, on(BOTH, "- x/a > *, + x/a > y/b")),),
        "in from a block": (Step({"x/p": from_b}, on(BOTH, "- * > x/a, + y/b > x/a")),),
        "out to a block but for some": (Step({"x/p": but_b}, on(BOTH, "- x/a > x/b")),),
        "what a block leaves out another lets in": (
            Step({"x/p": but_b}, on(BOTH, "- x/a > x/b")),
            Step({"x/p": only_b}, on(BOTH, "- x/a > *, + x/a > x/b")),
            Step({"x/p": only_b, "x/q": but_b}, on(BOTH, "")),
        ),
    }
