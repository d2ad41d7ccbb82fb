"""CustomResourceDefinitions through the front door: what is refused, what they become, how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.custom import DEFINITIONS, WIDGETS, definition, schema, version, widget
from tests.served import Served

from podling.api.errors import StatusError
from podling.apiserver.custom import kinds
from podling.apiserver.custom.naming import plan


async def established(api: Served, body: dict[str, Any]) -> dict[str, Any]:
    """Create a definition and return it once it is served."""
    await api.post(DEFINITIONS, body)
    return await until(api, body["metadata"]["name"], "Established", "True")


async def until(api: Served, name: str, kind: str, status: str) -> dict[str, Any]:
    for _ in range(200):
        found = await api.get(f"{DEFINITIONS}/{name}")
        if condition(found, kind)[:1] == (status,):
            return found
        await asyncio.sleep(0)
    raise AssertionError(found["status"])


async def gone(api: Served, path: str) -> None:
    for _ in range(200):
        try:
            await api.get(path)
        except StatusError as refusal:
            assert refusal.is_not_found
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{path} is still there")


def condition(found: dict[str, Any], kind: str) -> tuple[str, ...]:
    one = next((it for it in found["status"]["conditions"] if it.get("type") == kind), None)
    return (one["status"], one["reason"], one["message"]) if one else ()


def test_a_definition_is_completed_and_established(run):
    """Upstream's defaults, conditions, accepted names and stored versions."""

    async def main():
        async with Served() as api:
            made = await api.post(DEFINITIONS, {**definition(names={"shortNames": ["wd"]}), "status": {"x": 1}})
            assert made["spec"]["names"] == {
                "plural": "widgets",
                "singular": "widget",
                "kind": "Widget",
                "listKind": "WidgetList",
                "shortNames": ["wd"],
            }
            assert made["spec"]["conversion"] == {"strategy": "None"}
            assert made["metadata"]["generation"] == 1
            nothing = {"plural": "", "kind": ""}
            assert made["status"] == {"conditions": [], "acceptedNames": nothing, "storedVersions": ["v1"]}
            found = await until(api, "widgets.example.com", "Established", "True")
            assert found["status"]["acceptedNames"] == found["spec"]["names"]
            assert condition(found, "NamesAccepted") == ("True", "NoConflicts", "no conflicts found")
            accepted = "the initial names have been accepted"
            assert condition(found, "Established") == ("True", "InitialNamesAccepted", accepted)
            assert found["metadata"]["generation"] == 1

    run(main())


def bent(**spec: Any) -> dict[str, Any]:
    return definition(**spec)


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def with_schema(node: Any) -> dict[str, Any]:
    return definition(versions=[version(schema={"openAPIV3Schema": node})])


