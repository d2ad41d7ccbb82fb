"""Which credentials fit an image: docker configurations, from pull secrets and from the node's own file.

Pure. Owns the matching of registries, ports, globs and paths as upstream's keyring does it: longer places before
shorter ones, all that fit in that order, those of the Pod's secrets before the node's. Knows no registry.
"""

from __future__ import annotations

import base64
import binascii
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from podling.runtime.protocol import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HUB = "index.docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io"})


class SecretSource(Struct, frozen=True):
    """The Secret that a credential stands in, by what makes it itself."""

    namespace: str
    name: str
    uid: str


class Entry(Struct, frozen=True):
    """One line of a docker configuration: a place, and what opens it; `source` is none for the node's own file."""

    place: str
    credentials: Credentials
    source: SecretSource | None = None


def entries_of_secret(type_: str, content: Mapping[str, bytes], source: SecretSource | None = None) -> Sequence[Entry]:
    """Return what a Secret of one of the two docker types holds; nothing for others and for what cannot be read."""
    if type_ == "kubernetes.io/dockerconfigjson":
        return entries_of_config(content.get(".dockerconfigjson", b""), source)
    if type_ == "kubernetes.io/dockercfg":
        return _entries(_tree(content.get(".dockercfg", b"")), source)
    return ()


def entries_of_config(raw: bytes, source: SecretSource | None = None) -> Sequence[Entry]:
    """Return what a docker `config.json` holds; one of the older form has its entries at the top."""
    tree = _tree(raw)
    return _entries(tree.get("auths") or {} if "auths" in tree else tree, source)


def lookup(image: str, entries: Iterable[Entry]) -> Sequence[Entry]:
    """Return all entries that fit the repository of an image, the most specific places first."""
    repository = repository_of(image)
    ordered = sorted(entries, key=lambda entry: entry.place, reverse=True)
    fitting = [entry for entry in ordered if _fits(entry.place, repository)]
    if not fitting and repository.partition("/")[0] in _HUB_NAMES:
        fitting = [entry for entry in ordered if entry.place == _HUB]
    return fitting


def repository_of(image: str) -> str:
    """Return `registry/path` of an image, Docker's defaults filled in, no tag, no digest: what credentials open."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if "." in first or ":" in first or first == "localhost" or first != first.lower():
        return name
    return f"docker.io/{name}"


def _tree(raw: bytes) -> Mapping[str, Any]:
    try:
        tree = msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _entries(tree: object, source: SecretSource | None) -> Sequence[Entry]:
    found = []
    for location, value in tree.items() if isinstance(tree, dict) else ():
        place = _place(location)
        credentials = _credentials(value) if isinstance(value, dict) else None
        if place and credentials is not None:
            found.append(Entry(place, credentials, source))
    return found


def _place(location: str) -> str:
    """Return `host[:port][/path]` of a location that may be a URL of the registry's first or second API."""
    if not location.startswith(("http://", "https://")):
        location = f"https://{location}"
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    path = parts.path
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return parts.netloc + (path if path != "/" else "")


def _fits(place: str, repository: str) -> bool:
    """Whether a place, whose host may hold globs within each of its labels, covers a repository."""
    glob_host, slash, glob_path = place.partition("/")
    host, _, path = repository.partition("/")
    if not f"/{path}".startswith(slash + glob_path):
        return False
    glob_labels, glob_port = _host(glob_host)
    labels, port = _host(host)
    if glob_port != port or len(glob_labels) != len(labels):
        return False
    return all(fnmatchcase(label, glob) for label, glob in zip(labels, glob_labels, strict=True))


def _host(text: str) -> tuple[Sequence[str], str]:
    name, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        name, port = text, ""
    return name.split("."), port


def _credentials(entry: Mapping[str, Any]) -> Credentials | None:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            auth = str(entry["auth"]).encode()
            decoded = base64.b64decode(auth + b"=" * (-len(auth) % 4), altchars=None, validate=False).decode()
        except (binascii.Error, ValueError):
            return None
        username, colon, password = decoded.partition(":")
        if not colon:
            return None
    return Credentials(username, password, str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or ""))
