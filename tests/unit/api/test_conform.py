"""Conforming a tree to its schema: what goes, what appears, what is refused and how."""

from typing import Any

import pytest

from podling.api.conform import WrongType, conform, strict_decoding_error, walk
from podling.api.errors import StatusError
from podling.api.schema import Schema

POD = Schema.of("io.k8s.api.core.v1.Pod")


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [], **spec}}


def test_unknown_fields_are_pruned_and_told_by_path() -> None:
    """Lists show their index, structs their field, in the order of the document."""
    tree = pod(containers=[{"name": "c", "Image": "x", "ports": [{"containerPort": 1, "x": {}}]}], foo=1)
    tree["metadata"]["lables"] = {}
    problems = conform(tree, POD)
    assert problems.unknown == (
        "metadata.lables",
        "spec.containers[0].Image",
        "spec.containers[0].ports[0].x",
        "spec.foo",
    )
    assert (
        strict_decoding_error(conform(pod(foo=1), POD).sentences()) == 'strict decoding error: unknown field "spec.foo"'
    )
    assert tree["spec"]["containers"][0] == {"name": "c", "ports": [{"containerPort": 1}], "resources": {}}
    assert conform(pod(), POD).unknown == ()


def test_what_go_leaves_out_goes_and_what_it_prints_appears() -> None:
    """Nulls, empty optional lists, maps and strings go; required fields and structs held by value appear."""
    tree = pod(
        nodeName="", hostIPC=None, tolerations=[], nodeSelector={}, runtimeClassName="", containers=[{"args": None}]
    )
    tree["metadata"]["creationTimestamp"] = None
    conform(tree, POD)
    assert tree == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "", "resources": {}}], "runtimeClassName": ""},
        "status": {},
    }
    node: dict[str, Any] = {"metadata": {"name": "n"}, "status": {}}
    conform(node, Schema.of_kind("", "v1", "Node"))
    assert node["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert node["status"]["nodeInfo"]["bootID"] == ""


def test_quantities_and_times_become_canonical() -> None:
    """What is stored is what upstream would print."""
    limits = {"cpu": 1, "memory": "1024Ki", "x/y": "0.5"}
    tree = pod(containers=[{"name": "c", "resources": {"limits": limits}}])
    tree["status"] = {"startTime": "2026-01-01T02:00:00.25+02:00"}
    conform(tree, POD)
    assert limits == {"cpu": "1", "memory": "1Mi", "x/y": "500m"}
    assert tree["status"]["startTime"] == "2026-01-01T00:00:00Z"
    lease: dict[str, Any] = {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:00.250000+01:00"}}
    conform(lease, Schema.of_kind("coordination.k8s.io", "v1", "Lease"))
    assert lease["spec"]["renewTime"] == "2025-12-31T23:00:00.250000Z"


def test_nulls_within_lists_and_maps_are_empty_values() -> None:
    """Go keeps the element and zeroes it."""
    tree = pod(containers=[{"name": "c", "args": ["a", None], "env": [None]}], nodeSelector={"a": None})
    conform(tree, POD)
    assert tree["spec"]["containers"][0]["args"] == ["a", ""]
    assert tree["spec"]["containers"][0]["env"] == [{"name": ""}]
    assert tree["spec"]["nodeSelector"] == {"a": ""}


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (pod(hostname=1), "json: cannot unmarshal number into Go struct field PodSpec.spec.hostname of type string"),
        (pod(restartPolicy=True), "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
        (pod(containers={}), "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (pod(containers=[1]), "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container"),
        (pod(containers=[{"args": [1]}]), "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string"),
        (pod(hostIPC="yes"), "json: cannot unmarshal string into Go struct field PodSpec.spec.hostIPC of type bool"),
        (pod(priority=1.5), "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        (pod(priority=2**31), "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
        (pod(nodeSelector={"a": 1}), "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string"),
        (pod(nodeSelector=[]), "json: cannot unmarshal array into Go struct field PodSpec.spec.nodeSelector of type map[string]string"),
        ({"spec": "x"}, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (pod(overhead={"cpu": "abc"}), "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ({"metadata": {"creationTimestamp": "x"}}, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
        ({"metadata": {"creationTimestamp": "2026-13-01T00:00:00Z"}}, 'parsing time "2026-13-01T00:00:00Z": month out of range'),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_in_the_words_of_gos_decoder(tree: dict[str, Any], why: str) -> None:
    """The innermost struct, the path of fields, and Go's name of the type."""
    with pytest.raises(StatusError) as refused:
        conform(tree, POD)
    assert refused.value.code == 400
    assert refused.value.message == f'Pod in version "v1" cannot be handled as a Pod: {why}'


def test_wrong_bytes_are_refused() -> None:
    """Secret data that is no base64 names the first bad byte."""
    secret = Schema.of_kind("", "v1", "Secret")
    with pytest.raises(WrongType, match="illegal base64 data at input byte 3"):
        walk({"data": {"a": "abc!"}}, secret)
    tree: dict[str, Any] = {"data": {"a": "aGk=\n"}}
    walk(tree, secret)
    assert tree["data"] == {"a": "aGk="}


def test_every_definition_compiles() -> None:
    """The empty object of each definition conforms to itself twice over."""
    from podling.api.schema import _documents

    for name in _documents():
        tree: dict[str, Any] = {}
        schema = Schema.of(name)
        assert walk(tree, schema).unknown == ()
        again = dict(tree)
        walk(again, schema)
        assert again == tree
