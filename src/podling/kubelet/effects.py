"""Performs what a plan asks for: one thin function for each action.

Owns the calls to runtime, network, volumes and images, and the Events that go with them. Decides nothing: it is told
what to do, and its outcome (what it returns, or a `StepFailure`) goes back as a fact. Invariant: each performer may be
called again after it failed or was cut off anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.addresses import one_of_each_family
from podling.client.seams import WiringFailed
from podling.kubelet.containers import grows, log_folder, pod_resources, resized_to, sandbox_config
from podling.kubelet.hooks import HookFailure
from podling.kubelet.images import MountedImageFailure
from podling.kubelet.objects import MissingReference
from podling.kubelet.user_ranges import NoRange, UserRanges
from podling.kubelet.volumes import VolumeFailure
from podling.lifecycle.cgroups import limits_of
from podling.lifecycle.resize import below_use
from podling.lifecycle.specs import container_named
from podling.lifecycle.termination import AFTER_HOOK, grace_of
from podling.lifecycle.traffic import UNBOUNDED, traffic_of
from podling.runtime.protocol import ContainerId, RuntimeFailure, SandboxId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.client.seams import PodNetwork
    from podling.kubelet.containers import ContainerBuilder
    from podling.kubelet.hooks import Hooks
    from podling.kubelet.images import ImageEnsurer
    from podling.kubelet.objects import References
    from podling.kubelet.settings import Settings
    from podling.kubelet.status import StatusWriter
    from podling.kubelet.volumes import Volumes
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle import actions as act
    from podling.runtime.protocol import Container, Image, Runtime, Sandbox


class StepFailure(Exception):  # an outcome that the plan reckons with
    """An action did not come off; `reason` and `message` are upstream's."""

    def __init__(self, reason: str, message: str, image: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.image = image


class Effects:
    """The hands of a kubelet."""

    def __init__(
        self,
        runtime: Runtime,
        network: PodNetwork,
        volumes: Volumes,
        images: ImageEnsurer,
        references: References,
        builder: ContainerBuilder,
        status: StatusWriter,
        events: PodEvents,
        hooks: Hooks,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._volumes = volumes
        self._images = images
        self._references = references
        self._builder = builder
        self._status = status
        self._events = events
        self.hooks = hooks
        self._clock = clock
        self._settings = settings
        self._users = UserRanges(settings.root)

    async def observe(self, uid: str) -> tuple[Sequence[Sandbox], Sequence[Container]]:
        """Return a Pod's sandboxes and containers, each in the order of their attempts."""
        sandboxes = sorted(await self._runtime.list_sandboxes(uid), key=lambda s: s.attempt)
        containers: list[Container] = []
        for sandbox in sandboxes:
            containers += await self._runtime.list_containers(sandbox.id)
        return sandboxes, sorted(containers, key=lambda c: c.attempt)

    async def prepare_volumes(self, pod: Pod) -> Mapping[str, str]:
        try:
            return await self._volumes.prepare(pod, ())
        except VolumeFailure as failure:
            self._events.mount_failed(pod, str(failure))
            raise StepFailure("FailedMount", str(failure)) from failure

    async def run_sandbox(self, pod: Pod, action: act.RunSandbox) -> tuple[str, tuple[str, ...]]:
        """Return the new sandbox's id and the Pod's addresses."""
        if action.replaces:
            self._events.sandbox_changed(pod)
            await self._stop_sandbox(pod.metadata.uid, SandboxId(action.replaces))
        try:
            named = pod.spec.runtime_class_name
            handler = await self._references.runtime_handler(named) if named else ""
            mappings = self._users.mappings(pod)
            config = sandbox_config(pod, action.attempt, self._settings, handler, mappings)
            for notice in self._builder.notices(pod):
                self._events.warning(pod, notice.reason, notice.message)
            sandbox = await self._runtime.run_sandbox(config)
            try:
                return sandbox.id, await self.wire(pod, sandbox)
            except (RuntimeFailure, WiringFailed, OSError):
                await self._runtime.remove_sandbox(sandbox.id)
                raise
        except (RuntimeFailure, WiringFailed, MissingReference, NoRange, OSError) as failure:
            self._events.sandbox_failed(pod, str(failure))
            raise StepFailure("FailedCreatePodSandBox", str(failure)) from failure

    async def wire(self, pod: Pod, sandbox: Sandbox, *, adopted: bool = False) -> tuple[str, ...]:
        """Give a sandbox its network, or find the one it has; return the addresses that the Pod is known by.

        An `adopted` one has its network already: a bound that was since made nonsense does not take it away.
        """
        if pod.spec.host_network:
            return ()
        if sandbox.addresses:
            return self._told(sandbox.addresses)
        meta = pod.metadata
        try:
            traffic = traffic_of(pod)
        except ValueError as error:
            if not adopted:
                raise WiringFailed(str(error)) from error
            traffic = UNBOUNDED
        given = await self._network.attach(meta.uid, meta.namespace, meta.name, sandbox.network_namespace, traffic)
        return self._told(given)

    def _told(self, given: Sequence[str]) -> tuple[str, ...]:
        """Return the addresses that a Pod is known by: the first of each family, that of its node before the other."""
        return one_of_each_family(given, next(iter(self._settings.addresses), ""))

    async def ensure_image(self, pod: Pod, action: act.EnsureImage) -> Image:
        container = container_named(pod, action.container)
        assert container is not None
        try:
            return await self._images.ensure(pod, container)
        except MountedImageFailure as failure:
            raise StepFailure(failure.reason, failure.message, failure.image) from failure
        except RuntimeFailure as failure:
            raise StepFailure(failure.reason, failure.message) from failure

    async def create_container(
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

    async def start_container(self, pod: Pod, action: act.StartContainer, address: str) -> None:
        try:
            await self._runtime.start_container(ContainerId(action.id))
        except RuntimeFailure as failure:
            self._events.failed(pod, action.container, failure.message)
            raise StepFailure("RunContainerError", failure.message) from failure
        self._events.started(pod, action.container)
        container = container_named(pod, action.container)
        assert container is not None
        try:
            await self.hooks.post_start(pod, container, action.id, address)
        except HookFailure as failure:
            self._events.post_start_failed(pod, action.container)
            self._events.killing(pod, action.container, "FailedPostStartHook")
            deadline = self._clock.time() + grace_of(pod)
            await self._stop(pod, action.container, action.id, deadline, address)
            raise StepFailure("PostStartHookError", str(failure)) from failure

    async def resize_container(self, pod: Pod, action: act.ResizeContainer) -> None:
        """Give a running container its new limits: the Pod's cgroup first where they grow, last where they shrink."""
        container = container_named(pod, action.container)
        held = await self._runtime.container(ContainerId(action.id))
        if container is None or held is None:
            return
        wanted = resized_to(held.resources, limits_of(container.resources))
        whole = pod_resources(pod, self._settings)
        used = await self._memory_in_use(action.sandbox)
        before, mine = held.resources.memory_limit, used.get(held.id, 0)
        refused = below_use(f'container "{container.name}"', before, wanted.memory_limit, mine)
        if refused:
            raise StepFailure("Error", refused)
        if grows(held.resources, wanted):
            await self._runtime.update_sandbox_resources(SandboxId(action.sandbox), whole)
        await self._runtime.update_resources(ContainerId(action.id), wanted)
        await self._runtime.update_sandbox_resources(SandboxId(action.sandbox), whole)

    async def resize_pod(self, pod: Pod, action: act.ResizePod) -> None:
        whole = pod_resources(pod, self._settings)
        used = sum((await self._memory_in_use(action.sandbox)).values())
        refused = below_use("pod", None, whole.memory_limit, used)
        if refused:
            raise StepFailure("Error", refused)
        await self._runtime.update_sandbox_resources(SandboxId(action.sandbox), whole)

    async def _memory_in_use(self, sandbox: str) -> Mapping[ContainerId, int]:
        stats = await self._runtime.stats(sandboxes=[SandboxId(sandbox)], disk=False)
        return {of.container: of.memory_usage for of in stats}

    async def kill_container(self, pod: Pod, action: act.KillContainer, address: str) -> None:
        """Run preStop, then SIGTERM, then SIGKILL; the grace is shared by all."""
        self.hooks.end_post_start(action.id)
        if not self.hooks.has_stopped(action.id):
            self._events.killing(pod, action.container, action.message)
        await self._stop(pod, action.container, action.id, action.deadline, address)

    async def pre_stop(self, pod: Pod, action: act.RunPreStop, address: str) -> None:
        """Run preStop ahead of the container's turn to be stopped."""
        self._events.killing(pod, action.container, f"Stopping container {action.container}")
        await self._pre_stop(pod, action.container, action.id, action.deadline, address)

    async def _stop(self, pod: Pod, name: str, instance: str, deadline: float, address: str) -> None:
        had_hook = await self._pre_stop(pod, name, instance, deadline, address)
        grace = max(deadline - self._clock.time(), AFTER_HOOK if had_hook else 0.0)
        await self._runtime.stop_container(ContainerId(instance), grace)
        self.hooks.forget(instance)

    async def _pre_stop(self, pod: Pod, name: str, instance: str, deadline: float, address: str) -> bool:
        container = container_named(pod, name)
        if container is None:
            return False
        try:
            return await self.hooks.pre_stop(pod, container, instance, address, deadline)
        except HookFailure:
            # The words stay here: they may hold what the command printed.
            self._events.pre_stop_failed(pod, name)
            return True

    async def remove_container(self, action: act.RemoveContainer) -> None:
        await self._runtime.remove_container(ContainerId(action.id))

    async def stop_sandbox(self, pod: Pod, action: act.StopSandbox) -> None:
        await self._stop_sandbox(pod.metadata.uid, SandboxId(action.id))

    async def _stop_sandbox(self, uid: str, sandbox: SandboxId) -> None:
        await self._network.detach(uid)
        await self._runtime.stop_sandbox(sandbox)

    async def remove_sandbox(self, action: act.RemoveSandbox) -> None:
        await self._runtime.remove_sandbox(SandboxId(action.id))

    async def release(self, pod: Pod) -> None:
        await self._status.release(pod)

    async def tear_down(self, pod: Pod) -> None:
        from podling.linux.trees import remove_tree

        uid = pod.metadata.uid
        await self._network.detach(uid)
        await self._volumes.tear_down(uid)
        if self._settings.root is not None or self._settings.logs is not None:
            folder = log_folder(pod, self._settings)
            if folder.exists():
                remove_tree(folder)
        self._users.release(uid)
        self._status.forget(uid)
