"""What upstream's suite asks of the API's machinery, over HTTPS: watches, pieces, namespaces, strictness, discovery."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.running import RunningCluster, eventually

pytestmark = pytest.mark.root

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Api:
    """The administrator's calls, raw."""

    def __init__(self, cluster: RunningCluster) -> None:
        pki = cluster.data / "pki"
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._port = cluster.port

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the answer's code and what it says."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, timeout=30)
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, data, {"Content-Type": "application/json", **named})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        code, told = self.ask("GET", path, **headers)
        assert code == 200, told
        return told

    def put(self, path: str, body: Any) -> Any:
        code, told = self.ask("PUT", path, body)
        assert code in {200, 201}, told
        return told

    def post(self, path: str, body: Any) -> Any:
        code, told = self.ask("POST", path, body)
        assert code == 201, told
        return told

    def patch(self, path: str, body: Any, kind: str = MERGE) -> Any:
        code, told = self.ask("PATCH", path, body, Content_Type=kind)
        assert code == 200, told
        return told

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch until it is closed."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        try:
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def api(cluster: RunningCluster) -> Api:
    return Api(cluster)


@pytest.fixture
def namespace(api: Api, name: str) -> Iterator[str]:
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    api.ask("DELETE", f"/api/v1/namespaces/{name}")


def maps(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def made(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {}}


def seen(api: Api, path: str, count: int) -> list[tuple[str, str, str]]:
    found = []
    for event in api.watch(path):
        found.append((event["type"], event["object"]["metadata"]["name"], event["object"].get("data", {}).get("n", "")))
        if len(found) == count:
            break
    return found


def test_watches_begin_where_they_are_told(api: Api, namespace: str) -> None:
    """From a revision all that came after it, once; from the last seen only what is new."""
    api.post(maps(namespace), made("a"))
    first = api.patch(maps(namespace, "a"), {"data": {"n": "1"}})
    second = api.patch(maps(namespace, "a"), {"data": {"n": "2"}})
    api.ask("DELETE", maps(namespace, "a"))
    path = f"{maps(namespace)}?watch=1&fieldSelector=metadata.name=a&resourceVersion="
    revision = first["metadata"]["resourceVersion"]
    assert seen(api, path + revision, 2) == [("MODIFIED", "a", "2"), ("DELETED", "a", "2")]
    assert seen(api, path + second["metadata"]["resourceVersion"], 1) == [("DELETED", "a", "2")]


def test_an_object_that_leaves_a_selection_is_gone_for_its_watcher(api: Api, namespace: str) -> None:
    """And comes back as a new one; what happens to it outside is not told."""
    began = api.post(maps(namespace), made("a", w="x"))["metadata"]["resourceVersion"]
    for labels, number in (({"w": "x"}, "1"), ({"w": "y"}, "2"), ({"w": "y"}, "3"), ({"w": "x"}, "4")):
        api.patch(maps(namespace, "a"), {"metadata": {"labels": labels}, "data": {"n": number}})
    api.ask("DELETE", maps(namespace, "a"))
    path = f"{maps(namespace)}?watch=1&labelSelector=w%3Dx&resourceVersion={began}"
    assert [(kind, number) for kind, _, number in seen(api, path, 4)] == [
        ("MODIFIED", "1"), ("DELETED", "1"), ("ADDED", "4"), ("DELETED", "4"),
    ]  # fmt: skip


def test_watchers_of_different_selections_see_their_parts(api: Api, namespace: str) -> None:
    """Those of A, of B, and of A or B, each all of it in order."""
    began = api.get(maps(namespace))["metadata"]["resourceVersion"]
    for name in ("a", "b"):
        api.post(maps(namespace), made(name, w=name))
    api.patch(maps(namespace, "a"), {"data": {"n": "1"}})
    api.ask("DELETE", maps(namespace, "a"))
    api.ask("DELETE", maps(namespace, "b"))
    base = f"{maps(namespace)}?watch=1&resourceVersion={began}&labelSelector="
    assert [kind for kind, *_ in seen(api, base + "w%3Da", 3)] == ["ADDED", "MODIFIED", "DELETED"]
    assert [kind for kind, *_ in seen(api, base + "w%3Db", 2)] == ["ADDED", "DELETED"]
    both = [(kind, name) for kind, name, _ in seen(api, base + "w%20in%20(a,b)", 5)]
    assert both == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a"), ("DELETED", "b")]


def test_concurrent_watches_see_one_order(api: Api, namespace: str) -> None:
    """Watches that begin at each of the revisions while much is written all tell the same from there on."""
    eventually(lambda: api.ask("GET", maps(namespace, "kube-root-ca.crt"))[0] == 200)
    began = int(api.get(maps(namespace))["metadata"]["resourceVersion"])
    told: list[list[tuple[str, str, str]]] = []

    def follow(revision: str, count: int) -> None:
        told.append(
            seen(
                api,
                f"{maps(namespace)}?watch=1&fieldSelector=metadata.namespace%3D{namespace}&resourceVersion={revision}",
                count,
            )
        )

    followers, writes = [], 30
    revisions = [str(began)]
    for number in range(writes):
        if number % 3 == 0:
            revisions.append(api.post(maps(namespace), made(f"c{number}"))["metadata"]["resourceVersion"])
        else:
            revisions.append(
                api.patch(maps(namespace, f"c{number - number % 3}"), {"data": {"n": str(number)}})["metadata"][
                    "resourceVersion"
                ]
            )
        follower = threading.Thread(target=follow, args=(revisions[number], writes - number))
        follower.start()
        followers.append(follower)
    for follower in followers:
        follower.join(30)
    whole = max(told, key=len)
    assert len(told) == len(whole) == writes
    assert all(part == whole[-len(part) :] for part in told)


def test_lists_come_in_chunks(api: Api, namespace: str) -> None:
    """Of one revision, each once, with what remains; as tables too."""
    templates = f"/api/v1/namespaces/{namespace}/podtemplates"
    for number in range(40):
        body = {
            "metadata": {"name": f"t{number:02}"},
            "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
        }
        api.post(templates, body)
    names, token, revision = [], "", ""
    while True:
        page = api.get(f"{templates}?limit=17&continue={token}")
        names += [it["metadata"]["name"] for it in page["items"]]
        revision = revision or page["metadata"]["resourceVersion"]
        assert page["metadata"]["resourceVersion"] == revision
        assert page["metadata"].get("remainingItemCount", 0) == 40 - len(names)
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"t{number:02}" for number in range(40)]
    table = api.get(f"{templates}?limit=2", Accept=TABLE)
    assert (table["kind"], len(table["rows"]), table["metadata"]["remainingItemCount"]) == ("Table", 2, 38)
    rest = api.get(f"{templates}?continue={table['metadata']['continue']}", Accept=TABLE)
    assert len(rest["rows"]) == 38


