"""Parts of volumes: where a mount's `subPath` or `subPathExpr` leads on the node.

Owns expansion, the refusals in upstream's words, and the places where parts are shown:
`ROOT/UID/volume-subpaths/VOLUME/CONTAINER/NUMBER`, upstream's. A container may exchange any name in a volume between
our look and the runtime's, so the runtime is never given a path in the volume: what was found is held open and bound,
by its descriptor, to a place that no container can reach. Invariant: what is shown there lies in the volume, whatever
links come and go meanwhile; what is made in the volume has the volume's own mode, so that whoever may write to the
volume may write there too. `MissingReference` is a refusal; details that would tell of the host's files stay out of it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from podling.kubelet.objects import MissingReference
from podling.lifecycle.environment import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import VolumeMount

FOLDER: Final = "volume-subpaths"
_REFERENCE: Final = re.compile(r"\$\(([^)]*)\)")


def wanted_path(mount: VolumeMount, variables: Mapping[str, str]) -> str:
    """Return which part of its volume a mount shows; empty for the whole."""
    wanted = _expanded(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
    if wanted.startswith("/"):
        raise MissingReference(f"error SubPath `{wanted}` must not be an absolute path")
    if ".." in PurePosixPath(wanted).parts:
        raise MissingReference(f"unable to provision SubPath `{wanted}`: must not contain '..'")
    return wanted


def show_part(mount: VolumeMount, container: str, volume: str, wanted: str, place: Path) -> str:
    """Bind the part `wanted` of the volume at `volume` to `place` and return that; `container` is named in refusals."""
    from podling.linux import beneath

    whose = f'for volumeMount "{mount.name}" of container "{container}"'
    root = Path(os.path.realpath(volume))
    try:
        found = Path(os.path.realpath(root / wanted))
    except OSError as refusal:  # a link that was one no more when it was read
        raise MissingReference(f"failed to prepare subPath {whose}") from refusal
    if not found.is_relative_to(root):
        raise MissingReference(f"failed to prepare subPath {whose}")
    try:
        descriptor = beneath.open_or_make(root, found.relative_to(root).parts, mode=root.stat().st_mode & 0o7777)
    except OSError as refusal:
        raise MissingReference(f"failed to create subPath directory {whose}") from refusal
    try:
        beneath.bind_to(descriptor, place)
    except OSError as refusal:
        raise MissingReference(f"failed to prepare subPath {whose}") from refusal
    finally:
        os.close(descriptor)
    return str(place)


def _expanded(expression: str, variables: Mapping[str, str]) -> str:
    """Return the expression's value; a variable that is unset or empty is an error here, unlike in commands."""
    names = _REFERENCE.findall(expression.replace("$$", ""))
    missing = sorted({name for name in names if not variables.get(name)})
    if missing:
        raise MissingReference(f"missing value for {', '.join(missing)}")
    return expand(expression, variables)
