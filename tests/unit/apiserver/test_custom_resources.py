"""Objects of custom kinds through the front door: every verb, as for any other kind, by the same handler."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.custom import DEFINITIONS, SPEC, WIDGETS, definition, schema, version, widget
from tests.served import ADMIN, Served
from tests.unit.apiserver.test_custom_definitions import established, gone, until

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import CustomResource
from podling.apiserver.server import ApiServer
from podling.client.transport import Selection

RESOURCE = CustomResource("example.com", "v1", "widgets", "Widget", True)


def refused(error: StatusError) -> list[tuple[str, str]]:
    return [(it["field"], it["message"]) for it in (error.details or {}).get("causes", ())]


def test_every_verb(run):
    """Create, get, list, update, the two patches, delete and deletecollection; generations count changes."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            made = await api.post(WIDGETS, widget(color="blue"))
            assert (made["kind"], made["apiVersion"], made["metadata"]["generation"]) == ("Widget", "example.com/v1", 1)
            assert made["spec"] == {"size": 3, "color": "blue"}
            assert await api.get(f"{WIDGETS}/a") == made
            listed = await api.get(WIDGETS)
            assert (listed["kind"], listed["items"]) == ("WidgetList", [made])
            assert (await api.get("/apis/example.com/v1/widgets"))["items"] == [made]
            made["spec"]["size"] = 4
            changed = await api.put(f"{WIDGETS}/a", made)
            assert (changed["spec"]["size"], changed["metadata"]["generation"]) == (4, 2)
            with pytest.raises(StatusError) as refusal:
                await api.put(f"{WIDGETS}/a", made)
            assert refusal.value.is_conflict
            labelled = await api.patch(f"{WIDGETS}/a", {"metadata": {"labels": {"x": "y"}}})
            assert labelled["metadata"]["generation"] == 2
            patch = [{"op": "replace", "path": "/spec/size", "value": 5}]
            assert (await api.patch(f"{WIDGETS}/a", patch, "json-patch+json"))["spec"]["size"] == 5
            assert (await api.delete(f"{WIDGETS}/a"))["status"] == "Success"
            for name in "bc":
                await api.post(WIDGETS, widget(name))
            await api.delete(WIDGETS)
            assert (await api.get(WIDGETS))["items"] == []

    run(main())


def test_a_strategic_merge_patch_is_refused(run):
    """Upstream's 415 with what is accepted instead."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            await api.post(WIDGETS, widget())
            with pytest.raises(StatusError) as refusal:
                await api.patch(f"{WIDGETS}/a", {"spec": {"size": 1}}, "strategic-merge-patch+json")
            assert refusal.value.code == 415
            assert "accepted media types include: application/json-patch+json, application/merge-patch+json" in str(
                refusal.value
            )

    run(main())


def test_an_update_wants_a_revision(run):
    async def main():
        async with Served() as api:
            await established(api, definition())
            await api.post(WIDGETS, widget())
            with pytest.raises(StatusError, match=r"metadata.resourceVersion: Invalid value: 0x0: must be specified"):
                await api.put(f"{WIDGETS}/a", widget())

    run(main())


def test_objects_of_the_cluster(run):
    async def main():
        async with Served() as api:
            await established(api, definition(scope="Cluster"))
            made = await api.post("/apis/example.com/v1/widgets", widget())
            assert "namespace" not in made["metadata"]
            assert await api.get("/apis/example.com/v1/widgets/a") == made
            with pytest.raises(StatusError) as refusal:
                await api.get(WIDGETS)
            assert refusal.value.is_not_found

    run(main())


def test_what_no_schema_knows(run):
    """Ignored, warned of or refused, as the caller says; kept where the schema says so."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            body = widget(odd=1, extra={"anything": [1]}, parts=[{"name": "x", "odder": 2}])
            body["metadata"]["foo"] = "bar"
            said = ('unknown field "metadata.foo"', 'unknown field "spec.odd"', 'unknown field "spec.parts[0].odder"')
            answer = await api.ask("POST", WIDGETS, body)
            assert answer.warnings == said
            made = msgspec.json.decode(answer.body)
            assert made["spec"] == {
                "size": 3,
                "color": "red",
                "extra": {"anything": [1]},
                "parts": [{"name": "x", "count": 1}],
            }
            body["metadata"]["name"] = "b"
            assert (await api.ask("POST", f"{WIDGETS}?fieldValidation=Ignore&dryRun=All", body)).warnings == ()
            with pytest.raises(StatusError) as refusal:
                await api.ask("POST", f"{WIDGETS}?fieldValidation=Strict", body)
            assert refusal.value.code == 400
            assert refusal.value.message == f"strict decoding error: {', '.join(said)}"
            twice = (
                b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"size":1,"size":2}}'
            )
            with pytest.raises(StatusError, match='duplicate field "spec.size"'):
                await api.ask("POST", f"{WIDGETS}?fieldValidation=Strict", twice)
            with pytest.raises(StatusError, match='strict decoding error: unknown field "spec.odd"'):
                merge = "application/merge-patch+json"
                path = f"{WIDGETS}/a?fieldValidation=Strict"
                await api.ask("PATCH", path, {"spec": {"odd": 1}}, content_type=merge)

    run(main())


