"""What hostile and clumsy callers send: the same refusals as upstream's, and nothing changed by what was refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.identity.authentication import asks_to_impersonate

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE, JSON, STRATEGIC = (f"application/{kind}+json" for kind in ("merge-patch", "json-patch", "strategic-merge-patch"))


def a_map(name: str = "a") -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "message"),
    [
        ("PUT", MAPS, a_map(), 405, "the server does not allow this method on the requested resource"),
        ("PATCH", MAPS, {}, 405, "the server does not allow this method on the requested resource"),
        ("GET", MAPS + "/..", None, 400, 'Name parameter invalid: "..": may not be \'..\''),
        ("GET", MAPS + "/a%2Fb", None, 400, 'Name parameter invalid: "a/b": may not contain \'/\''),
        ("DELETE", MAPS + "/a%25b", None, 400, 'Name parameter invalid: "a%b": may not contain \'%\''),
        ("GET", MAPS + "?limit=99999999999999999999", None, 400, "value out of range"),
        ("GET", MAPS + "?limit=" + "9" * 5000, None, 400, "value out of range"),
        ("GET", MAPS + "?resourceVersion=" + "9" * 5000, None, 400, "value out of range"),
        ("GET", MAPS + "/a?resourceVersion=99999999999999999999", None, 400, "value out of range"),
        ("PUT", MAPS + "/a?dryRun=all", a_map(), 422, 'UpdateOptions.meta.k8s.io "" is invalid: dryRun: '),
        ("PATCH", MAPS + "/a?fieldValidation=strict", {}, 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldValid'),
        ("DELETE", MAPS + "/a?dryRun=all", None, 422, 'DeleteOptions.meta.k8s.io "" is invalid: dryRun: '),
        ("DELETE", MAPS + "/a", {"preconditions": 5}, 400, "of type v1.Preconditions"),
        ("DELETE", MAPS + "/a", {"preconditions": {"uid": 5}}, 400, "cannot unmarshal number into Go struct field "),
        ("DELETE", MAPS + "/a", {"gracePeriodSeconds": 2.5}, 400, "cannot unmarshal number 2.5 into Go struct field "),
        ("DELETE", MAPS + "/a", b'{"gracePeriodSeconds": 99999999999999999999}', 400, "of type int64"),
        ("DELETE", MAPS + "/a", {"dryRun": "All"}, 400, "of type []string"),
        ("DELETE", MAPS + "/a", {"orphanDependents": "x"}, 400, "of type bool"),
    ],
)  # fmt: skip
def test_each_is_refused_in_upstreams_words(run, method, path, body, code, message):
    """Requests that upstream refuses are refused with its code and sentence, and delete and change nothing."""

    async def work():
        async with Served() as served:
            made = await served.post(MAPS, a_map())
            with pytest.raises(StatusError) as refused:
                await served.ask(method, path, body, content_type=MERGE if method == "PATCH" else "application/json")
            assert (refused.value.code, message in refused.value.message) == (code, True), refused.value.message
            assert await served.get(MAPS + "/a") == made

    run(work())


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (MERGE, b'{"data":{"a":1}}', r'\"data\":{\"a\":1}}": json: cannot unmarshal number into Go struct field '),
        (MERGE, b'{"kind":"Secret"}', '": no kind "Secret" is registered for version "v1" in scheme '),
        (MERGE, b'{"foo":1}', '": strict decoding error: unknown field "foo"'),
        (MERGE, b'{"data":{"x":"1","x":"2"}}', '": strict decoding error: duplicate field "data.x"'),
        (JSON, b'[{"op":"add","path":"/data/x","value":[]}]', '": json: cannot unmarshal array into Go struct field '),
        (STRATEGIC, b'{"data":5}', '"map[data:5]": json: cannot unmarshal number into Go struct field '),
    ],
)
def test_a_patch_that_spoils_is_invalid(run, kind, body, message):
    """What a patch makes of an object is shown in the refusal: upstream's 422 about `patch`, not a bad request."""

    async def work():
        async with Served() as served:
            made = await served.post(MAPS, a_map())
            with pytest.raises(StatusError) as refused:
                await served.ask("PATCH", MAPS + "/a?fieldValidation=Strict", body, content_type=kind)
            assert refused.value.code == 422
            assert refused.value.message.startswith(' "" is invalid: patch: Invalid value: ')
            assert message in refused.value.message
            assert await served.get(MAPS + "/a") == made

    run(work())


def test_a_negative_limit_is_none(run):
    """`limit=-1` lists everything, as upstream's does."""

    async def work():
        async with Served() as served:
            await served.post(MAPS, a_map())
            assert len((await served.get(MAPS + "?limit=-1"))["items"]) == 1

    run(work())


def test_a_number_of_thousands_of_digits_is_refused_in_gos_words(run):
    """Numbers that no Go type holds are bad requests that say nothing of Python."""

    async def work():
        async with Served() as served:
            for field in (b'"metadata":{"generation":%b}', b'"metadata":{"name":"x"},"foo":%b'):
                with pytest.raises(StatusError) as refused:
                    await served.ask("POST", MAPS, b"{" + field % (b"9" * 5000) + b"}")
                assert refused.value.code == 400
                assert "json: cannot unmarshal number into Go " in refused.value.message

    run(work())


@pytest.mark.parametrize("header", ["Impersonate-Uid", "impersonate-extra-scopes", "IMPERSONATE-GROUP"])
def test_no_impersonation_is_passed_over(header):
    """A header that asks for less than the caller's own rights is never ignored."""
    assert asks_to_impersonate({header: "x"})
    assert not asks_to_impersonate({"Accept": "x"})


_LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just([None])
_KEY = st.sampled_from(
    ["metadata", "spec", "data", "name", "labels", "containers", "image", "finalizers", "$patch", "$retainKeys", "kind"]
) | st.text(max_size=4)
_TREE = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=4), max_leaves=12
)
_OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
        "path": st.sampled_from(
            ["", "/", "/spec", "/metadata/name", "/spec/containers/0", "/spec/containers/-", "/a/b", "x"]
        ),
        "from": st.sampled_from(["", "/spec", "/metadata", "/spec/containers/0"]),
        "value": _TREE,
    },
)
_REQUEST = st.one_of(
    st.tuples(st.just("POST"), st.just("application/json"), _TREE),
    st.tuples(st.just("PUT"), st.just("application/json"), _TREE),
    st.tuples(st.just("DELETE"), st.just("application/json"), st.dictionaries(_KEY, _TREE, min_size=1).map(lambda t: {"preconditions": {"uid": "no"}, **t})),
    st.tuples(st.just("PATCH"), st.sampled_from([MERGE, STRATEGIC]), _TREE),
    st.tuples(st.just("PATCH"), st.just(JSON), st.lists(_OPERATION, max_size=3) | _TREE),
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_REQUEST, min_size=1, max_size=10))
def test_no_body_is_a_defect_and_no_refusal_a_change(run, requests):
    """Whatever body comes, it is accepted or refused for a reason that we meant; what was refused changed nothing."""

    async def work():
        async with Served() as served:
            await served.post(PODS, pod("web"))
            for method, kind, tree in requests:
                before = await served.get(PODS)
                body = msgspec.json.encode(tree)
                path = PODS if method == "POST" else PODS + "/web"
                try:
                    await served.ask(method, path, body, content_type=kind)
                except StatusError as error:
                    assert error.reason != "InternalError", (method, kind, body, error.message)
                    assert await served.get(PODS) == before, (method, kind, body)

    run(work())
