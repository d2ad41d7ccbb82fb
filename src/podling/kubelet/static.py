"""Static Pods: manifests in a folder of the node, which nobody needs an API to create.

Owns the reading of the folder and the mirror Pods that show them in the API. A mirror is run like any Pod of the node,
so its status, probes and logs are what they are elsewhere. A manifest that changes is another Pod: the mirror of the
old one is deleted, and the new one is created when it has ended. Invariants: a mirror without its manifest is deleted,
whoever created it; one that somebody deletes comes back; a file that is no Pod is told of once and harms no other.

Other than upstream's, these Pods wait for the API server, and deleting a mirror restarts its containers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from podling.api.annotations import MIRROR, SOURCE
from podling.api.errors import StatusError
from podling.api.resources import PODS
from podling.api.times import to_wire
from podling.client.transport import Call
from podling.linux.inotify import DirectoryWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.client import Client
    from podling.client.informer import Informer

log = logging.getLogger("podling.kubelet.static")

_STAYS: Final = {"operator": "Exists", "effect": "NoExecute"}
_LARGEST: Final = 1 << 20
_PERIOD: Final = 20.0
"""Seconds between looks at the folder that nothing gave reason for, as upstream's."""


class Manifest(Struct, frozen=True):
    """One static Pod: its mirror as it is to be created, and the hash that tells it from an earlier content."""

    namespace: str
    name: str
    hash: str
    tree: Mapping[str, Any]


class Mirror(Struct, frozen=True):
    """One mirror Pod as the API has it."""

    namespace: str
    name: str
    uid: str
    hash: str
    ending: bool


class MirrorPlan(Struct, frozen=True):
    """Which mirrors to delete, and which manifests have none yet."""

    delete: tuple[Mirror, ...]
    create: tuple[Manifest, ...]


def plan(wanted: Iterable[Manifest], mirrors: Iterable[Mirror]) -> MirrorPlan:
    """Decide what makes the mirrors those that are wanted; a name that is still held is waited for."""
    by_name = {(manifest.namespace, manifest.name): manifest for manifest in wanted}
    held = {(mirror.namespace, mirror.name): mirror for mirror in mirrors}
    delete = [
        mirror
        for name, mirror in held.items()
        if not mirror.ending and (name not in by_name or by_name[name].hash != mirror.hash)
    ]
    create = [manifest for name, manifest in by_name.items() if name not in held]
    return MirrorPlan(tuple(delete), tuple(create))


def read_manifest(content: bytes, file: str, node_name: str, now: float) -> Manifest:
    """Return the static Pod of a file's content, JSON or YAML; `ValueError` says why it is none."""
    import yaml

    try:
        tree = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"no YAML: {error}") from error
    if not isinstance(tree, dict) or tree.get("kind") != "Pod" or tree.get("apiVersion") != "v1":
        raise ValueError("no Pod of v1")
    metadata, spec = tree.get("metadata"), tree.get("spec")
    if not isinstance(metadata, dict) or not isinstance(spec, dict) or not metadata.get("name"):
        raise ValueError("a Pod needs metadata.name and spec")
    hashed = hashlib.sha256(b"\0".join((node_name.encode(), file.encode(), content))).hexdigest()[:32]
    annotations = metadata.get("annotations") or {}
    tolerations = spec.get("tolerations") or []
    if not isinstance(annotations, dict) or not isinstance(tolerations, list):
        raise ValueError("metadata.annotations or spec.tolerations is of the wrong form")  # noqa: TRY004  # of a file
    name = f"{metadata['name']}-{node_name.lower()}"
    namespace = str(metadata.get("namespace") or "default")
    told = {
        "kubernetes.io/config.hash": hashed,
        MIRROR: hashed,
        "kubernetes.io/config.seen": to_wire(now),
        SOURCE: "file",
    }
    mirror = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": metadata.get("labels") or {},
            "annotations": {**annotations, **told},
        },
        "spec": {**spec, "nodeName": node_name, "tolerations": [*tolerations, _STAYS]},
    }
    try:
        msgspec.json.encode(mirror)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no JSON can say it: {error}") from error
    return Manifest(namespace, name, hashed, mirror)


class StaticPods:
    """Keeps the mirrors of one node's manifests."""

    def __init__(
        self, folder: Path, node_name: str, node: Callable[[], Node], client: Client, pods: Informer[Pod], clock: Clock
    ) -> None:
        self._folder = folder
        self._node_name = node_name
        self._node = node
        self._client = client
        self._pods = pods
        self._clock = clock
        self._changed = asyncio.Event()
        self._refused: dict[str, str] = {}

    async def keep(self) -> None:
        """Follow the folder and the mirrors, for ever."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        watch = DirectoryWatch(str(self._folder), lambda _: self._changed.set(), losses=True)
        forget = self._pods.on_change(self._heard)
        try:
            while True:
                self._changed.clear()
                await self._once()
                try:
                    async with self._clock.timeout(_PERIOD):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            forget()
            watch.close()

    def _heard(self, old: Encoded | None, new: Encoded | None) -> None:
        some = new if new is not None else old
        if some is not None and MIRROR in some.view(PODS.type).metadata.annotations:
            self._changed.set()

    async def _once(self) -> None:
        chosen = plan(self._manifests(), list(self._mirrors()))
        for mirror in chosen.delete:
            try:
                await self._client.delete(PODS, mirror.name, mirror.namespace, uid=mirror.uid)
            except StatusError as refusal:
                if not refusal.is_not_found:
                    log.warning("mirror Pod %s/%s: %s", mirror.namespace, mirror.name, refusal.message)
        for manifest in chosen.create:
            await self._create(manifest)

    async def _create(self, manifest: Manifest) -> None:
        owner = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": self._node_name,
            "uid": self._node().metadata.uid,
            "controller": True,
        }
        body = {**manifest.tree, "metadata": {**manifest.tree["metadata"], "ownerReferences": [owner]}}
        path = f"/api/v1/namespaces/{quote(manifest.namespace, safe='')}/pods"
        key = f"{manifest.namespace}/{manifest.name}"
        try:
            await self._client.raw(Call("POST", path, (("fieldValidation", "Strict"),), msgspec.json.encode(body)))
        except StatusError as refusal:
            if not refusal.is_already_exists:
                self._tell(key, f"mirror Pod {key}: {refusal.message}")
        else:
            self._refused.pop(key, None)

    def _mirrors(self) -> Iterable[Mirror]:
        for encoded in self._pods:
            meta = encoded.view(PODS.type).metadata
            if MIRROR in meta.annotations:
                ending = meta.deletion_timestamp is not None
                yield Mirror(meta.namespace, meta.name, meta.uid, meta.annotations[MIRROR], ending)

    def _manifests(self) -> list[Manifest]:
        found = []
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                if path.stat().st_size > _LARGEST:
                    raise ValueError(f"larger than {_LARGEST} bytes")
                found.append(read_manifest(path.read_bytes(), path.name, self._node_name, self._clock.time()))
            except (ValueError, OSError) as error:
                self._tell(path.name, f"static Pod {path.name}: {error}")
            else:
                self._refused.pop(path.name, None)
        return found

    def _tell(self, key: str, sentence: str) -> None:
        if self._refused.get(key) != sentence:
            self._refused[key] = sentence
            log.warning("%s", sentence)
