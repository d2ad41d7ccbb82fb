"""Probes on one node, from the API's side, with exact instants: what they ask, what follows, what is told."""

from __future__ import annotations

import json

import pytest

from tests.scenario.node import OneNode, gone, running
from tests.scenario.test_pod_life import attempt

HTTP = {"httpGet": {"path": "/healthz", "port": 8080}}
TCP = {"tcpSocket": {"port": 8080}}
GRPC = {"grpc": {"port": 8080, "service": "web"}}
EXEC = {"exec": {"command": ["cat", "/tmp/healthy"]}}


def script(*runs: dict[str, object]) -> str:
    return json.dumps({"web": {"runs": list(runs)}})


def web(**more: object) -> list[dict[str, object]]:
    return [{"name": "web", "image": "busybox", **more}]


def sick(at: float) -> dict[str, object]:
    """A run that is well until `at`, however it is asked."""
    return {
        "ports": {"8080": [{}, {"status": 500, "serving": "NOT_SERVING", "after": at}]},
        "execs": {"*": [{}, {"exitCode": 1, "output": "no such file", "after": at}]},
    }


def told(*wanted: str):
    """Whether the Pod's only container is as the words say."""

    def holds(pod) -> bool:
        status = pod.status.container_statuses[0] if pod is not None and pod.status.container_statuses else None
        if status is None:
            return False
        is_so = {"started": bool(status.started), "ready": status.ready, "unready": not status.ready}
        return all(is_so[word] for word in wanted)

    return holds


async def unhealthy(node: OneNode) -> list[str]:
    return [e.message for e in await node.events() if e.reason == "Unhealthy"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (HTTP, "Liveness probe failed: HTTP probe failed with statuscode: 500"),
        (GRPC, 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")'),
        (EXEC, "Liveness probe failed: no such file"),
    ],
    ids=["http", "grpc", "exec"],
)
def test_liveness_restarts(run, how, words):
    """The third failure in a row kills with upstream's words; the successor starts at once, and is probed anew."""

    async def main():
        async with OneNode() as node:
            probe = {**how, "initialDelaySeconds": 4, "periodSeconds": 5, "failureThreshold": 3}
            await node.create(script=script(sick(20), {}), containers=web(livenessProbe=probe))
            # Asked at 4, 9, 14, 19 and, badly, at 24, 29, 34.
            assert await node.until(attempt(1)) == 34.0
            pod = await node.pod()
            assert pod.status.container_statuses[0].last_state.terminated.exit_code == 143
            assert await unhealthy(node) == [words]
            (event,) = [e for e in await node.events() if e.reason == "Unhealthy"]
            assert (event.count, event.type, event.involved_object.field_path) == (3, "Warning", "spec.containers{web}")
            killing = [e.message for e in await node.events() if e.reason == "Killing"]
            assert killing == ["Container web failed liveness probe, will be restarted"]
            await node.clock.advance(600)
            assert (await node.pod()).status.container_statuses[0].restart_count == 1

    run(main())


def test_a_tcp_probe_that_is_refused(run):
    """Go's words for it; and a container that ignores SIGTERM lives on for its grace."""

    async def main():
        async with OneNode() as node:
            ports = {"8080": [{}, {"refused": True, "after": 5}]}
            await node.create(
                script=script({"ports": ports, "ignoresSigterm": True}, {}),
                containers=web(livenessProbe={**TCP, "periodSeconds": 2, "failureThreshold": 2}),
                terminationGracePeriodSeconds=7,
            )
            assert await node.until(attempt(1)) == 8 + 7
            assert await unhealthy(node) == [
                "Liveness probe failed: dial tcp 10.88.0.2:8080: connect: connection refused"
            ]

    run(main())


