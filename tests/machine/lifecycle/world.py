"""A toy node for the plan: performs actions when told to, and keeps what it must never see happen."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from podling.api.times import to_wire
from podling.api.types.core_v1 import Container, ContainerStatus, ObjectMeta, Pod, PodSpec
from podling.lifecycle import actions as act
from podling.lifecycle.facts import ContainerFacts, Failure, ImageReady, PodView, SandboxFacts
from podling.lifecycle.pod import PodPlan, plan
from podling.lifecycle.stages import POD, stage_of
from podling.lifecycle.status import NodeFacts, pod_status

NODE = NodeFacts(("192.0.2.1",), "toy")


def pod(
    *mains: Container, init: tuple[Container, ...] = (), restart: str = "Always", grace: int = 30, **spec: object
) -> Pod:
    """Make a bound Pod."""
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default", uid="u1", generation=1),
        spec=PodSpec(
            containers=mains or (Container(name="web", image="busybox"),),
            init_containers=init,
            restart_policy=restart,
            termination_grace_period_seconds=grace,
            node_name="node",
            **spec,
        ),
    )


class World:
    """One Pod on one node; time moves only by `wait`."""

    def __init__(self, wanted: Pod, now: float = 1000.0) -> None:
        self.now = now
        self.view = PodView(wanted)
        self.pending: dict[str, act.Action] = {}
        self.started: list[str] = []
        self.stages = [stage_of(wanted)]
        self.plan = PodPlan()
        self.gone = False
        self.counts: dict[str, int] = {}
        self._ids = 0

    def look(self) -> PodPlan:
        """Plan, take the due actions under way, and write the status."""
        self.plan = plan(self.view, self.now)
        if self.plan.ending is not None and self.view.stopping_since is None:
            self.view = replace(self.view, stopping_since=self.now)
        for action in self.plan.actions:
            if isinstance(action, act.Abandon):
                self.pending.pop(action.of, None)
                self._busy()
                continue
            held = self.pending.get(action.key)
            assert held is None or isinstance(action, act.KillContainer), f"{action} planned while {held} is busy"
            self._check(action)
            self.pending[action.key] = action
        self._busy()
        if not self.view.vanished:
            self._write_status()
        return self.plan

    def _check(self, action: act.Action) -> None:
        if isinstance(action, act.StartContainer):
            assert action.id not in self.started, "an instance was planned to start twice"
            self.started.append(action.id)
        if isinstance(action, (act.StartContainer, act.CreateContainer)):
            assert self.plan.ending is None, "something was started though an end is known"
            alive = [c for c in self.view.containers if c.name == action.container and c.is_running]
            assert not alive, "a container was planned to start beside a living instance"
        if isinstance(action, act.DeleteFromApi):
            assert not any(c.is_running for c in self.view.containers), "released while a container ran"

    def _write_status(self) -> None:
        before = self.view.pod
        status = pod_status(self.view, self.plan, NODE, self.now)
        for told in (*status.container_statuses, *status.init_container_statuses):
            assert told.restart_count >= self.counts.get(told.name, 0), "a restart count fell"
            self.counts[told.name] = told.restart_count
        if before.status.phase in ("Succeeded", "Failed"):
            assert status.phase == before.status.phase, "a final phase was left"
        if status.phase in ("Succeeded", "Failed"):
            assert not any(c.is_running for c in self.view.containers), "a final phase while a container runs"
        self._set_pod(msgspec.structs.replace(before, status=status))

    def _set_pod(self, new: Pod) -> None:
        self.view = replace(self.view, pod=new)
        stage = stage_of(new)
        if stage is not self.stages[-1]:
            edges = [target for source, _, target in POD.edges() if source is self.stages[-1]]
            assert stage in edges, f"{self.stages[-1]} to {stage} is no edge"
            self.stages.append(stage)

    def perform(self, key: str | None = None, failure: str = "") -> None:
        """Bring one action under way (the first, or the one of `key`) to its end."""
        key = key if key is not None else next(iter(self.pending))
        action = self.pending.pop(key)
        failures = dict(self.view.failures)
        if failure:
            old = failures.get(key)
            failures[key] = Failure(failure, "it did not come off", self.now, (old.count if old else 0) + 1)
        else:
            failures.pop(key, None)
        self.view = replace(self.view, failures=failures)
        if not failure:
            self._apply(action)
        elif isinstance(action, act.StartContainer):
            self._change(action.id, finished=self.now, exit_code=128, reason="StartError")
        self._busy()

    def _apply(self, action: act.Action) -> None:
        view = self.view
        match action:
            case act.PrepareVolumes():
                view = replace(view, volumes_ready=True)
            case act.RunSandbox(attempt=attempt):
                self._ids += 1
                made = SandboxFacts(f"s{self._ids}", attempt, self.now, True, ("10.244.0.9",))
                view = replace(view, sandboxes=(*view.sandboxes, made))
            case act.EnsureImage(container=name, attempt=attempt):
                view = replace(view, images={**view.images, name: ImageReady(attempt, "sha256:1")})
            case act.CreateContainer():
                self._ids += 1
                made_container = ContainerFacts(
                    f"c{self._ids}",
                    action.container,
                    action.attempt,
                    action.sandbox,
                    self.now,
                    back_off=action.back_off,
                )
                view = replace(view, containers=(*view.containers, made_container))
            case act.StartContainer(id=container_id):
                self._change(container_id, started=self.now)
                return
            case act.KillContainer(id=container_id):
                if self._is_running(container_id):
                    self._change(container_id, finished=self.now, exit_code=137)
                return
            case act.RemoveContainer(id=container_id):
                view = replace(view, containers=tuple(c for c in view.containers if c.id != container_id))
            case act.StopSandbox(id=sandbox):
                self._lose(sandbox)
                return
            case act.RemoveSandbox(id=sandbox):
                view = replace(
                    view,
                    sandboxes=tuple(s for s in view.sandboxes if s.id != sandbox),
                    containers=tuple(c for c in view.containers if c.sandbox != sandbox),
                )
            case act.DeleteFromApi():
                view = replace(view, released=True, vanished=True)
            case act.TearDown():
                view = replace(view, torn_down=True, volumes_ready=False)
        self.view = view

    def _lose(self, sandbox: str) -> None:
        self.view = replace(
            self.view,
            sandboxes=tuple(replace(s, ready=False) if s.id == sandbox else s for s in self.view.sandboxes),
        )
        for container in self.view.containers:
            if container.sandbox == sandbox and container.is_running:
                self._change(container.id, finished=self.now, exit_code=137)

    def lose_sandbox(self) -> None:
        """Let the node's machine restart under the Pod."""
        if self.view.sandbox is not None:
            self._lose(self.view.sandbox.id)

    def exits(self, name: str, code: int = 0) -> None:
        """Let the living instance of a container end by itself."""
        for container in self.view.containers:
            if container.name == name and container.is_running:
                self._change(container.id, finished=self.now, exit_code=code)

    def delete(self, grace: int = 30) -> None:
        """Ask for the Pod's deletion through the API."""
        meta = msgspec.structs.replace(
            self.view.pod.metadata,
            deletion_timestamp=to_wire(self.now + grace),
            deletion_grace_period_seconds=grace,
        )
        self._set_pod(msgspec.structs.replace(self.view.pod, metadata=meta))

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def settle(self, limit: int = 200) -> None:
        """Look and perform until nothing is due at this instant."""
        for _ in range(limit):
            self.look()
            if not self.pending:
                return
            self.perform()
        raise AssertionError("the plan does not come to rest")

    def status(self, name: str) -> ContainerStatus:
        told = self.view.pod.status
        return next(s for s in (*told.container_statuses, *told.init_container_statuses) if s.name == name)

    def _is_running(self, container_id: str) -> bool:
        return any(c.id == container_id and c.is_running for c in self.view.containers)

    def _change(self, container_id: str, **facts: object) -> None:
        self.view = replace(
            self.view,
            containers=tuple(replace(c, **facts) if c.id == container_id else c for c in self.view.containers),
        )

    def _busy(self) -> None:
        self.view = replace(
            self.view,
            busy={
                key: action.deadline if isinstance(action, act.KillContainer) else 0.0
                for key, action in self.pending.items()
            },
        )
