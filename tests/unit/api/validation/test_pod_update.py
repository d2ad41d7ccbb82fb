"""What may change in a Pod and in its status."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podling.api import validation
from podling.api.resources import PODS

from .objects import found_in_update, pod

MAY_NOT = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"container": {"image": "i:2"}}),
        ({}, {"activeDeadlineSeconds": 5}),
        ({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 3}),
        ({}, {"tolerations": [{"key": "a", "operator": "Exists"}]}),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}]},
            {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}]},
        ),
        ({"terminationGracePeriodSeconds": -1}, {"terminationGracePeriodSeconds": 1}),
        ({"schedulingGates": [{"name": "a"}, {"name": "b"}]}, {"schedulingGates": [{"name": "b"}]}),
        (
            {"schedulingGates": [{"name": "a"}]},
            {"schedulingGates": [{"name": "a"}], "nodeSelector": {"zone": "x"}},
        ),
        ({}, {"container": {"stdin": False}}),
        ({}, {"metadata": {"labels": {"a": "b"}}}),
    ],
)
def test_what_may_change(before: dict, after: dict) -> None:
    """Images, a shorter deadline, more tolerations, fewer gates, and what Go cannot tell from no change."""
    assert found_in_update(PODS, pod(**after), pod(**before)) == []


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({}, {"hostname": "h"}, [MAY_NOT + '+ hostname: "h"\n']),
        (
            {"container": {"command": ["a"]}},
            {"container": {"command": ["b"], "image": "i:2"}},
            [MAY_NOT + '- containers[0].command[0]: "a"\n+ containers[0].command[0]: "b"\n'],
        ),
        (
            {},
            {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}]},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        ({}, {"container": {"image": ""}}, ["spec.containers[0].image: Required value"] * 2),
        (
            {"activeDeadlineSeconds": 5},
            {"activeDeadlineSeconds": 6},
            ["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
        ),
        (
            {"activeDeadlineSeconds": 5},
            {},
            ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists"}]},
            {"tolerations": []},
            ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ),
        (
            {"schedulingGates": [{"name": "a"}]},
            {"schedulingGates": [{"name": "b"}]},
            ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'"],
        ),
        (
            {"schedulingGates": [{"name": "a"}], "nodeSelector": {"zone": "x"}},
            {"schedulingGates": [{"name": "a"}], "nodeSelector": {"zone": "y"}},
            [
                (
                    'spec.nodeSelector: Invalid value: {"zone":"y"}: only additions to spec.nodeSelector are allowed (no '
                    "mutations or deletions)"
                )
            ],
        ),
        ({}, {"nodeSelector": {"zone": "x"}}, [MAY_NOT + '+ nodeSelector: {"zone": "x"}\n']),
        (
            {"terminationGracePeriodSeconds": 30},
            {"terminationGracePeriodSeconds": 1},
            [MAY_NOT + "- terminationGracePeriodSeconds: 30\n+ terminationGracePeriodSeconds: 1\n"],
        ),
        (
            {"metadata": {"uid": "a"}},
            {"metadata": {"uid": "b", "name": "other", "resourceVersion": ""}},
            [
                'metadata.resourceVersion: Invalid value: "": must be specified for an update',
                'metadata.name: Invalid value: "other": field is immutable',
                'metadata.uid: Invalid value: "b": field is immutable',
            ],
        ),
        (
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]}},
            [
                (
                    "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found "
                    'new finalizers []string{"a.b/c"}'
                )
            ],
        ),
        (
            {},
            {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
            [
                (
                    'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if '
                    "mirror pod annotation is set"
                ),
                "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation",
                (
                    'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if '
                    "mirror pod annotation is set"
                ),
            ],
        ),
    ],
)
def test_what_may_not_change(before: dict, after: dict, lines: list[str]) -> None:
    """All else is refused, with what differs."""
    assert found_in_update(PODS, pod(**after), pod(**before)) == lines


def _with_status(**status: object) -> dict:
    return {**pod(restartPolicy="OnFailure"), "status": status}


def _ended(code: int) -> dict:
    return {
        "containerStatuses": [
            {
                "name": "c",
                "image": "i",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": code}},
            }
        ]
    }


def test_what_ended_for_good_does_not_run_again() -> None:
    """Under OnFailure a container that succeeded stays ended, one that failed may run again."""
    running = copy.deepcopy(_ended(0))
    running["containerStatuses"][0]["state"] = {"running": {}}

    def lines(before: dict) -> list[str]:
        causes = validation.status_update(PODS, _with_status(**running), _with_status(**before))
        return [f"{cause.field}: {cause.message}" for cause in causes]

    assert lines(_ended(1)) == []
    assert lines(_ended(0)) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, []),
        (
            {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            [
                (
                    'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP '
                    "for each IP family"
                )
            ],
        ),
        ({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, []),
        (
            {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "x"}]},
            [
                'status.hostIPs[0].ip: Invalid value: "x": must be equal to `hostIP`',
                'status.hostIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
            ],
        ),
        (
            {"qosClass": "Burstable"},
            ['status.qosClass: Invalid value: "Burstable": field is immutable'],
        ),
    ],
)
def test_status(status: dict, lines: list[str]) -> None:
    """Addresses are addresses, one of each family, and the QoS class stays."""
    causes = validation.status_update(
        PODS, _with_status(**{"qosClass": "BestEffort", **status}), _with_status(qosClass="BestEffort")
    )
    assert [f"{cause.field}: {cause.message}" for cause in causes] == lines


def test_ephemeral_containers_are_added_and_never_changed() -> None:
    """The subresource takes new debug containers, and refuses to change or remove old ones."""
    debug = {"name": "d", "image": "i:1", "targetContainerName": "c"}

    def lines(new: list[dict], old: list[dict]) -> list[str]:
        causes = validation.ephemeral_containers_update(
            PODS, pod(ephemeralContainers=new), pod(ephemeralContainers=old)
        )
        return [f"{cause.field}: {cause.message}" for cause in causes]

    assert lines([debug], []) == []
    assert lines([], [debug]) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be removed\n'
    ]
    assert lines([{**debug, "image": "i:2"}], [debug])[0].startswith(
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be changed\n- image: "i:1"'
    )
    assert lines([{**debug, "ports": [{"containerPort": 1}], "targetContainerName": "x"}], []) == [
        'spec.ephemeralContainers[0].targetContainerName: Not found: "x"',
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    ]


_CHECK = {"exec": {"command": ["true"]}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ports", [{"containerPort": 1}]),
        ("livenessProbe", _CHECK),
        ("readinessProbe", _CHECK),
        ("startupProbe", _CHECK),
        ("lifecycle", {"preStop": _CHECK}),
        ("resources", {"limits": {"cpu": "1"}}),
        ("restartPolicy", "Always"),
        ("restartPolicyRules", [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]),
        ("resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
    ],
)
def test_ephemeral_containers_may_not_have_all(field: str, value: Any) -> None:
    """What would keep the Pod from its ways is forbidden to those who only look."""
    added = [{"name": "d", "image": "i:1", "terminationMessagePolicy": "File", field: value}]
    causes = validation.ephemeral_containers_update(PODS, pod(ephemeralContainers=added), pod())
    assert f"spec.ephemeralContainers[0].{field}: Forbidden: cannot be set for an Ephemeral Container" in [
        f"{cause.field}: {cause.message}" for cause in causes
    ]


def test_ephemeral_containers_mount_volumes_whole() -> None:
    """Neither `subPath` nor `subPathExpr` is theirs."""
    mounts = [{"name": "v", "mountPath": f"/{n}", path: "x"} for n, path in enumerate(("subPath", "subPathExpr"))]
    added = [{"name": "d", "image": "i:1", "terminationMessagePolicy": "File", "volumeMounts": mounts}]
    volumes = [{"name": "v", "emptyDir": {}}]
    causes = validation.ephemeral_containers_update(
        PODS, pod(ephemeralContainers=added, volumes=volumes), pod(volumes=volumes)
    )
    for number, path in enumerate(("subPath", "subPathExpr")):
        where = f"spec.ephemeralContainers[0].volumeMounts[{number}].{path}"
        assert f"{where}: Forbidden: cannot be set for an Ephemeral Container" in [
            f"{cause.field}: {cause.message}" for cause in causes
        ]