def test_what_is_refused(run):
    """Values by the schema, names by the rules for all; every cause is named."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            with pytest.raises(StatusError) as refusal:
                await api.post(WIDGETS, widget("A", size="0", color="green", port=True))
            assert refusal.value.code == 422
            assert [field for field, _ in refused(refusal.value)] == [
                "metadata.name",
                "spec.size",
                "spec.color",
                "spec.port",
            ]
            with pytest.raises(StatusError) as refusal:
                await api.post(WIDGETS, {**widget(), "spec": {}})
            assert refused(refusal.value) == [("spec.size", "Required value")]
            with pytest.raises(
                StatusError, match="cannot be handled as a Widget: json: cannot unmarshal number"
            ) as refusal:
                bad = widget()
                bad["metadata"]["labels"] = {"a": 1}
                await api.post(WIDGETS, bad)
            assert refusal.value.code == 400

    run(main())


def test_finalizers_of_any_name(run):
    """Unlike for core kinds they need name no domain; who sets one is advised to."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            body = widget()
            body["metadata"]["finalizers"] = ["mine", "example.com/mine"]
            (said,) = (await api.ask("POST", WIDGETS, body)).warnings
            assert said.startswith('metadata.finalizers: "mine": prefer a domain-qualified finalizer name')

    run(main())


def test_a_status_of_its_own(run):
    """With the subresource, the object's writers do not touch the status, nor the status's writers all else."""

    async def main():
        async with Served() as api:
            await established(api, definition(versions=[version(subresources={"status": {}})]))
            made = await api.post(WIDGETS, {**widget(), "status": {"phase": "x"}})
            assert "status" not in made
            body = {"metadata": {"labels": {"a": "b"}}, "spec": {"size": 9}, "status": {"phase": "y"}}
            done = await api.patch(f"{WIDGETS}/a/status", body)
            assert (done["spec"]["size"], done["status"], done["metadata"]["generation"]) == (3, {"phase": "y"}, 1)
            assert "labels" not in done["metadata"]
            kept = await api.patch(f"{WIDGETS}/a", {"spec": {"size": 4}, "status": None})
            assert (kept["status"], kept["metadata"]["generation"]) == ({"phase": "y"}, 2)
            assert (await api.get(f"{WIDGETS}/a/status"))["status"] == {"phase": "y"}
            with pytest.raises(StatusError) as refusal:
                await api.patch(f"{WIDGETS}/a/status", {"status": {"phase": 1}})
            assert refused(refusal.value)[0][0] == "status.phase"

    run(main())


def test_without_it_the_status_is_as_any_field(run):
    async def main():
        async with Served() as api:
            await established(api, definition())
            made = await api.post(WIDGETS, {**widget(), "status": {"phase": "x"}})
            assert made["status"] == {"phase": "x"}
            changed = await api.patch(f"{WIDGETS}/a", {"status": {"phase": "y"}})
            assert changed["metadata"]["generation"] == 2
            with pytest.raises(StatusError) as refusal:
                await api.get(f"{WIDGETS}/a/status")
            assert refusal.value.is_not_found

    run(main())


