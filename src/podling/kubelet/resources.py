"""The upper part of a node's cgroup tree: all Pods together, and the Burstable and BestEffort ones among them.

    kubepods               what all Pods may take together: allocatable CPU as weight, memory and pids as limits
    ├─ pod<uid>            Guaranteed
    ├─ burstable           weighs what its Pods have asked for together
    │  └─ pod<uid>
    └─ besteffort          weighs least
       └─ pod<uid>

Owns the groups above the Pods' own, which the runtime makes. The numbers are `lifecycle.cgroups`'s. Invariant: a limit
that this machine cannot enforce is told, and never keeps the node from starting.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from podling.lifecycle.cgroups import LEAST_SHARES, cgroup_parent, node_limits, shares
from podling.lifecycle.qos import BURSTABLE, qos_class
from podling.linux.cgroup import Limits
from podling.placement.amounts import requests_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.types.core_v1 import Pod
    from podling.linux.cgroup import Hierarchies

log = logging.getLogger("podling.kubelet.resources")


class NodeCgroups:
    """The cgroups that a node's Pods share."""

    def __init__(self, root: str, hierarchies: Hierarchies) -> None:
        """`root` is the group of all Pods: `/kubepods` below whatever belongs to this node."""
        self._root = root
        self._hierarchies = hierarchies
        self._group = hierarchies.group(root)
        self._burstable_shares = 0
        self.memory_limit: int | None = None
        """What all Pods together may take, once it was enforced."""

    def enforce(self, given: Mapping[str, str]) -> str:
        """Make the groups and set what all Pods together may take; return what could not be enforced, if anything."""
        limits = node_limits(given)
        try:
            for group in (self._group, self._group.child("burstable"), self._group.child("besteffort")):
                group.create()
            self._group.child("besteffort").limit(Limits(cpu_shares=LEAST_SHARES))
            self._group.limit(Limits(cpu_shares=limits.cpu_shares))
            self._group.limit(Limits(memory_limit=limits.memory_limit, pids_limit=limits.pids_limit))
        except OSError as error:
            # Pods that outlived an earlier life of the node may use more than it now gives.
            log.warning("limits of %s: %s", self._root, error)
            return f"Failed to update Node Allocatable Limits {self._root!r}: {error.strerror}".replace("'", '"')
        self.memory_limit = limits.memory_limit
        return ""

    def weigh(self, pods: Iterable[Pod]) -> None:
        """Let the Burstable Pods together weigh what they ask for."""
        wanted = shares(sum(requests_of(pod).milli_cpu for pod in pods if qos_class(pod) == BURSTABLE))
        if wanted == self._burstable_shares:
            return
        try:
            self._group.child("burstable").limit(Limits(cpu_shares=wanted))
        except OSError as error:
            log.warning("weight of %s/burstable: %s", self._root, error)
        else:
            self._burstable_shares = wanted

    def working_set(self) -> int:
        """Return the bytes of memory that all Pods together hold."""
        return self._group.usage().memory_working_set

    def cpu_nanoseconds(self) -> int:
        """Return the CPU time that all Pods together have used, those that are gone included."""
        return self._group.usage().cpu_nanoseconds

    def pod_working_set(self, pod: Pod) -> int:
        """Return the bytes of memory that a Pod holds, what outlived its containers included."""
        return self._hierarchies.group(cgroup_parent(pod, self._root)).usage().memory_working_set
