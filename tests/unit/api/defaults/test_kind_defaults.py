"""Defaults of the kinds other than Pod."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api import defaults, resources


@pytest.mark.parametrize(
    ("resource", "given", "expected"),
    [
        (
            resources.NAMESPACES,
            {"metadata": {"name": "blue"}},
            {
                "metadata": {"name": "blue", "labels": {"kubernetes.io/metadata.name": "blue"}},
                "status": {"phase": "Active"},
            },
        ),
        (
            resources.NAMESPACES,
            {"metadata": {"generateName": "blue-"}, "status": {"phase": "Terminating"}},
            {"metadata": {"generateName": "blue-"}, "status": {"phase": "Terminating"}},
        ),
        (
            resources.NODES,
            {"status": {"capacity": {"cpu": "2000m", "memory": "1024Mi"}}},
            {"status": {"capacity": {"cpu": "2", "memory": "1Gi"}, "allocatable": {"cpu": "2", "memory": "1Gi"}}},
        ),
        (resources.SECRETS, {}, {"type": "Opaque"}),
        (resources.CONFIG_MAPS, {"data": {}}, {"data": {}}),
        (
            resources.ENDPOINTS,
            {"subsets": [{"ports": [{"port": 1}]}]},
            {"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]},
        ),
        (resources.ENDPOINT_SLICES, {"ports": [{"port": 1}]}, {"ports": [{"port": 1, "name": "", "protocol": "TCP"}]}),
        (resources.NETWORK_POLICIES, {}, {"spec": {"policyTypes": ["Ingress"]}}),
        (
            resources.NETWORK_POLICIES,
            {"spec": {"egress": [{"ports": [{"port": 53}, {"protocol": "UDP"}]}]}},
            {
                "spec": {
                    "policyTypes": ["Ingress", "Egress"],
                    "egress": [{"ports": [{"port": 53, "protocol": "TCP"}, {"protocol": "UDP"}]}],
                }
            },
        ),
        (
            resources.NETWORK_POLICIES,
            {"spec": {"egress": [{}], "policyTypes": ["Ingress"]}},
            {"spec": {"egress": [{}], "policyTypes": ["Ingress"]}},
        ),
        (
            resources.INGRESS_CLASSES,
            {"spec": {"parameters": {"kind": "a", "name": "b"}}},
            {"spec": {"parameters": {"kind": "a", "name": "b", "scope": "Cluster"}}},
        ),
        (
            resources.MUTATING_WEBHOOKS,
            {"webhooks": [{"rules": [{}, {"scope": "Cluster"}], "clientConfig": {"service": {"name": "s"}}}]},
            {
                "webhooks": [
                    {
                        "rules": [{"scope": "*"}, {"scope": "Cluster"}],
                        "clientConfig": {"service": {"name": "s", "port": 443}},
                        "failurePolicy": "Fail",
                        "matchPolicy": "Equivalent",
                        "reinvocationPolicy": "Never",
                        "timeoutSeconds": 10,
                        "namespaceSelector": {},
                        "objectSelector": {},
                    }
                ]
            },
        ),
        (
            resources.VALIDATING_WEBHOOKS,
            {"webhooks": [{"failurePolicy": "Ignore", "timeoutSeconds": 3, "objectSelector": {"matchLabels": {}}}]},
            {
                "webhooks": [
                    {
                        "failurePolicy": "Ignore",
                        "matchPolicy": "Equivalent",
                        "timeoutSeconds": 3,
                        "namespaceSelector": {},
                        "objectSelector": {"matchLabels": {}},
                    }
                ]
            },
        ),
        (resources.INGRESS_CLASSES, {"spec": {"controller": "a/b"}}, {"spec": {"controller": "a/b"}}),
        (resources.FLOW_SCHEMAS, {"spec": {}}, {"spec": {"matchingPrecedence": 1000}}),
        (resources.FLOW_SCHEMAS, {"spec": {"matchingPrecedence": 5}}, {"spec": {"matchingPrecedence": 5}}),
        (
            resources.PRIORITY_LEVELS,
            {"spec": {"limited": {"limitResponse": {"queuing": {"queues": 0, "handSize": 4}}}}},
            {
                "spec": {
                    "limited": {
                        "nominalConcurrencyShares": 30,
                        "lendablePercent": 0,
                        "limitResponse": {"queuing": {"queues": 64, "handSize": 4, "queueLengthLimit": 50}},
                    }
                }
            },
        ),
        (
            resources.PRIORITY_LEVELS,
            {"spec": {"exempt": {"lendablePercent": 3}}},
            {"spec": {"exempt": {"lendablePercent": 3, "nominalConcurrencyShares": 0}}},
        ),
        (
            resources.PRIORITY_LEVELS,
            {"spec": {"limited": {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}}}},
            {
                "spec": {
                    "limited": {
                        "nominalConcurrencyShares": 0,
                        "lendablePercent": 0,
                        "limitResponse": {"type": "Reject"},
                    }
                }
            },
        ),
        (resources.PRIORITY_CLASSES, {}, {"preemptionPolicy": "PreemptLowerPriority"}),
        (
            resources.ROLE_BINDINGS,
            {
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
            },
            {
                "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [
                    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount", "name": "s"},
                ],
            },
        ),
    ],
)
def test_each_kind_gets_its_defaults(resource: Any, given: dict, expected: dict) -> None:
    """Each kind's unset fields come out as upstream sets them; twice is once."""
    defaults.apply(resource, given)
    assert given == expected
    defaults.apply(resource, given)
    assert given == expected


def _service(**spec: object) -> dict:
    service = {"spec": {"ports": [{"port": 80}], **spec}}
    defaults.apply(resources.SERVICES, service)
    return service


def test_a_bare_service_is_a_cluster_ip() -> None:
    """A Service of one port is reached inside the cluster, over TCP, at the same port."""
    assert _service() == {
        "spec": {
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"}),
        ({"type": "LoadBalancer"}, {"externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True}),
        ({"externalIPs": ["192.0.2.1"]}, {"type": "ClusterIP", "externalTrafficPolicy": "Cluster"}),
        ({"sessionAffinity": "ClientIP"}, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
            {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}},
        ),
    ],
)
def test_services_get_what_their_type_needs(given: dict, expected: dict) -> None:
    """Traffic policies, node ports and affinity are filled in where they mean something."""
    assert expected.items() <= _service(**given)["spec"].items()


def test_an_external_name_gets_no_traffic_policy() -> None:
    """An alias has no traffic to have a policy for, and loses affinity settings that say nothing."""
    spec = _service(type="ExternalName", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1}})["spec"]
    assert "internalTrafficPolicy" not in spec
    assert "sessionAffinityConfig" not in spec
