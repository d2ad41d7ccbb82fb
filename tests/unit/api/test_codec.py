"""The way between structs and the wire."""

import msgspec
import pytest

from podling.api.codec import decode, encode, from_tree, to_tree
from podling.api.types.core_v1 import Container, Pod, PodList, PodSpec
from podling.api.types.meta_v1 import ObjectMeta
from podling.api.types.rbac_v1 import ClusterRole

POD = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}],"hostIPC":true}}'


def test_a_struct_encodes_to_what_it_was_decoded_from() -> None:
    """Names, kind and apiVersion come back; defaults do not appear."""
    pod = decode(Pod, POD)
    assert pod.spec.host_ipc is True
    assert msgspec.json.decode(encode(pod)) == msgspec.json.decode(POD)


def test_kind_and_version_are_always_encoded() -> None:
    """A struct made in Python says what it is on the wire."""
    pod = Pod(metadata=ObjectMeta(name="a"), spec=PodSpec(containers=(Container(name="c"),)))
    assert to_tree(pod) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c"}]},
    }


def test_explicit_nulls_are_absent_values() -> None:
    """Go's null lists, times and structs decode as if they were not there."""
    assert decode(PodList, b'{"metadata":{},"items":null}').items == ()
    pod = decode(
        Pod,
        b'{"metadata":{"name":"a","creationTimestamp":null,"labels":null},"spec":{"containers":null},"status":null}',
    )
    assert (pod.metadata.labels, pod.spec.containers, pod.status.phase) == ({}, (), "")
    assert from_tree(ClusterRole, {"metadata": {"name": "x"}, "rules": None}).rules == ()


def test_numbers_given_for_quantities_become_strings() -> None:
    """A hand-written `cpu: 1` is a quantity."""
    tree = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 1}}}]}}
    resources = from_tree(Pod, tree).spec.containers[0].resources
    assert resources is not None
    assert resources.limits == {"cpu": "1"}


def test_other_shapes_are_refused() -> None:
    """What cannot be read as the type raises, with the path."""
    with pytest.raises(msgspec.ValidationError, match="containers"):
        decode(Pod, b'{"spec":{"containers":{"a":1}}}')
    with pytest.raises(msgspec.DecodeError):
        decode(Pod, b'{"spec":')
