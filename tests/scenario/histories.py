"""What must never be seen of a Pod, whatever happens: looked for at every instant of a simulated cluster's time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from podling.api.errors import StatusError
from podling.api.resources import PODS
from tests.scenario.test_chaos import Chaos

if TYPE_CHECKING:
    from podling.aio.chance import Chance
    from podling.api.types.core_v1 import Pod
    from podling.testing.cluster import SimulatedCluster

GATE = "example.org/open"
MOST_PODS = 60
HEARD_WITHIN = 120.0
"""Seconds: a node may be away, and a lost event is made up for by the next listing."""


class Invariants:
    """Looks at the API and at every node; an `AssertionError` names what was seen."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._starts: dict[str, float] = {}
        self._dead: dict[str, None] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._final: dict[str, str] = {}
        self._deleted: dict[str, str] = {}
        self._opened: dict[str, None] = {}
        self._shut: dict[str, float] = {}
        self.looks = 0

    def look(self) -> bool:
        """Check everything; never true, so that it serves as a condition that time runs past."""
        self.looks += 1
        for pod in self._cluster.list(PODS):
            self._told(pod)
        for name, node in self._cluster.nodes.items():
            self._held(name, node.runtime._state)
        return False

    def _told(self, pod: Pod) -> None:
        uid, who = pod.metadata.uid, f"{pod.metadata.namespace}/{pod.metadata.name}"
        status = pod.status
        final = self._final.get(uid)
        assert final is None or status.phase == final, f"{who} left its final phase {final} for {status.phase}"
        if status.phase in ("Succeeded", "Failed"):
            self._final[uid] = status.phase
        for told in (*status.init_container_statuses, *status.container_statuses):
            key = (uid, told.name)
            assert told.restart_count >= self._counts.get(key, 0), f"{who} {told.name}: its restart count fell"
            self._counts[key] = told.restart_count
        marked = pod.metadata.deletion_timestamp
        assert uid not in self._deleted or marked is not None, f"{who} is no longer to be deleted"
        if marked is not None:
            self._deleted[uid] = marked
        conditions = {c.type: c.status for c in status.conditions}
        if conditions.get(GATE) == "True":
            self._opened[uid] = None
        if conditions.get("Ready") != "True":
            self._shut.pop(uid, None)
        else:
            self._gates(who, uid, pod, conditions)
            unready = [told.name for told in status.container_statuses if not told.ready]
            assert not unready, f"{who} is Ready and {unready} are not"

    def _gates(self, who: str, uid: str, pod: Pod, conditions: dict[str, str]) -> None:
        """A gate that was never open keeps a Pod unready; one that is shut does so as soon as its node can have heard."""
        now = self._cluster.clock.monotonic()
        if all(conditions.get(gate.condition_type) == "True" for gate in pod.spec.readiness_gates):
            self._shut.pop(uid, None)
            return
        since = self._shut.setdefault(uid, now)
        late = now - since > HEARD_WITHIN
        assert uid in self._opened and not late, f"{who} is Ready though a gate of it is shut"

    def _held(self, node: str, state: Any) -> None:
        running: dict[tuple[str, str], str] = {}
        for id_, held in state.containers.items():
            one = held.container
            if one.started is not None and one.reason != "StartError":
                assert self._starts.setdefault(id_, one.started) == one.started, f"{node}: {one.name} started twice"
            if one.finished is not None:
                self._dead[id_] = None
            elif one.started is not None:
                assert id_ not in self._dead, f"{node}: {one.name} rose from the dead"
                sandbox = state.sandboxes.get(one.sandbox)
                key = (sandbox.sandbox.uid if sandbox is not None else one.sandbox, one.name)
                assert key not in running, f"{node}: two instances of {one.name} run side by side"
                running[key] = id_

    def at_rest(self) -> None:
        """Check what must be so when nothing has gone wrong for a long time."""
        pods = {pod.metadata.uid: pod for pod in self._cluster.list(PODS)}
        stuck = [pod.metadata.name for pod in pods.values() if pod.metadata.deletion_timestamp is not None]
        assert not stuck, f"deleted, and never gone: {stuck}"
        for name, node in self._cluster.nodes.items():
            held = {sandbox.sandbox.uid for sandbox in node.runtime._state.sandboxes.values()}
            assert held <= pods.keys(), f"{name} holds on to Pods that are gone"
            assert len(node.kubelet.workers) == len([pod for pod in pods.values() if pod.spec.node_name == name]), (
                f"{name}: workers and Pods are not the same"
            )
            known = {f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in pods.values()}
            words = [task.get_name().partition("/")[2] for task in node.supervisor._jobs]
            lost = [w for w in words if w.startswith("probe ") and w.removeprefix("probe ") not in known]
            assert not lost, f"{name}: tasks outlive their Pods: {lost}"


