"""Requests for certificates on a whole cluster: answered where the authority is at hand, and cleared away in time."""

from __future__ import annotations

import base64

from podling.api.resources import CERTIFICATE_SIGNING_REQUESTS
from podling.apiserver.identity.pki import Pki
from podling.testing import SimulatedCluster
from tests.requests import body, request

CLIENT = "kubernetes.io/kube-apiserver-client"


class Authority:
    """A real authority on the cluster's clock."""

    def __init__(self, path, clock):
        self._pki = Pki(path)
        self._clock = clock
        self._pki.ensure(clock.time())

    def sign(self, pem, usages, seconds):
        return base64.b64encode(self._pki.sign(pem, usages, self._clock.time(), seconds)).decode()


async def approve(cluster, name, kind="Approved"):
    change = {"status": {"conditions": [{"type": kind, "status": "True", "reason": "Test", "message": "so be it"}]}}
    await cluster.client.patch(CERTIFICATE_SIGNING_REQUESTS, name, change, subresource="approval")
    await cluster.advance(0)


def seen(cluster, name):
    return cluster.get(CERTIFICATE_SIGNING_REQUESTS, name, "")


def with_authority(steps, tmp_path):
    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            cluster._plane.authority = Authority(tmp_path, cluster.clock)
            await cluster.restart_controllers()
            await steps(cluster)
            assert cluster.failures == 0

    return main()


def test_what_is_approved_is_signed(run, tmp_path):
    """Nothing before approval, the certificate at once after it; other people's signers are left alone."""

    async def steps(cluster):
        await cluster.apply([body("a", CLIENT), body("b", "example.com/e2e")])
        await cluster.advance(60)
        assert seen(cluster, "a").status.certificate == ""
        for name in "ab":
            await approve(cluster, name)
        assert base64.b64decode(seen(cluster, "a").status.certificate).startswith(b"-----BEGIN CERTIFICATE-----")
        assert seen(cluster, "b").status.certificate == ""

    run(with_authority(steps, tmp_path))


def test_what_must_not_be_signed_fails(run, tmp_path):
    """With a condition that says why; a denied request gets nothing."""

    async def steps(cluster):
        serving = body("a", "kubernetes.io/kubelet-serving", request("system:node:n", ("system:nodes",))[0])
        await cluster.apply([serving, body("b", CLIENT)])
        await approve(cluster, "a")
        await approve(cluster, "b", "Denied")
        approved, failed = seen(cluster, "a").status.conditions
        assert (approved.type, failed.type, failed.reason) == ("Approved", "Failed", "SignerValidationFailure")
        assert failed.message == "DNS or IP subjectAltName is required"
        assert [it.type for it in seen(cluster, "b").status.conditions] == ["Denied"]

    run(with_authority(steps, tmp_path))


def test_without_the_authority_nothing_is_signed_and_the_old_goes(run):
    """Approved requests wait; what nobody decided goes after a day, what was denied after an hour."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply([body(name, CLIENT) for name in "abc"])
            await approve(cluster, "a")
            await approve(cluster, "b", "Denied")
            for hours, left in ((1, "abc"), (1, "ac"), (22, "ac"), (1, "a"), (30, "a")):
                await cluster.advance(hours * 3600)
                assert "".join(it.metadata.name for it in cluster.list(CERTIFICATE_SIGNING_REQUESTS)) == left
            assert seen(cluster, "a").status.certificate == ""
            assert cluster.failures == 0

    run(main())
