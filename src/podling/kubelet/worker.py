"""One Pod's worker: facts in, plan, effects out, until nothing is left of the Pod.

                 ┌───────────────────────────────────────────────────────────┐
                 ▼                                                           │
    woken ─▶ observe the runtime ─▶ lifecycle.plan ─▶ start due effects ─▶ tell status ─▶ sleep till woken or deadline
    by: a change of the object, a runtime's hint, an effect that ended, a deadline on the clock

Owns the loop, what is under way, and what has failed. Decides nothing: `lifecycle` does. Invariants: of one key at most
one effect is under way, except that a kill with less grace overtakes one with more; an effect that ends, however it
ends, wakes the worker; the worker never waits for the API; a worker that is started anew (its failure, the kubelet's
restart) goes on from what the runtime says.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from podling.api.errors import StatusError
from podling.api.pods import TERMINAL_PHASES
from podling.client.seams import WiringFailed
from podling.kubelet.observation import container_facts, sandbox_facts, termination_message
from podling.kubelet.probes.prober import Prober
from podling.kubelet.steps import StepFailure
from podling.lifecycle import actions as act
from podling.lifecycle.conditions import OWNED, PASSING
from podling.lifecycle.disruption import DISRUPTION_TARGET
from podling.lifecycle.facts import Failure, ImageReady, PodView
from podling.lifecycle.pod import PodPlan, plan
from podling.lifecycle.resize import is_pending, resize_news
from podling.lifecycle.specs import container_named
from podling.lifecycle.status import pod_status
from podling.lifecycle.termination import Cause
from podling.runtime.protocol import RuntimeFailure, SandboxState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import ContainerStatus, Pod, PodStatus
    from podling.kubelet.effects import Effects
    from podling.kubelet.letting_go import LettingGo
    from podling.kubelet.probes.checks import Checks
    from podling.kubelet.status import StatusWriter
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle.facts import ContainerFacts, Eviction, Rejection
    from podling.lifecycle.letting_go import Hold
    from podling.lifecycle.probes import Checked, ProbeKind
    from podling.lifecycle.restart import Policy
    from podling.lifecycle.status import NodeFacts
    from podling.runtime.protocol import Container, Image, Sandbox

_REFRESH_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all Pod workers of a node share."""

    effects: Effects
    status: StatusWriter
    events: PodEvents
    checks: Checks
    clock: Clock
    supervisor: Supervisor
    policy: Policy
    node: NodeFacts
    resize: Callable[[Pod], Rejection | None]
    """Says why the node does not give a running Pod what is asked for by now."""
    appeal: Callable[[Pod, Rejection], Awaitable[Rejection | None]]
    """Says whether a rejection stands."""
    letting_go: LettingGo | None = None
    volume_period: float | None = None
    """How often projected volumes are refreshed; `None` never."""


