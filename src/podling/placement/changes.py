"""What happened to the cluster, as far as it may let a Pod fit that did not.

Each plugin that refused a Pod is asked whether a change may help it (`FilterPlugin.helped_by`); a Pod whose refusers
all say no stays where it is. Upstream's queueing hints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
    from podling.api.types.storage_v1 import StorageClass
    from podling.placement.pods import PodInfo


class NodeAdded(Struct, frozen=True):
    node: Node


class NodeUpdated(Struct, frozen=True):
    old: Node
    new: Node


class AssignedPodAdded(Struct, frozen=True):
    """A Pod came to a Node, or its labels changed there: what affinity and spreading look at."""

    pod: PodInfo


class AssignedPodRemoved(Struct, frozen=True):
    """A Pod left its Node: deleted, finished, or not bound after all."""

    pod: PodInfo


class AssignedPodTerminating(Struct, frozen=True):
    """A Pod on a Node was asked to go: it is no longer counted where Pods are spread."""

    pod: PodInfo


class AssignedPodShrunk(Struct, frozen=True):
    """A Pod on a Node asks for less than before."""

    old: PodInfo
    new: PodInfo


class ClaimChanged(Struct, frozen=True):
    """A claim came, went, or was bound."""

    claim: PersistentVolumeClaim


class VolumeChanged(Struct, frozen=True):
    volume: PersistentVolume


class StorageClassChanged(Struct, frozen=True):
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
