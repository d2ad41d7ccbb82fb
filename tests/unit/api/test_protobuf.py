"""Protobuf bodies, as kubectl's typed commands send them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from podling.api.body import decode_body
from podling.api.errors import StatusError
from podling.api.protobuf_fields import KINDS, MESSAGES

TYPE = "application/vnd.kubernetes.protobuf"
RECORDED = json.loads((Path(__file__).parent / "protobuf_bodies.json").read_text())


@pytest.mark.parametrize("body", [pytest.param(it, id=f"{n}-{it['tree']['kind']}") for n, it in enumerate(RECORDED)])
def test_what_kubectl_sent(body: dict[str, Any]) -> None:
    """Bodies recorded from kubectl 1.32 and 1.33 read as the object that it read from, or prints as, JSON.

    The Pod has every field that this kubectl knows.
    """
    assert decode_body(base64.b64decode(body["sent"]), TYPE).tree == body["tree"]


def test_no_prefix_of_a_body_is_taken_for_one() -> None:
    """A body that ends early is refused, or at the least does not read as more than was sent."""
    whole = base64.b64decode(RECORDED[0]["sent"])
    for cut in range(len(whole)):
        try:
            tree = decode_body(whole[:cut], TYPE).tree
        except StatusError as error:
            assert error.code in (400, 415)
        else:
            assert len(json.dumps(tree)) < len(json.dumps(RECORDED[0]["tree"])) + 1


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    def field(number: int, payload: bytes) -> bytes:
        return bytes((number << 3 | 2, len(payload))) + payload

    return b"k8s\x00" + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, message)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{}", 400, "expected prefix"),
        (envelope("example.com/v1", "Widget", b""), 415, "unknown format"),
        (envelope("v1", "ConfigMap", b"\xfa\x01\x00"), 400, "ConfigMap has no field 31"),
        (envelope("v1", "ConfigMap", b"\x0a\x7f"), 400, "ends within a field"),
        (envelope("v1", "ConfigMap", b"\x08\x01"), 400, "a number stands where a message is expected"),
        (envelope("v1", "ConfigMap", b"\x0a\x03\x0a\x01\xff"), 400, "utf-8"),
        (envelope("v1", "ConfigMap", b"\x0d\x00\x00\x00\x00"), 400, "wire type 5"),
    ],
)
def test_refused(body: bytes, code: int, words: str) -> None:
    """What is no such message, of no such kind, or has more than is known, is refused and says why."""
    with pytest.raises(StatusError, match=words) as refused:
        decode_body(body, TYPE)
    assert refused.value.code == code


def test_tables_are_whole() -> None:
    """Every message that a field speaks of is there."""
    plain = {"text", "number", "flag", "bytes", "time", "micro", "quantity", "int-or-string", "json"}
    for table in MESSAGES.values():
        for _, form in table.values():
            assert form.strip("[]{}?") in plain | set(MESSAGES)
    assert set(KINDS.values()) <= set(MESSAGES)


def test_storage_kinds() -> None:
    """A claim as a typed client sends it: request, class, mode, and an empty class told from none."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes((number << 3 | 2, len(payload))) + payload

    amount = field(1, b"storage") + field(2, field(1, b"1Gi"))
    spec = field(1, b"ReadWriteOnce") + field(2, field(2, amount)) + field(5, b"") + field(6, b"Filesystem")
    tree = decode_body(envelope("v1", "PersistentVolumeClaim", field(1, field(1, b"data")) + field(2, spec)), TYPE).tree
    assert (tree["metadata"]["name"], tree["spec"]) == (
        "data",
        {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeMode": "Filesystem",
        },
    )
    body = field(2, field(2, field(3, field(1, b"/d"))) + field(3, b"ReadWriteOnce"))
    assert decode_body(envelope("v1", "PersistentVolume", body), TYPE).tree["spec"]["hostPath"] == {"path": "/d"}
    body = field(2, b"a/b") + field(7, b"Immediate")
    tree = decode_body(envelope("storage.k8s.io/v1", "StorageClass", body), TYPE).tree
    assert (tree["provisioner"], tree["volumeBindingMode"]) == ("a/b", "Immediate")


def test_workload_kinds() -> None:
    """What typed clients send: shares by number and in percent, a size of zero told from none, a Scale."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes((number << 3 | 2, len(payload))) + payload

    rolling = field(1, b"\x08\x00\x10\x00") + field(2, b"\x08\x01" + field(3, b"25%"))
    strategy = field(4, field(1, b"RollingUpdate") + field(2, rolling))
    selector = field(2, field(1, field(1, b"a") + field(2, b"b")))
    spec = b"\x08\x00" + selector + field(3, field(2, b"")) + strategy + b"\x38\x01"
    tree = decode_body(envelope("apps/v1", "Deployment", field(2, spec)), TYPE).tree
    assert tree["spec"] == {
        "replicas": 0,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"spec": {}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "paused": True,
    }
    spec = b"\x08\x02" + field(2, field(1, b"a") + field(2, b"b")) + b"\x20\x05"
    tree = decode_body(envelope("v1", "ReplicationController", field(2, spec)), TYPE).tree
    assert tree["spec"] == {"replicas": 2, "selector": {"a": "b"}, "minReadySeconds": 5}
    status = field(3, b"\x08\x03\x38\x00")
    tree = decode_body(envelope("apps/v1", "ReplicaSet", status), TYPE).tree
    assert tree["status"] == {"replicas": 3, "terminatingReplicas": 0}
    tree = decode_body(envelope("autoscaling/v1", "Scale", field(2, b"\x08\x07")), TYPE).tree
    assert tree["spec"] == {"replicas": 7}


def test_restart_rules_and_files_of_variables() -> None:
    """What clients of 1.34 and later send with a container: rules by exit code, a variable out of a file."""

    def field(number: int, payload: bytes) -> bytes:
        tag = number << 3 | 2
        head = bytes((tag,)) if tag < 128 else bytes((tag & 127 | 128, tag >> 7))
        return head + bytes((len(payload),)) + payload

    rule = field(1, b"Restart") + field(2, field(1, b"In") + b"\x10\x2a\x10\x00")
    key = field(1, b"config") + field(2, b"a.env") + field(3, b"A") + b"\x20\x00"
    container = field(1, b"main") + field(7, field(1, b"A") + field(3, field(5, key))) + field(25, rule)
    tree = decode_body(envelope("v1", "Pod", field(2, field(2, container))), TYPE).tree
    key_ref = {"volumeName": "config", "path": "a.env", "key": "A", "optional": False}
    assert tree["spec"]["containers"] == [
        {
            "name": "main",
            "env": [{"name": "A", "valueFrom": {"fileKeyRef": key_ref}}],
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42, 0]}}],
        }
    ]
