"""Which tokens a kubelet may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.served import PODS, Served, pod

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.apiserver.identity.authentication import Authentication
from podling.apiserver.identity.pki import Pki
from podling.apiserver.identity.tokens import SigningKey, TokenIssuer
from podling.apiserver.record import User

NODE = User("system:node:n", ("system:nodes", "system:authenticated"))
PATH = "/api/v1/namespaces/default/serviceaccounts/default/token"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"audiences": ["vault"]}, ""),
        ({"audiences": ["elsewhere"]}, 'audience "elsewhere" not found in pod spec volume'),
        ({"audiences": ["vault", "other"]}, "node may only request 0 or 1 audiences"),
        ({"boundObjectRef": None}, "node requested token not bound to a pod"),
        ({"kind": "Secret"}, "node requested token not bound to a pod"),
        ({"uid": ""}, "node requested token with a pod binding without a uid"),
        ({"uid": "other"}, "the UID in the bound object reference (other) does not match the UID in record."),
        ({"name": "far"}, "node requested token bound to a pod scheduled on a different node"),
        ({"name": "gone"}, 'pods "gone" not found'),
    ],
)
def test_a_kubelet_asks_for_its_own_pods_tokens(run, tmp_path: Path, changed, why):
    """For a Pod that is bound to it, by its uid, for an audience that one of its volumes is about."""
    pki = Pki(tmp_path / "pki")

    async def main():
        async with Served() as api:
            pki.ensure(api.clock.time())
            key = SigningKey(pki.signing_key, pki.signing_jwk)
            issuer = TokenIssuer(key, api.server.registry.find, Chance(1))
            api.server.use_identity(Authentication(api.clock), issuer)
            vault = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
            volumes = [{"name": "v", "projected": {"sources": [vault]}}]
            uids = {}
            for name, node in (("near", "n"), ("far", "m")):
                made = await api.post(PODS, pod(name, nodeName=node, volumes=volumes))
                uids[name] = made["metadata"]["uid"]
            # A Pod of the account is on the node, so that the authorizer lets the kubelet ask.
            bound = {"apiVersion": "v1", "kind": "Pod", "name": "near"}
            bound |= {key: value for key, value in changed.items() if key in ("kind", "name", "uid")}
            bound.setdefault("uid", uids.get(bound["name"], "u"))
            spec = {"boundObjectRef": bound, "expirationSeconds": 600}
            spec |= {key: value for key, value in changed.items() if key in ("audiences", "boundObjectRef")}
            call = api.ask("POST", PATH, {"spec": spec})
            api.door = api.server.transport(NODE)
            if not why:
                assert (await call).code == 201
                return
            with pytest.raises(StatusError) as refused:
                await call
            assert why in refused.value.message

    run(main())


def test_others_may_ask_for_what_their_roles_say(run, tmp_path: Path):
    """An administrator's token is bound to nothing."""
    pki = Pki(tmp_path / "pki")

    async def main():
        async with Served() as api:
            pki.ensure(api.clock.time())
            key = SigningKey(pki.signing_key, pki.signing_jwk)
            api.server.use_identity(Authentication(api.clock), TokenIssuer(key, api.server.registry.find, Chance(1)))
            assert (await api.ask("POST", PATH, {"spec": {"audiences": ["any", "thing"]}})).code == 201

    run(main())
