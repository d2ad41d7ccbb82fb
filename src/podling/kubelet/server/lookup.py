"""What the kubelet's server must know of the kubelet: its Pods, as it knows them.

Owns the Protocol `PodLookup`, which the kubelet implements, and the finding of containers, with upstream's words for
what is not there. Which container a log belongs to is read from the Pod's status; which one a command runs in, from the
runtime, as upstream does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from podling.runtime.protocol import ContainerId, ContainerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import ContainerStatus, Pod
    from podling.runtime.protocol import Container, Runtime, SandboxId


class PodLookup(Protocol):
    """The Pods of this node. Nothing here waits."""

    def pods(self) -> Sequence[Pod]:
        """Return every Pod bound to this node, each with its status as this kubelet knows it."""
        ...

    def pod(self, namespace: str, name: str) -> Pod | None: ...

    def sandbox(self, uid: str) -> SandboxId | None:
        """Return the sandbox that a Pod's containers run in now."""
        ...


class Refusal(Exception):  # an outcome, not a defect
    """What cannot be served, with its HTTP code and upstream's sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def pod_of(pods: PodLookup, namespace: str, name: str, uid: str = "") -> Pod:
    """Return a Pod; `Refusal` 404 where there is none."""
    pod = pods.pod(namespace, name)
    if pod is None or (uid and pod.metadata.uid != uid):
        raise Refusal(404, "pod does not exist")
    return pod


def sandbox_of(pods: PodLookup, pod: Pod) -> SandboxId:
    """Return the sandbox of a Pod; `Refusal` where it has none yet."""
    sandbox = pods.sandbox(pod.metadata.uid)
    if sandbox is None:
        raise Refusal(500, f"pod not found ({pod_full_name(pod)!r})".replace("'", '"'))
    return sandbox


def pod_full_name(pod: Pod) -> str:
    """Return upstream's NAME_NAMESPACE."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}"


async def running_container(pods: PodLookup, runtime: Runtime, pod: Pod, name: str) -> Container:
    """Return the running container called `name`; `Refusal` where none runs."""
    sandbox = pods.sandbox(pod.metadata.uid)
    found = [] if sandbox is None else [it for it in await runtime.list_containers(sandbox) if it.name == name]
    running = [it for it in found if it.state is ContainerState.RUNNING]
    if not running:
        raise Refusal(500, f'container not found ("{name}")')
    return max(running, key=lambda it: it.attempt)


def status_of(pod: Pod, name: str) -> ContainerStatus | None:
    """Return a container's status, of whichever kind it is."""
    status = pod.status
    every = (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses)
    return next((it for it in every if it.name == name), None)


def has_container(pod: Pod, name: str) -> bool:
    """Return whether the specification has a container of this name."""
    spec = pod.spec
    names = [it.name for it in (*spec.init_containers, *spec.containers)]
    return name in names or any(it.name == name for it in spec.ephemeral_containers)


def logged_container(pod: Pod, name: str, *, previous: bool) -> ContainerId:
    """Return the container whose log is meant; `Refusal` 400 with the reason why there is none yet."""
    full = f'container "{name}" in pod "{pod.metadata.name}"'
    if not has_container(pod, name):
        raise Refusal(404, f'container "{name}" not found in pod "{pod.metadata.name}"')
    status = status_of(pod, name)
    if status is None:
        raise Refusal(400, f"{full} is not available")
    state, last = status.state, status.last_state
    terminated = state.terminated if state is not None else None
    waiting = state.waiting if state is not None else None
    former = last.terminated if last is not None else None
    if previous:
        if former is None or not former.container_id:
            raise Refusal(400, f"previous terminated {full} not found")
        return _id(former.container_id)
    if state is not None and state.running is not None:
        return _id(status.container_id)
    if terminated is not None or former is not None:
        for ended in (terminated, former):
            if ended is not None and ended.container_id:
                return _id(ended.container_id)
        raise Refusal(400, f"{full} is terminated")
    if waiting is not None:
        why = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(waiting.reason, waiting.reason)
        raise Refusal(400, f"{full} is waiting to start: {why}")
    raise Refusal(400, f"{full} is waiting to start - no logs yet")


def _id(text: str) -> ContainerId:
    return ContainerId(text.partition("://")[2] or text)
