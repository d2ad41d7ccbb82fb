"""Questions asked by creating an object."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api import resources as r
from podling.api.errors import StatusError, unauthorized
from podling.apiserver.identity.rules import Rule
from podling.apiserver.record import Attributes, Decision, User
from podling.apiserver.reviews import Reviews

ALICE = User("alice", ("dev",), "7", {"scopes": ("x",)})


class Judge:
    """Allows Bob to get Pods in `a`, and everybody to see /healthz."""

    def authorize(self, attributes: Attributes) -> Decision:
        a = attributes
        if a.path == "/healthz" or (a.user.name, a.verb, a.resource, a.namespace) == ("bob", "get", "pods", "a"):
            return Decision(True, "because")
        return Decision(False)

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        return [Rule(("get",), ("",), ("pods",)), Rule(("get",), urls=("/healthz",))], ["a role is missing"]

    def of_token(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        if token == "stale":
            raise unauthorized()
        return (ALICE, audiences) if token == "good" else None


def ask(resource: Any, spec: dict[str, Any] | None, user: User = ALICE, namespace: str = "") -> dict[str, Any]:
    judge = Judge()
    tree = {"spec": spec} if spec is not None else {}
    answered = Reviews(judge, judge, judge).create(resource, tree, user, now=0, namespace=namespace)
    assert answered["kind"] == resource.kind
    status: dict[str, Any] = answered["status"]
    return status


PODS = {"verb": "get", "resource": "pods", "namespace": "a"}


def test_may_i_may_she() -> None:
    """Access reviews judge the asker, or whom the question names, and give the reason."""
    assert ask(r.SELF_SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": PODS}) == {"allowed": False}
    assert ask(r.SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": PODS, "user": "bob"}) == {
        "allowed": True,
        "reason": "because",
    }
    assert ask(r.LOCAL_SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": PODS, "user": "bob"}, namespace="a")["allowed"]
    assert ask(r.SELF_SUBJECT_ACCESS_REVIEWS, {"nonResourceAttributes": {"verb": "get", "path": "/healthz"}})["allowed"]


def test_who_and_what_am_i() -> None:
    """The self reviews tell the asker her identity and her rules."""
    assert ask(r.SELF_SUBJECT_REVIEWS, None)["userInfo"] == {
        "username": "alice", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["x"]},
    }  # fmt: skip
    assert ask(r.SELF_SUBJECT_RULES_REVIEWS, {"namespace": "a"}) == {
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
        "incomplete": True,
        "evaluationError": "a role is missing",
    }


def test_whose_token() -> None:
    """A token review names the token's user; a token that is not good is an answer, not an error."""
    good = ask(r.TOKEN_REVIEWS, {"token": "good", "audiences": ["vault"]})
    assert (good["authenticated"], good["user"]["username"], good["audiences"]) == (True, "alice", ["vault"])
    for bad in ("unknown", "stale"):
        assert ask(r.TOKEN_REVIEWS, {"token": bad}) == {"user": {}, "error": "invalid bearer token"}


@pytest.mark.parametrize(
    ("resource", "spec", "code", "words"),
    [
        (r.SELF_SUBJECT_ACCESS_REVIEWS, {}, 422, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (r.SELF_SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": {}, "nonResourceAttributes": {}}, 422, "cannot be specified in combination"),
        (r.SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": PODS}, 422, "at least one of user or group must be specified"),
        (r.LOCAL_SUBJECT_ACCESS_REVIEWS, {"resourceAttributes": PODS, "user": "bob"}, 400, "must match namespace"),
        (r.SELF_SUBJECT_RULES_REVIEWS, {}, 400, "no namespace on request"),
        (r.TOKEN_REVIEWS, {}, 400, "token is required"),
    ],
)  # fmt: skip
def test_malformed_questions(resource: Any, spec: dict[str, Any], code: int, words: str) -> None:
    """A question that makes no sense is refused, and says why."""
    with pytest.raises(StatusError, match=words) as refused:
        ask(resource, spec, namespace="b")
    assert refused.value.code == code
