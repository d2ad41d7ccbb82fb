"""Admission webhooks over real TLS on loopback: who is asked, in what order, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from tests.custom import DEFINITIONS, WIDGETS, definition, widget
from tests.hook_server import RULE, HookServer, add, allow, answer, deny
from tests.served import ADMIN, PODS, Served, pod

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from podling.apiserver.admission.webhooks.calling import LONGEST
from podling.apiserver.identity.authentication import Authentication
from podling.apiserver.identity.pki import Pki
from podling.apiserver.identity.tokens import SigningKey, TokenIssuer
from podling.apiserver.record import User
from podling.apiserver.server import ApiServer
from podling.client.transport import Call

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str = "c", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def register(api: Served, *hooks: dict[str, Any], mutating: bool = False, name: str = "one") -> str:
    resource = MUTATING_WEBHOOKS if mutating else VALIDATING_WEBHOOKS
    await api.post(resource.path(), {"metadata": {"name": name}, "webhooks": list(hooks)})
    return resource.path(name=name)


async def refusal(asking) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await asking
    return caught.value


def asking(run, tmp_path, main) -> None:
    """Run `main(api, server)` with an API server and a webhook server."""

    async def everything() -> None:
        async with HookServer(tmp_path) as server, Served() as api:
            await main(api, server)

    run(everything())


def test_a_webhook_sees_the_write_and_may_refuse_it(run, tmp_path):
    """The review says all that upstream's says; the refusal has upstream's sentence, and code, reason and details."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook("/maps"))
        server.says["/maps"] = lambda _: deny("no such data", code=409, reason="Conflict", details={"name": "x"})
        error = await refusal(api.post(MAPS, config_map(a="b")))
        assert (error.code, error.reason, error.details) == (409, "Conflict", {"name": "x"})
        assert str(error) == 'admission webhook "a.example.com" denied the request: no such data'
        ((_, asked),) = server.asked
        assert asked["object"].pop("metadata")["name"] == "c"
        assert asked.pop("uid")
        assert asked == {
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "c",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        }
        server.says["/maps"] = lambda _: deny()
        error = await refusal(api.post(MAPS, config_map()))
        assert (error.code, str(error)) == (
            400,
            'admission webhook "a.example.com" denied the request without explanation',
        )
        server.says["/maps"] = lambda _: deny(code=200, reason="Because")
        error = await refusal(api.post(MAPS, config_map()))
        assert (error.code, str(error)) == (400, 'admission webhook "a.example.com" denied the request: Because')

    asking(run, tmp_path, main)


