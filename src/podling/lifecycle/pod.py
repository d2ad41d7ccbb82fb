"""What to do next for a Pod: the heart of the heart.

Owns `plan`: from what is wanted (the specification, a deletion) and what is there (facts) to the actions that are due
now and the next instant at which something will be due without anything having happened. Knows no runtime, no API, no
time but `now`. The way of a Pod, as the plan walks it:

    volumes ─┐
    sandbox ─┼─▶ init 1 ─▶ init 2 ─▶ sidecar started ─▶ … ─▶ all main containers ─▶ restarts, each with its back-off
    image ───┘                                                      │
                 ending ◀─ deletion, deadline, rejection, all done ─┤
                   │                                  RestartAllContainers: kill, forget, and from init 1 again
                   └─▶ let go by Services ─▶ kill main ─▶ kill sidecars, last first ─▶ stop sandbox ─▶ delete from the
                       API ─▶ tear down

Invariants, each held by a test: an action whose key is busy is not planned again; no container is planned to start
while an instance of it lives, nor an instance twice; nothing is started once an end is known; sandbox, volumes and the
images of the first containers are prepared side by side; the plan for unchanged facts at an unchanged instant is the
same plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from podling.api.durations import go_duration
from podling.api.pods import is_sidecar, sidecars
from podling.lifecycle.actions import (
    Abandon,
    Action,
    CreateContainer,
    DeleteFromApi,
    EnsureImage,
    KillContainer,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    ResizePod,
    RunPreStop,
    RunSandbox,
    StartContainer,
    StopSandbox,
    TearDown,
)
from podling.lifecycle.container import Stage
from podling.lifecycle.letting_go import stop_at
from podling.lifecycle.resize import is_pending, is_pod_resized, needs_restart, resized
from podling.lifecycle.restart import (
    UPSTREAM,
    Policy,
    restart_at,
    restarts,
    restarts_after_probe,
    successors_back_off,
)
from podling.lifecycle.restart_all import LEAST_ROUND, asks_for_all, instances, is_restarting_all
from podling.lifecycle.specs import container_named, full_name
from podling.lifecycle.termination import Cause, Ending, active_deadline, kill_deadline, ordered_ending, probe_grace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from podling.lifecycle.facts import ContainerFacts, PodView
    from podling.lifecycle.specs import AnyContainer


class Waiting(Struct, frozen=True):
    """Why a container does not run: upstream's reason and message."""

    reason: str
    message: str = ""


class PodPlan(Struct, frozen=True):
    """What is due now, and when to ask again at the latest."""

    actions: tuple[Action, ...] = ()
    deadline: float | None = None
    ending: Ending | None = None
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """By container name, where there is more to say than that it is being created."""
    done: bool = False
    """Nothing is left to do for this Pod, ever."""


def plan(view: PodView, now: float, policy: Policy = UPSTREAM) -> PodPlan:
    """Return what is due for a Pod at `now`."""
    due = _Due(view, now, policy)
    ending = ordered_ending(view, now)
    if ending is None and is_restarting_all(view):
        due.set_back()
        return PodPlan(tuple(due.actions), due.deadline)
    if ending is None and _is_finished(view):
        ending = Ending(Cause.FINISHED)
    if ending is not None:
        done = due.end(ending)
        return PodPlan(tuple(due.actions), due.deadline, ending, {}, done)
    due.go_on()
    return PodPlan(tuple(due.actions), due.deadline, None, due.waiting)


def _is_finished(view: PodView) -> bool:
    """Whether the Pod has come to its own end: main containers dead for good, or an init container failed for good."""
    for container in view.pod.spec.init_containers:
        instance = view.latest(container.name)
        if is_sidecar(container) or instance is None or not instance.is_dead:
            continue
        if not instance.succeeded and not _has_successor(view, container, instance):
            return True
    for main in view.pod.spec.containers:
        instance = view.latest(main.name)
        if instance is None or not instance.is_dead or _has_successor(view, main, instance):
            return False
    return True


def _has_successor(view: PodView, container: AnyContainer, instance: ContainerFacts) -> bool:
    return _is_wanted_again(view, container, instance) or _is_outdated(view, container, instance)


def _is_wanted_again(view: PodView, container: AnyContainer, instance: ContainerFacts) -> bool:
    """Whether a dead instance has a successor; one that a probe condemned has, whatever it exited with."""
    if view.failed_probe(instance) and restarts_after_probe(view.pod, container):
        return True
    return restarts(view.pod, container, instance)


