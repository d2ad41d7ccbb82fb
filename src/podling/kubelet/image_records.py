"""Who may use an image that is on the node: remembered by the credentials with which it was pulled.

Owns `DIR/image_manager/pulled.json`. A node keeps private images of one tenant that another could otherwise run with
`IfNotPresent`, knowing the name alone: so an image that was pulled with a Secret opens again to who shows that Secret,
or one with the same content; else it is pulled anew, which only refreshes the proof. Images that the kubelet never
pulled (loaded by hand) are everybody's, as upstream's default policy has it. Invariants: no credential is written,
only a hash of it; a file that cannot be read is as none.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from podling.linux import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from podling.kubelet.keyring import Entry
    from podling.runtime.protocol import Credentials


class _SecretProof(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    uid: str
    hash: str


class _Access(msgspec.Struct):
    everybody: bool = False
    secrets: list[_SecretProof] = []


class _Records(msgspec.Struct):
    version: int = 1
    images: dict[str, dict[str, _Access]] = {}


class ImageRecords:
    """What is proven about images, by image id and repository. Without a folder it lives as long as the process."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / "pulled.json" if folder is not None else None
        self._records: _Records | None = None

    def may_use(self, image: str, repository: str, entries: Iterable[Entry]) -> bool:
        """Whether a Pod that shows `entries` may use the image of this id from this repository without a pull."""
        repositories = self._read().images.get(image)
        if repositories is None:
            return True
        access = repositories.get(repository)
        if access is None:
            return False
        if access.everybody:
            return True
        for entry in entries:
            source = entry.source
            shown = self._hash(entry.credentials)
            for proof in access.secrets:
                same = source is not None and (source.namespace, source.name, source.uid) == (
                    proof.namespace,
                    proof.name,
                    proof.uid,
                )
                if same or proof.hash == shown:
                    return True
        return False

    def pulled(self, image: str, repository: str, entry: Entry | None, present: Iterable[str]) -> None:
        """Remember a pull that went well, with the credentials used; images not `present` any more are forgotten."""
        records = self._read()
        kept = {*present, image}
        records.images = {known: names for known, names in records.images.items() if known in kept}
        access = records.images.setdefault(image, {}).setdefault(repository, _Access())
        if entry is None or entry.source is None:
            access.everybody = True
        else:
            source = entry.source
            proof = _SecretProof(source.namespace, source.name, source.uid, self._hash(entry.credentials))
            others = [
                known
                for known in access.secrets
                if (known.namespace, known.name) != (proof.namespace, proof.name) and known != proof
            ]
            access.secrets = [*others, proof][-100:]
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            files.replace(self._path, msgspec.json.encode(records), durable=True)

    def _read(self) -> _Records:
        if self._records is None:
            self._records = _Records()
            text = files.read_text(self._path) if self._path is not None else None
            if text:
                try:
                    self._records = msgspec.json.decode(text, type=_Records)
                except msgspec.DecodeError:
                    self._records = _Records()
        return self._records

    @staticmethod
    def _hash(credentials: Credentials) -> str:
        return hashlib.sha256(msgspec.json.encode(msgspec.to_builtins(credentials))).hexdigest()