@pytest.mark.parametrize("kind", ["livenessProbe", "startupProbe"])
def test_a_probe_has_a_grace_of_its_own(run, kind):
    """The probe's terminationGracePeriodSeconds goes before the Pod's; deletion has the Pod's."""

    async def main():
        async with OneNode() as node:
            probe = {**TCP, "periodSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 3}
            deaf = {"ignoresSigterm": True}
            await node.create(
                script=script({"ports": {"*": {"refused": True}}, **deaf}, deaf),
                containers=web(**{kind: probe}),
                terminationGracePeriodSeconds=40,
            )
            assert await node.until(attempt(1)) == 3.0
            await node.delete()
            assert await node.until(gone) == 43.0

    run(main())


def test_readiness_follows_the_probe(run):
    """Not ready until it succeeds, unready after failures, ready again; conditions carry the exact instants."""

    async def main():
        async with OneNode() as node:
            down = {"status": 503}
            ports = {"8080": [{**down}, {"after": 6}, {**down, "after": 30}, {"after": 60}]}
            await node.create(
                script=script({"ports": ports}),
                containers=web(
                    readinessProbe={**HTTP, "periodSeconds": 5, "successThreshold": 2, "failureThreshold": 2}
                ),
            )
            await node.until(told("started"))
            pod = await node.pod()
            assert pod.status.phase == "Running"
            assert {c.type: c.reason for c in pod.status.conditions if c.status == "False"} == {
                "Ready": "ContainersNotReady",
                "ContainersReady": "ContainersNotReady",
            }
            assert pod.status.conditions[2].message == "containers with unready status: [web]"
            assert await node.until(told("ready")) == 15.0
            assert await node.until(told("unready")) == 35.0
            ready = next(c for c in (await node.pod()).status.conditions if c.type == "Ready")
            assert ready.last_transition_time.endswith(":55Z")  # the world begins at 22:13:20
            assert await node.until(told("ready")) == 65.0
            assert (await node.pod()).status.container_statuses[0].restart_count == 0

    run(main())


def test_the_startup_probe_holds_the_others_back(run):
    """Neither started nor ready, and not killed by liveness, until it has succeeded."""

    async def main():
        async with OneNode() as node:
            ports = {"8080/start": [{"status": 500}, {"after": 25}], "8080": [{"status": 500}, {"after": 20}]}
            await node.create(
                script=script({"ports": ports}),
                containers=web(
                    startupProbe={
                        "httpGet": {"path": "start", "port": 8080},
                        "periodSeconds": 10,
                        "failureThreshold": 30,
                    },
                    readinessProbe={**HTTP, "periodSeconds": 1},
                    livenessProbe={**HTTP, "periodSeconds": 1, "failureThreshold": 1},
                ),
            )
            assert await node.until(told("started")) == 30.0
            assert await node.until(told("ready")) == 30.0
            await node.clock.advance(100)
            assert (await node.pod()).status.container_statuses[0].restart_count == 0
            assert set(await unhealthy(node)) == {"Startup probe failed: HTTP probe failed with statuscode: 500"}

    run(main())


def test_a_startup_probe_that_never_succeeds(run):
    """Killed at its failureThreshold and started again; it backs off as what it is, a crash."""

    async def main():
        async with OneNode() as node:
            await node.create(
                script=script({"ports": {"*": {"refused": True}}}),
                containers=web(startupProbe={**TCP, "periodSeconds": 2, "failureThreshold": 3}),
            )
            starts = [await node.until(attempt(count)) for count in range(5)]
            # Each lives 4 s. Of a row 10, 20, 40 the back-off counts from the death before, if that is longer ago.
            assert starts == [0.0, 4.0, 18.0, 42.0, 86.0]
            message = "Container web failed startup probe, will be restarted"
            assert message in [e.message for e in await node.events() if e.reason == "Killing"]

    run(main())


def test_a_probe_that_hangs_fails_at_its_timeout(run):
    """HTTP, gRPC and exec end at timeoutSeconds, each with its words."""

    async def main(how, words):
        async with OneNode() as node:
            slow = {"ports": {"8080": {"lasts": 60}}, "execs": {"*": {"lasts": 60}}}
            probe = {**how, "timeoutSeconds": 3, "failureThreshold": 1}
            await node.create(script=script(slow, {}), containers=web(livenessProbe=probe))
            assert await node.until(attempt(1)) == 3.0
            assert await unhealthy(node) == [f"Liveness probe failed: {words}"]

    url = "http://10.88.0.2:8080/healthz"
    run(main(HTTP, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'))
    run(main(EXEC, 'command timed out: "cat /tmp/healthy" timed out after 3s'))
    run(main(GRPC, 'timeout: failed to connect service "10.88.0.2:8080" within 3s: context deadline exceeded'))


def test_redirects(run):
    """To the same host they are followed; to another they are a success with a warning; the eleventh is a failure."""

    async def main(location, ready, reason):
        async with OneNode() as node:
            ports = {"8080/healthz": {"status": 302, "location": location}, "8080/well": {"body": "fine"}}
            await node.create(script=script({"ports": ports}), containers=web(readinessProbe=HTTP))
            await node.clock.advance(1)
            assert (await node.pod()).status.container_statuses[0].ready is ready
            events = [(e.reason, e.message) for e in await node.events() if e.type == "Warning"]
            assert events == ([reason] if reason else [])

    run(main("/well", True, None))
    run(main("http://10.88.0.2:8080/well", True, None))
    run(
        main(
            "/none",
            False,
            (
                "Unhealthy",
                'Readiness probe failed: Get "http://10.88.0.2:8080/none": dial tcp 10.88.0.2:8080: connect: connection refused',
            ),
        )
    )
    warning = "Readiness probe warning: Probe terminated redirects, Response body: ok"
    run(main("http://example.org/", True, ("ProbeWarning", warning)))
    stopped = 'Readiness probe failed: Get "/healthz": stopped after 10 redirects'
    run(main("/healthz", False, ("Unhealthy", stopped)))


def test_named_ports_and_missing_ones(run):
    """A port's name is a container port's; a name that nobody has is an error that is told and never counted."""

    async def main():
        async with OneNode() as node:
            named = [{"name": "web", "containerPort": 8080}]
            await node.create(containers=web(ports=named, readinessProbe={"tcpSocket": {"port": "web"}}))
            assert await node.until(told("ready")) == 0.0
            lost = {"tcpSocket": {"port": "lost"}, "failureThreshold": 1, "periodSeconds": 1}
            await node.create("other", containers=web(livenessProbe=lost))
            await node.clock.advance(30)
            assert (await node.pod("other")).status.container_statuses[0].restart_count == 0
            (event,) = [e for e in await node.events("other") if e.reason == "Unhealthy"]
            assert event.message == "Liveness probe errored and resulted in unknown state: port lost not found"

    run(main())


def test_under_never_a_condemned_container_is_the_end(run):
    """The Pod fails; under OnFailure the container is started again though SIGTERM let it exit with 0."""

    async def main(policy, done):
        async with OneNode() as node:
            await node.create(
                script=script({"ports": {"*": {"refused": True}}, "stopExitCode": 0}, {}),
                containers=web(livenessProbe={**TCP, "periodSeconds": 1, "failureThreshold": 2}),
                restartPolicy=policy,
            )
            await node.clock.advance(30)
            pod = await node.pod()
            assert (pod.status.phase, pod.status.container_statuses[0].restart_count) == done
            words = "Container web failed liveness probe" + (", will be restarted" if done[1] else "")
            assert [e.message for e in await node.events() if e.reason == "Killing"] == [words]

    run(main("Never", ("Succeeded", 0)))
    run(main("OnFailure", ("Running", 1)))


def test_readiness_is_asked_while_a_pod_ends(run):
    """Liveness is over when deletion begins; readiness still turns, so that endpoints follow a draining server."""

    async def main():
        async with OneNode() as node:
            ports = {"8080": [{}, {"status": 503, "after": 15}]}
            await node.create(
                script=script({"ports": ports, "stopLatency": 25}),
                containers=web(
                    readinessProbe={**HTTP, "periodSeconds": 2, "failureThreshold": 1},
                    livenessProbe={**HTTP, "periodSeconds": 2, "failureThreshold": 1},
                ),
            )
            await node.until(running)
            await node.clock.advance(10)
            await node.delete()
            await node.clock.advance(1)
            assert (await node.pod()).status.container_statuses[0].ready
            assert await node.until(told("unready")) == 16.0
            assert await node.until(gone) == 35.0
            assert [e.message for e in await node.events() if e.reason == "Killing"] == ["Stopping container web"]

    run(main())


def test_a_restarted_kubelet_keeps_a_ready_pod_ready(run):
    """Probes go on from what was told; a Pod is never unready because its node's agent forgot."""

    async def main():
        async with OneNode() as node:
            probe = {**HTTP, "periodSeconds": 10}
            await node.create(containers=web(startupProbe=probe, readinessProbe=probe, livenessProbe=probe))
            await node.until(running)
            seen = []
            node.seen.on_change(lambda _, new: seen.append(new))
            await node.clock.advance(35)
            before = (await node.pod()).status
            await node.start_kubelet(await node.stop_kubelet())
            await node.clock.advance(35)
            assert (await node.pod()).status == before
            assert len(seen) <= 1  # the object as it was when this test began to listen

    run(main())


def test_no_task_outlives_a_pod(run):
    """When a Pod is gone nothing of its probes is left, a hanging check included."""

    async def main():
        async with OneNode() as node:
            hangs = {"ports": {"*": {"lasts": 1000}}}
            await node.create(script=script(hangs), containers=web(livenessProbe={**HTTP, "timeoutSeconds": 500}))
            await node.clock.advance(5)
            await node.delete(grace=1)
            await node.until(gone, limit=10)
            await node.clock.settle()
            assert not [task for task in node.supervisor._jobs if "probe" in task.get_name()]

    run(main())


def test_probes_go_on_after_their_pods_worker_has_failed(run):
    """A worker that breaks is begun anew, and with it the probes of its containers, which stay what they were."""

    async def main():
        async with OneNode() as node:
            probe = {**HTTP, "periodSeconds": 2, "failureThreshold": 1}
            await node.create(script=script(sick(20), {}), containers=web(readinessProbe=probe, livenessProbe=probe))
            await node.until(running)
            (worker,) = node.kubelet.workers
            observe, worker._shop.effects.observe = worker._shop.effects.observe, None
            worker.kick()
            await node.clock.advance(0.2)
            worker._shop.effects.observe = observe
            assert node.supervisor.failures == 1
            node.supervisor.failures = 0
            await node.clock.advance(2)
            assert running(await node.pod())
            assert await node.until(attempt(1), limit=60) < 25

    run(main())