def _is_outdated(view: PodView, container: AnyContainer, instance: ContainerFacts) -> bool:
    """Whether a container runs anew whatever its policy says: its image was changed, or a resize asks for it."""
    if bool(instance.image) and bool(container.image) and instance.image != container.image:
        return True
    return view.resize_refusal is None and needs_restart(container, instance)


class _Due:
    """Collects the actions of one plan; lives no longer than the call."""

    def __init__(self, view: PodView, now: float, policy: Policy) -> None:
        self._view = view
        self._now = now
        self._policy = policy
        self.actions: list[Action] = []
        self.deadline: float | None = None
        self.waiting: dict[str, Waiting] = {}

    def go_on(self) -> None:
        """Plan for a Pod that is to live."""
        view = self._view
        ends = active_deadline(view.pod)
        if ends is not None:
            self._not_before(ends)
        self._keep_volumes()
        self._keep_sandbox()
        self._replace_outdated()
        self._kill_unhealthy()
        self._resize()
        for container in self._wanted():
            self._bring_up(container)
        for container_id, name in self._superfluous():
            self._do(RemoveContainer(name, container_id))

    def set_back(self) -> None:
        """Plan for a Pod whose containers all begin anew: what runs dies at once, and every instance is forgotten."""
        view = self._view
        ends = active_deadline(view.pod)
        if ends is not None:
            self._not_before(ends)
        alive = [container for container in view.containers if container.is_running]
        for instance in alive:
            kill = KillContainer(instance.name, instance.id, self._now, f"Stopping container {instance.name}")
            promised = view.busy.get(kill.key)
            if promised is not None and promised > self._now:
                self.actions.append(kill)
            else:
                self._do(kill)
        if alive or any(key.startswith("container/") for key in view.busy):
            return
        asking = [instance for instance in instances(view) if asks_for_all(view, instance)]
        at = max((instance.created + LEAST_ROUND for instance in asking), default=self._now)
        if self._now < at:
            self._not_before(at)
            return
        others = [instance for instance in instances(view) if instance not in asking]
        for instance in others or asking:
            self._do(RemoveContainer(instance.name, instance.id))

    def end(self, ending: Ending) -> bool:
        """Plan for a Pod that has to end; return whether nothing is left to do."""
        view = self._view
        for key in view.busy:
            if key.startswith("image/") or (key == "volumes" and not view.volumes_ready):
                self._do(Abandon(key))
        self._give_up_hooks()
        if (ending.cause is Cause.DELETED and self._is_held()) or self._still_killing():
            return False
        if any(key == "sandbox" or key.startswith("container/") for key in view.busy):
            return False
        if view.sandbox is not None:
            self._do(StopSandbox(view.sandbox.id))
            return False
        if ending.cause is Cause.DELETED and not view.released:
            self._do(DeleteFromApi())
            return False
        if ending.cause is not Cause.VANISHED:
            return False
        for sandbox in view.sandboxes:
            self._do(RemoveSandbox(sandbox.id))
        if not view.sandboxes and not view.torn_down:
            self._do(TearDown())
        return not view.sandboxes and view.torn_down and not view.busy

    def _give_up_hooks(self) -> None:
        alive = {container.id for container in self._view.containers if container.is_running}
        for key in self._view.busy:
            if key.startswith("prestop/") and key.removeprefix("prestop/") not in alive:
                self._do(Abandon(key))

    def _is_held(self) -> bool:
        """Whether SIGTERM waits for Services to let the Pod go; its preStop hooks run meanwhile."""
        view = self._view
        if not any(container.is_running for container in view.containers):
            return False
        if any(key.startswith("kill/") for key in view.busy):
            return False
        at = stop_at(view, self._now, self._policy)
        if self._now >= at:
            return False
        self._not_before(at)
        self._run_pre_stops([container.name for container in view.containers])
        return True

    def _still_killing(self) -> bool:
        """Kill in order: main, init and ephemeral containers together, then the sidecars from the last."""
        view = self._view
        names = [container.name for container in sidecars(view.pod)]
        others = [c for c in view.containers if c.is_running and c.name not in names]
        if others:
            self._kill(others)
            self._run_pre_stops(names)
            return True
        for name in reversed(names):
            running = [c for c in view.containers if c.is_running and c.name == name]
            if running:
                self._kill(running)
                return True
        return False

    def _run_pre_stops(self, names: Sequence[str]) -> None:
        """Let the hooks of those whose turn has not come run already: only their SIGTERM waits."""
        deadline = kill_deadline(self._view, self._now)
        for instance in self._view.containers:
            container = container_named(self._view.pod, instance.name)
            hooks = container.lifecycle if container is not None else None
            if instance.name not in names or not instance.is_running or hooks is None or hooks.pre_stop is None:
                continue
            if instance.id not in self._view.pre_stopped and deadline > self._now:
                self._do(RunPreStop(instance.name, instance.id, deadline))

    def _kill(self, containers: Sequence[ContainerFacts]) -> None:
        deadline = kill_deadline(self._view, self._now)
        for container in containers:
            kill = KillContainer(container.name, container.id, deadline, f"Stopping container {container.name}")
            promised = self._view.busy.get(kill.key)
            if promised is None:
                self._do(kill)
            elif promised > deadline:
                self.actions.append(kill)

    def _keep_volumes(self) -> None:
        stale_at = self._view.volumes_stale_at
        if self._view.volumes_ready and (stale_at is None or self._now < stale_at):
            if stale_at is not None:
                self._not_before(stale_at)
        else:
            self._do(PrepareVolumes())

    def _keep_sandbox(self) -> None:
        view = self._view
        for old in view.sandboxes[:-2]:
            self._do(RemoveSandbox(old.id))
        if view.sandbox is not None:
            return
        lost = view.sandboxes[-1] if view.sandboxes else None
        self._do(RunSandbox(lost.attempt + 1, lost.id) if lost is not None else RunSandbox(0))

    def _replace_outdated(self) -> None:
        for container in self._view.pod.spec.containers:
            instance = self._view.latest(container.name)
            if instance is not None and instance.is_running and _is_outdated(self._view, container, instance):
                change = "definition changed, will be restarted"
                if instance.image == container.image:
                    change = "resize requires restart"
                message = f"Container {container.name} {change}"
                deadline = kill_deadline(self._view, self._now)
                self._do(KillContainer(container.name, instance.id, deadline, message))

    def _resize(self) -> None:
        """Give running containers what is asked for by now; look again from time to time where there is no room."""
        if not is_pending(self._view):
            return
        if self._view.resize_refusal is not None:
            self._not_before(self._now + self._policy.resize_retry)
            return
        due = [(c, instance) for c, instance in resized(self._view) if not needs_restart(c, instance)]
        for container, instance in due:
            self._do(ResizeContainer(container.name, instance.id, instance.sandbox))
        if not due and is_pod_resized(self._view) and self._view.sandbox is not None:
            self._do(ResizePod(self._view.sandbox.id))

    def _kill_unhealthy(self) -> None:
        """Kill what a liveness or startup probe has condemned; the probe's own grace goes before the Pod's."""
        pod = self._view.pod
        for container in (*sidecars(pod), *pod.spec.containers):
            instance = self._view.latest(container.name)
            failed = self._view.failed_probe(instance) if instance is not None else ""
            if instance is None or not failed or not instance.is_running:
                continue
            message = f"Container {container.name} failed {failed.lower()} probe"
            if container in pod.spec.init_containers:
                message = f"Init c{message[1:]}"
            elif restarts_after_probe(pod, container):
                message += ", will be restarted"
            grace = probe_grace(pod, container, failed)
            self._do(KillContainer(container.name, instance.id, self._now + grace, message))

    def _wanted(self) -> Iterator[AnyContainer]:
        """Yield the containers that are to run now."""
        view = self._view
        spec = view.pod.spec
        current = view.sandbox.id if view.sandbox is not None else ""
        if any(self._is_in(current, container) for container in spec.containers):
            yield from sidecars(view.pod)
        else:
            for container in spec.init_containers:
                instance = view.latest(container.name)
                here = instance if instance is not None and instance.sandbox == current else None
                if is_sidecar(container):
                    yield container
                    if here is None or not view.is_started(here):
                        return
                elif here is None or not here.succeeded:
                    yield container
                    return
        for container in spec.containers:
            yield container
            if self._holds_up(container):
                break
        yield from spec.ephemeral_containers

    def _holds_up(self, container: AnyContainer) -> bool:
        """Whether the containers after this one wait: it is on its way, and its postStart hook is to be over first."""
        if container.lifecycle is None or container.lifecycle.post_start is None:
            return False
        if f"container/{container.name}" in self._view.busy:
            return True
        instance = self._view.latest(container.name)
        if instance is None:
            failed = (f"{step}/{container.name}" in self._view.failures for step in ("image", "container"))
            return not any(failed)
        return instance.stage is Stage.CREATED

    def _is_in(self, sandbox: str, container: AnyContainer) -> bool:
        instance = self._view.latest(container.name)
        return instance is not None and instance.sandbox == sandbox

    def _bring_up(self, container: AnyContainer) -> None:
        """Plan the next step towards a living instance of a container."""
        view = self._view
        instance = view.latest(container.name)
        sandbox = view.sandbox
        if instance is not None and not instance.is_dead:
            created_here = sandbox is not None and instance.sandbox == sandbox.id
            if instance.stage is Stage.CREATED and created_here:
                self._do(StartContainer(container.name, instance.id))
            if instance.is_running or created_here:
                return
        if instance is not None and instance.is_dead and not self._may_succeed(container, instance):
            return
        self._tell_failure(container.name)
        attempt = self._next_attempt(container.name, instance)
        image = view.images.get(container.name)
        if image is None or image.attempt != attempt:
            self._do(EnsureImage(container.name, attempt))
            return
        if sandbox is None or not view.volumes_ready:
            return
        back_off = successors_back_off(instance, self._policy.crash)
        self._do(CreateContainer(container.name, attempt, sandbox.id, image.image_id, back_off))

    def _may_succeed(self, container: AnyContainer, dead: ContainerFacts) -> bool:
        """Whether the successor of a dead instance may be made now; says why where it must wait."""
        sandbox = self._view.sandbox
        if container in self._view.pod.spec.init_containers and (sandbox is None or dead.sandbox != sandbox.id):
            return True  # a new sandbox is initialised from the beginning
        if _is_outdated(self._view, container, dead):
            return True
        if not _is_wanted_again(self._view, container, dead):
            return False
        at = restart_at(dead, self._policy.crash, self._condemned_after(dead))
        if self._now >= at:
            return True
        self._not_before(at)
        self.waiting[container.name] = Waiting(
            "CrashLoopBackOff",
            f"back-off {go_duration(dead.back_off)} restarting failed container={container.name} "
            f"pod={full_name(self._view.pod)}",
        )
        return False

    def _condemned_after(self, dead: ContainerFacts) -> float | None:
        """Return how long after its predecessor's death a condemned instance died; none if it died by itself."""
        if not self._view.failed_probe(dead) or dead.finished is None:
            return None
        earlier = [c for c in self._view.containers if c.name == dead.name and c.attempt < dead.attempt]
        # A predecessor that was cleared away had died by the time this one was made.
        return dead.finished - max((c.finished for c in earlier if c.finished is not None), default=dead.created)

    def _next_attempt(self, name: str, latest: ContainerFacts | None) -> int:
        """Return the attempt after all that are known, to the runtime or to the API: restart counts never fall."""
        known = latest.attempt if latest is not None else -1
        status = self._view.pod.status
        for told in (*status.container_statuses, *status.init_container_statuses):
            if told.name == name:
                known = max(known, told.restart_count if told.container_id else told.restart_count - 1)
        return known + 1

    def _tell_failure(self, name: str) -> None:
        for key in (f"image/{name}", f"container/{name}"):
            failure = self._view.failures.get(key)
            if failure is None:
                continue
            waiting = Waiting(failure.reason, failure.message)
            if failure.reason == "ErrImagePull":
                backs_off = failure.at + self._policy.image_failure_shown
                if self._now >= backs_off and key not in self._view.busy:
                    image = failure.image or _image_of(self._view, name)
                    message = f'Back-off pulling image "{image}": ErrImagePull: {failure.message}'
                    waiting = Waiting("ImagePullBackOff", message)
                else:
                    self._not_before(backs_off)
            self.waiting[name] = waiting

    def _superfluous(self) -> Iterator[tuple[str, str]]:
        """Yield dead instances beyond the newest and the one before it, which is `lastState` and `logs --previous`."""
        seen: dict[str, int] = {}
        for container in sorted(self._view.containers, key=lambda c: -c.attempt):
            seen[container.name] = seen.get(container.name, 0) + 1
            if seen[container.name] > 2 and container.is_dead:
                yield container.id, container.name

    def _may_try(self, key: str) -> bool:
        """Whether a step that failed before has waited long enough."""
        failure = self._view.failures.get(key)
        if failure is None:
            return True
        back_off = self._policy.image if key.startswith("image/") else self._policy.step
        at = failure.at + back_off.after_failures(failure.count)
        if self._now >= at:
            return True
        self._not_before(at)
        return False

    def _do(self, action: Action) -> None:
        """Plan an action, unless its key is busy or has failed too short a while ago."""
        if action.key not in self._view.busy and self._may_try(action.key):
            self.actions.append(action)

    def _not_before(self, at: float) -> None:
        if at > self._now and (self.deadline is None or at < self.deadline):
            self.deadline = at


def _image_of(view: PodView, name: str) -> str:
    container = container_named(view.pod, name)
    return container.image if container is not None else ""
