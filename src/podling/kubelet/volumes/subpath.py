"""Parts of volumes: where a mount's `subPath` or `subPathExpr` leads on the node.

Owns expansion, the refusals in upstream's words, and the making of folders that are missing. Invariant: what it returns
lies in the volume, whatever links a container has left there; what it makes has the volume's own mode, so that whoever
may write to the volume may write there too. `MissingReference` is a refusal; details that would tell of the host's
files stay out of it.
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

_REFERENCE: Final = re.compile(r"\$\(([^)]*)\)")


def sub_path(mount: VolumeMount, container: str, volume: str, variables: Mapping[str, str]) -> str:
    """Return the host path of what `mount` shows of the volume at `volume`; `container` is its name, for refusals."""
    wanted = _expanded(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
    if not wanted:
        return volume
    if wanted.startswith("/"):
        raise MissingReference(f"error SubPath `{wanted}` must not be an absolute path")
    if ".." in PurePosixPath(wanted).parts:
        raise MissingReference(f"unable to provision SubPath `{wanted}`: must not contain '..'")
    root = Path(os.path.realpath(volume))
    found = Path(os.path.realpath(root / wanted))
    whose = f'for volumeMount "{mount.name}" of container "{container}"'
    if not found.is_relative_to(root):
        raise MissingReference(f"failed to prepare subPath {whose}")
    try:
        _make(root, found)
    except OSError as refusal:
        raise MissingReference(f"failed to create subPath directory {whose}") from refusal
    return str(found)


def _expanded(expression: str, variables: Mapping[str, str]) -> str:
    """Return the expression's value; a variable that is unset or empty is an error here, unlike in commands."""
    names = _REFERENCE.findall(expression.replace("$$", ""))
    missing = sorted({name for name in names if not variables.get(name)})
    if missing:
        raise MissingReference(f"missing value for {', '.join(missing)}")
    return expand(expression, variables)


def _make(root: Path, path: Path) -> None:
    """Make the folders that are missing between a volume and a path in it; both are free of links."""
    if path.exists():
        return
    _make(root, path.parent)
    told = root.stat()
    path.mkdir()
    os.chown(path, -1, told.st_gid)
    path.chmod(told.st_mode & 0o7777)
