"""What a kubelet may write of a Pod that it runs from its manifest folder."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.record import User

NODE = User("system:node:n", ("system:nodes", "system:authenticated"))
SECRET = {"name": "v", "secret": {"secretName": "s"}}
TOKEN = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}


@pytest.mark.parametrize(
    ("spec", "owner", "why"),
    [
        ({}, {}, ""),
        ({}, None, 'node "n" can only create pods with an owner reference set to itself'),
        ({}, {"name": "m"}, 'node "n" can only create pods with an owner reference set to itself'),
        ({}, {"controller": False}, 'node "n" can only create pods with a controller owner reference set to itself'),
        ({}, {"blockOwnerDeletion": True}, 'node "n" must not set blockOwnerDeletion on an owner reference'),
        ({}, {"uid": "other"}, "UID mismatch: expected"),
        ({"nodeName": "m"}, {}, 'node "n" can only create pods with spec.nodeName set to itself'),
        ({"serviceAccountName": "default"}, {}, "a mirror pod may not reference service accounts"),
        ({"volumes": [TOKEN]}, {}, "a mirror pod may not use ServiceAccountToken volume projections"),
        ({"volumes": [SECRET]}, {}, 'node "n" can not create pods that reference secrets'),
        ({"imagePullSecrets": [{"name": "s"}]}, {}, 'node "n" can not create pods that reference secrets'),
        ({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}, {}, "can not create pods that reference configmaps"),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
            {},
            "can not create pods that reference persistentvolumeclaims",
        ),
    ],
)
def test_a_mirror_pod_refers_to_nothing_but_its_node(run, spec: dict[str, Any], owner: dict[str, Any] | None, why: str):
    """Else a node could read whatever it wrote itself a Pod about."""

    async def main():
        async with Served() as api:
            node = await api.post("/api/v1/nodes", {"metadata": {"name": "n"}})
            mirror = pod("static-n", **{"nodeName": "n", **spec})
            mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
            if owner is not None:
                own = {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "name": "n",
                    "uid": node["metadata"]["uid"],
                    "controller": True,
                }
                mirror["metadata"]["ownerReferences"] = [{**own, **owner}]
            api.door = api.server.transport(NODE)
            if not why:
                assert (await api.post(PODS, mirror))["spec"].get("serviceAccountName") is None
                return
            with pytest.raises(StatusError) as refused:
                await api.post(PODS, mirror)
            assert (refused.value.code, why in refused.value.message) == (403, True), refused.value.message

    run(main())
