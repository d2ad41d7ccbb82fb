"""Creating, updating and patching through the front door."""

from __future__ import annotations

import pytest
from tests.served import ADMIN, PODS, Served, pod

from podling.api.errors import StatusError


def test_a_created_pod_is_complete(run):
    """A created Pod carries what the system sets: uid, defaults, phase, QoS, account, token volume, tolerations."""

    async def main():
        async with Served() as api:
            made = await api.post(PODS, pod())
            assert made == await api.get(f"{PODS}/web")
            assert made["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"
            assert made["metadata"]["generation"] == 1
            assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
            spec = made["spec"]
            assert spec["serviceAccountName"] == "default"
            assert spec["priority"] == 0
            volume = spec["volumes"][0]["name"]
            assert volume.startswith("kube-api-access-")
            assert spec["containers"][0]["volumeMounts"][0]["name"] == volume
            assert [it["tolerationSeconds"] for it in spec["tolerations"]] == [300, 300]

    run(main())


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        (PODS, pod("Web"), 422, 'Pod "Web" is invalid: metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain'),
        (PODS, {**pod(), "kind": "Node"}, 400, "Node in version"),
        (PODS, b"{", 400, "the object provided is unrecognized"),
        (PODS, {"metadata": {"name": "x"}}, 422, 'Pod "x" is invalid: spec.containers: Required value'),
        (PODS, {"metadata": {}}, 422, 'Pod "" is invalid: metadata.name: Required value: name or generateName is required'),
        (PODS, {**pod(), "metadata": {"name": "a", "namespace": "b"}}, 400, "the namespace of the provided object does not match the namespace sent on the request"),
        ("/api/v1/namespaces/gone/pods", pod(), 404, 'namespaces "gone" not found'),
        (PODS, pod(serviceAccountName="x"), 403, 'pods "web" is forbidden: error looking up service account default/x: serviceaccount "x" not found'),
        (PODS, pod(priorityClassName="x"), 403, 'pods "web" is forbidden: no PriorityClass with name x was found'),
        (PODS, pod(runtimeClassName="x"), 403, 'pods "web" is forbidden: pod rejected: RuntimeClass "x" not found'),
        (PODS + "?fieldValidation=Strict", pod(foo=1), 400, 'strict decoding error: unknown field "spec.foo"'),
        ("/api/v1/pods", pod(), 405, "the server does not allow this method on the requested resource"),
        ("/api/v1/nothings", {}, 404, "the server could not find the requested resource"),
    ],
)  # fmt: skip
def test_refusals_of_create(run, path, body, code, message):
    """Each bad create is refused with upstream's code and sentence, and leaves nothing behind."""

    async def main():
        async with Served() as api:
            before = api.store.revision
            with pytest.raises(StatusError) as refused:
                await api.post(path, body)
            assert (refused.value.code, refused.value.message[: len(message)]) == (code, message)
            assert api.store.revision == before

    run(main())


def test_names_are_generated_until_one_is_free(run):
    """generateName appends five characters; a taken name is drawn again; a taken given name is refused."""

    async def main():
        async with Served() as api:
            names = {(await api.post(PODS, pod("")))["metadata"]["name"] for _ in range(5)}
            assert len(names) == 5
            assert all(name.startswith("web-") and len(name) == 9 for name in names)
            await api.post(PODS, pod())
            with pytest.raises(StatusError, match='pods "web" already exists'):
                await api.post(PODS, pod())

    run(main())


def test_dry_run_leaves_nothing(run):
    """dryRun=All answers as if, warns as ever, and writes nothing."""

    async def main():
        async with Served() as api:
            before = api.store.revision
            answer = await api.ask("POST", f"{PODS}?dryRun=All", pod(foo=1))
            assert answer.code == 201
            assert 'unknown field "spec.foo"' in answer.warnings
            assert api.store.revision == before

    run(main())


def test_updates_compare_resource_versions(run):
    """A stale resourceVersion is a Conflict; none at all writes over; an update without a change is no write."""

    async def main():
        async with Served() as api:
            made = await api.post(PODS, pod())
            made["metadata"]["labels"] = {"a": "b"}
            made["status"] = {"phase": "Running"}
            changed = await api.put(f"{PODS}/web", made)
            assert changed["status"]["phase"] == "Pending"
            assert changed["metadata"]["generation"] == 1
            with pytest.raises(StatusError, match="please apply your changes to the latest version"):
                await api.put(f"{PODS}/web", made)
            again = await api.put(f"{PODS}/web", changed)
            assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
            del changed["metadata"]["resourceVersion"]
            changed["metadata"]["labels"] = {"a": "c"}
            assert (await api.put(f"{PODS}/web", changed))["metadata"]["labels"] == {"a": "c"}
            with pytest.raises(StatusError, match="Precondition failed: UID in precondition: other"):
                await api.put(f"{PODS}/web", {**changed, "metadata": {**changed["metadata"], "uid": "other"}})
            with pytest.raises(StatusError, match="does not match the name on the URL"):
                await api.put(f"{PODS}/other", changed)

    run(main())


