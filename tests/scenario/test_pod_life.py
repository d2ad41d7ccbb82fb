"""One Pod's life on one node, from the API's side, with exact instants."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_network

from podling.api.types.core_v1 import Pod
from podling.runtime.sim import ImageScript, Run, Script
from tests.scenario.node import OneNode, gone, phase, running


def script(*runs: dict[str, object]) -> str:
    return json.dumps({"web": {"runs": list(runs)}})


def attempt(count: int) -> Callable[[Pod | None], bool]:
    """Whether the container's attempt of that number runs."""

    def holds(pod: Pod | None) -> bool:
        told = pod.status.container_statuses[0] if pod is not None and pod.status.container_statuses else None
        return told is not None and told.restart_count == count and told.state.running is not None

    return holds


def test_a_pod_comes_runs_and_goes(run):
    """Created, Ready after pull and start, asked to go, SIGTERM ignored, killed after its grace, gone."""

    async def main():
        images = {"busybox": ImageScript(pull_latency=2.5, size=4321)}
        async with OneNode(images) as node:
            await node.create(script=script({"startLatency": 0.5, "ignoresSigterm": True}))
            await node.clock.advance(1)
            pod = await node.pod()
            assert pod.status.container_statuses[0].state.waiting.reason == "ContainerCreating"
            assert pod.status.phase == "Pending"
            ready = await node.until(running)
            assert ready == 3.0
            pod = await node.pod()
            assert pod.status.phase == "Running"
            assert pod.status.pod_ip == "10.88.0.2"
            assert pod.status.host_ip == "192.0.2.1"
            assert pod.status.qos_class == "BestEffort"
            told = pod.status.container_statuses[0]
            assert told.ready and told.started and told.restart_count == 0
            assert told.container_id.startswith("sim://")
            assert {c.type: c.status for c in pod.status.conditions} == {
                "PodReadyToStartContainers": "True",
                "Initialized": "True",
                "Ready": "True",
                "ContainersReady": "True",
                "PodScheduled": "True",
            }
            await node.delete(grace=1)
            assert await node.until(gone) - ready == 1.0
            events = [(e.reason, e.message) for e in await node.events()]
            assert events == [
                ("Pulling", 'Pulling image "busybox"'),
                (
                    "Pulled",
                    'Successfully pulled image "busybox" in 2.5s (2.5s including waiting). Image size: 4321 bytes.',
                ),
                ("Created", "Container created"),
                ("Started", "Container started"),
                ("Killing", "Stopping container web"),
            ]
            await node.clock.settle()
            assert await node.runtime.list_sandboxes() == []
            assert len(node.kubelet.workers) == 0

    run(main())


def test_a_crashing_pod_backs_off(run):
    """Restarts at once, after 10 s and after 20 s; the status and the events say why it waits."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script({"lasts": 1, "exitCode": 2}))
            starts = [await node.until(attempt(count)) for count in range(4)]
            assert starts == [0.0, 1.0, 12.0, 33.0]
            await node.clock.advance(2)
            told = (await node.pod()).status.container_statuses[0]
            assert told.state.waiting.reason == "CrashLoopBackOff"
            assert told.last_state.terminated.exit_code == 2
            assert (await node.pod()).status.phase == "Running"
            back_offs = [e for e in await node.events() if e.reason == "BackOff"]
            assert back_offs[0].message.startswith("Back-off restarting failed container web in pod web_default(")

    run(main())


def test_a_pod_that_ends_well_succeeds_and_keeps_its_record(run):
    """Under Never an exit with 0 is Succeeded; address and exit code stay told, and deletion is immediate."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script({"lasts": 5}), restartPolicy="Never")
            assert round(await node.until(phase("Succeeded"))) == 5
            pod = await node.pod()
            assert pod.status.pod_ip == "10.88.0.2"
            assert pod.status.container_statuses[0].state.terminated.reason == "Completed"
            ready = next(c for c in pod.status.conditions if c.type == "Ready")
            assert (ready.status, ready.reason) == ("False", "PodCompleted")
            before = node.clock.monotonic()
            await node.delete()
            assert await node.until(gone) == before

    run(main())


def test_a_restarted_kubelet_changes_nothing(run):
    """After a restart the same containers run on: same ids, same counts, nothing started, Ready throughout."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script({"lasts": 1, "exitCode": 1}, {}))
            await node.until(lambda pod: running(pod) and pod.status.container_statuses[0].restart_count == 1)
            before = (await node.pod()).status
            state = await node.stop_kubelet()
            await node.clock.advance(30)
            await node.start_kubelet(state)
            await node.clock.advance(30)
            after = (await node.pod()).status
            assert after == before
            assert [e.count for e in await node.events() if e.reason == "Started"] == [2]

    run(main())


def test_a_kubelet_killed_in_the_middle_of_a_start_starts_nothing_twice(run):
    """Killed at any moment of a start, it goes on from what the runtime has: one container, attempt 0."""

    async def main(after: float):
        async with OneNode({"busybox": ImageScript(pull_latency=1)}) as node:
            await node.create(script=script({"createLatency": 1, "startLatency": 1}))
            await node.clock.advance(after)
            await node.start_kubelet(await node.stop_kubelet())
            await node.until(running)
            told = (await node.pod()).status.container_statuses[0]
            assert told.restart_count <= 1
            alive = [c for c in await node.runtime.list_containers() if c.started is not None and c.finished is None]
            assert len(alive) == 1

    for after in (0.5, 1.5, 2.5, 3.5):
        run(main(after))


def test_a_pod_deleted_while_the_kubelet_was_away_is_swept(run):
    """What the API no longer has when the kubelet comes back is ended and removed."""

    async def main():
        async with OneNode() as node:
            await node.create()
            await node.until(running)
            state = await node.stop_kubelet()
            await node.delete(grace=0)
            await node.start_kubelet(state)
            await node.clock.advance(5)
            assert await node.runtime.list_sandboxes() == []

    run(main())


def test_a_reboot_restarts_what_restarts(run):
    """A lost sandbox is made anew, with an event, and the container's count goes up by one."""

    async def main():
        async with OneNode() as node:
            await node.create()
            await node.until(running)
            node.runtime.reboot()
            await node.until(lambda pod: running(pod) and pod.status.container_statuses[0].restart_count == 1)
            assert "SandboxChanged" in [e.reason for e in await node.events()]

    run(main())