def test_its_scale(run):
    """Replicas and selector stand where the definition says; who writes the scale changes the object."""

    async def main():
        async with Served() as api:
            scale = {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.size",
                "labelSelectorPath": ".status.selector",
            }
            parts = {"scale": scale, "status": {}}
            await established(api, definition(versions=[version(subresources=parts)]))
            await api.post(WIDGETS, widget())
            await api.patch(f"{WIDGETS}/a/status", {"status": {"size": 2, "selector": "app=a"}})
            found = await api.get(f"{WIDGETS}/a/scale")
            assert (found["kind"], found["spec"]) == ("Scale", {"replicas": 3})
            assert found["status"] == {"replicas": 2, "selector": "app=a"}
            found["spec"]["replicas"] = 5
            assert (await api.put(f"{WIDGETS}/a/scale", found))["spec"] == {"replicas": 5}
            assert (await api.get(f"{WIDGETS}/a"))["spec"]["size"] == 5
            with pytest.raises(StatusError) as refusal:
                await api.patch(f"{WIDGETS}/a/scale", {"spec": {"replicas": 10}})
            assert refused(refusal.value)[0][0] == "spec.size"

    run(main())


def two_versions(**second: Any) -> dict[str, Any]:
    return definition(versions=[version(), version("v2", storage=False, **second)])


def test_versions_show_the_same_objects(run):
    """What is written as one is read, listed, watched, patched and deleted as the other."""

    async def main():
        async with Served() as api:
            await established(api, two_versions())
            later = WIDGETS.replace("/v1/", "/v2/")
            made = await api.post(later, widget(api_version="example.com/v2"))
            assert made["apiVersion"] == "example.com/v2"
            assert (await api.get(f"{WIDGETS}/a"))["apiVersion"] == "example.com/v1"
            assert [it["apiVersion"] for it in (await api.get(later))["items"]] == ["example.com/v2"]
            assert (await api.patch(f"{later}/a", {"spec": {"size": 4}}))["spec"]["size"] == 4
            assert (await api.get(f"{WIDGETS}/a"))["spec"]["size"] == 4
            stored = await api.store.get("/registry/example.com/widgets/default/a")
            assert stored is not None
            assert b'"apiVersion":"example.com/v1"' in stored.value
            with pytest.raises(StatusError, match="does not match the expected API version"):
                await api.post(later, widget("b"))
            await api.delete(f"{later}/a")
            assert (await api.get(WIDGETS))["items"] == []

    run(main())


def test_each_version_has_its_own_schema(run):
    """A field that a version does not know is not shown by it, and what it fills in is shown by it alone."""

    async def main():
        async with Served() as api:
            spec = {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "new": {"type": "string", "default": "n"}},
            }
            await established(api, two_versions(schema={"openAPIV3Schema": schema(spec)}))
            await api.post(WIDGETS, widget())
            shown = await api.get(f"{WIDGETS.replace('/v1/', '/v2/')}/a")
            assert shown["spec"] == {"size": 3, "new": "n"}
            assert (await api.get(f"{WIDGETS}/a"))["spec"] == {"size": 3, "color": "red"}

    run(main())


def test_another_storage_version(run):
    """Objects stay where they are, in whatever version they were written; the status remembers both."""

    async def main():
        async with Served() as api:
            await established(api, two_versions())
            await api.post(WIDGETS, widget())
            path = f"{DEFINITIONS}/widgets.example.com"
            changed = [version(storage=False), version("v2")]
            done = await api.patch(path, {"spec": {"versions": changed}})
            assert done["status"]["storedVersions"] == ["v1", "v2"]
            for which in ("v1", "v2"):
                found = await api.get(f"{WIDGETS.replace('/v1/', f'/{which}/')}/a")
                assert (found["apiVersion"], found["spec"]["size"]) == (f"example.com/{which}", 3)

    run(main())


def test_a_version_that_is_served_no_more(run):
    async def main():
        async with Served() as api:
            await established(api, two_versions())
            path = f"{DEFINITIONS}/widgets.example.com"
            await api.patch(path, {"spec": {"versions": [version(), version("v2", storage=False, served=False)]}})
            with pytest.raises(StatusError, match="could not find the requested resource"):
                await api.get("/apis/example.com/v2/widgets")
            group = await api.get("/apis/example.com")
            assert [it["version"] for it in group["versions"]] == ["v1"]

    run(main())


def test_defaults_of_what_is_stored(run):
    """A default that comes later is shown of objects that were there before; one that goes is shown no more."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            await api.post(WIDGETS, widget())
            await api.post(WIDGETS, {**widget("bare"), "spec": {"size": 3, "color": "red"}})
            properties = {**SPEC["properties"], "late": {"type": "string", "default": "l"}}
            properties["color"] = {"type": "string"}
            path = f"{DEFINITIONS}/widgets.example.com"
            later = version(schema={"openAPIV3Schema": schema({**SPEC, "properties": properties})})
            await api.patch(path, {"spec": {"versions": [later]}})
            assert (await api.get(f"{WIDGETS}/a"))["spec"] == {"size": 3, "color": "red", "late": "l"}
            # What was written while there was a default keeps it; what was only shown with it does not.
            made = await api.post(WIDGETS, widget("late"))
            assert made["spec"] == {"size": 3, "late": "l"}
            properties["late"] = {"type": "string"}
            properties["note"] = {"type": "string", "default": "n"}
            last = version(schema={"openAPIV3Schema": schema({**SPEC, "properties": properties})})
            await api.patch(path, {"spec": {"versions": [last]}})
            assert (await api.get(f"{WIDGETS}/a"))["spec"] == {"size": 3, "color": "red", "note": "n"}
            assert (await api.get(f"{WIDGETS}/late"))["spec"] == {"size": 3, "late": "l", "note": "n"}

    run(main())


def test_what_was_wrong_before_may_stay(run):
    """A schema that became narrower does not keep other fields from being changed."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            await api.post(WIDGETS, widget(size=9))
            small = {**SPEC, "properties": {**SPEC["properties"], "size": {"type": "integer", "maximum": 5}}}
            narrower = version(schema={"openAPIV3Schema": schema(small)})
            await api.patch(f"{DEFINITIONS}/widgets.example.com", {"spec": {"versions": [narrower]}})
            assert (await api.patch(f"{WIDGETS}/a", {"spec": {"color": "blue"}}))["spec"]["size"] == 9
            with pytest.raises(StatusError, match="should be less than or equal to 5"):
                await api.patch(f"{WIDGETS}/a", {"spec": {"size": 8}})

    run(main())


def test_fields_that_select(run):
    async def main():
        async with Served() as api:
            fields = [{"jsonPath": ".spec.color"}]
            await established(api, definition(versions=[version(selectableFields=fields)]))
            await api.post(WIDGETS, widget("a"))
            await api.post(WIDGETS, widget("b", color="blue"))
            found = await api.get(f"{WIDGETS}?fieldSelector=spec.color%3Dblue".replace("%3D", "="))
            assert [it["metadata"]["name"] for it in found["items"]] == ["b"]
            with pytest.raises(StatusError, match="field label not supported: spec.size"):
                await api.get(f"{WIDGETS}?fieldSelector=spec.size=3")
            watching = asyncio.create_task(events_of(api, 4, fields="spec.color=blue"))
            for _ in range(5):
                await asyncio.sleep(0)
            await api.patch(f"{WIDGETS}/a", {"spec": {"color": "blue"}})
            await api.patch(f"{WIDGETS}/a", {"spec": {"size": 4}})
            await api.patch(f"{WIDGETS}/b", {"spec": {"color": "red"}})
            async with asyncio.timeout(5):
                assert await watching == [("ADDED", "b"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "b")]

    run(main())


async def events_of(api: Served, count: int, revision: int = 0, fields: str = "") -> list[tuple[str, str]]:
    seen = []
    async for event in api.door.watch(RESOURCE, Selection("default", fields=fields), revision=revision):
        if event.type != "BOOKMARK":
            seen.append((event.type, event.object.name))
        if len(seen) == count:
            break
    return seen


