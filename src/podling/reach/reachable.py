"""May A reach B, and what decides it: the Service, its selector, a probe, an endpoint, a policy.

Owns who is meant by the two ends, in which address families the one can call the other, and the answer for all of them
together; each family is judged by `passage`. Says nothing of whether a process listens: that is observed, not decided.
Pure. Every answer has its reasons, those of a yes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.api.validation.addresses import family
from podling.reach.endpoints import families, is_headless
from podling.reach.passage import ANYONE, Caller, Passage, node_party
from podling.reach.policy import Party, party_of
from podling.reach.shortcomings import absence
from podling.reach.snapshot import Unknown, called_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Node
    from podling.reach.passage import Finding
    from podling.reach.snapshot import End, Snapshot


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a call can arrive, and why."""

    verdict: str
    """yes, no, or sometimes: where some of a Service's endpoints are closed to the caller, or one address family is."""
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.verdict, *(f"  {reason}" for reason in self.reasons)])


def reachable(snapshot: Snapshot, caller: End, callee: End, protocol: str = "TCP") -> Answer:
    """Return whether `caller` may reach `callee` by `protocol`, in each address family that both have."""
    try:
        begins = _caller(snapshot, caller)
        if isinstance(begins, str):
            return Answer("no", (begins,))
        spoken = begins.party.versions or ANYONE.versions
        passages = {version: Passage(snapshot, begins, protocol, version) for version in spoken}
        words, versions = _callee(snapshot, begins, callee, passages)
        if not versions:  # it has no address: what is said of that is the same in every family
            return _together({spoken[0]: passages[spoken[0]].judge(callee)})
        if not set(versions) & set(spoken):
            return Answer("no", (f"{begins.words} has no IPv{versions[0]} address, and {words} has no other",))
        return _together({version: one.judge(callee) for version, one in passages.items() if version in versions})
    except Unknown as unknown:
        return Answer("no", (str(unknown),))


def _together(found: Mapping[int, Finding]) -> Answer:
    """Return one answer for all families; where they differ, it says by which family what holds."""
    first, *others = found.values()
    if all((one.verdict, one.reasons) == (first.verdict, first.reasons) for one in others):
        ways = dict.fromkeys(one.way for one in found.values() if one.way)
        return Answer(first.verdict, (*ways, *first.reasons))
    verdicts = {one.verdict for one in found.values()}
    lines = (f"IPv{version}: {line}" for version, one in found.items() for line in (one.verdict, *one.lines))
    return Answer(first.verdict if len(verdicts) == 1 else "sometimes", tuple(lines))


def _caller(snapshot: Snapshot, end: End) -> Caller | str:
    if end.kind == "outside":
        return _outside(snapshot, ANYONE, "a caller from outside")
    if end.kind == "node":
        return _node(snapshot.node(end.name))
    if end.kind == "address":
        pod, node = snapshot.pod_at(end.name), snapshot.node_at(end.name)
        if node is not None:
            return _node(node)
        if pod is None:
            return _outside(snapshot, Party(end.name), f"{end.name}, outside")
    else:
        pod = snapshot.pod(end.namespace, end.name)
    name = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
    if pod.spec.host_network and pod.spec.node_name:
        return _node(snapshot.node(pod.spec.node_name))._replace(words=f"{name}, on its node's network")
    party = party_of(pod)
    return f"{name} {absence(pod)}" if party is None else Caller(party, pod.spec.node_name, name)


def _outside(snapshot: Snapshot, party: Party, words: str) -> Caller:
    entrance = snapshot.entrance()
    return Caller(party, entrance.metadata.name if entrance else "", words, is_outside=True)


def _node(node: Node) -> Caller:
    return Caller(node_party(node), node.metadata.name, f"Node {node.metadata.name}")


def _callee(snapshot: Snapshot, caller: Caller, end: End, passages: Mapping[int, Passage]) -> tuple[str, Sequence[int]]:
    """Return who is called, in words, and the families in which it can be; none where it has no address at all."""
    match end.kind:
        case "svc":
            service = snapshot.service(end.namespace, end.name)
            words = f"Service {end.namespace}/{end.name}"
            if service.spec.type == "ExternalName":
                return words, ()
            if is_headless(service):
                return words, [int(each.removeprefix("IPv")) for each in families(service)]
            return words, [family(face) for face, _ in called_at(service, is_outside=caller.is_outside)]
        case "pod":
            pod = snapshot.pod(end.namespace, end.name)
            words = f"Pod {end.namespace}/{end.name}"
            if pod.spec.host_network and pod.spec.node_name:
                return words, _versions_of(snapshot.node(pod.spec.node_name), end.port, passages)
            party = party_of(pod)
            return words, party.versions if party is not None else ()
        case "node":
            return f"Node {end.name}", _versions_of(snapshot.node(end.name), end.port, passages)
    return end.name, (family(end.name),)


def _versions_of(node: Node, port: str, passages: Mapping[int, Passage]) -> Sequence[int]:
    """Return the families in which a port of a node is somebody's, else all that the node has."""
    versions = node_party(node).versions
    return [each for each in versions if each in passages and passages[each].is_taken(node, port)] or versions