def test_a_missing_config_map_is_told_and_waited_for(run):
    """CreateContainerConfigError with upstream's words; the Pod starts once the object is there."""

    async def main():
        async with OneNode() as node:
            env = [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "mode"}}}]
            await node.create(containers=[{"name": "web", "image": "busybox", "env": env}])
            await node.clock.advance(1)
            waiting = (await node.pod()).status.container_statuses[0].state.waiting
            assert (waiting.reason, waiting.message) == ("CreateContainerConfigError", 'configmap "conf" not found')
            await node.api.post(
                "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "conf"}, "data": {"mode": "x"}}
            )
            await node.until(running, limit=15)

    run(main())


def test_a_pull_that_fails_backs_off(run):
    """ErrImagePull, ImagePullBackOff, and Running when the registry is back."""

    async def main():
        async with OneNode({"busybox": ImageScript(pull_failures=1, message="no route to host")}) as node:
            await node.create()
            await node.clock.advance(0.5)
            waiting = (await node.pod()).status.container_statuses[0].state.waiting
            assert (waiting.reason, waiting.message) == ("ErrImagePull", "no route to host")
            await node.clock.advance(1)
            assert (await node.pod()).status.container_statuses[0].state.waiting.reason == "ImagePullBackOff"
            assert await node.until(running) == 10.0
            assert [e.message for e in await node.events() if e.reason == "Failed"] == [
                'Failed to pull image "busybox": no route to host',
                "Error: ErrImagePull",
                "Error: ImagePullBackOff",
            ]

    run(main())


def test_a_pod_without_room_is_refused(run):
    """A Pod bound past the scheduler to a full node fails with OutOfcpu, and nothing of it runs."""

    async def main():
        async with OneNode() as node:
            asks = {"requests": {"cpu": "3"}}
            await node.create("first", containers=[{"name": "web", "image": "busybox", "resources": asks}])
            await node.until(running, "first")
            await node.create("second", containers=[{"name": "web", "image": "busybox", "resources": asks}])
            await node.until(phase("Failed"), "second")
            status = (await node.pod("second")).status
            assert status.reason == "OutOfcpu"
            assert status.message == (
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
            )
            assert len(await node.runtime.list_sandboxes()) == 1

    run(main())


def test_the_node_is_registered_ready_and_kept_alive(run):
    """The Node is Ready at once with upstream's words; its lease is renewed each ten seconds."""

    async def main():
        from podling.api.resources import LEASES

        async with OneNode() as node:
            told = await node.node()
            ready = next(c for c in told.status.conditions if c.type == "Ready")
            assert (ready.status, ready.reason, ready.message) == (
                "True",
                "KubeletReady",
                "kubelet is posting ready status",
            )
            assert told.status.allocatable["cpu"] == "4"
            version = told.metadata.resource_version
            await node.clock.advance(25)
            lease = await node.client.get(LEASES, "node", "kube-node-lease")
            assert lease.spec.renew_time == "2023-11-14T22:13:40.000000Z"
            assert (await node.node()).metadata.resource_version == version
            await node.clock.advance(300)
            assert (await node.node()).metadata.resource_version != version

    run(main())


def test_scripts_come_from_images_too(run):
    """An image's own script drives the containers made from it."""

    async def main():
        images = {"job": ImageScript(script=Script((Run(lasts=3, exit_code=7),)))}
        async with OneNode(images) as node:
            await node.create(containers=[{"name": "web", "image": "job"}], restartPolicy="Never")
            assert round(await node.until(phase("Failed"))) == 3

    run(main())


def test_a_pod_that_its_network_gives_more_addresses_than_it_tells(run):
    """Of what wires it, in whatever order, the status has the first address of each family, the node's before the other."""

    async def main():
        async with OneNode() as node:
            node.runtime._networks = [
                ip_network(text) for text in ("fd00::/64", "10.1.0.0/16", "10.2.0.0/16", "fd01::/64")
            ]
            await node.create()
            await node.until(running)
            status = (await node.pod()).status
            four, six = (each.ip for each in status.pod_ips)
            assert status.pod_ip == four
            assert four.startswith("10.1.")
            assert six.startswith("fd00:")

    run(main())
