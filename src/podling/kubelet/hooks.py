"""postStart and preStop, performed.

Owns how a hook is run (exec, HTTP, sleep; `tcpSocket` is refused, as upstream does) and the words for its failure, and
remembers which instances' hooks run or have run. Decides no consequence. Invariants: an instance's preStop is run once,
whoever asks; a postStart ends when its container is killed; a hook ends by the instant it was given; of a command's
output and of an HTTP answer no more is kept than of a probe's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from podling.kubelet.probes import http
from podling.kubelet.probes.checks import OUTPUT_LIMIT, NoPort, port_of
from podling.lifecycle.specs import full_name
from podling.runtime.protocol import ContainerId, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import ExecAction, HTTPGetAction, LifecycleHandler, Pod
    from podling.kubelet.probes.wire import Wire
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import Runtime


class HookFailure(Exception):  # an outcome with its words
    """A hook did not come off."""


class Hooks:
    """Runs the hooks of a node's containers."""

    def __init__(self, runtime: Runtime, wire: Wire, clock: Clock, supervisor: Supervisor, events: PodEvents) -> None:
        self._runtime = runtime
        self._wire = wire
        self._clock = clock
        self._supervisor = supervisor
        self._events = events
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, asyncio.Event] = {}

    async def post_start(self, pod: Pod, container: AnyContainer, instance: str, address: str) -> None:
        """Run the postStart hook to its end or the container's; `HookFailure` where it did not come off."""
        handler = container.lifecycle.post_start if container.lifecycle is not None else None
        if handler is None:
            return
        failures: list[HookFailure] = []

        async def work() -> None:
            try:
                await self._run(pod, container, handler, instance, address)
            except HookFailure as failure:
                failures.append(failure)

        task = self._starting[instance] = self._supervisor.job(f"postStart {full_name(pod)}", work())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._starting.pop(instance, None)
        if failures:
            raise failures[0]

    def end_post_start(self, instance: str) -> None:
        """Let an instance's postStart be over: its container is being killed."""
        task = self._starting.get(instance)
        if task is not None:
            task.cancel()

    def has_stopped(self, instance: str) -> bool:
        """Whether an instance's preStop has begun."""
        return instance in self._stopping

    async def pre_stop(self, pod: Pod, container: AnyContainer, instance: str, address: str, deadline: float) -> bool:
        """Run the preStop hook, or wait for it where it runs, until `deadline`; return whether there is one.

        `HookFailure` where it did not come off; one that is cut off has not failed, one without time is not begun.
        """
        handler = container.lifecycle.pre_stop if container.lifecycle is not None else None
        left = deadline - self._clock.time()
        under_way = self._stopping.get(instance)
        if handler is None or left <= 0:
            return handler is not None and under_way is not None
        try:
            async with self._clock.timeout(left):
                if under_way is not None:
                    await under_way.wait()
                    return True
                done = self._stopping[instance] = asyncio.Event()
                try:
                    await self._run(pod, container, handler, instance, address)
                finally:
                    done.set()
        except TimeoutError:
            return True
        return True

    def forget(self, instance: str) -> None:
        """Drop what is known of an instance that is dead."""
        self._stopping.pop(instance, None)

    async def _run(
        self, pod: Pod, container: AnyContainer, handler: LifecycleHandler, instance: str, address: str
    ) -> None:
        if handler.exec is not None:
            await self._exec(pod, container, handler.exec, instance)
        elif handler.http_get is not None:
            await self._http(pod, container, handler.http_get, instance, address)
        elif handler.sleep is not None:
            await self._clock.sleep(float(handler.sleep.seconds))
        else:
            raise HookFailure("Cannot run handler: invalid handler: tcpSocket hooks are not supported")

    async def _exec(self, pod: Pod, container: AnyContainer, action: ExecAction, instance: str) -> None:
        words = " ".join(action.command)
        try:
            result = await self._runtime.exec_sync(ContainerId(instance), action.command, 0.0, OUTPUT_LIMIT)
        except RuntimeFailure as failure:
            error, output = f"rpc error: code = Unknown desc = {failure.message}", ""
        else:
            if result.exit_code == 0:
                return
            output = result.output.decode(errors="replace")
            error = f"command '{words}' exited with {result.exit_code}: {output}"
        raise HookFailure(
            f'Exec lifecycle hook ([{words}]) for Container "{container.name}" in Pod "{full_name(pod)}" failed '
            f'- error: {error}, message: "{output}"'
        )

    async def _http(
        self, pod: Pod, container: AnyContainer, action: HTTPGetAction, instance: str, address: str
    ) -> None:
        path = action.path
        try:
            port = port_of(action.port if action.port != "" else 80, container)
            url = http.url_of(action.scheme, action.host or address, port, path)
            headers = [(header.name, header.value) for header in action.http_headers]
            if not any(name.lower() == "user-agent" for name, _ in headers):
                headers.append(("User-Agent", "kube-lifecycle/1.37"))
            # Whatever the status says, a hook that was answered has come off.
            await self._get(pod, instance, url, headers)
        except NoPort as missing:
            error = str(missing)
        except http.BadAnswer as bad:
            error = str(bad)
        except TimeoutError as late:
            error = f'Get "{url}": {late or "connection timed out"}'
        else:
            return
        raise HookFailure(
            f'HTTP lifecycle hook ({path}) for Container "{container.name}" in Pod "{full_name(pod)}" failed '
            f'- error: {error}, message: ""'
        )

    async def _get(self, pod: Pod, instance: str, url: http.Url, headers: Sequence[tuple[str, str]]) -> None:
        """Ask; a server that has no TLS is asked without, as upstream did before it knew schemes, and said so."""
        try:
            await http.get(self._wire, instance, url, headers)
        except http.PlainAnswer as plain:
            bare = [header for header in headers if header[0].lower() != "authorization"]
            try:
                await http.get(self._wire, instance, replace(url, scheme="http"), bare)
            except http.BadAnswer:
                raise plain from None
            self._events.hook_fell_back(pod)