def test_a_watch_of_one_object(run):
    """It sees what becomes of the one that it names, and of no other."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            watches = [asyncio.create_task(events_of(api, 3, fields=f"metadata.name={name}")) for name in "ab"]
            for _ in range(5):
                await asyncio.sleep(0)
            for name in "ab":
                await api.post(WIDGETS, widget(name))
            for name in "ab":
                await api.patch(f"{WIDGETS}/{name}", {"spec": {"size": 4}})
                await api.delete(f"{WIDGETS}/{name}")
            async with asyncio.timeout(5):
                for name, watch in zip("ab", watches, strict=True):
                    assert await watch == [("ADDED", name), ("MODIFIED", name), ("DELETED", name)]

    run(main())


def test_a_watch_lives_on_while_its_definition_changes(run):
    """It sees what happens before and after, and ends with the kind."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            await api.post(WIDGETS, widget("a"))
            watching = asyncio.create_task(events_of(api, 4))
            for _ in range(5):
                await asyncio.sleep(0)
            path = f"{DEFINITIONS}/widgets.example.com"
            later = version(additionalPrinterColumns=[{"name": "C", "type": "string", "jsonPath": ".spec.color"}])
            await api.patch(path, {"spec": {"versions": [later]}})
            await api.post(WIDGETS, widget("b"))
            await api.delete(path)
            async with asyncio.timeout(5):
                assert await watching == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b")]
            endless = established(api, definition(group="example.org"))
            await endless
            other = CustomResource("example.org", "v1", "widgets", "Widget", True)

            async def whole() -> list[str]:
                return [it.type async for it in api.door.watch(other, Selection("default"), revision=0)]

            ending = asyncio.create_task(whole())
            for _ in range(5):
                await asyncio.sleep(0)
            await api.delete(f"{DEFINITIONS}/widgets.example.org")
            async with asyncio.timeout(5):
                assert await ending == []

    run(main())


def test_its_columns(run):
    """Those that the definition says, by JSONPath, of their types; without any, the age."""

    async def main():
        async with Served() as api:
            columns = [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name", "priority": 1},
                {"name": "Wrong", "type": "integer", "jsonPath": ".spec.color"},
                {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                {"name": "Absent", "type": "string", "jsonPath": ".status.phase"},
            ]
            await established(api, definition(versions=[version(additionalPrinterColumns=columns)]))
            await api.post(WIDGETS, widget(parts=[{"name": "x"}, {"name": "y"}]))
            table = await api.get(WIDGETS, "application/json;as=Table;v=v1;g=meta.k8s.io")
            assert [it["name"] for it in table["columnDefinitions"]] == ["Name", *(it["name"] for it in columns)]
            assert table["columnDefinitions"][2]["priority"] == 1
            assert table["rows"][0]["cells"] == ["a", 3, "x,y", None, "0s", None]
            assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
            await established(api, definition(group="example.org"))
            other = WIDGETS.replace(".com", ".org")
            await api.post(other, widget(api_version="example.org/v1"))
            table = await api.get(other, "application/json;as=Table;v=v1;g=meta.k8s.io")
            assert [it["name"] for it in table["columnDefinitions"]] == ["Name", "Age"]

    run(main())


def test_discovery_follows(run):
    """Groups, versions by their priority, short names, categories and subresources, in both forms."""

    async def main():
        async with Served() as api:
            names = {"shortNames": ["wd"], "categories": ["all"]}
            versions = [
                version("v1beta1"),
                version("v1", storage=False, subresources={"status": {}}),
                version("v2alpha1", storage=False),
            ]
            await established(api, definition(names=names, versions=versions))
            group = await api.get("/apis/example.com")
            assert [it["version"] for it in group["versions"]] == ["v1", "v1beta1", "v2alpha1"]
            assert group["preferredVersion"]["version"] == "v1"
            listed = (await api.get("/apis/example.com/v1"))["resources"]
            assert [it["name"] for it in listed] == ["widgets", "widgets/status"]
            assert (listed[0]["shortNames"], listed[0]["categories"]) == (["wd"], ["all"])
            aggregated = await api.get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            one = next(it for it in aggregated["items"] if it["metadata"].get("name") == "example.com")
            assert [it["version"] for it in one["versions"]] == ["v1", "v1beta1", "v2alpha1"]
            assert one["versions"][0]["resources"][0]["shortNames"] == ["wd"]

    run(main())


def test_openapi_follows(run):
    """Definitions with descriptions and whose kind they are, in both versions; gone with the kind."""

    async def main():
        async with Served() as api:
            before = (await api.get("/openapi/v3"))["paths"]
            await established(api, definition())
            paths = (await api.get("/openapi/v3"))["paths"]
            assert set(paths) - set(before) == {"apis/example.com/v1"}
            assert all(paths[path] == before[path] for path in before)
            document = await api.get("/openapi/v3/apis/example.com/v1")
            made = document["components"]["schemas"]["com.example.v1.Widget"]
            assert made["description"] == "A widget is what tests are made of."
            assert made["properties"]["spec"]["properties"]["color"] == SPEC["properties"]["color"]
            assert made["x-kubernetes-group-version-kind"] == [
                {"group": "example.com", "version": "v1", "kind": "Widget"}
            ]
            assert "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}" in document["paths"]
            old = (await api.get("/openapi/v2"))["definitions"]["com.example.v1.Widget"]
            fields = old["properties"]["spec"]["properties"]
            assert fields["size"] == SPEC["properties"]["size"]
            assert fields["port"] == {"x-kubernetes-int-or-string": True}
            assert fields["note"] == {}
            for version_, path in (("v2", "/openapi/v2"), ("v3", "/openapi/v3/apis/example.com/v1")):
                form = f"application/com.github.proto-openapi.spec.{version_}.v1.0+protobuf"
                answer = await api.ask("GET", path, headers={"Accept": form})
                assert b"com.example.v1.Widget" in answer.body
            await api.delete(f"{DEFINITIONS}/widgets.example.com")
            await gone(api, f"{DEFINITIONS}/widgets.example.com")
            assert (await api.get("/openapi/v3"))["paths"] == before
            assert "com.example.v1.Widget" not in (await api.get("/openapi/v2"))["definitions"]

    run(main())


def test_openapi_follows_versions_and_kinds(run):
    """Kinds of other groups, of the same one, and each version by itself; renamed, or served no more, it is so there too."""

    async def main():
        async with Served() as api:

            async def published() -> set[str]:
                names = (await api.get("/openapi/v2"))["definitions"]
                return {name for name in names if "example" in name and not name.endswith("List")}

            await established(api, two_versions())
            await established(api, definition("gadgets", "Gadget"))
            await established(api, definition(group="example.org"))
            others = {"com.example.v1.Gadget", "org.example.v1.Widget", "com.example.v1.Widget"}
            assert await published() == {*others, "com.example.v2.Widget"}
            path = f"{DEFINITIONS}/widgets.example.com"
            rename = [{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}]
            await api.patch(path, rename, "json-patch+json")
            assert await published() == {*others, "com.example.v3.Widget"}
            rest = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
            await api.patch(path, rest, "json-patch+json")
            assert await published() == others

    run(main())


def test_what_openapi_2_says_of_open_schemas(run):
    """Fields without bounds, nulls and objects within objects, as upstream publishes them for older clients."""

    async def main():
        async with Served() as api:
            anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            fields = {
                "open": anything | {"description": "d", "properties": {"a": {"type": "string"}}},
                "null": {"type": "string", "nullable": True},
                "inner": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": anything}},
                "either": {"type": "string", "anyOf": [{"pattern": "a"}, {"pattern": "b"}], "enum": ["a", "b"]},
            }
            spec = {"type": "object", "properties": fields, "required": ["null", "either"]}
            closed = version(schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}})
            opened = version("v2", storage=False, schema={"openAPIV3Schema": anything | {"properties": {"spec": spec}}})
            await established(api, definition(versions=[closed, opened]))
            definitions = (await api.get("/openapi/v2"))["definitions"]
            gvk = [{"group": "example.com", "version": "v2", "kind": "Widget"}]
            assert definitions["com.example.v2.Widget"] == {
                "type": "object",
                "x-kubernetes-group-version-kind": gvk,
            }
            shown = definitions["com.example.v1.Widget"]["properties"]["spec"]
            assert shown["required"] == ["either"]
            assert shown["properties"]["open"] == {"description": "d", "x-kubernetes-preserve-unknown-fields": True}
            assert shown["properties"]["null"] == {}
            assert shown["properties"]["either"] == {"type": "string", "enum": ["a", "b"]}
            assert shown["properties"]["inner"]["properties"].keys() == {"apiVersion", "kind", "metadata", "spec"}
            for form in ("v2.v1.0", "v3.v1.0"):
                path = "/openapi/v2" if form[1] == "2" else "/openapi/v3/apis/example.com/v1"
                wanted = f"application/com.github.proto-openapi.spec.{form}+protobuf"
                assert b"com.example.v1.Widget" in (await api.ask("GET", path, headers={"Accept": wanted})).body

    run(main())


