"""What NetworkPolicies cost a node: all of them installed at once, and one change, as more and more are there.

Run as root. In a network namespace of its own, by the same index, rules and transactions as on a node; no cluster. For
Pods of IPv4 alone, and of both families.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podling.api.selectors import from_labels
from podling.linux import namespaces
from podling.linux.families import FAMILIES
from podling.linux.nf_tables import Tables
from podling.network.policy.rules import PolicyRules
from podling.reach.policy import Direction, Party, PeerSelector, Policy, PortRange, Rule
from podling.reach.policy_index import PolicyIndex

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMESPACES = 10


@dataclass
class PolicyTimes:
    """Milliseconds."""

    families: int
    policies: int
    pods: int
    install: float
    """Reading and writing everything into an empty kernel."""
    peer: float
    """A Pod of another node becomes a peer of the policies of its application, or ceases to be."""
    pod: float
    """A Pod comes to this node, isolated by its policies, or goes."""
    policy: float
    """A policy with its Pods and peers comes, or goes."""


def _policy(number: int, applications: int) -> Policy:
    namespace, application = f"n{number % _NAMESPACES}", f"a{number // _NAMESPACES % applications}"
    peers = PeerSelector(from_labels({"app": f"a{(number + 1) // _NAMESPACES % applications}"}), namespace)
    rule = Rule(False, (peers,), (), False, (PortRange("TCP", 8000, 8000 + number % 90),), ())
    return Policy((namespace, f"p{number}"), from_labels({"app": application}), (rule,), (rule,))


def _pod(number: int, applications: int, families: int, *, node: str = "here", name: str = "") -> Party:
    labels = (("app", f"a{number // _NAMESPACES % applications}"),)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    further = (f"fd00::{number >> 16:x}:{number & 0xFFFF:x}",)
    return Party(address, name or f"x{number}", f"n{number % _NAMESPACES}", labels, (), node, further[: families - 1])


def _median(there: Callable[[], object], back: Callable[[], object], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        for change in (there, back):
            began = time.perf_counter()
            change()
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def measure(tables: Tables, families: int, policies: int, pods: int) -> PolicyTimes:
    """Return what `policies` policies cost for `pods` Pods of this node, in ten namespaces."""
    applications = max(1, policies // _NAMESPACES)
    began = time.perf_counter()
    index = PolicyIndex()
    for number in range(pods):
        pod = _pod(number, applications, families)
        index.set_pod((pod.namespace, pod.pod), pod)
    for number in range(policies):
        policy = _policy(number, applications)
        index.set_policy(policy.key, policy)
    index.take()
    both = [PolicyRules("bench", "here", index, None, family) for family in FAMILIES[:families]]
    for rules in both:
        tables.commit(rules.whole())
    install = 1000 * (time.perf_counter() - began)

    def commit() -> None:
        changes = index.take()
        for rules in both:
            tables.commit(rules.change(changes))

    def set_pod(pod: Party, there: bool) -> None:
        index.set_pod((pod.namespace, pod.pod), pod if there else None)
        commit()

    def set_policy(policy: Policy, there: bool) -> None:
        index.set_policy(policy.key, policy if there else None)
        commit()

    stranger = _pod(100_000, applications, families, node="there", name="stranger")
    fresh = _pod(100_010, applications, families, name="fresh")
    another = _policy(policies, applications)
    assert another.rules(Direction.INGRESS)
    return PolicyTimes(
        families,
        policies,
        pods,
        install,
        _median(lambda: set_pod(stranger, True), lambda: set_pod(stranger, False)),
        _median(lambda: set_pod(fresh, True), lambda: set_pod(fresh, False)),
        _median(lambda: set_policy(another, True), lambda: set_policy(another, False)),
    )


def series(*sizes: tuple[int, int], families: int = 1) -> list[PolicyTimes]:
    """Measure each (policies, Pods) in a network namespace of its own; Pods have an address of so many families."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for policies, pods in sizes:
            pin = Path(folder) / f"{policies}-{pods}"
            namespaces.create(pin, ("net",), sysctls={})
            tables = Tables(str(pin / "net"))
            try:
                times.append(measure(tables, families, policies, pods))
            finally:
                tables.close()
                namespaces.release(pin)
    return times


if __name__ == "__main__":
    print("families  policies  Pods   install      peer       Pod    policy   (ms)")
    for count in (1, 2):
        for one in series((10, 20), (100, 100), (500, 200), (2000, 200), families=count):
            times = f"{one.install:10.1f}{one.peer:10.2f}{one.pod:10.2f}{one.policy:10.2f}"
            print(f"{one.families:8}{one.policies:10}{one.pods:6}{times}")
