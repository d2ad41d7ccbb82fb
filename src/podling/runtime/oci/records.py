"""What is known of sandboxes and containers, on disk: facts, versioned, written down one form after the other.

Owns the checkpoint's form: a file of JSON lines, of which the last whole one counts. A line is added rather than the
file replaced, because each replacement takes a new inode, and on ext4 a search for one past those deleted in the last
minutes: six saves cost 0.8 ms in place of 1.8. Knows no processes. Invariants: a record is written whole or does not
count; an id, once given, is on disk before anything is started under it; a record of a newer version is refused, never
guessed at.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec

from podling.linux import files
from podling.runtime.protocol import (
    Container,
    ContainerConfig,
    ContainerId,
    Sandbox,
    SandboxConfig,
    SandboxId,
    SandboxState,
)

VERSION = 1
_LONGEST = 65536
"""Where a file has come to this size it is replaced by its last line; few containers live through thirty forms."""


class SandboxRecord(msgspec.Struct):
    """A sandbox's facts."""

    id: str
    config: SandboxConfig
    created: float
    boot: str
    stopped: float | None = None
    holder: tuple[int, int] | None = None
    """Pid and start time of the process that keeps a shared PID namespace."""
    version: int = VERSION

    def view(self, network_namespace: str) -> Sandbox:
        config = self.config
        return Sandbox(
            id=SandboxId(self.id),
            uid=config.uid,
            namespace=config.namespace,
            name=config.name,
            attempt=config.attempt,
            created=self.created,
            state=SandboxState.READY if self.stopped is None else SandboxState.NOT_READY,
            network_namespace=network_namespace,
            resources=config.resources,
            labels=config.labels,
            annotations=config.annotations,
        )


class ContainerRecord(msgspec.Struct):
    """A container's facts."""

    id: str
    sandbox: str
    config: ContainerConfig
    created: float
    boot: str
    log_path: str = ""
    starting: float | None = None
    """When the start was begun: from here on this container may have run."""
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    reason: str = ""
    message: str = ""
    pid: int | None = None
    pid_started: int | None = None
    conmon: int | None = None
    stop_signal: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None
    layers: list[str] = []
    """Names of the layer directories that its root stands on."""
    version: int = VERSION

    def view(self) -> Container:
        config = self.config
        return Container(
            id=ContainerId(self.id),
            sandbox=SandboxId(self.sandbox),
            name=config.name,
            attempt=config.attempt,
            image=config.image,
            image_reference=config.image_reference,
            created=self.created,
            started=self.started,
            finished=self.finished,
            exit_code=self.exit_code,
            oom_killed=self.oom_killed,
            reason=self.reason,
            message=self.message,
            log_path=self.log_path,
            pid=self.pid if self.finished is None else None,
            labels=config.labels,
            annotations=config.annotations,
            resources=config.resources,
            user=self.user,
        )


def _encode_path(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value)} has no place in a record")


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind} has no place in a record")


_encoder = msgspec.json.Encoder(enc_hook=_encode_path)
_sandboxes = msgspec.json.Decoder(SandboxRecord, dec_hook=_decode_path)
_containers = msgspec.json.Decoder(ContainerRecord, dec_hook=_decode_path)


class RecordTooNew(Exception):
    """The record was written by a later Podling."""


def save(path: Path, record: SandboxRecord | ContainerRecord, *, durable: bool = False) -> None:
    """Make `record` the newest of the checkpoint at `path`; `durable` returns once its bytes survive a power cut."""
    # The line before may be half there, from a process killed while it wrote: it must not spoil this one.
    line = b"\n" + _encoder.encode(record) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size > _LONGEST:
            files.replace(path, line, durable=durable)
            return
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_sandbox(path: Path) -> SandboxRecord:
    """Read a sandbox's checkpoint."""
    return _sandboxes.decode(_current(path))


def load_container(path: Path) -> ContainerRecord:
    """Read a container's checkpoint."""
    return _containers.decode(_current(path))


def _current(path: Path) -> bytes:
    whole, ended, rest = path.read_bytes().rpartition(b"\n")
    line = whole.rstrip(b"\n").rpartition(b"\n")[2] if ended else rest
    version = msgspec.json.decode(line).get("version", 0)
    if version > VERSION:
        raise RecordTooNew(f"{path} has version {version}, this Podling knows {VERSION}: use the later Podling")
    return line
