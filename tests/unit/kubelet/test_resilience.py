"""A kubelet outlives what fails around it: workers, runtime, sandbox, leftovers of an earlier life."""

from __future__ import annotations

from podling.kubelet.recovery import Recovery
from podling.runtime.protocol import RuntimeFailure
from podling.runtime.sim.runtime import Fault
from tests.scenario.node import OneNode, gone, running


def test_a_worker_that_breaks_is_started_anew_and_harms_no_other(run):
    """An unexpected error costs one Pod half a second and the others nothing."""

    async def main():
        async with OneNode() as node:
            await node.create("fine")
            await node.until(running, "fine")
            whole = node.runtime.list_sandboxes

            async def broken(_uid):
                node.runtime.list_sandboxes = whole
                raise KeyError("a bug")

            node.runtime.list_sandboxes = broken
            await node.create("unlucky")
            assert await node.until(running, "unlucky") == 0.5
            assert running(await node.pod("fine"))
            assert node.supervisor.failures == 1
            node.supervisor.failures = 0

    run(main())


def test_a_sandbox_that_cannot_be_made_is_told_and_tried_again(run):
    """FailedCreatePodSandBox with the reason, a growing pause, and the Pod runs in the end."""

    async def main():
        async with OneNode() as node:
            node.runtime.faults["run_sandbox"] = Fault(2, reason="FailedCreatePodSandBox", message="no namespaces")
            await node.create()
            assert await node.until(running) == 1.5
            told = [e.message for e in await node.events() if e.reason == "FailedCreatePodSandBox"]
            assert told == ["Failed to create pod sandbox: no namespaces"]

    run(main())


def test_a_start_that_fails_counts_as_an_end(run):
    """A command that does not exist: RunContainerError, StartError with 128, then the crash loop's back-off."""

    async def main():
        async with OneNode() as node:
            await node.create(script='{"web": {"runs": [{"startFailure": "exec: \\"nope\\": not found"}]}}')
            await node.clock.advance(5)
            told = (await node.pod()).status.container_statuses[0]
            assert told.state.waiting.reason == "CrashLoopBackOff"
            assert told.last_state.terminated.reason == "StartError"
            assert told.last_state.terminated.exit_code == 128
            messages = [e.message for e in await node.events() if e.reason == "Failed"]
            assert messages == ['Error: exec: "nope": not found']

    run(main())


def test_a_runtime_that_is_down_makes_the_node_not_ready(run):
    """Ready turns False with the reason at the next look, and True again after it."""

    async def main():
        async with OneNode() as node:

            async def down():
                raise RuntimeFailure("Unavailable", "no socket")

            whole, node.runtime._images.list = node.runtime._images.list, down
            await node.clock.advance(10)
            ready = next(c for c in (await node.node()).status.conditions if c.type == "Ready")
            assert (ready.status, ready.reason) == ("False", "KubeletNotReady")
            assert ready.message == "container runtime is down: no socket"
            node.runtime._images.list = whole
            await node.clock.advance(10)
            ready = next(c for c in (await node.node()).status.conditions if c.type == "Ready")
            assert ready.status == "True"

    run(main())


def test_pods_live_on_while_the_api_is_away(run):
    """Without an API containers run and restart; what happened is told when it is back."""

    async def main():
        from podling.api.errors import service_unavailable

        async with OneNode() as node:
            await node.create(script='{"web": {"runs": [{"lasts": 5, "exitCode": 3}, {}]}}')
            await node.until(running)
            chain = node.api.server.chain
            whole = chain.handle

            async def away(request):
                raise service_unavailable("away")

            chain.handle = away
            await node.clock.advance(20)
            alive = [c for c in await node.runtime.list_containers() if c.started and c.finished is None]
            assert [c.attempt for c in alive] == [1]
            chain.handle = whole
            await node.clock.advance(15)
            assert (await node.pod()).status.container_statuses[0].restart_count == 1

    run(main())


class Held:
    """A network that holds addresses, volumes that hold folders, a config that knows Pods."""

    def __init__(self) -> None:
        self.addresses = {"wanted": ("10.0.0.1",), "stray": ("10.0.0.2",)}
        self.torn: list[str] = []

    async def attached(self):
        return dict(self.addresses)

    async def detach(self, uid):
        del self.addresses[uid]

    async def tear_down(self, uid):
        self.torn.append(uid)

    def uids(self):
        return frozenset({"wanted"})

    async def list_sandboxes(self):
        return []


def test_leftovers_are_given_back(run, tmp_path):
    """Addresses and folders of Pods that the API does not have are freed; those of others stay."""

    async def main():
        held = Held()
        for uid in ("wanted", "stray"):
            (tmp_path / uid).mkdir()
        await Recovery(held, held, held, held, None, tmp_path).sweep()
        assert list(held.addresses) == ["wanted"]
        assert held.torn == ["stray"]

    run(main())


def test_a_pod_replaced_by_its_namesake_ends_while_the_other_begins(run):
    """A forced deletion and a new Pod of the same name: the old one is ended, the new one gets another address."""

    async def main():
        async with OneNode() as node:
            await node.create(script='{"web": {"runs": [{"ignoresSigterm": true}]}}')
            await node.until(running)
            first = (await node.pod()).metadata.uid
            await node.delete(grace=0)
            await node.until(gone)
            await node.create()
            await node.until(running)
            second = await node.pod()
            assert second.metadata.uid != first
            assert second.status.pod_ip == "10.88.0.3"
            await node.clock.advance(2)
            assert [s.uid for s in await node.runtime.list_sandboxes()] == [second.metadata.uid]

    run(main())
