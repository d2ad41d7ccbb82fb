"""What a webhook configuration may say."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api import defaults
from podling.api.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS

from .objects import found, found_in_update

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
SERVICE = {"namespace": "n", "name": "s"}
AT = "webhooks[0]"
LABEL = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character"


def configuration(*webhooks: dict[str, Any]) -> dict[str, Any]:
    tree = {"metadata": {"name": "c", "resourceVersion": "1"}, "webhooks": [*webhooks]}
    defaults.apply(MUTATING_WEBHOOKS, tree)
    return tree


def webhook(**more: Any) -> dict[str, Any]:
    sound = {
        "name": "a.example.com",
        "rules": [RULE],
        "clientConfig": {"url": "https://hooks.example.com:8443/pods"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {key: value for key, value in (sound | more).items() if value is not None}


def rule(**more: Any) -> dict[str, Any]:
    return webhook(rules=[RULE | more])


def url(text: str) -> dict[str, Any]:
    return webhook(clientConfig={"url": text})


def service(**more: Any) -> dict[str, Any]:
    return webhook(clientConfig={"service": SERVICE | more})


FORM = "; desired format: https://host[/path]"


@pytest.mark.parametrize(
    ("hook", "lines"),
    [
        (webhook(), []),
        (service(path="/a/b/", port=8443), []),
        (rule(resources=["pods", "pods/status", "*/scale"]), []),
        (webhook(name=""), [f"{AT}.name: Required value"]),
        (webhook(name="a.b"), [f'{AT}.name: Invalid value: "a.b": should be a domain with at least three segments separated by dots']),
        (webhook(failurePolicy="Maybe"), [f'{AT}.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"']),
        (webhook(matchPolicy="Maybe"), [f'{AT}.matchPolicy: Unsupported value: "Maybe": supported values: "Equivalent", "Exact"']),
        (webhook(reinvocationPolicy="Always"), [f'{AT}.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"']),
        (webhook(sideEffects="Some"), [f'{AT}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"']),
        (webhook(sideEffects=None), [f"{AT}.sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        (webhook(timeoutSeconds=31), [f"{AT}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"]),
        (webhook(timeoutSeconds=0), [f"{AT}.timeoutSeconds: Invalid value: 0: the timeout value must be between 1 and 30 seconds"]),
        (webhook(admissionReviewVersions=[]), [f"{AT}.admissionReviewVersions: Required value: must specify one of v1, v1beta1"]),
        (webhook(admissionReviewVersions=["v2"]), [f'{AT}.admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1']),
        (webhook(admissionReviewVersions=["v1", "v1"]), [f'{AT}.admissionReviewVersions[1]: Invalid value: "v1": duplicate version']),
        (webhook(clientConfig={}), [f"{AT}.clientConfig: Required value: exactly one of url or service is required"]),
        (
            webhook(clientConfig={"url": "https://a", "service": SERVICE}),
            [f"{AT}.clientConfig: Required value: exactly one of url or service is required"],
        ),
        (url("http://a"), [f"{AT}.clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}"]),
        (url("https:///a"), [f'{AT}.clientConfig.url: Invalid value: "": host must be provided{FORM}']),
        (url("https://u:p@a"), [f'{AT}.clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL']),
        (url("https://a#f"), [f'{AT}.clientConfig.url: Invalid value: "f": fragments are not permitted in the URL']),
        (url("https://a?q=1"), [f'{AT}.clientConfig.url: Invalid value: "q=1": query parameters are not permitted in the URL']),
        (service(name=""), [f"{AT}.clientConfig.service.name: Required value: service name is required"]),
        (service(namespace=""), [f"{AT}.clientConfig.service.namespace: Required value: service namespace is required"]),
        (service(port=65536), [f"{AT}.clientConfig.service.port: Invalid value: 65536: port is not valid: must be between 1 and 65535, inclusive"]),
        (service(path="//"), [f'{AT}.clientConfig.service.path: Invalid value: "//": segment[0] may not be empty']),
        (service(path="/a//b"), [f'{AT}.clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty']),
        (rule(operations=[]), [f"{AT}.rules[0].operations: Required value"]),
        (
            rule(operations=["*", "CREATE"]),
            [f"{AT}.rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations"],
        ),
        (
            rule(operations=["PATCH"]),
            [f'{AT}.rules[0].operations[0]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"'],
        ),
        (rule(apiGroups=[]), [f"{AT}.rules[0].apiGroups: Required value"]),
        (rule(apiVersions=[""]), [f"{AT}.rules[0].apiVersions[0]: Required value"]),
        (
            rule(resources=["*", "pods"]),
            [f"{AT}.rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources"],
        ),
        (
            rule(resources=["pods/*", "pods/status"]),
            [f"{AT}.rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status"],
        ),
        (
            rule(resources=["*/*", "pods"]),
            [f"{AT}.rules[0].resources: Invalid value: [\"*/*\",\"pods\"]: if '*/*' is present, must not specify other resources"],
        ),
        (rule(scope="All"), [f'{AT}.rules[0].scope: Unsupported value: "All": supported values: "*", "Cluster", "Namespaced"']),
        (webhook(matchConditions=[{"name": "", "expression": "true"}]), [f"{AT}.matchConditions[0].name: Required value"]),
        (webhook(matchConditions=[{"name": "a", "expression": " "}]), [f"{AT}.matchConditions[0].expression: Required value"]),
        (
            webhook(matchConditions=[{"name": "a", "expression": "true"}] * 2),
            [f'{AT}.matchConditions[1].name: Duplicate value: "a"'],
        ),
    ],
)  # fmt: skip
def test_what_a_webhook_may_not_say(hook: dict, lines: list[str]) -> None:
    """Each refusal has upstream's path and words; both kinds have all but the one field that only one has."""
    assert found(MUTATING_WEBHOOKS, configuration(hook)) == lines
    if "reinvocationPolicy" not in "".join(lines):
        tree = configuration(hook)
        for each in tree["webhooks"]:
            each.pop("reinvocationPolicy", None)
        assert found(VALIDATING_WEBHOOKS, tree) == lines


def test_webhooks_of_one_configuration_have_names_of_their_own() -> None:
    assert found(MUTATING_WEBHOOKS, configuration(webhook(), webhook())) == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]


def test_a_fault_that_stands_already_may_stay() -> None:
    """What was stored before a rule can still be changed; a sound one may not become unsound."""
    old = configuration(webhook(sideEffects="Some", admissionReviewVersions=["v2"]))
    assert found_in_update(MUTATING_WEBHOOKS, old, old) == []
    assert found_in_update(MUTATING_WEBHOOKS, old, configuration(webhook())) != []