def test_status_is_written_apart(run):
    """A status write changes status and metadata, and leaves the specification as it stands."""

    async def main():
        async with Served() as api:
            made = await api.post(PODS, pod())
            made["status"]["phase"] = "Running"
            made["spec"]["nodeName"] = "elsewhere"
            written = await api.put(f"{PODS}/web/status", made)
            assert written["status"] == {"phase": "Running", "qosClass": "BestEffort"}
            assert "nodeName" not in written["spec"]

    run(main())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("merge-patch+json", {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}),
        ("strategic-merge-patch+json", {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}),
        ("json-patch+json", [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}, {"op": "replace", "path": "/spec/containers/0/image", "value": "new"}]),
    ],
)  # fmt: skip
def test_three_kinds_of_patch(run, kind, body):
    """Each patch changes what it names; only the strategic one keeps the items it does not name."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            if kind.startswith("merge"):
                # A merge patch replaces the list, and with it what must not change.
                with pytest.raises(StatusError, match="pod updates may not change fields other than"):
                    await api.patch(f"{PODS}/web", body, kind)
                return
            changed = await api.patch(f"{PODS}/web", body, kind)
            assert changed["metadata"]["labels"] == {"a": "b"}
            assert changed["spec"]["containers"][0]["image"] == "new"
            assert changed["metadata"]["generation"] == 2

    run(main())


def test_patches_are_conditional_only_if_they_say_so(run):
    """A patch with a stale resourceVersion is a Conflict; apply patches are not accepted."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{PODS}/web", {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}})
            assert refused.value.is_conflict
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{PODS}/web", {}, "apply-patch+yaml")
            assert refused.value.code == 415

    run(main())


def test_lease_is_created_by_update_and_wants_a_version(run):
    """PUT of an absent Lease creates it (201); a later one must name the version it replaces."""

    async def main():
        async with Served() as api:
            path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/it"
            body = {"metadata": {"name": "it"}, "spec": {"holderIdentity": "me"}}
            assert (await api.ask("PUT", path, body)).code == 201
            with pytest.raises(
                StatusError, match="metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            ):
                await api.put(path, body)

    run(main())


def test_services_draw_addresses_and_ports(run):
    """Addresses and node ports are drawn, kept over updates, refused when taken, and free again after deletion."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/services"
            body = {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
            made = await api.post(path, body)
            address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
            assert address.startswith("10.96.")
            assert 30000 <= port < 32768
            kept = await api.put(f"{path}/a", {**body, "metadata": {"name": "a", "labels": {"x": "y"}}})
            assert (kept["spec"]["clusterIP"], kept["spec"]["ports"][0]["nodePort"]) == (address, port)
            other = {"metadata": {"name": "b"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}}
            with pytest.raises(StatusError) as refused:
                await api.post(path, other)
            assert refused.value.message == (
                f'Service "b" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: '
                "provided IP is already allocated"
            )
            wanted = {
                "metadata": {"name": "c"},
                "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]},
            }
            with pytest.raises(StatusError, match="provided port is already allocated"):
                await api.post(path, wanted)
            await api.delete(f"{path}/a")
            await api.post(path, other)
            await api.post(path, wanted)
            headless = await api.post(
                path, {"metadata": {"name": "d"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
            )
            assert headless["spec"]["clusterIPs"] == ["None"]

    run(main())


def test_events_have_two_faces(run):
    """An Event written in core/v1 is read as events.k8s.io/v1 with its own names, and the other way round."""

    async def main():
        async with Served() as api:
            core, newer = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
            about = {"kind": "Pod", "name": "web", "namespace": "default"}
            await api.post(
                core,
                {"metadata": {"name": "a"}, "involvedObject": about, "message": "m", "reason": "R", "type": "Normal"},
            )
            seen = await api.get(f"{newer}/a")
            assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == ("events.k8s.io/v1", "m", "web")
            listed = await api.get(f"{newer}?fieldSelector=regarding.name=web")
            assert [it["note"] for it in listed["items"]] == ["m"]
            assert listed["kind"] == "EventList"

    run(main())


def test_secrets_take_plain_text(run):
    """stringData goes into data in base64 and is never read back."""

    async def main():
        async with Served() as api:
            made = await api.post(
                "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
            )
            assert (made["data"], "stringData" in made) == ({"a": "Yg=="}, False)

    run(main())


def test_binding_gives_a_pod_its_node_once(run):
    """A binding sets nodeName and PodScheduled; a second one is upstream's Conflict."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod())
            binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n"}}
            assert (await api.ask("POST", f"{PODS}/web/binding", binding)).code == 201
            bound = await api.get(f"{PODS}/web")
            assert bound["spec"]["nodeName"] == "n"
            assert [(it["type"], it["status"]) for it in bound["status"]["conditions"]] == [("PodScheduled", "True")]
            with pytest.raises(StatusError) as refused:
                await api.post(f"{PODS}/web/binding", binding)
            assert refused.value.code == 409
            assert refused.value.message.endswith('pods/binding "web": pod web is already assigned to node "n"')

    run(main())


def test_who_may_not_is_told_so(run):
    """A user without rights is refused in upstream's words; a node may not touch another's Pod."""

    async def main():
        async with Served() as api:
            from podling.apiserver.record import User
            from podling.client.transport import Call

            nobody = api.server.transport(User("nobody", ("system:authenticated",)))
            with pytest.raises(StatusError) as refused:
                await nobody.call(Call("GET", PODS))
            assert refused.value.message == (
                'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "default"'
            )
            await api.post(PODS, pod())
            node = api.server.transport(User("system:node:n", ("system:nodes", "system:authenticated")))
            with pytest.raises(StatusError) as refused:
                await node.call(Call("DELETE", f"{PODS}/web"))
            assert refused.value.code == 403
            assert ADMIN.name == "admin"

    run(main())
