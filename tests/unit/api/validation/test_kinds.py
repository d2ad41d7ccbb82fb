"""What the other kinds may not be, and what may change in them."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from podling.api import defaults, resources, validation

from .objects import found, found_in_update

GROUP = "rbac.authorization.k8s.io"


def _made(resource: Any, metadata: dict | None = None, **fields: Any) -> dict:
    meta = {"name": "one", "resourceVersion": "1", **({"namespace": "default"} if resource.namespaced else {})}
    tree = {"metadata": {**meta, **(metadata or {})}, **copy.deepcopy(fields)}
    defaults.apply(resource, tree)
    return tree


ROLE_REF = {"kind": "ClusterRole", "name": "view"}
SOUND: list[tuple[Any, dict]] = [
    (resources.NAMESPACES, {"spec": {"finalizers": ["kubernetes"]}}),
    (resources.NODES, {"status": {"capacity": {"cpu": "2", "example.com/gpu": "1"}}}),
    (resources.CONFIG_MAPS, {"data": {"a": "b"}, "binaryData": {"c": "AAAA"}}),
    (resources.SECRETS, {"data": {"a": "AAAA"}}),
    (resources.SERVICE_ACCOUNTS, {}),
    (resources.ENDPOINTS, {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
    (
        resources.ENDPOINT_SLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n"}], "ports": [{"port": 80}]},
    ),
    (resources.EVENTS, {"involvedObject": {"namespace": "default"}}),
    (
        resources.EVENTS_V1,
        {
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "a.b/c",
            "reportingInstance": "c-1",
            "action": "Run",
            "reason": "Ran",
            "type": "Normal",
            "regarding": {"namespace": "default"},
        },
    ),
    (resources.LEASES, {"spec": {"leaseDurationSeconds": 40}}),
    (resources.PRIORITY_CLASSES, {"value": 1000}),
    (resources.NETWORK_POLICIES, {"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{}]}}),
    (resources.RUNTIME_CLASSES, {"handler": "runc"}),
    (resources.ROLES, {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
    (resources.CLUSTER_ROLES, {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
    (resources.ROLE_BINDINGS, {"roleRef": ROLE_REF, "subjects": [{"kind": "User", "name": "u"}]}),
    (
        resources.CLUSTER_ROLE_BINDINGS,
        {"roleRef": ROLE_REF, "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}]},
    ),
]


@pytest.mark.parametrize(("resource", "fields"), SOUND, ids=[f"{r.group}/{r.kind}" for r, _ in SOUND])
def test_a_sound_object_passes_create_and_an_update_to_itself(resource: Any, fields: dict) -> None:
    """Nothing speaks against what is sound, nor against leaving it as it is."""
    tree = _made(resource, **fields)
    assert found(resource, tree) == []
    assert found_in_update(resource, tree, tree) == []
    assert validation.status_update(resource, tree, tree) == []


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
REFUSED: list[tuple[Any, dict, list[str]]] = [
    (
        resources.NAMESPACES,
        {"metadata": {"name": "a.b"}},
        ['metadata.name: Invalid value: "a.b": must not contain dots'],
    ),
    (
        resources.NAMESPACES,
        {"metadata": {"namespace": "x"}},
        ["metadata.namespace: Forbidden: not allowed on this type"],
    ),
    (
        resources.NODES,
        {
            "spec": {
                "taints": [
                    {"key": "a", "effect": "NoSchedule"},
                    {"key": "a", "effect": "NoSchedule"},
                    {"key": "b", "effect": "X"},
                ]
            }
        },
        [
            (
                'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints '
                "must be unique by key and effect pair"
            ),
            (
                'metadata.taints[2].effect: Unsupported value: "X": supported values: "NoSchedule", "PreferNoSchedule", '
                '"NoExecute"'
            ),
        ],
    ),
    (
        resources.NODES,
        {"status": {"capacity": {"example.com/gpu": "500m"}}},
        [
            'status.capacity.example.com/gpu: Invalid value: "500m": must be an integer',
            'status.allocatable.example.com/gpu: Invalid value: "500m": must be an integer',
        ],
    ),
    (resources.NODES, {"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}}, []),
    (
        resources.NODES,
        {"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64", "fd00::/64"]}},
        [
            (
                'spec.podCIDRs: Invalid value: ["10.0.0.0/24","fd00::/64","fd00::/64"]: may specify no more than one CIDR '
                "for each IP family"
            ),
            'spec.podCIDRs[2]: Duplicate value: "fd00::/64"',
        ],
    ),
    (
        resources.NODES,
        {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}},
        [
            (
                'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP '
                "family"
            )
        ],
    ),
    (
        resources.CONFIG_MAPS,
        {"data": {"..a": "", "b": "x"}, "binaryData": {"b": "AAAA"}},
        [
            "data[..a]: Invalid value: \"..a\": must not start with '..'",
            'data[b]: Invalid value: "b": duplicate of key present in binaryData',
        ],
    ),
    (resources.CONFIG_MAPS, {"data": {"": "x"}}, [f'data[]: Invalid value: "": {KEY}']),
    (resources.SECRETS, {"data": {"": "AAAA"}}, [f'data[]: Invalid value: "": {KEY}']),
    (resources.CONFIG_MAPS, {"data": {"a": "x" * 1048577}}, [": Too long: may not be more than 1048576 bytes"]),
    (resources.SECRETS, {"data": {"a": "A" * 1398108}}, ["data: Too long: may not be more than 1048576 bytes"]),
    (
        resources.SECRETS,
        {"type": "kubernetes.io/tls"},
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    ),
    (
        resources.SECRETS,
        {"type": "kubernetes.io/service-account-token"},
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ),
    (
        resources.SECRETS,
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": _encoded("[]")}},
        [
            (
                'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go '
                "value of type map[string]interface {}"
            )
        ],
    ),
    (
        resources.SECRETS,
        {"type": "kubernetes.io/basic-auth"},
        ["data[username]: Required value", "data[password]: Required value"],
    ),
    (
        resources.ENDPOINTS,
        {"subsets": [{"addresses": [{"ip": "169.254.1.1"}]}, {}]},
        [
            (
                'subsets[0].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range '
                "(169.254.0.0/16, fe80::/10)"
            ),
            "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
        ],
    ),
    (
        resources.ENDPOINT_SLICES,
        {"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": []}]},
        [
            'endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be a valid IPv6 address',
            "endpoints[1].addresses: Required value: must contain at least 1 address",
        ],
    ),
    (
        resources.ENDPOINT_SLICES,
        {"ports": [{"port": 1}, {"port": 2}]},
        ["addressType: Required value", 'ports[1].name: Duplicate value: ""'],
    ),
    (
        resources.EVENTS,
        {"involvedObject": {"namespace": "other"}},
        ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
    ),
    (
        resources.EVENTS_V1,
        {"regarding": {"namespace": "default"}, "type": "Odd", "deprecatedCount": 1},
        [
            "eventTime: Required value",
            'type: Invalid value: "": has invalid value: Odd',
            'count: Invalid value: "": needs to be unset',
        ],
    ),
    (
        resources.LEASES,
        {"spec": {"leaseDurationSeconds": 0}},
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ),
    (
        resources.PRIORITY_CLASSES,
        {"metadata": {"name": "system-mine"}, "value": 1},
        [
            (
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. "
                "error: system-mine is not a known system priority class"
            )
        ],
    ),
    (
        resources.PRIORITY_CLASSES,
        {"value": 1000000001},
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ),
    (
        resources.RUNTIME_CLASSES,
        {"handler": "a.b"},
        ['handler: Invalid value: "a.b": must not contain dots'],
    ),
    (
        resources.ROLES,
        {"metadata": {"name": "a/b"}, "rules": [{}, {"verbs": ["get"], "nonResourceURLs": ["/"]}]},
        [
            "metadata.name: Invalid value: \"a/b\": may not contain '/'",
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
            'rules[1].nonResourceURLs: Invalid value: ["/"]: namespaced rules cannot apply to non-resource URLs',
        ],
    ),
    (
        resources.CLUSTER_ROLE_BINDINGS,
        {
            "roleRef": {"kind": "Role", "name": ""},
            "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "Robot", "name": "r"}],
        },
        [
            'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
            "roleRef.name: Required value",
            "subjects[0].namespace: Required value",
            'subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ],
    ),
]


@pytest.mark.parametrize(("resource", "fields", "lines"), REFUSED)
def test_refusals(resource: Any, fields: dict, lines: list[str]) -> None:
    """Each kind is refused with upstream's paths and words, in its order."""
    assert found(resource, _made(resource, **fields)) == lines