def test_every_way_to_write_is_asked_about(run, tmp_path):
    """Update and patch with what was there, deletion with what goes, a collection one by one, subresources by name."""

    async def main(api: Served, server: HookServer):
        everything = RULE | {"operations": ["*"], "resources": ["*/*"]}
        await api.post(MAPS, config_map(a="1"))
        await register(api, server.hook(rules=[everything]))
        await api.patch(f"{MAPS}/c", {"data": {"a": "2"}})
        await api.put(f"{MAPS}/c", config_map(a="3"))
        await api.delete(f"{MAPS}/c")
        await api.post(PODS, pod())
        await api.patch(f"{PODS}/web/status", {"status": {"message": "m"}})
        await api.post(
            f"{PODS}/web/binding", {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n"}}
        )
        await api.post(
            f"{PODS}/web/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
        )
        seen = [
            (
                it["operation"],
                it["kind"]["kind"],
                it.get("subResource", ""),
                (it["oldObject"] or {}).get("data", {}).get("a"),
                (it["object"] or {}).get("data", {}).get("a"),
            )
            for _, it in server.asked
            if it["kind"]["kind"] != "ServiceAccount"
        ]
        assert seen[:3] == [
            ("UPDATE", "ConfigMap", "", "1", "2"),
            ("UPDATE", "ConfigMap", "", "2", "3"),
            ("DELETE", "ConfigMap", "", "3", None),
        ]
        assert [it[:3] for it in seen[3:7]] == [
            ("CREATE", "Pod", ""),
            ("UPDATE", "Pod", "status"),
            ("CREATE", "Binding", "binding"),
            ("CREATE", "Eviction", "eviction"),
        ]
        assert seen[-1][:3] == ("DELETE", "Pod", "")
        server.says["/"] = lambda _: deny("stay")
        assert "stay" in str(await refusal(api.delete(PODS)))

    asking(run, tmp_path, main)


def test_what_stands_there_is_sent_with_its_revision(run, tmp_path):
    """Which no webhook's patch brings into what is stored."""

    async def main(api: Served, server: HookServer):
        made = await api.post(MAPS, config_map(a="1"))
        revision = made["metadata"]["resourceVersion"]
        rule = RULE | {"operations": ["UPDATE", "DELETE"]}
        await register(api, server.hook(rules=[rule]), mutating=True)
        server.says["/"] = lambda asked: allow(add("/metadata/resourceVersion", "7")) if asked["object"] else allow()
        changed = await api.patch(f"{MAPS}/c", {"data": {"a": "2"}})
        ((_, asked),) = server.asked
        assert [asked[it]["metadata"]["resourceVersion"] for it in ("oldObject", "object")] == [revision, revision]
        stored = await api.store.get("/registry/configmaps/default/c")
        assert b"resourceVersion" not in stored.value
        await api.delete(f"{MAPS}/c")
        assert server.asked[-1][1]["oldObject"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]

    asking(run, tmp_path, main)


def test_what_was_registered_counts_after_a_restart(run, tmp_path):
    """Another server over the same store asks the same webhooks from its first write on."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook())
        server.says["/"] = lambda _: deny("still here")
        again = ApiServer(api.store, api.clock, Chance(seed=2))
        following = asyncio.create_task(again.follow())
        await again.start()
        with pytest.raises(StatusError, match="still here"):
            await again.transport(ADMIN).call(Call("POST", MAPS, (), b'{"metadata":{"name":"c"}}'))
        await again.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asking(run, tmp_path, main)


def test_a_scale_is_seen_as_a_scale_and_changed_as_one(run, tmp_path):
    async def main(api: Served, server: HookServer):
        rule = RULE | {"operations": ["UPDATE"], "apiGroups": ["apps"], "resources": ["replicasets/scale"]}
        sets = "/apis/apps/v1/namespaces/default/replicasets"
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
        spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        await api.post(sets, {"metadata": {"name": "r"}, "spec": spec})
        await register(api, server.hook(rules=[rule]), mutating=True)
        server.says["/"] = lambda _: allow({"op": "replace", "path": "/spec/replicas", "value": 7})
        made = await api.patch(f"{sets}/r/scale", {"spec": {"replicas": 3}})
        assert made["spec"]["replicas"] == 7
        ((_, asked),) = server.asked
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert (asked["oldObject"]["spec"], asked["object"]["spec"]) == ({"replicas": 1}, {"replicas": 3})

    asking(run, tmp_path, main)


def test_a_token_is_asked_about(run, tmp_path):
    """As the TokenRequest that it is; what the patch makes no TokenRequest of is refused."""

    async def main(api: Served, server: HookServer):
        pki = Pki(tmp_path / "cluster")
        pki.ensure(api.clock.time())
        key = SigningKey(pki.signing_key, pki.signing_jwk)
        issuer = TokenIssuer(key, api.server.registry.find, Chance(1))
        api.server.use_identity(Authentication(api.clock), issuer)
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        await register(api, server.hook(rules=[RULE | {"resources": ["serviceaccounts/token"]}]), mutating=True)
        server.says["/"] = lambda _: allow(add("/spec/expirationSeconds", 1200))
        made = await api.post(path, {"spec": {"expirationSeconds": 600}})
        assert made["spec"]["expirationSeconds"] == 1200
        assert server.asked[0][1]["kind"] == {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
        server.says["/"] = lambda _: allow(add("/spec/expirationSeconds", "long"))
        assert "its patch leaves no TokenRequest" in str(await refusal(api.post(path, {"spec": {}})))
        server.says["/"] = lambda _: deny("no tokens")
        assert "denied the request: no tokens" in str(await refusal(api.post(path, {"spec": {}})))

    asking(run, tmp_path, main)


def test_what_is_no_binding_any_more_is_refused(run, tmp_path):
    async def main(api: Served, server: HookServer):
        await api.post(PODS, pod())
        await register(api, server.hook(rules=[RULE | {"resources": ["pods/binding"]}]), mutating=True)
        body = {"target": {"kind": "Node", "name": "n"}}
        server.says["/"] = lambda _: allow(add("/target", 5))
        assert "its patch leaves no Binding" in str(await refusal(api.post(f"{PODS}/web/binding", body)))
        server.says["/"] = lambda _: allow(add("/target/name", "m"))
        await api.post(f"{PODS}/web/binding", body)
        assert (await api.get(f"{PODS}/web"))["spec"]["nodeName"] == "m"

    asking(run, tmp_path, main)


def test_mutating_webhooks_follow_each_other(run, tmp_path):
    """By their configurations' names, then as they stand; each sees what those before it did. Validating ones see all."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook("/b", "b.example.com"), mutating=True, name="two")
        await register(
            api, server.hook("/a1", "x.example.com"), server.hook("/a2", "c.example.com"), mutating=True, name="one"
        )
        await register(api, server.hook("/last"), server.hook("/late", "late.example.com"))
        server.says |= {
            path: lambda _, path=path: allow(add(f"/data/{path[1:]}", "yes")) for path in ("/a1", "/a2", "/b")
        }
        made = await api.post(MAPS, config_map(start="yes"))
        assert made["data"] == {"start": "yes", "a1": "yes", "a2": "yes", "b": "yes"}
        assert [path for path, _ in server.asked][:3] == ["/a1", "/a2", "/b"]
        assert {path for path, _ in server.asked[3:]} == {"/last", "/late"}
        assert all(it["object"]["data"] == made["data"] for _, it in server.asked[3:])

    asking(run, tmp_path, main)


def test_who_may_be_asked_again_is_when_somebody_changed_something_since(run, tmp_path):
    """IfNeeded: once more, and only after a change; Never: never."""

    async def main(api: Served, server: HookServer):
        first = server.hook("/first", "a.example.com", reinvocationPolicy="IfNeeded")
        once = server.hook("/once", "b.example.com")
        changes = server.hook("/changes", "c.example.com", reinvocationPolicy="IfNeeded")
        await register(api, first, once, changes, mutating=True)
        await api.post(MAPS, config_map("quiet"))
        assert [path for path, _ in server.asked] == ["/first", "/once", "/changes"]
        server.asked.clear()
        server.says["/changes"] = lambda asked: (
            allow(add("/data", {"n": "1"})) if not asked["object"].get("data") else allow()
        )
        await api.post(MAPS, config_map("changed"))
        assert [path for path, _ in server.asked] == ["/first", "/once", "/changes", "/first"]

    asking(run, tmp_path, main)


def test_what_a_webhook_makes_of_a_pod_gets_defaults_and_is_judged(run, tmp_path):
    """Defaults and the house's own rules come again; system fields stay; what is no Pod any more is refused."""

    async def main(api: Served, server: HookServer):
        rule = RULE | {"resources": ["pods"]}
        await register(api, server.hook(rules=[rule]), mutating=True)
        server.says["/"] = lambda _: allow(
            add("/spec/initContainers", [{"name": "added", "image": "busybox"}]), add("/metadata/uid", "mine")
        )
        made = await api.post(PODS, pod("good"))
        (added,) = made["spec"]["initContainers"]
        assert (added["terminationMessagePath"], added["imagePullPolicy"]) == ("/dev/termination-log", "Always")
        assert made["metadata"]["uid"] != "mine"

        server.says["/"] = lambda _: allow(add("/spec/initContainers", [{"name": "Wrong", "image": "i"}]))
        error = await refusal(api.post(PODS, pod("bad")))
        assert (error.code, error.reason) == (422, "Invalid")
        assert "spec.initContainers[0].name" in str(error)

        for patch, words in (
            (add("/spec/containers", 5), 'admission webhook "a.example.com": its patch leaves no Pod'),
            (add("/kind", "Node"), 'admission webhook "a.example.com": its patch leaves no Pod'),
            (add("", []), 'admission webhook "a.example.com": its patch does not apply'),
            (add("/nowhere/deep", 1), 'admission webhook "a.example.com": its patch does not apply'),
        ):
            server.says["/"] = lambda _, patch=patch: allow(patch)
            error = await refusal(api.post(PODS, pod("bad")))
            assert error.code == 500
            assert words in str(error)
        server.says["/"] = lambda _: allow(add("/metadata/name", "other"))
        error = await refusal(api.post(PODS, pod("bad")))
        assert "changed the name of the object" in str(error)
        assert [it["metadata"]["name"] for it in (await api.get(PODS))["items"]] == ["good"]

    asking(run, tmp_path, main)


def test_a_patch_without_bottom_is_refused(run, tmp_path):
    """Deep as it was sent, or made deep by copying itself into itself."""

    async def main(api: Served, server: HookServer):
        await api.post(DEFINITIONS, definition())
        while not (await api.get(f"{DEFINITIONS}/widgets.example.com"))["status"].get("acceptedNames", {}).get("kind"):
            await asyncio.sleep(0)
        rule = RULE | {"apiGroups": ["example.com"], "resources": ["widgets"]}
        await register(api, server.hook(rules=[rule]), mutating=True)
        nested = b'[{"op": "add", "path": "/spec/extra", "value": %b}]' % (b'{"a":' * 20_000 + b"1" + b"}" * 20_000)
        deep = {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(nested).decode()}
        deeper: Any = {}
        for _ in range(500):
            deeper = {"a": deeper}
        way = "/a" * 500
        doubled = [add("/spec/extra", deeper)]
        doubled += [{"op": "copy", "from": "/spec/extra", "path": f"/spec/extra{way * 2**n}/a"} for n in range(6)]
        for said in (deep, allow(*doubled)):
            server.says["/"] = lambda _, said=said: said
            error = await refusal(api.post(WIDGETS, widget()))
            assert error.code == 500
            assert 'webhook "a.example.com"' in str(error)

    asking(run, tmp_path, main)


def test_a_change_of_an_update_counts_as_the_callers(run, tmp_path):
    """The status of what is updated stays out of reach, and a Service that grows takes its address but once."""

    async def main(api: Served, server: HookServer):
        services = "/api/v1/namespaces/default/services"
        ports = [{"port": 80, "nodePort": 30080}]
        await api.post(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
        rule = RULE | {"operations": ["UPDATE"], "resources": ["services"]}
        await register(api, server.hook(rules=[rule]), mutating=True)
        server.says["/"] = lambda _: allow(
            add("/metadata/labels", {"a": "b"}), add("/status", {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})
        )
        made = await api.patch(f"{services}/s", {"spec": {"type": "NodePort", "ports": ports}})
        assert made["spec"]["ports"][0]["nodePort"] == 30080
        assert made["metadata"]["labels"] == {"a": "b"}
        assert made["status"] == {"loadBalancer": {}}

    asking(run, tmp_path, main)


def test_selectors_say_whose_objects_are_sent(run, tmp_path):
    """By the namespace's labels and by the object's; a Namespace is judged by its own."""

    async def main(api: Served, server: HookServer):
        skip = {"matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}]}
        rules = [RULE | {"resources": ["configmaps", "namespaces"]}]
        await register(api, server.hook(rules=rules, namespaceSelector=skip), name="here")
        await register(api, server.hook("/object", objectSelector={"matchLabels": {"mine": "yes"}}), name="object")
        server.says["/"] = lambda _: deny("no")
        await api.post("/api/v1/namespaces", {"metadata": {"name": "skipped", "labels": {"skip": "yes"}}})
        await api.post("/api/v1/namespaces/skipped/configmaps", config_map())
        assert server.asked == []
        await refusal(api.post("/api/v1/namespaces", {"metadata": {"name": "other"}}))
        await refusal(api.post(MAPS, config_map()))
        assert [path for path, _ in server.asked] == ["/", "/"]
        mine = config_map("mine")
        mine["metadata"]["labels"] = {"mine": "yes"}
        await api.post("/api/v1/namespaces/skipped/configmaps", mine)
        assert server.asked[-1][0] == "/object"

    asking(run, tmp_path, main)


def test_an_equivalent_resource_is_sent_as_the_rule_names_it(run, tmp_path):
    """An Event of either group is the same object; Exact means what it says."""

    async def main(api: Served, server: HookServer):
        rule = RULE | {"resources": ["events"]}
        await register(
            api, server.hook(rules=[rule]), server.hook("/exact", "b.example.com", rules=[rule], matchPolicy="Exact")
        )
        event = {
            "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c.io/c", "reportingInstance": "i",
            "action": "a", "reason": "r", "type": "Normal", "note": "said",
        }  # fmt: skip
        await api.post("/apis/events.k8s.io/v1/namespaces/default/events", event)
        ((path, asked),) = server.asked
        assert (path, asked["resource"]["group"], asked["requestResource"]["group"]) == ("/", "", "events.k8s.io")
        assert (asked["object"]["apiVersion"], asked["object"]["message"]) == ("v1", "said")
        assert asked["object"]["involvedObject"]["name"] == "p"

    asking(run, tmp_path, main)


def test_nobody_holds_up_the_configurations_themselves(run, tmp_path):
    """Who is locked out can take the lock away; changes count from the next write on."""

    async def main(api: Served, server: HookServer):
        everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
        server.says["/"] = lambda _: deny("nothing goes")
        path = await register(api, server.hook(rules=[everything]))
        other = await register(api, server.hook(rules=[everything]), mutating=True)
        await api.patch(other, {"metadata": {"labels": {"a": "b"}}})
        assert server.asked == []
        await refusal(api.post(MAPS, config_map()))
        await api.delete(path)
        await refusal(api.post(MAPS, config_map()))
        await api.delete(other)
        await api.post(MAPS, config_map())

    asking(run, tmp_path, main)


def test_the_servers_own_writes_are_not_asked_about(run, tmp_path):
    """What the server must write to start at all is nobody's to refuse."""

    async def main(api: Served, server: HookServer):
        everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
        server.says["/"] = lambda _: deny("nothing goes")
        await register(api, server.hook(rules=[everything]))
        await api.server.publish_endpoints("192.0.2.1", 6443)
        assert server.asked == []

    asking(run, tmp_path, main)


def test_a_dry_run_is_told_as_one(run, tmp_path):
    """Whoever keeps books of its own must know that nothing will be written."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook())
        await api.post(f"{MAPS}?dryRun=All", config_map())
        assert (server.asked[0][1]["dryRun"], server.asked[0][1]["options"]["dryRun"]) == (True, ["All"])
        assert (await api.get(MAPS))["items"] == []

    asking(run, tmp_path, main)


def test_warnings_become_headers_and_only_that(run, tmp_path):
    """No lines of their own, and not without end."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook())
        await register(api, server.hook("/m"), mutating=True)
        server.says["/"] = lambda _: allow(warnings=["careful\r\nSet-Cookie: a=b", "", "x" * 1000])
        server.says["/m"] = lambda _: allow(warnings=["first"])
        made = await api.ask("POST", MAPS, config_map())
        assert list(made.warnings) == ["first", "careful  Set-Cookie: a=b", "x" * 256]

    asking(run, tmp_path, main)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(b"", "404 Not Found"), 'failed to call webhook: Post "URL": the server could not find the requested resource'),
        (answer(b"oh", "500 Oh"), 'failed to call webhook: Post "URL": an error on the server ("oh") has prevented the request from succeeding'),
        (answer(b"", "302 Found\r\nLocation: https://127.0.0.1"), 'failed to call webhook: Post "URL": the server responded with the status code 302 but did not return more information'),
        (answer(b"{"), "received invalid webhook response: couldn't parse webhook response: Input data was truncated"),
        (answer(b"[" * 100_000), "received invalid webhook response: couldn't parse webhook response: "),
        (answer(b'{"response": 5}'), "received invalid webhook response: couldn't parse webhook response: "),
        (answer(b"{}"), "received invalid webhook response: webhook response was absent"),
        (answer(b"\xff\xfe"), "received invalid webhook response: couldn't parse webhook response: "),
        (answer(b"x" * (LONGEST + 1)), f'failed to call webhook: Post "URL": the answer is longer than {LONGEST} bytes'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", 'failed to call webhook: Post "URL": the backend broke off'),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, 'failed to call webhook: Post "URL": '),
        (b"SSH-2.0\r\n\r\n", 'failed to call webhook: Post "URL": '),
        (b"", 'failed to call webhook: Post "URL": '),
        ({"uid": "other", "allowed": True}, 'received invalid webhook response: expected response.uid="'),
        ({"allowed": True, "patch": "W10="}, "received invalid webhook response: webhook returned response.patch but not response.patchType"),
        ({"allowed": True, "patchType": "JSONPatch"}, "received invalid webhook response: webhook returned response.patchType but not response.patch"),
        ({"allowed": True, "patchType": "Merge", "patch": "W10="}, 'received invalid webhook response: webhook returned invalid response.patchType of "Merge"'),
        ({"allowed": True, "patchType": "JSONPatch", "patch": "?"}, "received invalid webhook response: received undecodable patch in webhook response: "),
        ({"allowed": True, "patchType": "JSONPatch", "patch": "e30="}, "received invalid webhook response: received undecodable patch in webhook response: "),
    ],
)  # fmt: skip
def test_what_is_no_answer_fails_the_call(run, tmp_path, said: Any, words: str):
    """The write is refused with a reason, or passes where the policy is Ignore; nothing of the answer counts."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook(), mutating=True)
        server.says["/"] = lambda _: said
        error = await refusal(api.post(MAPS, config_map()))
        assert (error.code, error.reason) == (500, "InternalError")
        url = f"https://127.0.0.1:{server.port}/?timeout=10s"
        expected = f'Internal error occurred: failed calling webhook "a.example.com": {words.replace("URL", url)}'
        assert str(error).startswith(expected)
        await api.patch(MUTATING_WEBHOOKS.path(name="one"), {"webhooks": [server.hook(failurePolicy="Ignore")]})
        assert (await api.post(MAPS, config_map(a="b")))["data"] == {"a": "b"}

    asking(run, tmp_path, main)


def test_who_is_not_there_fails_the_call(run, tmp_path):
    """No listener, a certificate of somebody else's, a Service that is not there or leads nowhere."""

    async def main(api: Served, server: HookServer):
        nobody = "https://127.0.0.1:1/"
        service = {"namespace": "default", "name": "hook"}
        for client, words in (
            ({"url": nobody, "caBundle": server.bundle}, "dial tcp 127.0.0.1:1: connect: connection refused"),
            ({"url": f"https://127.0.0.1:{server.port}/"}, "tls: failed to verify certificate: x509: "),
            ({"url": f"https://127.0.0.2:{server.port}/", "caBundle": server.bundle}, "connection refused"),
            ({"url": f"https://127.0.0.1:{server.port}/", "caBundle": "AAAA"}, "unable to load root certificates"),
            ({"service": service, "caBundle": server.bundle}, 'service "hook" not found'),
        ):
            path = await register(api, server.hook(clientConfig=client))
            assert words in str(await refusal(api.post(MAPS, config_map())))
            await api.delete(path)
        await api.post(
            "/api/v1/namespaces/default/services", {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}
        )
        await register(
            api, server.hook(clientConfig={"service": service | {"path": "/maps"}, "caBundle": server.bundle})
        )
        error = str(await refusal(api.post(MAPS, config_map())))
        assert (
            'Post "https://hook.default.svc:443/maps?timeout=10s": no endpoints available for service "hook"' in error
        )
        assert server.asked == []

    asking(run, tmp_path, main)


def test_who_does_not_answer_in_time_fails_the_call(run, tmp_path):
    """In the time of the cluster's clock, at the second that the webhook names."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook(timeoutSeconds=3))
        server.says["/"] = lambda _: None
        writing = asyncio.create_task(refusal(api.post(MAPS, config_map())))
        while not server.asked:
            await asyncio.sleep(0.001)
        await api.clock.advance(2.9)
        assert not writing.done()
        await api.clock.advance(0.2)
        error = str(await writing)
        assert error.endswith(f'Post "https://127.0.0.1:{server.port}/?timeout=3s": context deadline exceeded')

    asking(run, tmp_path, main)


def test_validating_webhooks_are_asked_together(run, tmp_path):
    """One that waits for the other's question would wait for ever otherwise; the first in order is heard."""

    async def main(api: Served, server: HookServer):
        await register(api, server.hook("/a"), server.hook("/b", "b.example.com"))
        server.says |= {"/a": lambda _: deny("first"), "/b": lambda _: deny("second")}
        assert str(await refusal(api.post(MAPS, config_map()))).endswith(": first")
        assert {path for path, _ in server.asked} == {"/a", "/b"}

    asking(run, tmp_path, main)


def test_somebody_faster_meanwhile_is_noticed(run, tmp_path):
    """While a webhook thinks, others write: the change is made again on what stands there by then, and asked again."""

    async def main(api: Served, server: HookServer):
        await api.post(MAPS, config_map(a="1"))
        rule = RULE | {"operations": ["UPDATE"]}
        await register(api, server.hook(rules=[rule], objectSelector={"matchLabels": {"slow": "yes"}}))
        loop = asyncio.get_running_loop()
        other: list[asyncio.Task[Any]] = []

        def meanwhile(_: dict[str, Any]) -> dict[str, Any]:
            if not other:
                other.append(loop.create_task(api.patch(f"{MAPS}/c", {"data": {"b": "2"}})))
            return allow()

        server.says["/"] = meanwhile
        made = await api.patch(f"{MAPS}/c", {"metadata": {"labels": {"slow": "yes"}}, "data": {"a": "3"}})
        await other[0]
        assert (await api.get(f"{MAPS}/c"))["data"] == {"a": "3", "b": "2"}
        assert made["data"]["a"] == "3"

    asking(run, tmp_path, main)


def test_conditions_are_said_to_count_for_nothing(run, tmp_path):
    """At each write that sets them, and only then; the webhook is called as if they were not there."""

    async def main(api: Served, server: HookServer):
        conditions = [{"name": "never", "expression": "false"}]
        hook = server.hook(matchConditions=conditions)
        path = VALIDATING_WEBHOOKS.path(name="one")
        body = {"metadata": {"name": "one"}, "webhooks": [hook]}
        said = ["webhooks[0].matchConditions: expressions are not evaluated: the webhook is called whatever they say"]
        assert list((await api.ask("POST", VALIDATING_WEBHOOKS.path(), body)).warnings) == said
        await api.post(MAPS, config_map())
        assert len(server.asked) == 1
        merge = "application/merge-patch+json"
        labelled = await api.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content_type=merge)
        assert list(labelled.warnings) == []
        changed = await api.ask("PATCH", path, {"webhooks": [hook | {"timeoutSeconds": 3}]}, content_type=merge)
        assert list(changed.warnings) == said

    asking(run, tmp_path, main)


def test_who_asks_is_told(run, tmp_path):
    async def main(api: Served, server: HookServer):
        await register(api, server.hook())
        somebody = User("jane", ("system:masters", "system:authenticated"), "7", {"scope": ("a", "b")})
        door = api.server.transport(somebody)
        await door.call(Call("POST", MAPS, (), b'{"metadata":{"name":"c"}}'))
        assert server.asked[0][1]["userInfo"] == {
            "username": "jane",
            "uid": "7",
            "groups": ["system:masters", "system:authenticated"],
            "extra": {"scope": ["a", "b"]},
        }

    asking(run, tmp_path, main)
