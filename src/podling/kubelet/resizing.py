"""In-place resizes, carried out: new limits for a container or for its Pod as a whole.

Owns the order: a Pod's control group grows before its container's does, and shrinks after it. What uses more than it
may have from now on is left as it is; the rule for that is `lifecycle.resize`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.containers import grows, pod_resources, resized_to
from podling.kubelet.steps import StepFailure
from podling.lifecycle.cgroups import limits_of
from podling.lifecycle.resize import below_use
from podling.lifecycle.specs import container_named
from podling.runtime.protocol import ContainerId, SandboxId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.settings import Settings
    from podling.lifecycle import actions as act
    from podling.runtime.protocol import Runtime


class Resizer:
    """Gives running containers and Pods other limits."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings

    async def container(self, pod: Pod, action: act.ResizeContainer) -> None:
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

    async def pod(self, pod: Pod, action: act.ResizePod) -> None:
        """Give a Pod its new limits where they are its own."""
        whole = pod_resources(pod, self._settings)
        used = sum((await self._memory_in_use(action.sandbox)).values())
        refused = below_use("pod", None, whole.memory_limit, used)
        if refused:
            raise StepFailure("Error", refused)
        await self._runtime.update_sandbox_resources(SandboxId(action.sandbox), whole)

    async def _memory_in_use(self, sandbox: str) -> Mapping[ContainerId, int]:
        stats = await self._runtime.stats(sandboxes=[SandboxId(sandbox)], disk=False)
        return {of.container: of.memory_usage for of in stats}
