"""Hooks and termination on one node, with exact instants: what a hook holds up, costs, and spoils."""

from __future__ import annotations

import json

import pytest

from tests.scenario.node import OneNode, gone, phase, running
from tests.scenario.test_pod_life import attempt

SLEEP = {"exec": {"command": ["wait"]}}


def script(**containers: list[dict[str, object]]) -> str:
    return json.dumps({name: {"runs": runs} for name, runs in containers.items()})


def web(name: str = "web", **hooks: object) -> dict[str, object]:
    made: dict[str, object] = {"name": name, "image": "busybox"}
    return {**made, "lifecycle": hooks} if hooks else made


def hook(seconds: float = 0, code: int = 0, **more: object) -> dict[str, object]:
    """A run whose hook by exec takes so long and exits so."""
    return {"execs": {"wait": {"lasts": seconds, "exitCode": code, "output": "no luck"}}, **more}


async def told(node: OneNode, *reasons: str) -> list[tuple[str, str]]:
    return [(e.reason, e.message) for e in await node.events() if e.reason in reasons]


def test_post_start_holds_up_the_containers_after_it(run):
    """Until the hook is over its container is not told of, and those after it are not begun."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script(web=[hook(5)]), containers=[web(postStart=SLEEP), web("next")])
            await node.clock.advance(4)
            statuses = (await node.pod()).status.container_statuses
            assert [s.state.waiting.reason for s in statuses] == ["ContainerCreating", "ContainerCreating"]
            assert len(await node.runtime.list_containers()) == 1
            assert await node.until(running) == 5.0
            begun = [c.started - 1_700_000_000 for c in await node.runtime.list_containers()]
            assert begun == [0.0, 5.0]

    run(main())


def test_a_container_that_cannot_be_pulled_holds_up_nobody(run):
    """A hook that will not run for now is not waited for."""

    async def main():
        from podling.runtime.sim import ImageScript

        async with OneNode({"lost": ImageScript(pull_failures=-1)}) as node:
            await node.create(containers=[{**web(postStart=SLEEP), "image": "lost"}, web("next")])
            await node.clock.advance(1)
            assert [c.name for c in await node.runtime.list_containers()] == ["next"]

    run(main())


def test_post_start_that_fails_kills_its_container(run):
    """FailedPostStartHook and Killing in upstream's words; the container is begun anew and backs off."""

    async def main():
        async with OneNode() as node:
            runs = [hook(2, 1), hook(2, 1), hook(0)]
            await node.create(script=script(web=runs), containers=[web(postStart=SLEEP)])
            ready = await node.until(running)
            assert ready == 2 + 0.5 + 2 + 10
            status = (await node.pod()).status.container_statuses[0]
            assert (status.restart_count, status.last_state.terminated.exit_code) == (2, 143)
            assert await told(node, "FailedPostStartHook", "Killing") == [
                ("FailedPostStartHook", "PostStartHook failed"),
                ("Killing", "FailedPostStartHook"),
            ]

    run(main())


def test_post_start_that_fails_under_never_fails_the_pod(run):
    """Where nothing is started again the Pod is over."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script(web=[hook(1, 3)]), containers=[web(postStart=SLEEP)], restartPolicy="Never")
            assert await node.until(phase("Failed")) == 1.0

    run(main())


@pytest.mark.parametrize(
    "handler",
    [{"exec": {"command": ["wait"]}}, {"sleep": {"seconds": 25}}, {"httpGet": {"port": 80, "path": "/x"}}],
    ids=["exec", "sleep", "http"],
)
def test_a_pod_deleted_during_post_start(run, handler):
    """The hook ends with its container: SIGTERM comes at once, and nothing waits for a hook that hangs."""

    async def main():
        async with OneNode() as node:
            run = {**hook(100), "ports": {"*": {"lasts": 100}}, "stopLatency": 3}
            await node.create(script=script(web=[run]), containers=[web(postStart=handler)])
            await node.clock.advance(10)
            await node.delete()
            assert await node.until(gone) == 13.0
            assert await told(node, "FailedPostStartHook") == []

    run(main())


def test_pre_stop_and_sigterm_share_the_grace(run):
    """A hook of 12 s leaves 18 of 30 to a container that ignores SIGTERM; Killing is told when the hook begins."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script(web=[hook(12, ignoresSigterm=True)]), containers=[web(preStop=SLEEP)])
            await node.until(running)
            await node.clock.advance(5)
            await node.delete()
            await node.clock.advance(1)
            assert await told(node, "Killing") == [("Killing", "Stopping container web")]
            assert await node.until(gone) == 35.0

    run(main())


def test_pre_stop_comes_before_sigterm(run):
    """The container lives until the hook is over, and then until it has heard SIGTERM."""

    async def main():
        async with OneNode() as node:
            handler = {"sleep": {"seconds": 7}}
            await node.create(script=script(web=[{"stopLatency": 2}]), containers=[web(preStop=handler)])
            await node.until(running)
            await node.delete()
            assert await node.until(gone) == 9.0

    run(main())


def test_pre_stop_that_uses_the_grace_up(run):
    """It is cut off at the end of the grace without an event; SIGTERM still has two seconds, as upstream gives."""

    async def main():
        async with OneNode() as node:
            await node.create(
                script=script(web=[hook(100, ignoresSigterm=True)]),
                containers=[web(preStop=SLEEP)],
                terminationGracePeriodSeconds=10,
            )
            await node.until(running)
            await node.delete()
            assert await node.until(gone) == 12.0
            assert await told(node, "FailedPreStopHook") == []

    run(main())