AT = "spec.versions[0].schema.openAPIV3Schema"
BAD_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {**definition(), "metadata": {"name": "other.example.com"}},
        "metadata.name",
        'Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
    ),
    (bent(group="example"), "spec.group", 'Invalid value: "example": should be a domain with at least one dot'),
    (bent(scope="World"), "spec.scope", 'Unsupported value: "World": supported values: "Cluster", "Namespaced"'),
    (bent(scope=""), "spec.scope", "Required value"),
    (
        bent(names={"kind": "Widget", "listKind": "Widget"}),
        "spec.names.listKind",
        'Invalid value: "Widget": kind and listKind may not be the same',
    ),
    (bent(names={"shortNames": ["A"]}), "spec.names.shortNames[0]", f'Invalid value: "A": {BAD_LABEL}'),
    (bent(versions=[version("V")]), "spec.versions[0].name", f'Invalid value: "V": {BAD_LABEL}'),
    (bent(versions=[version(schema=None)]), AT, "Required value: schemas are required"),
    (
        bent(preserveUnknownFields=True),
        "spec.preserveUnknownFields",
        ("Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"),
    ),
    (
        bent(conversion={"strategy": "Webhook"}),
        "spec.conversion.webhookClientConfig",
        'Required value: required when strategy is set to "Webhook"',
    ),
    (with_schema({}), f"{AT}.type", "Required value: must not be empty at the root"),
    (with_schema({"type": "string"}), f"{AT}.type", 'Invalid value: "string": must be object at the root'),
    (
        with_schema(of(a={"description": "untyped"})),
        f"{AT}.properties[a].type",
        "Required value: must not be empty for specified object fields",
    ),
    (with_schema(of(a={"type": "array"})), f"{AT}.properties[a].items", "Required value: must be specified"),
    (
        with_schema(of(a={"type": "array", "items": {"description": "untyped"}})),
        f"{AT}.properties[a].items.type",
        "Required value: must not be empty for specified array items",
    ),
    (
        with_schema(of(a={"type": "object", "additionalProperties": False})),
        f"{AT}.properties[a].additionalProperties",
        "Forbidden: must not be false",
    ),
    (
        with_schema(of(a={"type": "string", "anyOf": [{"type": "string"}]})),
        f"{AT}.properties[a].anyOf[0].type",
        "Forbidden: must be empty to be structural",
    ),
    (
        with_schema(of(metadata={"type": "object", "properties": {"labels": {"type": "object"}}})),
        f"{AT}.properties[metadata]",
        "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
    ),
    (
        with_schema(of(a={"type": "string", "default": 1})),
        f"{AT}.properties[a].default",
        f'Invalid value: "integer": {AT}.properties[a].default in body must be of type string: "integer"',
    ),
    (
        with_schema(of(a={"type": "array", "items": of(n={"type": "string"}), "x-kubernetes-list-type": "map",
                          "x-kubernetes-list-map-keys": ["n"]})),
        f"{AT}.properties[a].items.properties[n].default",
        ("Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required "
        "property"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field", "message"), REFUSED)
def test_what_is_refused(run, body, field, message):
    """Each by upstream's path and sentence."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refusal:
                await api.post(DEFINITIONS, body)
            assert refusal.value.code == 422
            causes = [(it["field"], it["message"]) for it in (refusal.value.details or {})["causes"]]
            assert (field, message) in causes

    run(main())


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"type": "array", "items": "text"}, "cannot unmarshal string into Go struct field JSONSchemaProps"),
        ({"type": "array", "items": {"properties": "text"}}, "cannot unmarshal string into Go struct field"),
        ({"type": "array", "items": ["text"]}, "cannot unmarshal string into Go struct field JSONSchemaProps"),
        ({"type": "object", "additionalProperties": "text"}, "boolean or JSON schema expected"),
        ({"type": "object", "additionalProperties": {"required": 1}}, "cannot unmarshal number into Go struct field"),
        ({"type": "object", "dependencies": {"a": [1]}}, "cannot unmarshal number into Go struct field"),
        ({"type": "object", "properties": {"a": {"enum": 1}}}, "cannot unmarshal number into Go struct field"),
    ],
)
def test_schemas_of_wrong_types(run, node, said):
    """At every depth they are read as Go reads them: 400, and nothing breaks."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError, match=said) as refusal:
                await api.post(DEFINITIONS, with_schema(of(spec=node)))
            assert refusal.value.code == 400

    run(main())


def test_schemas_are_read_strictly_at_every_depth(run):
    """Fields that no schema of schemas has are warned of, and go."""

    async def main():
        async with Served() as api:
            items = {"type": "object", "odd": 1, "additionalProperties": {"type": "string", "odder": 2}}
            answer = await api.ask("POST", DEFINITIONS, with_schema(of(spec={"type": "array", "items": items})))
            where = f"{AT}.properties.spec.items"
            assert answer.warnings == (
                f'unknown field "{where}.odd"',
                f'unknown field "{where}.additionalProperties.odder"',
            )
            made = msgspec.json.decode(answer.body)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            kept = {"type": "object", "additionalProperties": {"type": "string"}}
            assert made["properties"]["spec"]["items"] == kept

    run(main())


def test_a_null_may_be_allowed(run):
    """An enumeration may list null, which the definition keeps."""

    async def main():
        async with Served() as api:
            note = {"type": "string", "nullable": True, "enum": ["a", None]}
            made = await established(api, with_schema(of(spec=of(size={"type": "integer"}, note=note))))
            node = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            assert node["properties"]["spec"]["properties"]["note"]["enum"] == ["a", None]
            assert (await api.post(WIDGETS, widget(note=None)))["spec"] == {"size": 3, "note": None}

    run(main())


def test_one_version_is_stored(run):
    """None, two, and two of one name are refused."""

    async def main():
        async with Served() as api:
            for versions, said in (
                ([version(storage=False)], "must have exactly one version marked as storage version"),
                ([version(), version("v2")], "must have exactly one version marked as storage version"),
                ([version(), version(storage=False)], "must contain unique version names"),
            ):
                with pytest.raises(StatusError, match=said):
                    await api.post(DEFINITIONS, definition(versions=versions))

    run(main())


def test_conditions_of_anybody(run):
    """Writers of the status may add conditions, even without a type, and lose them all: what must be there comes back."""

    async def main():
        async with Served() as api:
            found = await established(api, definition())
            path = f"{DEFINITIONS}/widgets.example.com/status"
            found["status"]["conditions"].append({"type": "", "status": "", "message": "updated"})
            updated = await api.put(path, found)
            assert updated["status"]["conditions"][-1]["message"] == "updated"
            patch = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
            patched = await api.patch(path, patch, "json-patch+json")
            assert [it["message"] for it in patched["status"]["conditions"]] == ["patched"]
            await until(api, "widgets.example.com", "Established", "True")
            assert (await api.get(WIDGETS))["items"] == []

    run(main())


def test_a_definition_that_cannot_be_read_keeps_nobody_else(run):
    """One that some other server stored is not served; all others are."""

    async def main():
        async with Served() as api:
            found = await established(api, definition())
            key = "/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com"
            row = await api.store.get(key)
            assert row is not None
            found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
                "type": "string",
                "pattern": "(",
            }
            await api.store.put(key, msgspec.json.encode(found), expected=row.revision)
            await established(api, definition(group="example.org"))
            with pytest.raises(StatusError, match="could not find the requested resource"):
                await api.get(WIDGETS)
            assert (await api.get(WIDGETS.replace(".com", ".org")))["items"] == []

    run(main())


def test_protected_groups_want_an_approval(run):
    async def main():
        async with Served() as api:
            body = definition(group="things.k8s.io")
            with pytest.raises(StatusError, match="protected groups must have approval annotation"):
                await api.post(DEFINITIONS, body)
            body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com/approved"}
            await established(api, body)

    run(main())


def test_what_never_changes(run):
    """Scope and kind once established; group and plural ever."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            path = f"{DEFINITIONS}/widgets.example.com"
            for change, field in (
                ({"scope": "Cluster"}, "spec.scope"),
                ({"names": {"kind": "Gadget", "listKind": "GadgetList"}}, "spec.names.kind"),
                ({"names": {"plural": "gadgets"}}, "spec.names.plural"),
            ):
                with pytest.raises(StatusError, match=f"{field}: Invalid value: .*field is immutable"):
                    await api.patch(path, {"spec": change})
            with pytest.raises(StatusError, match="must appear in spec.versions"):
                await api.patch(path, {"spec": {"versions": [version("v2")]}})

    run(main())


def test_names_are_given_once(run):
    """Who comes second waits, says why, and has the names when the first goes."""

    async def main():
        async with Served() as api:
            await established(api, definition(names={"shortNames": ["wd"]}))
            await api.post(DEFINITIONS, definition("others", "Widget", names={"singular": "other"}))
            waiting = await until(api, "others.example.com", "NamesAccepted", "False")
            assert condition(waiting, "NamesAccepted")[1:] == ("ListKindConflict", '"WidgetList" is already in use')
            assert condition(waiting, "Established") == ("False", "NotAccepted", "not all names are accepted")
            with pytest.raises(StatusError) as refusal:
                await api.get("/apis/example.com/v1/others")
            assert refusal.value.is_not_found
            # Another group has names of its own.
            await established(api, definition(group="example.org", names={"shortNames": ["wd"]}))
            await api.delete(f"{DEFINITIONS}/widgets.example.com")
            await until(api, "others.example.com", "Established", "True")
            assert (await api.get("/apis/example.com/v1/others"))["items"] == []

    run(main())


def test_a_plan_is_kept():
    """A definition whose status is as it should be is not written again."""
    tree: dict[str, Any] = definition()
    tree["status"] = plan(tree, [], 0.0)
    assert plan(tree, [], 5.0) is None


def test_what_is_not_carried_out_is_said(run):
    """Rules in CEL and conversion webhooks are accepted, with a warning that names each."""

    async def main():
        async with Served() as api:
            ruled = {"type": "object", "x-kubernetes-validations": [{"rule": "self.a > 0"}], "properties": {}}
            body = with_schema({"type": "object", "properties": {"spec": ruled}})
            body["spec"]["conversion"] = {
                "strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com/x"}},
            }
            answer = await api.ask("POST", DEFINITIONS, body)
            assert answer.warnings == (
                "spec.conversion.webhook: conversion webhooks are not called: versions differ in their apiVersion alone",
                f"{AT}.properties[spec].x-kubernetes-validations: rules in CEL are not evaluated",
            )

    run(main())


def test_a_definition_ends_with_its_objects(run):
    """Deletion deletes what was defined, waits for finalizers, refuses new objects, and takes the kind away."""

    async def main():
        async with Served() as api:
            await established(api, definition())
            kept = widget("kept")
            kept["metadata"]["finalizers"] = ["example.com/mine"]
            await api.post(WIDGETS, widget("a"))
            await api.post(WIDGETS, kept)
            path = f"{DEFINITIONS}/widgets.example.com"
            going = await api.delete(path)
            assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
            assert condition(going, "Terminating")[:2] == ("True", "InstanceDeletionPending")
            await gone(api, f"{WIDGETS}/a")
            for _ in range(100):
                await asyncio.sleep(0)
            assert (await api.get(f"{WIDGETS}/kept"))["metadata"]["deletionTimestamp"]
            assert condition(await api.get(path), "Terminating")[1] == "InstanceDeletionInProgress"
            with pytest.raises(StatusError) as refusal:
                await api.post(WIDGETS, widget("b"))
            assert refusal.value.code == 405
            await api.patch(f"{WIDGETS}/kept", {"metadata": {"finalizers": None}})
            await gone(api, path)

    run(main())


def test_a_kind_comes_and_goes(run):
    """After its end nothing of a kind is found; made anew it is empty, and may be of another schema."""

    async def main():
        async with Served() as api:
            for node in (schema(), {"type": "object", "x-kubernetes-preserve-unknown-fields": True}):
                await established(api, definition(versions=[version(schema={"openAPIV3Schema": node})]))
                assert (await api.get(WIDGETS))["items"] == []
                await api.post(WIDGETS, widget())
                assert "example.com" in {it["name"] for it in (await api.get("/apis"))["groups"]}
                await api.delete(f"{DEFINITIONS}/widgets.example.com")
                await gone(api, f"{DEFINITIONS}/widgets.example.com")
                with pytest.raises(StatusError, match="could not find the requested resource"):
                    await api.get(WIDGETS)
                assert "example.com" not in {it["name"] for it in (await api.get("/apis"))["groups"]}
            assert api.server.registry.cache.revision

    run(main())


def test_a_definition_takes_no_built_in_kind_away(run):
    """Where a kind is built in, a definition of that very name changes nothing, also when it is changed and goes."""

    async def main():
        policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
        body = definition("networkpolicies", "NetworkPolicy", group="networking.k8s.io")
        body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved"}
        policy = {"metadata": {"name": "p"}, "spec": {"podSelector": {}}}
        async with Served() as api:
            await established(api, body)
            await api.post(policies, policy)
            name = f"{DEFINITIONS}/networkpolicies.networking.k8s.io"
            await api.patch(name, {"spec": {"names": {"shortNames": ["other"]}}})
            assert (await api.get(f"{policies}/p"))["spec"]["policyTypes"] == ["Ingress"]
            await api.delete(name)
            await gone(api, name)
            assert (await api.get(f"{policies}/p"))["kind"] == "NetworkPolicy"

    run(main())


def test_a_definition_has_no_others_looked_at_anew(run, monkeypatch):
    """Each is planned a few times, however many there are in its group; who waits for a name gets it all the same."""
    planned = 0

    def counted(*given: Any) -> Any:
        nonlocal planned
        planned += 1
        return plan(*given)

    monkeypatch.setattr(kinds, "plan", counted)

    async def main():
        async with Served() as api:
            for i in range(40):
                await established(api, definition(f"w{i}s", f"W{i}"))
            assert planned <= 40 * 8
            await api.post(DEFINITIONS, definition("others", "W7"))
            waiting = await until(api, "others.example.com", "NamesAccepted", "False")
            assert condition(waiting, "Established")[0] == "False"
            await api.delete(f"{DEFINITIONS}/w7s.example.com")
            await until(api, "others.example.com", "Established", "True")
            await api.post(DEFINITIONS, definition("more", "W8"))
            await until(api, "more.example.com", "NamesAccepted", "False")
            await api.patch(
                f"{DEFINITIONS}/w8s.example.com", {"spec": {"names": {"singular": "x", "listKind": "XList"}}}
            )
            await api.delete(f"{DEFINITIONS}/w8s.example.com")
            await until(api, "more.example.com", "Established", "True")

    run(main())
