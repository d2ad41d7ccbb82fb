"""What the containers of a Pod share: the sandbox, its network, and the ids that its users are on the node.

Owns the steps that make and unmake it. Decides nothing. Invariants: a sandbox that got no network is removed again;
each step may be asked for again after it failed or was cut off anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.addresses import one_of_each_family
from podling.client.seams import WiringFailed
from podling.kubelet.containers import sandbox_config
from podling.kubelet.objects import MissingReference
from podling.kubelet.steps import StepFailure
from podling.kubelet.user_ranges import NoRange, UserRanges
from podling.lifecycle.traffic import UNBOUNDED, traffic_of
from podling.runtime.protocol import RuntimeFailure, SandboxId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod
    from podling.client.seams import PodNetwork
    from podling.kubelet.containers import ContainerBuilder
    from podling.kubelet.objects import References
    from podling.kubelet.settings import Settings
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle import actions as act
    from podling.runtime.protocol import Runtime, Sandbox


class Sandboxes:
    """Makes, wires and ends the sandboxes of a node."""

    def __init__(
        self,
        runtime: Runtime,
        network: PodNetwork,
        references: References,
        builder: ContainerBuilder,
        events: PodEvents,
        settings: Settings,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._references = references
        self._builder = builder
        self._events = events
        self._settings = settings
        self._users = UserRanges(settings.root)

    async def of(self, uid: str) -> Sequence[Sandbox]:
        """Return a Pod's sandboxes in the order of their attempts."""
        return sorted(await self._runtime.list_sandboxes(uid), key=lambda sandbox: sandbox.attempt)

    async def run(self, pod: Pod, action: act.RunSandbox) -> tuple[str, tuple[str, ...]]:
        """Return the new sandbox's id and the Pod's addresses."""
        if action.replaces:
            self._events.sandbox_changed(pod)
            await self._stop(pod.metadata.uid, SandboxId(action.replaces))
        try:
            named = pod.spec.runtime_class_name
            handler = await self._references.runtime_handler(named) if named else ""
            config = sandbox_config(pod, action.attempt, self._settings, handler, self._users.mappings(pod))
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

    async def stop(self, pod: Pod, action: act.StopSandbox) -> None:
        await self._stop(pod.metadata.uid, SandboxId(action.id))

    async def _stop(self, uid: str, sandbox: SandboxId) -> None:
        await self._network.detach(uid)
        await self._runtime.stop_sandbox(sandbox)

    async def remove(self, action: act.RemoveSandbox) -> None:
        await self._runtime.remove_sandbox(SandboxId(action.id))

    async def unwire(self, uid: str) -> None:
        """Take a Pod's network back, whichever sandbox had it."""
        await self._network.detach(uid)

    def forget(self, uid: str) -> None:
        """Give back the ids of a Pod that has left nothing on the node."""
        self._users.release(uid)
