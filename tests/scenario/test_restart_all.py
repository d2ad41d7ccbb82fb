"""RestartAllContainers on one node: the whole Pod begins anew in its place, told to the API all the way."""

from __future__ import annotations

import json
from typing import Any

from podling.runtime.sim.runtime import Fault
from tests.scenario.node import OneNode, gone, running

RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}


def watched(*rounds: dict[str, Any]) -> dict[str, Any]:
    script = {"setup": {"runs": [{"lasts": 2}, {"lasts": 3}]}, "watcher": {"runs": list(rounds)}}
    return {
        "script": json.dumps(script | {"web": {"runs": [{"ignoresSigterm": True}]}}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "initContainers": [
            {"name": "setup", "image": "busybox"},
            {"name": "watcher", "image": "busybox", "restartPolicy": "Always", "restartPolicyRules": [RULE]},
        ],
        "containers": [
            {
                "name": "web",
                "image": "busybox",
                "lifecycle": {"preStop": {"sleep": {"seconds": 20}}},
            }
        ],
    }


def test_the_whole_pod_begins_anew(run):
    """At the watcher's exit all die at once, hooks and grace aside; init runs again; address, phase and name stay."""

    async def main():
        async with OneNode() as node:
            await node.create(**watched({"lasts": 10, "exitCode": 88}, {}))
            assert await node.until(running) == 2
            before = await node.pod()
            assert await node.until(lambda pod: not running(pod)) == 12
            assert await node.until(running) == 15
            after = await node.pod()
            assert after.status.pod_ip == before.status.pod_ip
            assert after.status.phase == "Running"
            told_of = (*after.status.init_container_statuses, *after.status.container_statuses)
            counts = {told.name: told.restart_count for told in told_of}
            assert counts == {"setup": 1, "watcher": 1, "web": 1}
            (web,) = after.status.container_statuses
            assert web.last_state.terminated.exit_code == 137
            (told,) = [c for c in after.status.conditions if c.type == "AllContainersRestarting"]
            assert (told.status, told.observed_generation) == ("False", 1)
            reasons = [e.reason for e in await node.events()]
            assert reasons.count("Killing") == 1
            assert "FailedPreStopHook" not in reasons

    run(main())


def restarting(pod: Any) -> bool:
    conditions = pod.status.conditions if pod is not None else ()
    return any(c.type == "AllContainersRestarting" and c.status == "True" for c in conditions)


def test_a_kubelet_that_was_killed_meanwhile_goes_on_with_it(run):
    """Killed while containers die, and back a minute later: told all the while, gone through with, once."""

    async def main():
        async with OneNode() as node:
            await node.create(**watched({"lasts": 10, "exitCode": 88}, {}))
            await node.until(running)
            node.runtime.faults["stop_container"] = Fault(1, 5.0, "Unavailable", "not now")
            assert await node.until(restarting) == 12
            state = await node.stop_kubelet()
            await node.clock.advance(60)
            assert restarting(await node.pod())
            await node.start_kubelet(state)
            await node.until(lambda pod: running(pod) and not restarting(pod), limit=10)
            pod = await node.pod()
            told_of = (*pod.status.init_container_statuses, *pod.status.container_statuses)
            assert {told.name: told.restart_count for told in told_of} == {"setup": 1, "watcher": 1, "web": 1}

    run(main())


def test_a_pod_that_is_deleted_meanwhile_goes(run):
    """Deletion goes before beginning anew, and has its hooks and grace again."""

    async def main():
        async with OneNode() as node:
            await node.create(**watched({"lasts": 10, "exitCode": 88}, {}))
            await node.until(running)
            node.runtime.faults["stop_container"] = Fault(1, 5.0, "Unavailable", "not now")
            await node.until(restarting)
            await node.delete(grace=3)
            assert await node.until(gone, limit=60) < 30
            assert await node.runtime.list_sandboxes() == []

    run(main())
