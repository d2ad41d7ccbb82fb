"""What a Pod means where its author was silent."""

from __future__ import annotations

import copy

import pytest

from podling.api import defaults
from podling.api.defaults.containers import pull_policy
from podling.api.resources import PODS


def _pod(**spec: object) -> dict:
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}
    defaults.apply(PODS, pod)
    return pod["spec"]


def test_a_bare_pod_gets_what_upstream_gives_it() -> None:
    """A Pod of one image comes out as `kubectl get -o yaml` shows it before admission."""
    assert _pod() == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


def test_nothing_that_is_said_is_changed_and_twice_is_once() -> None:
    """Defaulting keeps what stands there, and a second time changes nothing."""
    said = {
        "dnsPolicy": "Default",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "schedulerName": "mine",
    }
    spec = _pod(**said)
    assert said.items() <= spec.items()
    again = {"spec": copy.deepcopy(spec)}
    defaults.apply(PODS, again)
    assert again["spec"] == spec


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("Not An Image", "IfNotPresent"),
        ("", "IfNotPresent"),
        ("a-" * 4000, "IfNotPresent"),
    ],
)
def test_the_tag_decides_when_an_image_is_pulled(image: str, policy: str) -> None:
    """`latest`, written or implied, is pulled always; all else once."""
    assert pull_policy(image) == policy


def test_requests_come_from_limits_in_canonical_amounts() -> None:
    """A limit without a request is requested too; amounts are canonical and no finer than a thousandth."""
    spec = _pod(
        containers=[
            {
                "name": "c",
                "image": "i",
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "0.0001"}},
            }
        ]
    )
    assert spec["containers"][0]["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "1m", "memory": "1Gi"},
    }


def test_a_template_gets_no_requests_no_links_and_no_host_ports() -> None:
    """What a Pod gets on top of its specification does not appear in templates."""
    template = {
        "spec": {
            "hostNetwork": True,
            "containers": [
                {
                    "name": "c",
                    "image": "i:1",
                    "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": "1"}},
                }
            ],
        }
    }
    defaults.apply_pod_template(template)
    container = template["spec"]["containers"][0]
    assert container["resources"] == {"limits": {"cpu": "1"}}
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert "enableServiceLinks" not in template["spec"]


def test_host_ports_follow_container_ports_on_the_hosts_network() -> None:
    """On the host's network every port is a host port, in init containers too."""
    one = {"name": "c", "image": "i", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]}
    spec = _pod(hostNetwork=True, containers=[copy.deepcopy(one)], initContainers=[copy.deepcopy(one)])
    for container in (*spec["containers"], *spec["initContainers"]):
        assert [port["hostPort"] for port in container["ports"]] == [80, 81]


def test_probes_hooks_and_environment_are_filled_in() -> None:
    """Probes get their numbers, HTTP its path and scheme, gRPC its service, references their version."""
    spec = _pod(
        containers=[
            {
                "name": "c",
                "image": "i",
                "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3},
                "readinessProbe": {"grpc": {"port": 90}},
                "lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/bye"}}},
                "env": [
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "C", "valueFrom": {"fileKeyRef": {"key": "k", "path": "p", "volumeName": "v"}}},
                ],
            }
        ]
    )
    container = spec["containers"][0]
    numbers = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
    http = {"port": 80, "path": "/", "scheme": "HTTP"}
    assert container["livenessProbe"] == {"httpGet": http, "periodSeconds": 3, **numbers}
    assert container["readinessProbe"] == {"grpc": {"port": 90, "service": ""}, "periodSeconds": 10, **numbers}
    assert container["lifecycle"]["preStop"]["httpGet"] == {"port": 80, "path": "/bye", "scheme": "HTTP"}
    first, second, third = (one["valueFrom"] for one in container["env"])
    assert first["fieldRef"]["apiVersion"] == "v1"
    assert second["resourceFieldRef"]["divisor"] == "0"
    assert third["fileKeyRef"]["optional"] is False


def test_volumes_are_filled_in() -> None:
    """A volume without a source is an emptyDir; the others get modes, types and expiry."""
    spec = _pod(
        volumes=[
            {"name": "none"},
            {"name": "size", "emptyDir": {"sizeLimit": "1024Ki"}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "config", "configMap": {"name": "c", "defaultMode": 256}},
            {"name": "host", "hostPath": {"path": "/"}},
            {"name": "image", "image": {"reference": "web:1"}},
            {
                "name": "projected",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                        {"podCertificate": {"signerName": "a.b/c", "keyType": "ED25519"}},
                    ]
                },
            },
        ]
    )
    none, size, secret, config, host, image, projected = spec["volumes"]
    assert none == {"name": "none", "emptyDir": {}}
    assert size["emptyDir"] == {"sizeLimit": "1Mi"}
    assert secret["secret"]["defaultMode"] == 420
    assert config["configMap"]["defaultMode"] == 256
    assert host["hostPath"]["type"] == ""
    assert image["image"]["pullPolicy"] == "IfNotPresent"
    token, downward, certificate = projected["projected"]["sources"]
    assert projected["projected"]["defaultMode"] == 420
    assert token["serviceAccountToken"]["expirationSeconds"] == 3600
    assert downward["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert certificate["podCertificate"]["maxExpirationSeconds"] == 86400


def test_the_deprecated_account_name_stays_equal_to_the_new_one() -> None:
    """Either name of the ServiceAccount fills in the other; the new one wins."""
    assert _pod(serviceAccount="old")["serviceAccountName"] == "old"
    spec = _pod(serviceAccount="old", serviceAccountName="new")
    assert (spec["serviceAccount"], spec["serviceAccountName"]) == ("new", "new")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"limits": {"cpu": "4"}}, {"limits": {"cpu": "4"}, "requests": {"cpu": "3", "memory": "30Mi"}}),
        (
            {"requests": {"cpu": "5"}},
            {"requests": {"cpu": "5"}, "limits": {"cpu": "7"}},
        ),
        (
            {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Mi"}},
            {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Mi", "cpu": "3"}},
        ),
    ],
)
def test_a_pods_own_resources_come_from_its_containers(own: dict, expected: dict) -> None:
    """Requests are what the containers need at one time; limits only where every container has one."""
    spec = _pod(
        resources=own,
        initContainers=[
            {
                "name": "side",
                "image": "i",
                "restartPolicy": "Always",
                "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            },
            {"name": "init", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "5"}}},
        ],
        containers=[
            {
                "name": "c",
                "image": "i",
                "resources": {"requests": {"cpu": "1", "memory": "30Mi"}, "limits": {"cpu": "3", "memory": "60Mi"}},
            }
        ],
    )
    assert spec["resources"] == expected