class PodWorker:
    """Brings one Pod to life and to its end."""

    def __init__(self, pod: Pod, shop: Workshop, rejection: Rejection | None = None) -> None:
        self.pod = pod
        self._shop = shop
        self._rejection = rejection
        self._eviction: Eviction | None = None
        self._vanished = False
        self._released = False
        self._torn_down = False
        self._stopping_since: float | None = None
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._volume_period = shop.volume_period if _projects(pod) else None
        self._volumes: Mapping[str, str] | None = None
        self._volumes_stale_at: float | None = None
        self._volumes_made_at = 0.0
        self._volume_notices = 0
        self._images: dict[str, tuple[int, Image]] = {}
        self._failures: dict[str, Failure] = {}
        self._busy: dict[str, tuple[asyncio.Task[None], float]] = {}
        self._messages: dict[str, str] = {}
        self._told: PodStatus | None = None
        self._waiting: Mapping[str, str] = {}
        self._kicked = asyncio.Event()
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        self._prober = Prober(name, shop.checks, shop.clock, shop.supervisor, self._report, self.kick)
        self.view = PodView(pod)
        """What the last plan was made from."""

    def update(self, pod: Pod | None) -> None:
        """Hear of the object's newest form; `None`: the API no longer has it."""
        if pod is None:
            self._vanished = True
        else:
            before, self.pod = self.pod, pod
            if _tells_differently(before, pod):
                self.volumes_changed()
        self.kick()

    def volumes_changed(self) -> None:
        """Hear that projected volumes show something old: they are refreshed soon, at most twice a second."""
        if self._volume_period is None:
            return
        self._failures.pop("volumes", None)
        self._volume_notices += 1
        self._volumes_stale_at = min(self._volumes_stale_at or math.inf, self._volumes_made_at + _REFRESH_PAUSE)
        self.kick()

    def evict(self, eviction: Eviction) -> None:
        """Hear that the node wants the Pod to go."""
        self._eviction = self._eviction or eviction
        self.kick()

    def kick(self) -> None:
        """Look again soon."""
        self._kicked.set()

    async def run(self) -> None:
        """Work until nothing is left to do for this Pod."""
        if self._rejection is not None:
            self._rejection = await self._shop.appeal(self.pod, self._rejection)
        try:
            await self._work()
        finally:
            self._prober.close()
            if self._shop.letting_go is not None:
                self._shop.letting_go.forget(self.pod.metadata.uid)

    def _report(self, container: str, kind: ProbeKind, checked: Checked) -> None:
        self._shop.events.probed(self.pod, container, kind, checked)

    async def _work(self) -> None:
        while not self._shop.supervisor.is_stopping:
            self._kicked.clear()
            self.view = await self._observe()
            now = self._shop.clock.time()
            due = plan(self.view, now, self._shop.policy)
            if due.ending is not None and self._stopping_since is None:
                self._begin_end(due, now)
            if due.ending is not None:
                self._prober.pod_ends()
            for action in due.actions:
                self._begin(action)
            self._tell(due, now)
            if due.done:
                self._shop.status.forget(self.pod.metadata.uid)
                return
            await self._rest(due.deadline)

    def _begin_end(self, due: PodPlan, now: float) -> None:
        assert due.ending is not None
        self._stopping_since = now
        if due.ending.cause is Cause.REJECTED:
            self._shop.events.rejected(self.pod, due.ending.reason, due.ending.message)
        elif due.ending.cause is Cause.DEADLINE:
            self._shop.events.deadline_exceeded(self.pod, due.ending.message)

    async def _rest(self, deadline: float | None) -> None:
        timer = None
        if deadline is not None:
            timer = self._shop.clock.call_later(deadline - self._shop.clock.time(), self.kick)
        try:
            await self._kicked.wait()
        finally:
            if timer is not None:
                timer.cancel()

    # Facts in.

    async def _observe(self) -> PodView:
        sandboxes, containers = await self._shop.effects.observe(self.pod.metadata.uid)
        for sandbox in sandboxes:
            await self._adopt(sandbox)
        pod = self._known_pod()
        facts = tuple(self._facts(container) for container in containers)
        view = PodView(
            pod=pod,
            vanished=self._vanished,
            stopping_since=self._stopping_since,
            rejection=self._rejection,
            eviction=self._eviction,
            sandboxes=tuple(
                sandbox_facts(s, self._addresses.get(s.id, ()), wired=s.id in self._addresses) for s in sandboxes
            ),
            containers=facts,
            images={name: ImageReady(attempt, image.id) for name, (attempt, image) in self._images.items()},
            volumes_ready=self._volumes is not None,
            volumes_stale_at=self._volumes_stale_at,
            torn_down=self._torn_down,
            released=self._released,
            busy={key: deadline for key, (_, deadline) in self._busy.items()},
            failures=self._failures,
            pre_stopped=tuple(c.id for c in facts if self._shop.effects.instances.has_pre_stopped(c.id)),
        )
        self._probe(view)
        refusal = self._shop.resize(pod) if is_pending(view) else None
        return replace(view, probes=self._prober.facts, resize_refusal=refusal, hold=self._hold(view))

    def _hold(self, view: PodView) -> Hold | None:
        """Return what holds a deleted Pod that still runs and is not being killed yet."""
        if self._shop.letting_go is None or view.pod.metadata.deletion_timestamp is None:
            return None
        running = any(container.is_running for container in view.containers)
        if view.vanished or not running or any(key.startswith("kill/") for key in view.busy):
            self._shop.letting_go.forget(view.pod.metadata.uid)
            return None
        return self._shop.letting_go.hold(view.pod, self.kick)

    def _probe(self, view: PodView) -> None:
        """Let every instance that runs be probed, and no other."""
        self._prober.keep(view.containers)
        for instance in view.containers:
            container = container_named(view.pod, instance.name)
            if instance.is_dead:
                self._shop.effects.instances.died(instance.id)
            if not instance.is_running or container is None or view.is_starting(instance):
                continue
            told = self._told_of(view.pod, instance.id)
            self._prober.watch(
                container,
                instance,
                next(iter(self._pod_addresses(instance.sandbox)), ""),
                was_started=told is not None and bool(told.started),
                was_ready=told is not None and told.ready,
            )

    def _told_of(self, pod: Pod, instance: str) -> ContainerStatus | None:
        """Return what the API holds of this very instance."""
        statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
        return next((told for told in statuses if told.container_id.endswith(f"://{instance}")), None)

    async def _adopt(self, sandbox: Sandbox) -> None:
        """Take over a sandbox that an earlier life of the kubelet made: find or mend its network."""
        is_new = sandbox.id not in self._addresses and "sandbox" not in self._busy
        if is_new and sandbox.state is SandboxState.READY and not self._vanished:
            try:
                self._addresses[sandbox.id] = await self._shop.effects.sandboxes.wire(self.pod, sandbox, adopted=True)
            except (RuntimeFailure, WiringFailed, OSError) as failure:
                self._shop.events.sandbox_failed(self.pod, str(failure))

    def _facts(self, container: Container) -> ContainerFacts:
        message = self._messages.get(container.id, "")
        if container.finished is not None and container.id not in self._messages:
            message = self._messages[container.id] = termination_message(container)
        return container_facts(container, message)

    def _known_pod(self) -> Pod:
        """Return the Pod with the newest status: the API's copy lags behind what this worker has told.

        What others own in the status (their conditions, a phase made final) is the API's word.
        """
        told = self.pod.status
        mine = self._told
        if mine is None or (told.phase in TERMINAL_PHASES and mine.phase not in TERMINAL_PHASES):
            return self.pod
        others = tuple(condition for condition in told.conditions if condition.type not in (*OWNED, *PASSING))
        kept = (*OWNED, *PASSING, *((DISRUPTION_TARGET,) if all(c.type != DISRUPTION_TARGET for c in others) else ()))
        ours = tuple(condition for condition in mine.conditions if condition.type in kept)
        status = msgspec.structs.replace(
            mine, conditions=(*ours, *others), nominated_node_name=told.nominated_node_name, resize=told.resize
        )
        return msgspec.structs.replace(self.pod, status=status)

    # Status out.

    def _tell(self, due: PodPlan, now: float) -> None:
        for name, waiting in due.waiting.items():
            if self._waiting.get(name) != waiting.reason:
                self._tell_back_off(name, waiting.reason)
        self._waiting = {name: waiting.reason for name, waiting in due.waiting.items()}
        if self._vanished or self._released:
            return
        status = pod_status(self.view, due, self._shop.node, now)
        if status != self._told:
            before = self._told if self._told is not None else self.pod.status
            news = resize_news(self.pod, before.conditions, status.conditions)
            if news is not None:
                self._shop.events.resized(self.pod, news)
            self._told = status
        assert self._told is not None
        self._shop.status.tell(self.pod, self._told)

    def _tell_back_off(self, name: str, reason: str) -> None:
        if reason == "CrashLoopBackOff":
            self._shop.events.crash_loop(self.pod, name)
        elif reason == "ImagePullBackOff":
            container = container_named(self.pod, name)
            failure = self._failures.get(f"image/{name}")
            image = failure.image if failure is not None else ""
            own = container.image if container is not None else ""
            self._shop.events.backing_off_pull(self.pod, name, image or own)
            self._shop.events.failed(self.pod, name, reason)

    # Effects out.

    def _begin(self, action: act.Action) -> None:
        if isinstance(action, act.Abandon):
            under_way = self._busy.get(action.of)
            if under_way is not None:
                under_way[0].cancel()
            return
        deadline = action.deadline if isinstance(action, (act.KillContainer, act.RunPreStop)) else 0.0
        what = f"{type(action).__name__} {self.pod.metadata.namespace}/{self.pod.metadata.name}"
        self._busy[action.key] = (self._shop.supervisor.job(what, self._perform(action)), deadline)

    async def _perform(self, action: act.Action) -> None:
        me = asyncio.current_task()
        outcome: Failure | None = self._failure(action.key, "InternalError", f"{type(action).__name__} broke off")
        try:
            await self._do(action)
            outcome = None
        except StepFailure as failure:
            outcome = self._failure(action.key, failure.reason, failure.message, failure.image)
        except RuntimeFailure as failure:
            outcome = self._failure(action.key, failure.reason, failure.message)
        except StatusError as refusal:
            outcome = self._failure(action.key, refusal.reason, refusal.message)
        except asyncio.CancelledError:
            outcome = self._failures.get(action.key)
            raise
        finally:
            if outcome is None:
                self._failures.pop(action.key, None)
            else:
                self._failures[action.key] = outcome
            held = self._busy.get(action.key)
            if held is not None and held[0] is me:
                del self._busy[action.key]
            self.kick()

    def _failure(self, key: str, reason: str, message: str, image: str = "") -> Failure:
        before = self._failures.get(key)
        return Failure(reason, message, self._shop.clock.time(), before.count + 1 if before is not None else 1, image)

    async def _do(self, action: act.Action) -> None:
        pod, effects = self.pod, self._shop.effects
        match action:
            case act.PrepareVolumes():
                self._volumes_made_at = self._shop.clock.time()
                notices = self._volume_notices
                self._volumes = await effects.prepare_volumes(pod)
                if self._volume_period is not None:
                    overtaken = self._volume_notices > notices
                    self._volumes_stale_at = self._volumes_made_at + (
                        _REFRESH_PAUSE if overtaken else self._volume_period
                    )
            case act.RunSandbox():
                sandbox, addresses = await effects.sandboxes.run(pod, action)
                self._addresses[sandbox] = addresses
            case act.EnsureImage():
                self._images[action.container] = (action.attempt, await effects.ensure_image(pod, action))
            case act.CreateContainer():
                await effects.instances.create(
                    pod,
                    action,
                    image=self._images[action.container][1],
                    volumes=self._volumes or {},
                    addresses=self._pod_addresses(action.sandbox),
                    target=self._target(action.container),
                )
            case act.StartContainer():
                await effects.instances.start(pod, action, self._address())
            case act.KillContainer():
                await effects.instances.kill(pod, action, self._address())
            case act.ResizeContainer():
                await effects.resizer.container(pod, action)
            case act.ResizePod():
                await effects.resizer.pod(pod, action)
            case act.RunPreStop():
                await effects.instances.pre_stop(pod, action, self._address())
            case act.RemoveContainer():
                await effects.instances.remove(action)
            case act.StopSandbox():
                await effects.sandboxes.stop(pod, action)
            case act.RemoveSandbox():
                await effects.sandboxes.remove(action)
                self._addresses.pop(action.id, None)
            case act.DeleteFromApi():
                await effects.release(pod)
                self._released = True
            case act.TearDown():
                await effects.tear_down(pod)
                self._torn_down = True
            case act.Abandon():
                raise AssertionError("an abandonment is no effect")

    def _pod_addresses(self, sandbox: str) -> Sequence[str]:
        return self._shop.node.addresses if self.pod.spec.host_network else self._addresses.get(sandbox, ())

    def _address(self) -> str:
        """Return where the Pod's ports are asked: its own first address, or the node's."""
        sandbox = self.view.sandbox.id if self.view.sandbox is not None else ""
        return next(iter(self._pod_addresses(sandbox)), "")

    def _target(self, name: str) -> str:
        """Return the id of the container whose processes an ephemeral container is to see."""
        for ephemeral in self.pod.spec.ephemeral_containers:
            if ephemeral.name == name and ephemeral.target_container_name:
                instance = self.view.latest(ephemeral.target_container_name)
                return instance.id if instance is not None else ""
        return ""


def _projects(pod: Pod) -> bool:
    """Whether the Pod has volumes whose content can change."""
    return any(v.config_map or v.secret or v.downward_api or v.projected for v in pod.spec.volumes)


def _tells_differently(before: Pod, now: Pod) -> bool:
    """Whether what the Downward API gives of a Pod, and what can change, has changed."""
    if not any(volume.downward_api or volume.projected for volume in now.spec.volumes):
        return False
    old, new = before.metadata, now.metadata
    if (old.labels, old.annotations) != (new.labels, new.annotations):
        return True
    return before.spec.containers != now.spec.containers
