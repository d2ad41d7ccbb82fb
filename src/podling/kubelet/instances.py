"""The life of a container, instance by instance: made, started with its hook, stopped with its hook, removed.

Owns these steps and the Events that go with them. Decides nothing. Invariants: the grace of an end is shared by hook
and signal; what a hook printed is in no Event; each step may be asked for again after it failed or was cut off
anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.hooks import HookFailure
from podling.kubelet.objects import MissingReference
from podling.kubelet.steps import StepFailure
from podling.lifecycle.specs import container_named
from podling.lifecycle.termination import AFTER_HOOK, grace_of
from podling.runtime.protocol import ContainerId, RuntimeFailure, SandboxId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.containers import ContainerBuilder
    from podling.kubelet.hooks import Hooks
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle import actions as act
    from podling.runtime.protocol import Container, Image, Runtime, Sandbox


class Instances:
    """Brings the containers of a node to life and to their end."""

    def __init__(
        self, runtime: Runtime, builder: ContainerBuilder, hooks: Hooks, events: PodEvents, clock: Clock
    ) -> None:
        self._runtime = runtime
        self._builder = builder
        self._hooks = hooks
        self._events = events
        self._clock = clock

    async def within(self, sandboxes: Iterable[Sandbox]) -> Sequence[Container]:
        """Return the containers of a Pod's sandboxes in the order of their attempts."""
        containers: list[Container] = []
        for sandbox in sandboxes:
            containers += await self._runtime.list_containers(sandbox.id)
        return sorted(containers, key=lambda container: container.attempt)

    async def create(
        self,
        pod: Pod,
        action: act.CreateContainer,
        *,
        image: Image | None,
        volumes: Mapping[str, str],
        addresses: Sequence[str],
        target: str = "",
    ) -> None:
        container = container_named(pod, action.container)
        assert container is not None
        try:
            config = await self._builder.config(
                pod,
                container,
                action,
                image=image,
                volumes=volumes,
                addresses=addresses,
                target=ContainerId(target) if target else None,
            )
        except (MissingReference, ValueError) as missing:
            self._events.failed(pod, action.container, str(missing))
            raise StepFailure("CreateContainerConfigError", str(missing)) from missing
        try:
            await self._runtime.create_container(SandboxId(action.sandbox), config)
        except RuntimeFailure as failure:
            self._events.failed(pod, action.container, failure.message)
            raise StepFailure("CreateContainerError", failure.message) from failure
        self._events.created(pod, action.container)

    async def start(self, pod: Pod, action: act.StartContainer, address: str) -> None:
        """Start it and run postStart, whose failure ends it."""
        try:
            await self._runtime.start_container(ContainerId(action.id))
        except RuntimeFailure as failure:
            self._events.failed(pod, action.container, failure.message)
            raise StepFailure("RunContainerError", failure.message) from failure
        self._events.started(pod, action.container)
        container = container_named(pod, action.container)
        assert container is not None
        try:
            await self._hooks.post_start(pod, container, action.id, address)
        except HookFailure as failure:
            self._events.post_start_failed(pod, action.container)
            self._events.killing(pod, action.container, "FailedPostStartHook")
            deadline = self._clock.time() + grace_of(pod)
            await self._stop(pod, action.container, action.id, deadline, address)
            raise StepFailure("PostStartHookError", str(failure)) from failure

    async def kill(self, pod: Pod, action: act.KillContainer, address: str) -> None:
        """Run preStop, then SIGTERM, then SIGKILL; the grace is shared by all."""
        self._hooks.end_post_start(action.id)
        if not self._hooks.has_stopped(action.id):
            self._events.killing(pod, action.container, action.message)
        await self._stop(pod, action.container, action.id, action.deadline, address)

    async def pre_stop(self, pod: Pod, action: act.RunPreStop, address: str) -> None:
        """Run preStop ahead of the container's turn to be stopped."""
        self._events.killing(pod, action.container, f"Stopping container {action.container}")
        await self._pre_stop(pod, action.container, action.id, action.deadline, address)

    def has_pre_stopped(self, instance: str) -> bool:
        """Say whether preStop of an instance is over."""
        return self._hooks.has_stopped(instance)

    async def _stop(self, pod: Pod, name: str, instance: str, deadline: float, address: str) -> None:
        had_hook = await self._pre_stop(pod, name, instance, deadline, address)
        grace = max(deadline - self._clock.time(), AFTER_HOOK if had_hook else 0.0)
        await self._runtime.stop_container(ContainerId(instance), grace)
        self._hooks.forget(instance)

    async def _pre_stop(self, pod: Pod, name: str, instance: str, deadline: float, address: str) -> bool:
        container = container_named(pod, name)
        if container is None:
            return False
        try:
            return await self._hooks.pre_stop(pod, container, instance, address, deadline)
        except HookFailure:
            # The words stay here: they may hold what the command printed.
            self._events.pre_stop_failed(pod, name)
            return True

    def died(self, instance: str) -> None:
        """Hear that an instance lives no more: its hooks are over with it."""
        self._hooks.end_post_start(instance)
        self._hooks.forget(instance)

    async def remove(self, action: act.RemoveContainer) -> None:
        await self._runtime.remove_container(ContainerId(action.id))
