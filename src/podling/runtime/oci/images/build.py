"""A small image from the host's own busybox: what `make up` and the tests run, with no registry in sight.

Owns the content of that image. The same input gives the same bytes, so that its digest says something.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from podling.linux.spawn import run_and_wait
from podling.runtime.oci.images.archive import architecture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USERS = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\ndaemon:x:1:\nusers:x:100:nobody\nnogroup:x:65534:\n"
_PAGE = "<!doctype html>\n<title>Podling</title>\n<h1>A Pod of Podling says hello.</h1>\n"
_DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "sbin", "var", "www")


def build_busybox(
    target: Path,
    tag: str = "podling/busybox:latest",
    *,
    busybox: Path = Path("/bin/busybox"),
    command: Sequence[str] = ("sh",),
    settings: Mapping[str, object] | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> str:
    """Write a docker-archive with one image to `target`; return its id.

    `busybox` must be statically linked. `settings` are added to the image's configuration (User, Env, StopSignal and so
    on), `extra` are further files by path.
    """
    program = busybox.read_bytes()
    if b"/lib64/ld-linux" in program[:4096] or b"/lib/ld-" in program[:4096]:
        raise ValueError(f"{busybox} is not statically linked; install busybox-static")
    applets = run_and_wait([str(busybox), "--list"]).decode().split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in _DIRECTORIES:
            _add(tar, name, kind=tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        _add(tar, "bin/busybox", program, mode=0o755)
        for applet in sorted(set(applets) - {"busybox"}):
            _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        _add(tar, "usr/bin/env", kind=tarfile.SYMTYPE, link="/bin/busybox")
        for name, content in {
            "etc/passwd": _USERS.encode(),
            "etc/group": _GROUP.encode(),
            "www/index.html": _PAGE.encode(),
            **(extra or {}),
        }.items():
            _add(tar, name, content)
    return write_archive(target, [layer.getvalue()], tag, {"Cmd": list(command), **(settings or {})})


def write_archive(target: Path, layers: Sequence[bytes], tag: str, settings: Mapping[str, object]) -> str:
    """Write a docker-archive of these layer tars; return the image's id."""
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **settings},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(item).hexdigest()}" for item in layers]},
        },
        sort_keys=True,
    ).encode()
    digest = hashlib.sha256(config).hexdigest()
    names = [f"{hashlib.sha256(item).hexdigest()}.tar" for item in layers]
    manifest = json.dumps([{"Config": f"{digest}.json", "RepoTags": [tag], "Layers": names}]).encode()
    with tarfile.open(target, mode="w") as tar:
        _add(tar, f"{digest}.json", config)
        for name, content in dict(zip(names, layers, strict=True)).items():
            _add(tar, name, content)
        _add(tar, "manifest.json", manifest)
    return f"sha256:{digest}"


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), link
    tar.addfile(entry, io.BytesIO(content) if content else None)
