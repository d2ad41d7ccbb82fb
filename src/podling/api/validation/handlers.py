"""Probes and lifecycle hooks: what is run, asked or connected to.

A hook's sleep must fit into the grace period. Must not know which containers may have which: the caller does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.validation import formats
from podling.api.validation.field import Path, forbidden, invalid, invalid_each, not_supported, required

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        ExecAction,
        GRPCAction,
        HTTPGetAction,
        Lifecycle,
        LifecycleHandler,
        Probe,
        TCPSocketAction,
    )

_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_LINUX_SIGNALS = tuple(
    sorted(
        [f"SIG{name}" for name in _SIGNALS.split(" ")]
        + [f"SIGRTMIN+{i}" for i in range(1, 16)]
        + [f"SIGRTMAX-{i}" for i in range(1, 15)]
    )
)
_WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")


def check_liveness(probe: Probe | None, path: Path, causes: list[Cause]) -> None:
    """Check a liveness or startup probe, for which one success must do."""
    if probe is None:
        return
    _check_probe(probe, path, causes)
    if probe.success_threshold != 1:
        causes.append(invalid(path / "successThreshold", probe.success_threshold or 0, "must be 1"))


def check_readiness(probe: Probe | None, path: Path, causes: list[Cause]) -> None:
    if probe is None:
        return
    _check_probe(probe, path, causes)
    if probe.termination_grace_period_seconds is not None:
        causes.append(
            invalid(
                path / "terminationGracePeriodSeconds",
                probe.termination_grace_period_seconds,
                "must not be set for readinessProbes",
            )
        )


def check_lifecycle(lifecycle: Lifecycle, grace: int | None, os: str, path: Path, causes: list[Cause]) -> None:
    """Check hooks and stop signal; `grace` is the Pod's grace period in seconds, `os` what it says of its system."""
    if lifecycle.post_start is not None:
        _check_hook(lifecycle.post_start, grace, path / "postStart", causes)
    if lifecycle.pre_stop is not None:
        _check_hook(lifecycle.pre_stop, grace, path / "preStop", causes)
    if lifecycle.stop_signal is not None:
        where = path / "stopSignal"
        supported = {"": (), "windows": _WINDOWS_SIGNALS}.get(os, _LINUX_SIGNALS)
        if not os:
            causes.append(forbidden(where, "may not be set for containers with empty `spec.os.name`"))
        elif lifecycle.stop_signal not in supported:
            causes.append(not_supported(where, lifecycle.stop_signal, supported))


def check_port(port: int | str, path: Path, causes: list[Cause]) -> None:
    """Check a port's number or name."""
    complaints = formats.port_number(port) if isinstance(port, int) else formats.port_name(port)
    if complaints:
        invalid_each(path, port, complaints, causes)


def _check_probe(probe: Probe, path: Path, causes: list[Cause]) -> None:
    count = 0
    for name, action in (
        ("exec", probe.exec),
        ("httpGet", probe.http_get),
        ("tcpSocket", probe.tcp_socket),
        ("grpc", probe.grpc),
    ):
        if action is not None:
            count = _check_action(name, action, count, path, causes)
    if count == 0:
        causes.append(required(path, "must specify a handler type"))
    for name, value in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        if value is not None and value < 0:
            causes.append(invalid(path / name, value, formats.NOT_NEGATIVE))
    grace = probe.termination_grace_period_seconds
    if grace is not None and grace <= 0:
        causes.append(invalid(path / "terminationGracePeriodSeconds", grace, "must be greater than 0"))


def _check_hook(hook: LifecycleHandler, grace: int | None, path: Path, causes: list[Cause]) -> None:
    count = 0
    for name, action in (("exec", hook.exec), ("httpGet", hook.http_get), ("tcpSocket", hook.tcp_socket)):
        if action is not None:
            count = _check_action(name, action, count, path, causes)
    if hook.sleep is not None:
        if count:
            causes.append(forbidden(path / "sleep", "may not specify more than 1 handler type"))
        elif grace is not None and not 0 <= hook.sleep.seconds <= grace:
            causes.append(
                invalid(
                    path / "sleep",
                    hook.sleep.seconds,
                    f"must be non-negative and less than terminationGracePeriodSeconds ({grace})",
                )
            )
        count += 1
    if count == 0:
        causes.append(required(path, "must specify a handler type"))


def _check_action(
    name: str,
    action: ExecAction | HTTPGetAction | TCPSocketAction | GRPCAction,
    count: int,
    path: Path,
    causes: list[Cause],
) -> int:
    where = path / name
    if count:
        causes.append(forbidden(where, "may not specify more than 1 handler type"))
        return count
    _CHECKS[name](action, where, causes)
    return count + 1


def _check_exec(action: ExecAction, path: Path, causes: list[Cause]) -> None:
    if not action.command:
        causes.append(required(path / "command"))


def _check_http(action: HTTPGetAction, path: Path, causes: list[Cause]) -> None:
    if not action.path:
        causes.append(required(path / "path"))
    check_port(action.port, path / "port", causes)
    if action.scheme not in {"HTTP", "HTTPS"}:
        causes.append(not_supported(path / "scheme", action.scheme, ("HTTP", "HTTPS")))
    for header in action.http_headers:
        invalid_each(path / "httpHeaders", header.name, formats.http_header_name(header.name), causes)


def _check_tcp(action: TCPSocketAction, path: Path, causes: list[Cause]) -> None:
    check_port(action.port, path / "port", causes)


def _check_grpc(action: GRPCAction, path: Path, causes: list[Cause]) -> None:
    check_port(action.port, path / "port", causes)
    if action.mode and action.mode not in {"Plaintext", "TLS"}:
        causes.append(not_supported(path / "mode", action.mode, ("Plaintext", "TLS")))


_CHECKS: dict[str, Callable[[Any, Path, list[Cause]], None]] = {
    "exec": _check_exec,
    "httpGet": _check_http,
    "tcpSocket": _check_tcp,
    "grpc": _check_grpc,
}
