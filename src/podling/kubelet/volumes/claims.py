"""Volumes that are claims: which folder of the node a bound claim is, and upstream's words for why it is none.

Owns the way from a Pod's volume by its claim to a PersistentVolume, and what a node can mount of those: `local` and
`hostPath`. Invariants: a claim is used only when it and its volume name each other, and only where the volume is meant
to be reached; a ReadWriteOncePod volume is one Pod's at a time; what a Pod was given once is its own until it goes,
whatever becomes of the claim. Reads go to the API each time: a node may read the claims of its Pods, by name.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from podling.placement.nodes import NodeInfo
from podling.placement.volumes import claim_name, fits_node, is_bound, is_made_for, not_made_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume
    from podling.client.client import Client

_ALONE: Final = "ReadWriteOncePod"
_GROUP_BITS: Final = 0o660
_FOLDER_BITS: Final = stat.S_ISGID | 0o110


class ClaimFailure(Exception):  # an outcome that the plan retries
    """A claim cannot be used (yet); the message is what the FailedMount event says."""


class ClaimVolumes:
    """The claims of one node's Pods."""

    def __init__(self, client: Client, node: Callable[[], Node]) -> None:
        self._client = client
        self._node = node
        self._given: dict[tuple[str, str], PersistentVolume] = {}
        """By Pod uid and the name of the Pod's volume."""

    async def volume_of(self, pod: Pod, volume: Volume) -> PersistentVolume | None:
        """Return the PersistentVolume that a volume of a Pod is; `None` where it is no claim."""
        name = claim_name(pod, volume)
        if not name:
            return None
        key = (pod.metadata.uid, volume.name)
        found = self._given.get(key)
        if found is None:
            try:
                found = await self._resolve(pod, volume, name)
            except _Unusable as why:
                raise ClaimFailure(_unmounted(volume, str(why))) from why
            self._check_place(pod, found)
            self._given[key] = found
        return found

    def forget(self, uid: str) -> None:
        """Give back what a Pod that is gone held."""
        for key in [key for key in self._given if key[0] == uid]:
            del self._given[key]

    async def _resolve(self, pod: Pod, volume: Volume, name: str) -> PersistentVolume:
        whose = f"error processing PVC {pod.metadata.namespace}/{name}"
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, pod.metadata.namespace)
        except StatusError as refusal:
            raise _Unusable(f"{whose}: failed to fetch PVC from API server: {refusal.message}") from refusal
        if volume.ephemeral is not None and not is_made_for(claim, pod):
            raise _Unusable(f"{whose}: {not_made_for(claim, pod)}")
        if claim.metadata.deletion_timestamp is not None:
            raise _Unusable(f"{whose}: PVC is being deleted")
        if not _is_usable(claim):
            raise _Unusable(f"{whose}: PVC is not bound")
        found = await self._fetch(claim, whose)
        mode = found.spec.volume_mode or "Filesystem"
        if mode != "Filesystem" and _is_mounted(pod, volume):
            raise _Unusable(f"volume {volume.name} has volumeMode {mode}, but is specified in volumeMounts")
        if found.spec.local is None and found.spec.host_path is None:
            why = "no volume plugin matched"
            raise _Unusable(f'failed to get Plugin from volumeSpec for volume "{volume.name}" err={why}')
        return found

    async def _fetch(self, claim: PersistentVolumeClaim, whose: str) -> PersistentVolume:
        name = claim.spec.volume_name
        try:
            found = await self._client.get(PERSISTENT_VOLUMES, name)
        except StatusError as refusal:
            why = f"failed to fetch PV {name} from API server: {refusal.message}"
            raise _Unusable(f"{whose}: {why}") from refusal
        held = found.spec.claim_ref
        if held is None:
            why = f"found PV object {name} with nil pvc.ClaimRef indicating it is not yet bound to the claim"
            raise _Unusable(f"{whose}: {why}")
        if held.uid != claim.metadata.uid:
            why = f"found PV object {name} with unexpected pvc UID {held.uid}, expected {claim.metadata.uid}"
            raise _Unusable(f"{whose}: {why}")
        return found

    def _check_place(self, pod: Pod, found: PersistentVolume) -> None:
        name = found.metadata.name
        if not fits_node(found, NodeInfo(self._node())):
            why = f'MountVolume.NodeAffinity check failed for volume "{name}" : no matching NodeSelectorTerms'
            raise ClaimFailure(why)
        if _ALONE in found.spec.access_modes and any(
            held.metadata.uid == found.metadata.uid and uid != pod.metadata.uid
            for (uid, _), held in self._given.items()
        ):
            why = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
            raise ClaimFailure(f'MountVolume.SetUp failed for volume "{name}" : {why}')


class _Unusable(Exception):
    """Why a claim cannot be processed."""


def _is_usable(claim: PersistentVolumeClaim) -> bool:
    """Whether a claim has its volume; that its binding was completed is on it a moment before its phase says so."""
    if claim.status.phase == "Bound":
        return bool(claim.spec.volume_name)
    return claim.status.phase in ("", "Pending") and is_bound(claim)


def folder_of(volume: PersistentVolume) -> str:
    """Return the path on the node that a local or hostPath volume is; runs in a thread."""
    from podling.kubelet.volumes import folders

    if volume.spec.host_path is not None:
        return folders.host_path(volume.spec.host_path)
    assert volume.spec.local is not None
    path = volume.spec.local.path
    if not Path(path).exists():
        failed = f'MountVolume.NewMounter initialization failed for volume "{volume.metadata.name}"'
        raise ClaimFailure(f'{failed} : path "{path}" does not exist')
    return path


def give_to_group(path: str, group: int, policy: str | None) -> None:
    """Let a Pod's fsGroup read and write a volume, as upstream does; runs in a thread.

    By the policy OnRootMismatch nothing is walked where the top looks right already.
    """
    from podling.linux import trees

    path = str(Path(path).resolve())  # whoever made the volume may have meant a link; below it none is followed
    top = Path(path).lstat()
    if not stat.S_ISDIR(top.st_mode):
        return
    wanted = _GROUP_BITS | _FOLDER_BITS
    if policy == "OnRootMismatch" and top.st_gid == group and top.st_mode & wanted == wanted:
        return
    trees.give_to_group(path, group, _mode)


def _mode(mode: int) -> int:
    return mode | _GROUP_BITS | (_FOLDER_BITS if stat.S_ISDIR(mode) else 0)


def is_read_only(volume: Volume) -> bool:
    """Whether a Pod asks for a claim to be read only, whatever its mounts say."""
    return volume.persistent_volume_claim is not None and bool(volume.persistent_volume_claim.read_only)


def _is_mounted(pod: Pod, volume: Volume) -> bool:
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    return any(mount.name == volume.name for container in containers for mount in container.volume_mounts)


def _unmounted(volume: Volume, why: str) -> str:
    names = f"unmounted volumes=[{volume.name}], unattached volumes=[], failed to process volumes=[{volume.name}]"
    return f"Unable to attach or mount volumes: {names}: {why}"
