"""How a simulated container and a simulated image behave.

Owns the vocabulary of scripts. A `Script` gives one `Run` per attempt, the last repeating: a crash series is a list. It
comes from Python, by image, or from the Pod's annotation `sim.podling.dev/script` as JSON, whose key is a container's
name or `*`:

    {"web": {"runs": [{"lasts": 5, "exitCode": 1}, {}]}, "*": {"runs": [{"startLatency": 0.2}]}}

Probes and hooks are answered by `execs` and `ports`; a list of answers changes with the container's age:

    {"web": {"runs": [{"ports": {"8080/healthz": [{}, {"status": 500, "after": 20}]}}]}}

Times are seconds. Without a script a container starts at once, runs until it is stopped, ends on SIGTERM with 143,
and is well however it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT_ANNOTATION: Final = "sim.podling.dev/script"


class Exec(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a command run in the container comes to."""

    exit_code: int = 0
    output: str = ""
    lasts: float = 0.0
    after: float = 0.0
    """Seconds of the container's life from which it holds, in a list of several."""


class Answer(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a port answers to probes and hooks."""

    status: int = 200
    """Of HTTP."""
    body: str = "ok"
    location: str = ""
    """Where an HTTP redirect leads."""
    serving: str = "SERVING"
    """Of gRPC's health service."""
    refused: bool = False
    """Nothing listens."""
    lasts: float = 0.0
    """Until the answer; a TCP connection stands at once."""
    after: float = 0.0
    """Seconds of the container's life from which it holds, in a list of several."""


class Run(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One attempt of a container."""

    create_latency: float = 0.0
    start_latency: float = 0.0
    start_failure: str = ""
    """A message: the container cannot be started, as with a command that does not exist."""
    lasts: float | None = None
    """`None` runs until stopped."""
    exit_code: int = 0
    oom_killed: bool = False
    ignores_sigterm: bool = False
    stop_latency: float = 0.0
    stop_exit_code: int = 143
    log: tuple[str, ...] = ()
    message: str = ""
    """Told as the termination message."""
    execs: dict[str, Exec | tuple[Exec, ...]] = {}
    """By command, its words joined by spaces; `*` for all others."""
    ports: dict[str, Answer | tuple[Answer, ...]] = {}
    """By `PORT/PATH`, `PORT` or `*`, the first that fits. A port that is not listed answers well, unless some are."""
    memory: int = 0
    """Bytes in use."""
    cpu: float = 0.0
    """Cores in use."""
    pids: int = 1
    disk: int = 0
    """Bytes in the writable layer."""
    volumes: dict[str, int] = {}
    """Bytes in the Pod's emptyDir volumes, by name."""


_Timed = TypeVar("_Timed", Exec, Answer)


def at(found: _Timed | tuple[_Timed, ...], age: float) -> _Timed | None:
    """Return which of several answers holds when the container is `age` seconds old."""
    if not isinstance(found, tuple):
        return found
    return next((one for one in reversed(found) if one.after <= age), None)


class Script(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The attempts of a container, the last repeating."""

    runs: tuple[Run, ...] = (Run(),)

    def run(self, attempt: int) -> Run:
        return self.runs[min(attempt, len(self.runs) - 1)] if self.runs else Run()


class ImageScript(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An image as its registry would give it."""

    size: int = 4_000_000
    pull_latency: float = 0.0
    pull_failures: int = 0
    """How many pulls fail before one comes off; negative is for ever."""
    failure: str = "ErrImagePull"
    message: str = "the registry does not answer"
    present: bool = False
    """Whether the node has it from the beginning."""
    script: Script = Script()


def scripts_of(annotations: Mapping[str, str]) -> Mapping[str, Script]:
    """Return the scripts that a Pod's annotations carry, by container name; `RuntimeFailure` for what is no script."""
    text = annotations.get(SCRIPT_ANNOTATION)
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Script])
    except msgspec.DecodeError as error:
        raise RuntimeFailure("CreateContainerError", f"annotation {SCRIPT_ANNOTATION}: {error}") from error
