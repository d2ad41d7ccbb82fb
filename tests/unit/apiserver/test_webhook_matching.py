"""Whom a write concerns: rules, scopes, selectors and what else serves the same objects."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from podling.aio.chance import Chance
from podling.api import defaults
from podling.api.resources import MUTATING_WEBHOOKS
from podling.api.validation.shape import typed
from podling.apiserver.admission.webhooks.matching import Hook, Place, hooks_of, place_of, selects
from podling.apiserver.admission.webhooks.review import version_of
from podling.apiserver.kinds import records
from podling.apiserver.paths import Routes, resource_path
from podling.apiserver.service_addresses import ServiceAddresses
from podling.apiserver.verbs.connecting import options_of

PODS = Place("", "v1", "pods")
STATUS = Place("", "v1", "pods", "status")
DEPLOYMENTS = Place("apps", "v1", "deployments")
OLD = Place("extensions", "v1beta1", "deployments")
CONFIGURATIONS = Place("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations")


def hook(rule: dict[str, Any] | None = None, **more: Any) -> Hook:
    rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], **(rule or {})}]
    tree = {
        "metadata": {"name": "c"},
        "webhooks": [
            {
                "name": "a.example.com",
                "rules": rules,
                "clientConfig": {"url": "https://a"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                **more,
            }
        ],
    }
    defaults.apply(MUTATING_WEBHOOKS, tree)
    (found,) = hooks_of([typed(MUTATING_WEBHOOKS.type, tree)])
    return found


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ({}, PODS, True),
        ({}, STATUS, False),
        ({"resources": ["*/*"]}, PODS, True),
        ({"resources": ["*/*"]}, STATUS, True),
        ({"resources": ["pods"]}, PODS, True),
        ({"resources": ["pods"]}, STATUS, False),
        ({"resources": ["pods/*"]}, PODS, True),
        ({"resources": ["pods/*"]}, STATUS, True),
        ({"resources": ["pods/status"]}, PODS, False),
        ({"resources": ["pods/status"]}, STATUS, True),
        ({"resources": ["*/status"]}, STATUS, True),
        ({"resources": ["*/scale"]}, STATUS, False),
        ({"resources": ["services", "pods"]}, PODS, True),
        ({"apiGroups": ["apps"]}, PODS, False),
        ({"apiGroups": ["apps", ""]}, PODS, True),
        ({"apiVersions": ["v2"]}, PODS, False),
        ({"operations": ["CREATE", "UPDATE"]}, PODS, True),
        ({"operations": ["DELETE"]}, PODS, False),
        ({"scope": "Namespaced"}, PODS, True),
        ({"scope": "Cluster"}, PODS, False),
        ({}, CONFIGURATIONS, False),
    ],
)
def test_a_rule_has_a_write(rule: dict, asked: Place, matches: bool) -> None:
    found = place_of(hook(rule), "CREATE", asked, (), namespaced=True)
    assert found == (asked if matches else None)


def test_a_namespace_is_of_the_cluster() -> None:
    """Its own rule is not one for what lies within namespaces."""
    namespaces = Place("", "v1", "namespaces")
    assert place_of(hook({"scope": "Cluster"}), "CREATE", namespaces, (), namespaced=False) == namespaces
    assert place_of(hook({"scope": "Namespaced"}), "CREATE", namespaces, (), namespaced=False) is None


@pytest.mark.parametrize(
    ("policy", "group", "place"),
    [
        ("Equivalent", "apps", DEPLOYMENTS),
        ("Equivalent", "extensions", OLD),
        ("Exact", "apps", DEPLOYMENTS),
        ("Exact", "extensions", None),
        ("Equivalent", "batch", None),
    ],
)
def test_what_is_served_elsewhere_too(policy: str, group: str, place: Place | None) -> None:
    """Equivalent: a rule about any of the places counts, and the object is sent as that one."""
    asked = hook({"apiGroups": [group]}, matchPolicy=policy)
    assert place_of(asked, "UPDATE", DEPLOYMENTS, (OLD,), namespaced=True) == place


@pytest.mark.parametrize(
    ("selectors", "namespace", "objects", "selected"),
    [
        ({}, {}, [{}], True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {"a": "b"}, [{}], True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, {}, [{}], False),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, None, [{}], True),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {}, [{"a": "b"}, {}], True),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {}, [{}, {"a": "b"}], True),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {}, [{}, {}], False),
        (
            {"namespaceSelector": {"matchLabels": {"a": "b"}}, "objectSelector": {"matchLabels": {"a": "b"}}},
            {},
            [{"a": "b"}],
            False,
        ),
    ],
)
def test_selectors_let_a_write_pass(selectors: dict, namespace: Any, objects: list, selected: bool) -> None:
    """What is in no namespace is never exempt by one; an object that had the label counts as one that has it."""
    assert selects(hook(**selectors), namespace, objects) is selected


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [(("v1",), "v1"), (("v1beta1", "v1"), "v1beta1"), (("v2", "v1"), "v1"), (("v2",), ""), ((), "")],
)
def test_the_first_version_that_both_know_is_spoken(offered: tuple, spoken: str) -> None:
    assert version_of(offered) == spoken


@pytest.mark.parametrize(
    ("effects", "bears"), [("None", True), ("NoneOnDryRun", True), ("Some", False), ("Unknown", False)]
)
def test_who_bears_a_dry_run(effects: str, bears: bool) -> None:
    assert hook(sideEffects=effects).bears_dry_run is bears


@pytest.mark.parametrize(
    ("path", "query", "options"),
    [
        ("pods/p/log", "", None),
        (
            "pods/p/attach",
            "stdin=true&tty=0&container=c",
            {"kind": "PodAttachOptions", "stdin": True, "container": "c"},
        ),
        (
            "pods/p/exec",
            "command=ls&command=-l&stdout=1&container=c&container=d",
            {"kind": "PodExecOptions", "stdout": True, "container": "c", "command": ["ls", "-l"]},
        ),
        ("pods/p/portforward", "ports=80,81", {"kind": "PodPortForwardOptions", "ports": [80, 81]}),
        ("pods/p/portforward", "", {"kind": "PodPortForwardOptions"}),
        ("pods/p/proxy/a/b", "", {"kind": "PodProxyOptions", "path": "/a/b"}),
        ("services/s/proxy", "", {"kind": "ServiceProxyOptions"}),
    ],
)
def test_a_connection_is_an_object_too(path: str, query: str, options: dict | None) -> None:
    """What webhooks see of it has upstream's kind, and the fields of the query."""
    asked = resource_path(f"/api/v1/namespaces/default/{path}")
    assert asked is not None
    target = Routes(records(ServiceAddresses(["10.96.0.0/16"], Chance(seed=1)))).target(asked)
    assert target is not None
    found = options_of(target, parse_qsl(query))
    assert found == (None if options is None else {"apiVersion": "v1", **options})
