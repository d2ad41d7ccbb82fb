"""Makes and removes the volumes of `podling.dev/local-path`: the shell around `local_path`.

Acts for the Nodes whose folders this process has at hand, and for no others: a Node elsewhere is served from there.
Level: claims, volumes, classes and Nodes as they are seen. The folder is made before the volume says that it is there,
and removed before the volume goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from podling.client.cache import key_of, split_key
from podling.controllers import local_path
from podling.placement.volumes import SELECTED_NODE, class_of_claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
    from podling.api.types.storage_v1 import StorageClass
    from podling.client.informer import Informer
    from podling.client.seams import VolumeFolders
    from podling.controllers.context import Context

_CLAIM, _VOLUME, _FOLDER, _SWEEP = "claim", "volume", "folder", "sweep"
_WAITING: Final = "claims without a volume"
_HOME: Final = "volumes by host name"
_PAUSE: Final = 15.0
"""Seconds after which what a disk has refused is tried again."""

Key = tuple[str, str]


class LocalPaths:
    """Keys are claims and volumes."""

    account = "local-path-provisioner"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._folders = context.folders
        self._claims: Informer[PersistentVolumeClaim] = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._volumes: Informer[PersistentVolume] = context.informers.of(PERSISTENT_VOLUMES)
        self._classes: Informer[StorageClass] = context.informers.of(STORAGE_CLASSES)
        self._nodes: Informer[Node] = context.informers.of(NODES)
        self._claims.add_index(_WAITING, self._class_if_waiting)
        self._volumes.add_index(_HOME, lambda obj: (local_path.home_of(self._volumes.view(obj)),))
        self._recorder = context.recorder(local_path.NAME)
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)
        self._refused: dict[str, str] = {}
        """What was last said of claims that cannot have a volume, by uid."""
        self._parked: dict[str, dict[Key, None]] = {}
        """By Node, what waits for its folders to be at hand; by the empty name, what waits for any Node."""

    def start(self) -> None:
        self._claims.on_change(self._on_claim)
        self._volumes.on_change(self._on_volume)
        self._classes.on_change(self._on_class)
        self._nodes.on_change(self._on_node)
        self._folders.came = self._on_folders
        for node in self._folders.nodes():
            self._queue.add((_SWEEP, node))
        self._supervisor.workers("local-path-provisioner", self._queue, self._sync)

    def _class_if_waiting(self, obj: Encoded) -> tuple[str, ...]:
        claim = self._claims.view(obj)
        return () if claim.spec.volume_name else (class_of_claim(claim),)

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._queue.add((_CLAIM, key_of(new)))
        elif old is not None:
            self._refused.pop(old.uid, None)
            if not self._claims.view(old).spec.volume_name:
                self._queue.add((_FOLDER, local_path.volume_name(self._claims.view(old))))

    def _on_volume(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        if new is not None:
            self._queue.add((_VOLUME, new.name))
        held = self._volumes.view(seen).spec.claim_ref
        if held is not None:  # also of one that is gone: its claim may want another
            self._queue.add((_CLAIM, f"{held.namespace}/{held.name}"))

    def _on_class(self, old: Encoded | None, new: Encoded | None) -> None:
        """Look at who waits for a class that has come or changed."""
        del old
        for claim in self._claims.indexed(_WAITING, new.name if new is not None else ""):
            self._queue.add((_CLAIM, key_of(claim)))

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        """Look at who waits for any Node; one that only says that it lives still concerns nobody."""
        if new is None:
            return
        before = self._nodes.view(old) if old is not None else None
        if before is None or local_path.has_room(before) != local_path.has_room(self._nodes.view(new)):
            self._take_up("")

    def _on_folders(self, node: str) -> None:
        self._queue.add((_SWEEP, node))
        self._take_up(node)
        self._take_up("")

    def _park(self, node: str, key: Key) -> None:
        self._parked.setdefault(node, {})[key] = None

    def _take_up(self, node: str) -> None:
        for key in self._parked.pop(node, ()):
            self._queue.add(key)

    async def _sync(self, key: Key) -> None:
        for informer in (self._claims, self._volumes, self._classes, self._nodes):
            await informer.wait_synced()
        try:
            match key[0]:
                case "claim":
                    namespace, name = split_key(key[1])
                    await self._look_at_claim(self._claims.get(name, namespace))
                case "volume":
                    await self._look_at_volume(self._volumes.get(key[1]))
                case "folder":
                    await self._forget(key[1])
                case "sweep":
                    await self._sweep(key[1])
        except StatusError as refusal:
            if not (refusal.is_not_found or refusal.is_already_exists):
                raise

    # Claims.

    async def _look_at_claim(self, claim: PersistentVolumeClaim | None) -> None:
        if claim is None:
            return
        storage_class = self._classes.get(class_of_claim(claim))
        if claim.spec.volume_name:
            await self._grow(claim, storage_class)
        elif storage_class is not None and local_path.wants_volume(claim, storage_class):
            await self._provision(claim, storage_class)

    async def _provision(self, claim: PersistentVolumeClaim, storage_class: StorageClass) -> None:
        if self._volumes.encoded(local_path.volume_name(claim)) is not None:
            return
        why = local_path.why_not(claim, storage_class)
        if why:
            self._refuse(claim, storage_class, why)
            return
        at_hand = (node for name in self._folders.nodes() if (node := self._nodes.get(name)) is not None)
        held = lambda host: len(self._volumes.indexed(_HOME, host))  # noqa: E731
        name = local_path.chosen_node(claim, storage_class, at_hand, held)
        node, folders = self._nodes.get(name), self._folders.get(name)
        if node is None and name:
            await self._let_choose_again(claim)
        if node is None or folders is None:
            self._park(name, (_CLAIM, f"{claim.metadata.namespace}/{claim.metadata.name}"))
            return
        what = f'claim "{claim.metadata.namespace}/{claim.metadata.name}"'
        said = f"External provisioner is provisioning volume for {what}"
        self._recorder.event(claim, "Normal", "Provisioning", said)
        made = local_path.volume_for(claim, storage_class, node, folders.path(local_path.volume_name(claim)))
        try:
            await folders.make(made.metadata.name)
        except OSError as failure:
            self._refuse(claim, storage_class, str(failure))
            self._queue.add_after((_CLAIM, f"{claim.metadata.namespace}/{claim.metadata.name}"), _PAUSE)
            return
        await self._client.create(PERSISTENT_VOLUMES, made)
        said = f"Successfully provisioned volume {made.metadata.name}"
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", said)

    def _refuse(self, claim: PersistentVolumeClaim, storage_class: StorageClass, why: str) -> None:
        if self._refused.get(claim.metadata.uid) == why:
            return
        self._refused[claim.metadata.uid] = why
        said = f'failed to provision volume with StorageClass "{storage_class.metadata.name}": {why}'
        self._recorder.event(claim, "Warning", "ProvisioningFailed", said)

    async def _let_choose_again(self, claim: PersistentVolumeClaim) -> None:
        """Give a claim back to the scheduler whose Node is gone."""
        kept = {key: text for key, text in claim.metadata.annotations.items() if key != SELECTED_NODE}
        changed = replace(claim, metadata=replace(claim.metadata, annotations=kept))
        await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed)

    async def _grow(self, claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> None:
        volume = self._volumes.get(claim.spec.volume_name)
        if volume is None:
            return
        larger, told = local_path.grown(claim, volume, storage_class)
        if larger is not None:
            await self._client.update(PERSISTENT_VOLUMES, larger)
        if told is not None:
            await self._client.update_status(PERSISTENT_VOLUME_CLAIMS, told)
            self._recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    # Volumes.

    async def _look_at_volume(self, volume: PersistentVolume | None) -> None:
        if volume is None:
            return
        if local_path.must_go(volume):
            await self._remove(volume)
        elif local_path.is_kept(volume):
            free = local_path.released(volume)
            if free is not None:
                await self._client.update(PERSISTENT_VOLUMES, free)

    async def _remove(self, volume: PersistentVolume) -> None:
        home, name = local_path.home_of(volume), volume.metadata.name
        named = self._nodes.encoded(home)  # nearly always a Node is called as its host
        place = home
        if named is None or named.labels.get(local_path.HOSTNAME, home) != home:
            place = next((it.name for it in self._nodes if it.labels.get(local_path.HOSTNAME) == home), home)
        folders = self._folders.get(place)
        if folders is None:
            self._park(place, (_VOLUME, name))
            return
        assert volume.spec.local is not None
        try:
            if volume.spec.local.path != folders.path(name):
                raise ValueError(f"{volume.spec.local.path} is not where this provisioner keeps {name}")
            await folders.remove(name)
            await self._discard_elsewhere(name, place)
        except (OSError, ValueError) as failure:
            self._recorder.event(volume, "Warning", "VolumeFailedDelete", str(failure))
            if isinstance(failure, OSError):
                self._queue.add_after((_VOLUME, name), _PAUSE)
            return
        if volume.metadata.deletion_timestamp is None:
            await self._client.delete(PERSISTENT_VOLUMES, name, uid=volume.metadata.uid)
        # Its revision is another by now: what is left is to let go of whatever it has become.
        free = local_path.released(await self._client.get(PERSISTENT_VOLUMES, name))
        if free is not None and free.metadata.uid == volume.metadata.uid:
            await self._client.update(PERSISTENT_VOLUMES, free)

    # Folders whose volumes never came to be.

    async def _forget(self, name: str) -> None:
        """Remove the folder, if it is empty, that was made for a claim which is gone."""
        try:
            await self._client.get(PERSISTENT_VOLUMES, name)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
            await self._discard_elsewhere(name, "")

    async def _discard_elsewhere(self, name: str, home: str) -> None:
        """Remove what was made for a volume on Nodes that it did not come to be on after all."""
        for node in self._folders.nodes():
            folders = self._folders.get(node)
            if folders is not None and node != home:
                await folders.discard(name)

    async def _sweep(self, node: str) -> None:
        folders = self._folders.get(node)
        if folders is not None:
            await self._discard(folders, await folders.volumes())

    async def _discard(self, folders: VolumeFolders, names: Sequence[str]) -> None:
        """Remove those folders that are empty and belong to no volume and no claim that the API server knows."""
        if not names:
            return
        known = {volume.metadata.name for volume in await self._client.list(PERSISTENT_VOLUMES)}
        known |= {local_path.volume_name(claim) for claim in await self._client.list(PERSISTENT_VOLUME_CLAIMS)}
        for name in names:
            if name not in known:
                await folders.discard(name)