CHANGES: list[tuple[Any, dict, dict, list[str]]] = [
    (
        resources.CONFIG_MAPS,
        {"immutable": True, "data": {"a": "b"}},
        {"data": {"a": "c"}},
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ],
    ),
    (resources.SECRETS, {}, {"type": "mine"}, ['type: Invalid value: "mine": field is immutable']),
    (
        resources.PRIORITY_CLASSES,
        {"value": 1},
        {"value": 2, "preemptionPolicy": "Never"},
        [
            "value: Forbidden: may not be changed in an update.",
            'preemptionPolicy: Invalid value: "Never": field is immutable',
        ],
    ),
    (
        resources.RUNTIME_CLASSES,
        {"handler": "a"},
        {"handler": "b"},
        ['handler: Invalid value: "b": field is immutable'],
    ),
    (
        resources.ROLE_BINDINGS,
        {"roleRef": ROLE_REF},
        {"roleRef": {**ROLE_REF, "name": "edit"}},
        [f'roleRef: Invalid value: {{"APIGroup":"{GROUP}","Kind":"ClusterRole","Name":"edit"}}: cannot change roleRef'],
    ),
    (
        resources.NODES,
        {"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a"}},
        {"spec": {"podCIDRs": ["10.0.1.0/24"], "providerID": "b"}},
        [
            'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
            'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        ],
    ),
    (
        resources.ENDPOINT_SLICES,
        {"addressType": "IPv4"},
        {"addressType": "IPv6"},
        ['addressType: Invalid value: "IPv6": field is immutable'],
    ),
]


@pytest.mark.parametrize(("resource", "before", "after", "lines"), CHANGES)
def test_changes_that_are_refused(resource: Any, before: dict, after: dict, lines: list[str]) -> None:
    """What is immutable stays."""
    assert found_in_update(resource, _made(resource, **after), _made(resource, **before)) == lines


def test_a_namespaces_phase_follows_its_deletion() -> None:
    """A namespace is Terminating while it is being deleted, and only then."""
    old = _made(resources.NAMESPACES)
    new = _made(resources.NAMESPACES, status={"phase": "Terminating"})
    (cause,) = validation.status_update(resources.NAMESPACES, new, old)
    assert f"{cause.field}: {cause.message}" == (
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    )


def test_a_binding_names_a_node() -> None:
    """A Binding's target is a Node, and has a name."""
    assert validation.binding({"target": {"kind": "Node", "name": "n"}}) == []
    causes = validation.binding({"target": {"kind": "Pod"}})
    assert [f"{cause.field}: {cause.message}" for cause in causes] == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]