def test_reviews_are_no_tables(api: Api) -> None:
    """A backend that has no metadata answers 406."""
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
    code, told = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, Accept=TABLE)
    assert (code, told["reason"]) == (406, "NotAcceptable")


def test_typed_objects_are_read_strictly(api: Api, namespace: str) -> None:
    """Unknown fields and such that are given twice, of the object and of its metadata."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?fieldManager=m&fieldValidation=Strict"
    pod = '{"metadata":{"labels":{"app":"n"}},"spec":{"containers":[{"name":"n","image":"n"}]}}'
    selector = '"selector":{"matchLabels":{"app":"n"}}'
    body = f'{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},"spec":{{"unknownField":"foo","replicas":2,"replicas":3,{selector},"template":{pod}}}}}'
    code, told = api.ask("POST", path, body)
    assert (code, told["message"]) == (
        400, 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"',
    )  # fmt: skip
    body = f'{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d","unknownMeta":"foo"}},"spec":{{{selector},"template":{pod}}}}}'
    code, told = api.ask("POST", path, body)
    assert (code, told["message"]) == (400, 'strict decoding error: unknown field "metadata.unknownMeta"')


def test_the_status_of_a_namespace(api: Api, namespace: str) -> None:
    """Read, patched and updated, each change kept."""
    path = f"/api/v1/namespaces/{namespace}/status"
    assert api.get(path)["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patch = {"metadata": {"annotations": {"e2e": "patched"}}, "status": {"conditions": [condition]}}
    patched = api.patch(path, patch)
    assert patched["metadata"]["annotations"] == {"e2e": "patched"}
    patched["status"]["conditions"].append(
        {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Updated"}
    )
    updated = api.put(path, patched)
    assert [it["type"] for it in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
    assert updated["status"]["phase"] == "Active"


def test_a_namespace_is_patched_updated_and_finalized(api: Api, namespace: str) -> None:
    """Labels by patch and update; a finalizer by `finalize`, which keeps it until it is off again."""
    path = f"/api/v1/namespaces/{namespace}"
    assert (
        api.patch(path, {"metadata": {"labels": {"testLabel": "testValue"}}}, STRATEGIC)["metadata"]["labels"][
            "testLabel"
        ]
        == "testValue"
    )
    found = api.get(path)
    found["metadata"]["labels"][namespace] = "updated"
    assert api.put(path, found)["metadata"]["labels"][namespace] == "updated"
    for finalizers in (["kubernetes", "e2e.example.com/fakeFinalizer"], ["kubernetes"]):
        found = api.get(path)
        found["spec"]["finalizers"] = finalizers
        assert api.put(f"{path}/finalize", found)["spec"]["finalizers"] == finalizers
        assert api.get(path)["status"]["phase"] == "Active"


def test_pods_go_first(api: Api, name: str) -> None:
    """Of a namespace that is deleted, what Pods may still need stays until they are gone."""
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    held = {"name": "p", "finalizers": ["e2e.example.com/finalizer"]}
    eventually(lambda: api.ask("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")[0] == 200)
    api.post(
        f"/api/v1/namespaces/{name}/pods",
        {"metadata": held, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"no": "where"}}},
    )
    api.post(maps(name), made("c"))
    api.ask("DELETE", f"/api/v1/namespaces/{name}")
    pod = f"/api/v1/namespaces/{name}/pods/p"
    eventually(lambda: "deletionTimestamp" in api.get(pod)["metadata"])
    time.sleep(1)
    assert api.get(maps(name, "c"))["metadata"].get("deletionTimestamp") is None
    conditions = {it["type"]: it["status"] for it in api.get(f"/api/v1/namespaces/{name}")["status"]["conditions"]}
    assert (conditions["NamespaceContentRemaining"], conditions["NamespaceFinalizersRemaining"]) == ("True", "True")
    api.patch(pod, {"metadata": {"finalizers": None}})
    eventually(lambda: api.ask("GET", f"/api/v1/namespaces/{name}")[0] == 404)


def test_what_is_found_is_found_in_every_way(api: Api) -> None:
    """Group by group and all at once the same resources; each group's preferred version is one of its own."""
    whole = {it["metadata"]["name"]: it for it in api.get("/apis", Accept=AGGREGATED)["items"]}
    groups = api.get("/apis")["groups"]
    assert [it["name"] for it in groups] == list(whole)
    for group in groups:
        assert group["preferredVersion"] in group["versions"]
        assert api.get(f"/apis/{group['name']}")["versions"] == group["versions"]
        for version, shown in zip(group["versions"], whole[group["name"]]["versions"], strict=True):
            plain = {it["name"] for it in api.get(f"/apis/{version['groupVersion']}")["resources"]}
            nested = {it["resource"] for it in shown["resources"]}
            nested |= {
                f"{it['resource']}/{sub['subresource']}"
                for it in shown["resources"]
                for sub in it.get("subresources", ())
            }
            assert plain == nested
    version = api.get("/version")
    assert version["major"].isdigit() and version["minor"].isdigit()


def test_the_life_of_an_account(api: Api, namespace: str) -> None:
    """Made, watched, patched, updated, found everywhere by its label, deleted as a collection."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    label = {"test-serviceaccount-static": namespace}
    first = api.post(path, {"metadata": {"name": "a", "labels": label}})
    api.patch(f"{path}/a", {"automountServiceAccountToken": False}, STRATEGIC)
    found = api.get(f"{path}/a")
    found["automountServiceAccountToken"] = True
    assert api.put(f"{path}/a", found)["automountServiceAccountToken"] is True
    selected = f"labelSelector=test-serviceaccount-static%3D{namespace}"
    assert [it["metadata"]["name"] for it in api.get(f"/api/v1/serviceaccounts?{selected}")["items"]] == ["a"]
    assert api.ask("DELETE", f"{path}?{selected}")[0] == 200
    assert api.get(f"/api/v1/serviceaccounts?{selected}")["items"] == []
    watch = f"{path}?watch=1&{selected}&resourceVersion={first['metadata']['resourceVersion']}"
    assert [kind for kind, *_ in seen(api, watch, 3)] == ["MODIFIED", "MODIFIED", "DELETED"]


def test_the_root_certificate_is_in_every_namespace(api: Api, namespace: str) -> None:
    """Deleted it comes back, changed it is put right."""
    path = maps(namespace, "kube-root-ca.crt")
    eventually(lambda: api.ask("GET", path)[0] == 200)
    whole = api.get(path)["data"]
    api.ask("DELETE", path)
    eventually(lambda: api.ask("GET", path)[0] == 200)
    api.patch(path, {"data": {"ca.crt": "bad"}})
    eventually(lambda: api.get(path)["data"] == whole)


def test_a_token_is_verified_by_what_its_issuer_publishes(api: Api, namespace: str) -> None:
    """Found from the configuration, as those do who trust a cluster from outside."""
    eventually(lambda: api.ask("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")[0] == 200)
    asked = {"spec": {"audiences": ["outside"]}}
    token = api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", asked)["status"]["token"]
    bearer = f"Bearer {api.post(f'/api/v1/namespaces/{namespace}/serviceaccounts/default/token', {'spec': {}})['status']['token']}"
    told = api.get("/.well-known/openid-configuration", Authorization=bearer)
    head, payload, signature = token.split(".")
    claims = json.loads(_decoded(payload))
    assert (told["issuer"], claims["aud"]) == (claims["iss"], ["outside"])
    path = told["jwks_uri"].removeprefix("https://").partition("/")[2]
    keys = {key["kid"]: key for key in api.get(f"/{path}", Authorization=bearer)["keys"]}
    key = keys[json.loads(_decoded(head))["kid"]]
    x, y = (int.from_bytes(_decoded(key[part])) for part in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = _decoded(signature)
    half = len(raw) // 2
    proof = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
    public.verify(proof, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