def test_pre_stop_that_fails_is_told_and_nothing_more(run):
    """FailedPreStopHook, and termination goes on at once."""

    async def main(handler):
        async with OneNode() as node:
            run = {**hook(0, 1), "ports": {"*": {"refused": True}}}
            await node.create(script=script(web=[run]), containers=[web(preStop=handler)])
            await node.until(running)
            await node.delete()
            assert await node.until(gone) == 0.0
            assert await told(node, "FailedPreStopHook") == [("FailedPreStopHook", "PreStopHook failed")]

    run(main(SLEEP))
    run(main({"httpGet": {"port": 8080, "path": "/stop"}}))
    run(main({"httpGet": {"port": "nobody", "path": "/stop"}}))
    run(main({"tcpSocket": {"port": 8080}}))


def test_less_grace_while_pre_stop_runs(run):
    """A second deletion with less grace ends a hook early, and does not run it twice."""

    async def main():
        async with OneNode() as node:
            await node.create(
                script=script(web=[hook(100)]), containers=[web(preStop=SLEEP)], terminationGracePeriodSeconds=60
            )
            await node.until(running)
            await node.delete()
            await node.clock.advance(5)
            await node.delete(grace=10)
            assert await node.until(gone) == 10.0
            assert [e.count for e in await node.events() if e.reason == "Killing"] == [1]

    run(main())


def test_a_pod_deleted_by_force(run):
    """Gone from the API at once; its node gives it a second and skips nothing but the rest of the hook."""

    async def main():
        async with OneNode() as node:
            await node.create(script=script(web=[hook(100, ignoresSigterm=True)]), containers=[web(preStop=SLEEP)])
            await node.until(running)
            await node.delete(grace=0)
            assert await node.until(gone) == 0.0
            await node.clock.advance(0.5)
            assert len(await node.runtime.list_sandboxes()) == 1
            await node.clock.advance(4)
            assert await node.runtime.list_sandboxes() == []
            assert len(node.kubelet.workers) == 0

    run(main())


def test_pre_stop_when_a_probe_condemns(run):
    """A container killed by its liveness probe gets its hook too, within the probe's grace."""

    async def main():
        async with OneNode() as node:
            probe = {
                "tcpSocket": {"port": 1},
                "periodSeconds": 1,
                "failureThreshold": 1,
                "terminationGracePeriodSeconds": 4,
            }
            sick = {**hook(100, ignoresSigterm=True), "ports": {"*": {"refused": True}}}
            await node.create(
                script=script(web=[sick, {}]), containers=[{**web(preStop=SLEEP), "livenessProbe": probe}]
            )
            assert await node.until(attempt(1)) == 4 + 2

    run(main())


def test_sidecars_stop_last_in_reverse_and_their_hooks_first(run):
    """Main containers first, then the last sidecar, then the first; hooks of sidecars run from the beginning."""

    async def main():
        async with OneNode() as node:
            sidecars = [{**web(name), "restartPolicy": "Always"} for name in ("first", "second")]
            sidecars[0]["lifecycle"] = {"preStop": SLEEP}
            await node.create(
                script=script(web=[{"stopLatency": 3}], second=[{"stopLatency": 2}], first=[hook(4, stopLatency=1)]),
                initContainers=sidecars,
            )
            await node.until(running)
            await node.clock.advance(10)
            await node.delete()
            ends: dict[str, float] = {}

            def look() -> bool:
                for held in node.runtime.snapshot().containers.values():
                    if held.container.finished is not None:
                        ends[held.container.name] = held.container.finished - 1_700_000_000
                return node.seen.get("web", "default") is None

            assert await node.clock.run_until(look, 60) == 16.0  # the last to go is the first sidecar
            assert {name: ends[name] for name in ("web", "second")} == {"web": 13.0, "second": 15.0}

    run(main())


def test_a_sidecar_holds_up_until_it_has_started(run):
    """Its startup probe and postStart hook gate the next init container and the main ones."""

    async def main():
        async with OneNode() as node:
            probe = {"tcpSocket": {"port": 1}, "periodSeconds": 2}
            sidecar = {**web("proxy", postStart=SLEEP), "restartPolicy": "Always", "startupProbe": probe}
            proxy = hook(3, ports={"1": [{"refused": True}, {"after": 6}]})
            await node.create(
                script=script(proxy=[proxy], setup=[{"lasts": 4}]), initContainers=[sidecar, web("setup")]
            )
            # The hook is over at 3, probed at 3, 5 and 7; setup runs from 7 to 11.
            assert await node.until(running) == 11.0

    run(main())


def test_a_container_that_dies_during_its_post_start(run):
    """Its hook is over with it, and its successor is begun at once."""

    async def main():
        async with OneNode() as node:
            handler = {"sleep": {"seconds": 20}}
            await node.create(script=script(web=[{"lasts": 3, "exitCode": 1}, {}]), containers=[web(postStart=handler)])
            await node.until(attempt(1), limit=30)
            begun = sorted(c.started - 1_700_000_000 for c in await node.runtime.list_containers())
            assert begun == [0.0, 3.0]

    run(main())
