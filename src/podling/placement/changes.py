"""What happened to the cluster, as far as it may let a Pod fit that did not.

Each plugin that refused a Pod is asked whether a change may help it (`FilterPlugin.helped_by`); a Pod whose refusers
all say no stays where it is. Upstream's queueing hints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
    from podling.api.types.storage_v1 import StorageClass
    from podling.placement.pods import PodInfo


@dataclass(frozen=True, slots=True)
class NodeAdded:
    node: Node


@dataclass(frozen=True, slots=True)
class NodeUpdated:
    old: Node
    new: Node


@dataclass(frozen=True, slots=True)
class AssignedPodAdded:
    """A Pod came to a Node, or its labels changed there: what affinity and spreading look at."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class AssignedPodRemoved:
    """A Pod left its Node: deleted, finished, or not bound after all."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class AssignedPodTerminating:
    """A Pod on a Node was asked to go: it is no longer counted where Pods are spread."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class AssignedPodShrunk:
    """A Pod on a Node asks for less than before."""

    old: PodInfo
    new: PodInfo


@dataclass(frozen=True, slots=True)
class ClaimChanged:
    """A claim came, went, or was bound."""

    claim: PersistentVolumeClaim


@dataclass(frozen=True, slots=True)
class VolumeChanged:
    volume: PersistentVolume


@dataclass(frozen=True, slots=True)
class StorageClassChanged:
    storage_class: StorageClass


Change: TypeAlias = (
    NodeAdded
    | NodeUpdated
    | AssignedPodAdded
    | AssignedPodRemoved
    | AssignedPodTerminating
    | AssignedPodShrunk
    | ClaimChanged
    | VolumeChanged
    | StorageClassChanged
)


def changed_allocatable(old: Node, new: Node) -> bool:
    return old.status.allocatable != new.status.allocatable


def changed_labels(old: Node, new: Node) -> bool:
    return old.metadata.labels != new.metadata.labels


def changed_taints(old: Node, new: Node) -> bool:
    return old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable
