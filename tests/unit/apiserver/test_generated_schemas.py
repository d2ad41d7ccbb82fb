"""Definitions as generators write them (controller-gen, the Gateway API): every idiom taken, and meant as upstream means it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.custom import DEFINITIONS, WIDGETS, definition, version, widget
from tests.served import Served
from tests.unit.apiserver.test_custom_definitions import until

from podling.api.errors import StatusError

NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY = rf"^(\+|-)?{NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{NUMBER}))?$"
STRING: dict[str, Any] = {"type": "string"}
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "limits": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": QUANTITY,
                "x-kubernetes-int-or-string": True,
            },
        },
        "labels": {"type": "object", "additionalProperties": STRING, "x-kubernetes-map-type": "atomic"},
        "listeners": {
            "type": "array",
            "minItems": 1,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name", "port"],
                "properties": {
                    "name": STRING,
                    "port": {"type": "integer", "format": "int32", "maximum": 65535},
                    "routes": {
                        "type": "object",
                        "default": {"from": "Same"},
                        "properties": {"from": {"type": "string", "enum": ["All", "Same"], "default": "Same"}},
                    },
                },
            },
        },
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
            },
        },
        "source": {
            "type": "object",
            "properties": {"file": STRING, "url": STRING},
            "oneOf": [{"required": ["file"]}, {"required": ["url"]}],
        },
        "values": {"x-kubernetes-preserve-unknown-fields": True},
        "since": {"type": "string", "format": "date-time"},
    },
}
WAITING = {
    "type": "Accepted",
    "status": "Unknown",
    "reason": "Pending",
    "message": "Waiting for controller",
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}
CONDITIONS: dict[str, Any] = {
    "type": "array",
    "maxItems": 8,
    "default": [WAITING],
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": STRING,
        },
    },
}
NODE: dict[str, Any] = {
    "description": "A widget.",
    "type": "object",
    "required": ["spec"],
    "properties": {
        "apiVersion": {"type": "string", "description": "APIVersion defines …"},
        "kind": STRING,
        "metadata": {"type": "object"},
        "spec": SPEC,
        "status": {"type": "object", "default": {}, "properties": {"conditions": CONDITIONS}},
    },
}
COLUMNS = [
    {"name": "Accepted", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Accepted")].status'},
    {"name": "Part of", "type": "string", "jsonPath": r".spec.labels.app\.kubernetes\.io/part-of"},
]


async def defined(api: Served) -> None:
    node = version(schema={"openAPIV3Schema": NODE}, subresources={"status": {}}, additionalPrinterColumns=COLUMNS)
    body = definition(versions=[node])
    body["metadata"] |= {"annotations": {"controller-gen.kubebuilder.io/version": "v0.16.1"}, "creationTimestamp": None}
    body["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}
    answer = await api.ask("POST", f"{DEFINITIONS}?fieldValidation=Strict", body)
    assert answer.warnings == ()
    await until(api, "widgets.example.com", "Established", "True")


def sound(**spec: Any) -> dict[str, Any]:
    made = widget()
    made["spec"] = {
        "limits": {"cpu": 1, "memory": "1Gi"},
        "labels": {"app.kubernetes.io/part-of": "all"},
        "listeners": [{"name": "x", "port": 80}],
        "ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}],
        "source": {"file": "f"},
        "values": [1, {"a": [None]}],
        "since": "2026-01-01T00:00:00Z",
    } | spec
    return made


def test_an_object_is_taken_and_completed(run):
    """Quantities, keyed lists, free values, defaults within defaults; a status by default, and its condition in a column."""

    async def main():
        async with Served() as api:
            await defined(api)
            made = await api.post(f"{WIDGETS}?fieldValidation=Strict", sound())
            assert made["spec"] == sound()["spec"] | {
                "listeners": [{"name": "x", "port": 80, "routes": {"from": "Same"}}],
                "ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}],
            }
            assert made["status"] == {"conditions": [WAITING]}
            table = await api.get(WIDGETS, "application/json;as=Table;v=v1;g=meta.k8s.io")
            assert table["rows"][0]["cells"] == ["a", "Unknown", "all"]

    run(main())


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"limits": {"cpu": "1x"}},
            "spec.limits.cpu",
            f"Invalid value: \"1x\": spec.limits.cpu in body should match '{QUANTITY}'",
        ),
        ({"ports": [{"port": 1}, {"port": 1}]}, "spec.ports[1]", 'Duplicate value: {"port":1,"protocol":"TCP"}'),
        ({"listeners": []}, "spec.listeners", "Invalid value: 0: spec.listeners in body should have at least 1 items"),
        ({"listeners": [{"name": "x"}]}, "spec.listeners[0].port", "Required value"),
        (
            {"source": {"file": "f", "url": "u"}},
            "<nil>",
            (
                'Invalid value: "": "spec.source" must validate one and only one schema (oneOf). '
                "Found 2 valid alternatives"
            ),
        ),
        ({"since": "now"}, "spec.since", 'Invalid value: "now": spec.since in body must be of type date-time: "now"'),
    ],
    ids=["quantity", "keys", "too few", "required", "alternatives", "time"],
)
def test_what_does_not_fit_is_refused(run, spec, field, message):
    async def main():
        async with Served() as api:
            await defined(api)
            with pytest.raises(StatusError) as refusal:
                await api.post(WIDGETS, sound(**spec))
            causes = [(it["field"], it["message"]) for it in (refusal.value.details or {})["causes"]]
            assert causes == [(field, message)]

    run(main())
