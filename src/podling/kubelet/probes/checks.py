"""One check of a probe, performed: exec, HTTP, TCP or gRPC.

Owns the translation of what happened into `Checked`, in upstream's words, and the bounds of a check: its time, 10 KiB
of a body, 16 KiB of a command's output, of which an event tells the first 10 KiB. Counts nothing. Invariants: every
check ends within its timeout; a check that ran into it while the node itself was late by a tenth of it is `UNKNOWN`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.durations import go_duration
from podling.kubelet.probes import http
from podling.kubelet.probes.lag import LoopLag
from podling.kubelet.probes.wire import Endpoint, go_error
from podling.lifecycle.probes import Checked, Outcome
from podling.runtime.protocol import ContainerId, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction
    from podling.api.types.meta_v1 import IntOrString
    from podling.kubelet.probes.wire import Wire
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import Runtime

OUTPUT_LIMIT: Final = 16 * 1024
_TOLD: Final = 10 * 1024
_TRIES: Final = 3
_LATE: Final = 0.1
"""The part of a timeout that the node may itself have lost before its verdict counts for nothing."""

_SUCCESS: Final = Checked(Outcome.SUCCESS)
_DEADLINE_EXCEEDED: Final = 4
_UNIMPLEMENTED: Final = 12
_CODES: Final = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
"""gRPC's status codes in Go's words, by number."""


class NoPort(Exception):  # an outcome: the check cannot be made
    """A port's name is no container port's."""


class Checks:
    """Makes checks for a node's containers."""

    def __init__(self, runtime: Runtime, wire: Wire, clock: Clock) -> None:
        self._runtime = runtime
        self._wire = wire
        self._clock = clock
        self._lag = LoopLag(clock)

    async def check(
        self, container: AnyContainer, container_id: str, probe: Probe, address: str, timeout: float
    ) -> Checked:
        """Perform `probe` once; `address` is the Pod's."""
        mark = self._lag.begin()
        timed_out = False
        checked = _SUCCESS
        try:
            if probe.exec is not None:
                checked, timed_out = await self._exec(container_id, probe.exec, timeout)
            elif probe.http_get is not None:
                checked, timed_out = await self._http(container, container_id, probe.http_get, address, timeout)
            elif probe.tcp_socket is not None:
                checked, timed_out = await self._tcp(container, container_id, probe.tcp_socket, address, timeout)
            elif probe.grpc is not None:
                checked, timed_out = await self._grpc(container_id, probe.grpc, address, timeout)
            else:
                checked = Checked(Outcome.ERROR, f"missing probe handler for {container.name}")
        except NoPort as missing:
            checked = Checked(Outcome.ERROR, str(missing))
        finally:
            lost = self._lag.end(mark)
        if timed_out and lost > _LATE * timeout:
            return Checked(Outcome.UNKNOWN, checked.output)
        return checked

    async def _exec(self, container_id: str, action: ExecAction, timeout: float) -> tuple[Checked, bool]:
        refusal = ""
        for _ in range(_TRIES):
            try:
                result = await self._runtime.exec_sync(ContainerId(container_id), action.command, timeout, OUTPUT_LIMIT)
            except RuntimeFailure as failure:
                refusal = f"rpc error: code = Unknown desc = {failure.message}"
                continue
            if result.timed_out:
                command = " ".join(action.command)
                said = f'command timed out: "{command}" timed out after {go_duration(timeout)}'
                return Checked(Outcome.FAILURE, said), True
            output = result.output[:_TOLD].decode(errors="replace")
            return Checked(Outcome.SUCCESS if result.exit_code == 0 else Outcome.FAILURE, output), False
        return Checked(Outcome.ERROR, refusal), False

    async def _http(
        self, container: AnyContainer, container_id: str, action: HTTPGetAction, address: str, timeout: float
    ) -> tuple[Checked, bool]:
        url = http.url_of(action.scheme, action.host or address, port_of(action.port, container), action.path)
        headers = tuple((header.name, header.value) for header in action.http_headers)
        try:
            async with self._clock.timeout(timeout):
                answer, redirected = await http.get(self._wire, container_id, url, headers)
        except TimeoutError:
            why = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            return Checked(Outcome.FAILURE, why), True
        except http.BadAnswer as bad:
            return Checked(Outcome.FAILURE, str(bad)), False
        if not 200 <= answer.status < 400:
            return Checked(Outcome.FAILURE, f"HTTP probe failed with statuscode: {answer.status}"), False
        if redirected:
            said = f"Probe terminated redirects, Response body: {answer.body}"
            return Checked(Outcome.WARNING, said), False
        return _SUCCESS, False

    async def _tcp(
        self, container: AnyContainer, container_id: str, action: TCPSocketAction, address: str, timeout: float
    ) -> tuple[Checked, bool]:
        end = Endpoint(container_id, action.host or address, port_of(action.port, container))
        try:
            async with self._clock.timeout(timeout):
                await self._wire.connect(container_id, end.address, end.port)
        except TimeoutError:
            return Checked(Outcome.FAILURE, f"dial tcp {end.text}: i/o timeout"), True
        except OSError as error:
            return Checked(Outcome.FAILURE, go_error(error, end)), False
        return _SUCCESS, False

    async def _grpc(self, container_id: str, action: GRPCAction, address: str, timeout: float) -> tuple[Checked, bool]:
        end = Endpoint(container_id, address, action.port)
        limit = go_duration(timeout)
        try:
            async with self._clock.timeout(timeout):
                code, message, serving = await self._wire.health(
                    container_id, address, action.port, action.service or "", timeout
                )
        except TimeoutError:
            said = f'timeout: failed to connect service "{end.text}" within {limit}: context deadline exceeded'
            return Checked(Outcome.FAILURE, said), True
        except OSError as error:
            said = f'error: failed to connect service at "{end.text}": {go_error(error, end)}'
            return Checked(Outcome.FAILURE, said), False
        if code == _UNIMPLEMENTED:
            said = f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
            return Checked(Outcome.FAILURE, said), False
        if code == _DEADLINE_EXCEEDED:
            return Checked(Outcome.FAILURE, f"timeout: health rpc did not complete within {limit}"), True
        if code:
            name = _CODES[code] if code < len(_CODES) else f"Code({code})"
            said = f"error: health rpc probe failed: rpc error: code = {name} desc = {message}"
            return Checked(Outcome.FAILURE, said), False
        if serving != "SERVING":
            return Checked(Outcome.FAILURE, f'service unhealthy (responded with "{serving}")'), False
        return _SUCCESS, False


def port_of(port: IntOrString, container: AnyContainer) -> int:
    """Return a port's number: itself, or the container port of that name; `NoPort` where there is none."""
    number = port if isinstance(port, int) else _named(str(port), getattr(container, "ports", ()))
    if number is None:
        raise NoPort(f"port {port} not found")
    if not 0 < number < 65536:
        raise NoPort(f"invalid port number: {number}")
    return number


def _named(name: str, ports: Sequence[object]) -> int | None:
    for port in ports:
        if getattr(port, "name", "") == name:
            found = getattr(port, "container_port", None)
            return int(found) if found is not None else None
    return int(name) if name.isdigit() else None