def test_a_restart_finds_them(run):
    """Another server over the same store serves them from its first answer on, at their revisions."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            made = await api.post(WIDGETS, widget())
            server = ApiServer(api.store, api.clock, Chance(seed=2))
            follow = asyncio.create_task(server.follow())
            await server.start()
            door = server.transport(ADMIN)
            page = await door.list(RESOURCE, Selection("default"))
            assert [(it.name, str(it.revision)) for it in page.items] == [("a", made["metadata"]["resourceVersion"])]
            await server.close()
            follow.cancel()
            await asyncio.gather(follow, return_exceptions=True)

    run(main())


def test_what_is_created_while_its_kind_goes(run):
    """Whoever writes at that moment is answered, and what was written does not come back with the next definition."""

    async def main():
        async with Served() as api:
            key = "/registry/example.com/widgets/default/late"
            await established(api, definition())
            made = await api.post(WIDGETS, widget("early"))
            del made["metadata"]["resourceVersion"]
            made["metadata"]["name"] = "late"
            raw = msgspec.json.encode(made)
            await api.delete(f"{DEFINITIONS}/widgets.example.com")
            record = api.server.routes.record("example.com", "v1", "widgets")
            assert record is not None
            put = api.store.put
            delete = api.store.delete

            async def overtaken(wanted: str, *, expected: int) -> int:
                if wanted.endswith("widgets.example.com"):
                    await put(key, raw, expected=0)
                return await delete(wanted, expected=expected)

            api.store.delete = overtaken  # type: ignore[method-assign]
            await gone(api, f"{DEFINITIONS}/widgets.example.com")
            with pytest.raises(StatusError) as refusal:
                api.server.registry.shelf(record)
            assert refusal.value.is_not_found
            for _ in range(100):
                if await api.store.get(key) is None:
                    break
                await asyncio.sleep(0)
            await established(api, definition())
            assert (await api.get(WIDGETS))["items"] == []

    run(main())


def test_a_cache_that_begins_anew(run):
    """Loaded afresh, the cache shows objects by the definitions as they are now, and nothing of kinds that went meanwhile."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            await established(api, definition(group="example.org"))
            await api.post(WIDGETS, widget())
            cache = api.server.cache
            path = f"{DEFINITIONS}/widgets.example.com"
            properties = {**SPEC["properties"], "late": {"type": "string", "default": "l"}}
            later = version(schema={"openAPIV3Schema": schema({**SPEC, "properties": properties})})
            await api.patch(path, {"spec": {"versions": [later]}})
            page = await api.store.list("/registry/", after="", limit=0, revision=0)
            rows = [row for row in page.rows if not row.key.endswith("widgets.example.org")]
            cache._load(rows, page.revision)
            assert (await api.get(f"{WIDGETS}/a"))["spec"] == {"size": 3, "color": "red", "late": "l"}
            with pytest.raises(StatusError, match="could not find the requested resource"):
                await api.get(WIDGETS.replace(".com", ".org"))

    run(main())


def test_a_kind_that_is_not_served_has_no_door(run):
    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refusal:
                await api.door.list(RESOURCE, Selection("default"))
            assert refusal.value.is_not_found
            await api.post(DEFINITIONS, definition())
            await until(api, "widgets.example.com", "Established", "True")
            assert (await api.door.list(RESOURCE, Selection("default"))).items == []

    run(main())
