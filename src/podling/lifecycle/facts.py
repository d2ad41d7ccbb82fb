"""The facts a Pod's life is judged by.

Owns the words in which a kubelet tells the rules what it sees: instances of containers with their instants, sandboxes,
images, failures, what is being done right now. Knows no runtime: the kubelet translates. Facts are what happened and
when, never labels; every label (stage, phase, reason) is derived from them. Instants are seconds since the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from podling.lifecycle.container import Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from podling.api.types.core_v1 import Pod
    from podling.lifecycle.cgroups import Limits
    from podling.lifecycle.letting_go import Hold


class ContainerFacts(Struct, frozen=True):
    """One instance of a container, as the runtime has it."""

    id: str
    name: str
    attempt: int
    sandbox: str
    created: float
    image: str = ""
    image_id: str = ""
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    oom_killed: bool = False
    reason: str = ""
    message: str = ""
    back_off: float = 0.0
    """Seconds that its successor waits after its death; written down when it was created."""
    limits: Limits | None = None
    """What it runs with, where the runtime knows."""
    user: tuple[int, int, tuple[int, ...]] | None = None

    @property
    def stage(self) -> Stage:
        """Where in the container's machine these facts put it."""
        if self.finished is not None:
            return Stage.EXITED
        return Stage.CREATED if self.started is None else Stage.RUNNING

    @property
    def is_running(self) -> bool:
        return self.started is not None and self.finished is None

    @property
    def is_dead(self) -> bool:
        return self.finished is not None

    @property
    def succeeded(self) -> bool:
        return self.finished is not None and self.exit_code == 0


class SandboxFacts(Struct, frozen=True):
    """One sandbox of a Pod; `ready` while containers can run in it and its network is wired."""

    id: str
    attempt: int
    created: float
    ready: bool
    addresses: tuple[str, ...] = ()
    limits: Limits | None = None
    """What the Pod as a whole runs with, where the runtime knows."""


class Failure(Struct, frozen=True):
    """A step that did not come off: upstream's reason, what to say, when, and how often in a row."""

    reason: str
    message: str
    at: float
    count: int = 1
    image: str = ""
    """The image that could not be had, where that is one that the container mounts and not its own."""


class ImageReady(Struct, frozen=True):
    """The image that the next attempt of a container will run."""

    attempt: int
    image_id: str


class ProbeFacts(Struct, frozen=True):
    """What probes say of one instance. Without probes a running container is started and ready."""

    started: bool = True
    ready: bool = True
    failed: str = ""
    """`Liveness` or `Startup`: the probe whose failure is the instance's end."""


class Rejection(Struct, frozen=True):
    """Why this node does not take the Pod: `OutOfcpu`, `NodePorts`, … with upstream's message."""

    reason: str
    message: str


class Eviction(Struct, frozen=True):
    """The node's own order that a Pod goes."""

    at: float
    message: str
    grace: float = 0.0
    """Seconds until SIGKILL at most; 0 leaves the Pod its own."""
    disrupts: bool = False
    """Whether the condition DisruptionTarget tells of it: for want of a resource, not for a limit of the Pod's own."""


class PodView(Struct, frozen=True):
    """A Pod as its node sees it: what is wanted, what is there, what is going on."""

    pod: Pod
    vanished: bool = False
    """The API no longer has it; `pod` is the last that was known."""
    stopping_since: float | None = None
    """When the node first knew that this Pod has to end."""
    rejection: Rejection | None = None
    eviction: Eviction | None = None
    sandboxes: tuple[SandboxFacts, ...] = ()
    """In the order of their attempts."""
    containers: tuple[ContainerFacts, ...] = ()
    """Every instance the runtime has, in the order of their attempts."""
    images: Mapping[str, ImageReady] = field(default_factory=dict)
    """By container name."""
    volumes_ready: bool = False
    volumes_stale_at: float | None = None
    """When what the volumes project has to be looked at again; never, if nothing is projected."""
    torn_down: bool = False
    """Nothing of the Pod is left on the node."""
    released: bool = False
    """The API was told to let go of the object."""
    busy: Mapping[str, float] = field(default_factory=dict)
    """What is being done, by the action's key; a kill's value is the instant of its SIGKILL."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """Last failures, by the action's key; cleared when the step comes off."""
    probes: Mapping[str, ProbeFacts] = field(default_factory=dict)
    """By container id; a container without an entry has no probes."""
    resize_refusal: Rejection | None = None
    """Why the node does not give what is asked for now: `Infeasible` or `Deferred`."""
    pre_stopped: Collection[str] = ()
    """Ids of the instances whose preStop hook has begun."""
    hold: Hold | None = None
    """What may still send new connections to a Pod that is deleted, where somebody could take over from it."""

    def latest(self, name: str) -> ContainerFacts | None:
        """Return the newest instance of a container."""
        found = None
        for container in self.containers:
            if container.name == name and (found is None or container.attempt >= found.attempt):
                found = container
        return found

    @property
    def sandbox(self) -> SandboxFacts | None:
        """The sandbox that containers can be started in."""
        return self.sandboxes[-1] if self.sandboxes and self.sandboxes[-1].ready else None

    def is_starting(self, container: ContainerFacts) -> bool:
        """Whether an instance runs already while its start, with its postStart hook, is not over."""
        return container.is_running and f"container/{container.name}" in self.busy

    def is_started(self, container: ContainerFacts) -> bool:
        probes = self.probes.get(container.id)
        return container.is_running and not self.is_starting(container) and (probes is None or probes.started)

    def is_ready(self, container: ContainerFacts) -> bool:
        probes = self.probes.get(container.id)
        return self.is_started(container) and (probes is None or probes.ready)

    def failed_probe(self, container: ContainerFacts) -> str:
        """Return which probe's failure is an instance's end: `Liveness`, `Startup`, or nothing."""
        probes = self.probes.get(container.id)
        return probes.failed if probes is not None else ""
