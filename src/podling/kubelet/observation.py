"""Turns what the runtime says into the facts that `lifecycle` judges by.

Owns the translation and the names of the annotations in which the kubelet keeps facts with a container: its back-off
and where its termination message is. Knows no plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.kubelet.logrecords import read_record
from podling.lifecycle.cgroups import Limits
from podling.lifecycle.facts import ContainerFacts, SandboxFacts
from podling.runtime.protocol import SandboxState

if TYPE_CHECKING:
    from podling.runtime.protocol import Container, Resources, Sandbox

BACK_OFF: Final = "podling.dev/back-off"
TERMINATION_FILE: Final = "podling.dev/termination-file"
TERMINATION_POLICY: Final = "podling.dev/termination-policy"
IMAGE_ID: Final = "podling.dev/image-id"

_MESSAGE_LIMIT: Final = 4096
_LOG_LIMIT: Final = 2048
_LOG_LINES: Final = 80


def sandbox_facts(sandbox: Sandbox, addresses: tuple[str, ...], *, wired: bool) -> SandboxFacts:
    """Return a sandbox's facts; it is ready when the runtime says so and the network is `wired`."""
    ready = sandbox.state is SandboxState.READY and wired
    limits = _limits(sandbox.resources)
    return SandboxFacts(sandbox.id, sandbox.attempt, sandbox.created, ready, addresses, limits)


def container_facts(container: Container, message: str) -> ContainerFacts:
    """Return a container's facts; `message` is its termination message where it left one."""
    return ContainerFacts(
        id=container.id,
        name=container.name,
        attempt=container.attempt,
        sandbox=container.sandbox,
        created=container.created,
        image=container.image_reference,
        image_id=container.annotations.get(IMAGE_ID, container.image),
        started=container.started,
        finished=container.finished,
        exit_code=container.exit_code,
        signal=container.signal,
        oom_killed=container.oom_killed,
        reason=container.reason,
        message=message or container.message,
        back_off=float(container.annotations.get(BACK_OFF, "0")),
        user=container.user,
        limits=_limits(container.resources),
    )


def _limits(resources: Resources) -> Limits | None:
    """Return what a container or a Pod runs with; none where the runtime does not tell."""
    if resources.cpu_shares is None:
        return None
    return Limits(resources.cpu_shares, resources.cpu_quota, resources.memory_limit, resources.memory_request)


def termination_message(container: Container) -> str:
    """Read what a dead container left to be told: its termination file, or the end of its log if it failed.

    At most 4096 bytes of the file, or the last 80 lines and 2048 bytes of the log under FallbackToLogsOnError.
    """
    file = container.annotations.get(TERMINATION_FILE)
    message = _beginning(file) if file else ""
    falls_back = container.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError"
    if not message and falls_back and container.exit_code != 0 and container.log_path:
        message = _log_end(container.log_path)
    return message


def _beginning(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MESSAGE_LIMIT).decode(errors="replace")
    except OSError:
        return ""


def _log_end(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - 16 * _LOG_LIMIT, 0))
            raw = file.read()
    except OSError:
        return ""
    records = [record for line in raw.split(b"\n") if (record := read_record(line)) is not None]
    return b"".join(record.written for record in records[-_LOG_LINES:])[-_LOG_LIMIT:].decode(errors="replace")
