"""Ends of Pods: deletion in every phase, order of sidecars, and the same history from the same seed."""

from __future__ import annotations

import json

import pytest

from podling.runtime.sim import ImageScript
from tests.scenario.node import OneNode, gone, phase, running

SLOW = {"busybox": ImageScript(pull_latency=10)}


@pytest.mark.parametrize(
    ("at", "script", "takes"),
    [
        (5, {}, 0),  # while the image is pulled: given up
        (12, {"createLatency": 5}, 3),  # while the container is created: waited for, never started
        (12, {"startLatency": 5}, 3),  # while it starts: waited for, then SIGTERM
        (20, {}, 0),  # running, obedient
        (20, {"stopLatency": 4}, 4),  # running, slow
        (20, {"ignoresSigterm": True}, 7),  # running, deaf
        (20, {"lasts": 1, "exitCode": 1}, 0),  # in its crash loop
    ],
)
def test_a_pod_goes_from_every_phase(run, at, script, takes):
    """Wherever it is, a deleted Pod is gone after what is under way and its grace, and leaves nothing behind."""

    async def main():
        async with OneNode(SLOW) as node:
            await node.create(script=json.dumps({"web": {"runs": [script]}}))
            await node.clock.advance(at)
            await node.delete(grace=7)
            assert await node.until(gone) == at + takes
            await node.clock.advance(1)
            assert await node.runtime.list_sandboxes() == []
            assert await node.runtime.list_containers() == []
            assert len(node.kubelet.workers) == 0

    run(main())


def test_a_second_deletion_shortens_the_grace(run):
    """kubectl delete --grace-period after a slow delete ends the wait."""

    async def main():
        async with OneNode() as node:
            await node.create(script=json.dumps({"web": {"runs": [{"ignoresSigterm": True}]}}))
            await node.until(running)
            await node.delete(grace=600)
            await node.clock.advance(10)
            await node.delete(grace=12)
            assert await node.until(gone) == 12

    run(main())


def test_init_containers_sidecars_and_main_ones_in_their_order(run):
    """Init, then the sidecar, then the main container; at the end the main one first, the sidecar after it."""

    async def main():
        async with OneNode() as node:
            script = {
                "setup": {"runs": [{"lasts": 3}]},
                "proxy": {"runs": [{"startLatency": 2, "stopLatency": 1}]},
                "web": {"runs": [{"lasts": 10}]},
            }
            await node.create(
                script=json.dumps(script),
                restartPolicy="Never",
                initContainers=[
                    {"name": "setup", "image": "busybox"},
                    {"name": "proxy", "image": "busybox", "restartPolicy": "Always"},
                ],
            )
            assert await node.until(running) == 5
            pod = await node.pod()
            told = {s.name: s for s in (*pod.status.init_container_statuses, *pod.status.container_statuses)}
            assert told["setup"].ready and not told["setup"].started
            assert told["proxy"].ready and told["proxy"].started
            assert await node.until(phase("Succeeded")) == 16
            starts = [(e.reason, e.involved_object.field_path) for e in await node.events() if e.reason == "Started"]
            assert [path for _, path in starts] == [
                "spec.initContainers{setup}",
                "spec.initContainers{proxy}",
                "spec.containers{web}",
            ]

    run(main())


def test_a_failed_init_container_fails_the_pod_under_never(run):
    """Nothing after it is started, and the main container still waits for initialisation."""

    async def main():
        async with OneNode() as node:
            await node.create(
                script=json.dumps({"setup": {"runs": [{"lasts": 1, "exitCode": 1}]}}),
                restartPolicy="Never",
                initContainers=[{"name": "setup", "image": "busybox"}],
            )
            await node.until(phase("Failed"))
            status = (await node.pod()).status
            assert status.container_statuses[0].state.waiting.reason == "PodInitializing"
            assert status.init_container_statuses[0].state.terminated.exit_code == 1

    run(main())


def test_the_end_of_an_oom_killed_container_says_so(run):
    """OOMKilled with 137, and the container is restarted."""

    async def main():
        async with OneNode() as node:
            await node.create(script=json.dumps({"web": {"runs": [{"lasts": 1, "oomKilled": True}, {}]}}))
            await node.until(lambda pod: running(pod) and pod.status.container_statuses[0].restart_count == 1)
            ended = (await node.pod()).status.container_statuses[0].last_state.terminated
            assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)

    run(main())


def test_one_seed_gives_one_history(run):
    """Two worlds from the same seed tell the same events at the same instants, to the byte."""

    async def world() -> list[object]:
        async with OneNode({"busybox": ImageScript(pull_latency=1, pull_failures=2)}) as node:
            for number in range(10):
                runs = [{"lasts": number + 1, "exitCode": number % 3}]
                await node.create(f"p{number}", json.dumps({"web": {"runs": runs}}), restartPolicy="OnFailure")
            await node.clock.advance(60)
            for number in range(0, 10, 2):
                await node.delete(f"p{number}")
            await node.clock.advance(60)
            events = [e for number in range(10) for e in await node.events(f"p{number}")]
            return [(e.metadata.name, e.reason, e.message, e.count, e.last_timestamp) for e in events]

    first = run(world())
    assert len(first) > 50
    assert run(world()) == first


def test_a_service_account_token_is_mounted_and_renewed(run, tmp_path):
    """The token volume holds token, CA and namespace; before the token ends there is another."""

    async def main():
        from podling.aio.chance import Chance
        from podling.apiserver.identity.authentication import Authentication
        from podling.apiserver.identity.pki import Pki
        from podling.apiserver.identity.tokens import SigningKey, TokenIssuer

        async with OneNode(root=tmp_path / "pods") as node:
            pki = Pki(tmp_path / "pki")
            pki.ensure(node.clock.time(), ["127.0.0.1"])
            key = SigningKey(pki.signing_key, pki.signing_jwk)
            issuer = TokenIssuer(key, node.api.server.registry.find, Chance(1))
            node.api.server.use_identity(Authentication(node.clock), issuer)
            await node.create(automountServiceAccountToken=True)
            await node.clock.advance(3)
            assert any("kube-root-ca.crt" in e.message for e in await node.events() if e.reason == "FailedMount")
            await node.api.post(
                "/api/v1/namespaces/default/configmaps",
                {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CA"}},
            )
            await node.until(running, limit=15)
            uid = (await node.pod()).metadata.uid
            (volume,) = (tmp_path / "pods" / uid / "volumes" / "kubernetes.io~projected").iterdir()
            assert (volume / "namespace").read_text() == "default"
            assert (volume / "ca.crt").read_text() == "CA"
            first = (volume / "token").read_text()
            assert first.count(".") == 2
            await node.clock.advance(3600)
            assert (volume / "token").read_text() != first
            await node.delete(grace=1)
            await node.until(gone)
            await node.clock.advance(1)
            assert list((tmp_path / "pods").iterdir()) == []

    run(main())