class History(Chaos):
    """Chaos with Pods of every kind: probes that fail for a while, hooks, gates, ends; looked at all the way."""

    def __init__(self, seed: int, chance: Chance | Any | None = None) -> None:
        super().__init__(seed)
        self.chance = chance if chance is not None else self.chance
        self.seen = Invariants(self.cluster)
        self.deeds += [(2, self.turn_gate), (1, self.kill_container), (1, self.cut_power)]

    def _script(self) -> dict[str, Any]:
        run: dict[str, Any] = {}
        if self.one_in(3):
            run["ports"] = {"8080": [{}, {"status": 500, "after": self.chance.below(40)}, {"after": 60}]}
        if self.one_in(4):
            run |= {"lasts": 1 + self.chance.below(30), "exitCode": self.chance.below(2)}
        if self.one_in(5):
            run["ignoresSigterm"] = True
        run["execs"] = {"*": {"lasts": self.chance.below(8), "exitCode": 1 if self.one_in(4) else 0}}
        return run

    async def create(self) -> None:
        self.count += 1
        web: dict[str, Any] = {"name": "c", "image": self.pick(("web", "flaky", "web"))}
        probe = {"httpGet": {"port": 8080}, "periodSeconds": 1 + self.chance.below(5), "failureThreshold": 2}
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            if self.one_in(2):
                web[kind] = probe
        if self.one_in(5):
            rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
            web |= {"restartPolicy": self.pick(("Always", "Never")), "restartPolicyRules": [rule]}
        hook = {"exec": {"command": ["hook"]}}
        if self.one_in(3):
            web["lifecycle"] = {self.pick(("preStop", "postStart")): hook}
        spec: dict[str, Any] = {
            "containers": [web],
            "restartPolicy": self.pick(("Always", "OnFailure", "Never")),
            "terminationGracePeriodSeconds": 1 + self.chance.below(20),
        }
        if self.one_in(3):
            side = {"name": "side", "image": "web", "restartPolicy": "Always", "readinessProbe": probe}
            spec["initContainers"] = [{"name": "init", "image": "web"}, side]
        if self.one_in(4):
            spec["readinessGates"] = [{"conditionType": GATE}]
        if self.one_in(8):
            spec["activeDeadlineSeconds"] = 5 + self.chance.below(60)
        script = {
            "c": {"runs": [self._script(), self._script()]},
            "init": {"runs": [{"lasts": 1 + self.chance.below(5), "exitCode": self.chance.below(2)}, {"lasts": 1}]},
            "side": {"runs": [self._script(), {}]},
        }
        metadata = {
            "name": f"pod-{self.count}",
            "namespace": self.pick(self.namespaces),
            "annotations": {"sim.podling.dev/script": json.dumps(script)},
        }
        await self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def turn_gate(self) -> None:
        gated = [pod for pod in self.cluster.list(PODS) if pod.spec.readiness_gates]
        if gated:
            meta = self.pick(gated).metadata
            condition = {"type": GATE, "status": self.pick(("True", "False"))}
            patch = {"status": {"conditions": [condition]}}
            await self.cluster.client.patch(
                PODS, meta.name, patch, namespace=meta.namespace, kind="strategic", subresource="status"
            )

    async def kill_container(self) -> None:
        """Let a container die as by a signal from outside."""
        lives = self.cluster.nodes[self.node()].runtime._lives
        alive = [id_ for id_ in lives._state.containers if not lives.is_over(id_)]
        running = [id_ for id_ in alive if lives._state.containers[id_].container.started is not None]
        if running:
            lives.die(self.pick(running))

    async def cut_power(self) -> None:
        """Let a node be dead for as long as it may be missed, or longer than its Pods wait for it; then it boots."""
        name = self.node()
        await self.cluster.kill_node(name)
        await self.pass_time(self.pick((20, 60, 360)))
        await self.cluster.restart_node(name)

    async def pass_time(self, seconds: float) -> None:
        try:
            await self.cluster.run_until(self.seen.look, seconds)
        except TimeoutError:
            return

    async def happen(self, steps: int) -> None:
        self.faults.lost_events, self.faults.broken_watches = 0.08, 0.01
        self.faults.conflicts, self.faults.refusals = 0.05, 0.03
        deeds = [deed for weight, deed in self.deeds for _ in range(weight)]
        for _ in range(steps):
            try:
                await self.pick(deeds)()
                if len(self.cluster.list(PODS)) > MOST_PODS:
                    await self.delete()
            except StatusError as refusal:
                assert refusal.code in (403, 404, 409), refusal
            await self.pass_time(self.chance.below(6))

    async def come_to_rest(self) -> None:
        """Take all faults back, delete every other Pod, and see that all comes right."""
        self.faults.heal()
        for node in self.cluster.nodes.values():
            node.runtime.faults.clear()
        await self.pass_time(60)
        for number, pod in enumerate(self.cluster.list(PODS)):
            if number % 2:
                await self.cluster.client.delete(PODS, pod.metadata.name, pod.metadata.namespace)
        await self.pass_time(300)
        self.seen.at_rest()
