"""Image references: what a user writes, and the full name that registries and the image store know it by.

Pure. Owns the grammar of `[registry/]path[:tag][@digest]` and Docker's defaults (`docker.io`, `library/`, `latest`).
Invariant: `str(parse(str(parse(text)))) == str(parse(text))`.
"""

from __future__ import annotations

import re

from msgspec import Struct

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_HEX_ID = re.compile(r"[a-f0-9]{64}")
DEFAULT_REGISTRY = "docker.io"


class InvalidReference(ValueError):  # named as upstream's condition, InvalidImageName
    """The text is no image reference."""


class Reference(Struct, frozen=True):
    """A full image name; a digest, where given, decides over the tag."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """`registry/path`, as image lists print it."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Read a reference and complete it with Docker's defaults; `InvalidReference` in upstream's words."""
    problem = f'couldn\'t parse image name "{text}": invalid reference format'
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise InvalidReference(problem)
    registry, slash, path = rest.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost" or registry.lower() != registry):
        registry, path = DEFAULT_REGISTRY, rest
    name, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        name, tag = path, ""
    elif not _TAG.fullmatch(tag):
        raise InvalidReference(problem)
    if registry in {"index.docker.io", "registry-1.docker.io"}:
        registry = DEFAULT_REGISTRY
    if name.lower() != name and _PATH.fullmatch(name.lower()):
        raise InvalidReference(f"{problem}: repository name must be lowercase".replace("format: ", "format: "))
    if not _REGISTRY.fullmatch(registry) or not _PATH.fullmatch(name) or len(name) > 255:
        raise InvalidReference(problem)
    if registry == DEFAULT_REGISTRY and "/" not in name:
        if _HEX_ID.fullmatch(name):
            raise InvalidReference(f"{problem}: repository name may not be 64 hexadecimal digits")
        name = f"library/{name}"
    return Reference(registry, name, tag if tag or digest else "latest", digest)


def image_id(text: str) -> str | None:
    """Return `sha256:…` where the text is an image's id, with or without the algorithm; else nothing."""
    bare = text.removeprefix("sha256:")
    return f"sha256:{bare}" if _HEX_ID.fullmatch(bare) else None
