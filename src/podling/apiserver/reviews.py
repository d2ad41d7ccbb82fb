"""Owns the questions that are asked by creating an object: may I, may she, what may I, who am I, whose token is this.

Nothing of it is stored. Each review is a function of the asked tree to the answered tree, over the authorizer and the
authentication of the server. Must not know HTTP or storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from podling.api import resources as r
from podling.api.errors import Cause, StatusError, bad_request, invalid
from podling.api.times import to_wire
from podling.apiserver.record import Attributes, User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.resources import Resource
    from podling.apiserver.identity.rules import Rule
    from podling.apiserver.record import Authorizer

RESOURCES: Final[tuple[Resource[Any], ...]] = (
    r.TOKEN_REVIEWS,
    r.SELF_SUBJECT_REVIEWS,
    r.SUBJECT_ACCESS_REVIEWS,
    r.SELF_SUBJECT_ACCESS_REVIEWS,
    r.SELF_SUBJECT_RULES_REVIEWS,
    r.LOCAL_SUBJECT_ACCESS_REVIEWS,
)
"""What `Reviews.create` answers; each can be created and nothing else."""


class Tokens(Protocol):
    """Knows whose a token is, and for which of the audiences asked for."""

    def of_token(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None: ...


class Rules(Protocol):
    """Knows the rules of a user in a namespace, and what of them could not be resolved."""

    def rules_of(self, user: User, namespace: str) -> tuple[Sequence[Rule], Sequence[str]]: ...


class Reviews:
    """Answers reviews."""

    def __init__(self, authorizer: Authorizer, rules: Rules, tokens: Tokens) -> None:
        self._authorizer = authorizer
        self._rules = rules
        self._tokens = tokens
        self._answers: Mapping[str, Callable[[dict[str, Any], User, str], dict[str, Any]]] = {
            r.TOKEN_REVIEWS.plural: self._token,
            r.SUBJECT_ACCESS_REVIEWS.plural: self._subject_access,
            r.SELF_SUBJECT_ACCESS_REVIEWS.plural: self._self_access,
            r.SELF_SUBJECT_RULES_REVIEWS.plural: self._self_rules,
            r.LOCAL_SUBJECT_ACCESS_REVIEWS.plural: self._local_access,
        }

    def create(
        self, resource: Resource[Any], tree: Mapping[str, Any], user: User, *, now: float, namespace: str = ""
    ) -> dict[str, Any]:
        """Return the review `tree`, asked by `user`, with its status; `StatusError` where the question is malformed."""
        answered: dict[str, Any] = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": {**(tree.get("metadata") or {})},
        }
        if resource == r.SELF_SUBJECT_REVIEWS:
            answered["metadata"]["creationTimestamp"] = to_wire(now)
            return answered | {"status": {"userInfo": user_info(user)}}
        spec = dict(tree.get("spec") or {})
        return answered | {"spec": spec, "status": self._answers[resource.plural](spec, user, namespace)}

    def _self_access(self, spec: dict[str, Any], user: User, _namespace: str) -> dict[str, Any]:
        return self._judge(r.SELF_SUBJECT_ACCESS_REVIEWS, spec, user)

    def _subject_access(self, spec: dict[str, Any], _user: User, _namespace: str) -> dict[str, Any]:
        return self._judge(r.SUBJECT_ACCESS_REVIEWS, spec, _subject(r.SUBJECT_ACCESS_REVIEWS, spec))

    def _local_access(self, spec: dict[str, Any], _user: User, namespace: str) -> dict[str, Any]:
        asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if spec.get("resourceAttributes") is None:
            raise _wrong(r.LOCAL_SUBJECT_ACCESS_REVIEWS, "spec.resourceAttributes", "may not be nil", "nil")
        if asked != namespace:
            raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        return self._judge(r.LOCAL_SUBJECT_ACCESS_REVIEWS, spec, _subject(r.LOCAL_SUBJECT_ACCESS_REVIEWS, spec))

    def _judge(self, resource: Resource[Any], spec: Mapping[str, Any], user: User) -> dict[str, Any]:
        decision = self._authorizer.authorize(_attributes(resource, spec, user))
        status: dict[str, Any] = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _self_rules(self, spec: dict[str, Any], user: User, _namespace: str) -> dict[str, Any]:
        namespace = str(spec.get("namespace") or "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules, errors = self._rules.rules_of(user, namespace)
        status: dict[str, Any] = {
            "resourceRules": [rule.to_tree() for rule in rules if rule.resources],
            "nonResourceRules": [rule.to_tree() for rule in rules if rule.urls],
            "incomplete": bool(errors),
        }
        if errors:
            status["evaluationError"] = "; ".join(errors)
        return status

    def _token(self, spec: dict[str, Any], _user: User, _namespace: str) -> dict[str, Any]:
        token = str(spec.get("token") or "")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or ())
        try:
            found = self._tokens.of_token(token, audiences)
        except StatusError:  # signed here, and not good or no longer: the caller learns no more than a thief may
            found = None
        if found is None:
            return {"user": {}, "error": "invalid bearer token"}
        user, shared = found
        status: dict[str, Any] = {"authenticated": True, "user": user_info(user)}
        if shared:
            status["audiences"] = list(shared)
        return status


def user_info(user: User) -> dict[str, Any]:
    """Return a user as `authentication.k8s.io` shows one."""
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _subject(resource: Resource[Any], spec: Mapping[str, Any]) -> User:
    name, groups = str(spec.get("user") or ""), tuple(spec.get("groups") or ())
    if not name and not groups:
        raise _wrong(resource, "spec.user", "at least one of user or group must be specified", '""')
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(name, groups, str(spec.get("uid") or ""), extra)


def _attributes(resource: Resource[Any], spec: Mapping[str, Any], user: User) -> Attributes:
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if about is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        raise _wrong(resource, "spec.nonResourceAttributes", why, "nonResourceAttributes")
    if about is not None:
        words = {key: str(about.get(key) or "") for key in ("verb", "group", "version", "resource")}
        return Attributes(
            user,
            words["verb"],
            words["group"],
            words["version"],
            words["resource"] or "*",
            str(about.get("subresource") or ""),
            str(about.get("namespace") or ""),
            str(about.get("name") or ""),
            field_selector=_field_selector(about),
        )
    if path is not None:
        return Attributes(user, str(path.get("verb") or ""), path=str(path.get("path") or ""))
    why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    raise _wrong(resource, "spec.resourceAttributes", why, "null")


def _field_selector(about: Mapping[str, Any]) -> str:
    selector = about.get("fieldSelector") or {}
    terms = [
        f"{need.get('key', '')}={need['values'][0]}"
        for need in selector.get("requirements") or ()
        if need.get("operator") == "In" and len(need.get("values") or ()) == 1
    ]
    return str(selector.get("rawSelector") or ",".join(terms))


def _wrong(resource: Resource[Any], field: str, why: str, value: str) -> StatusError:
    return invalid(
        resource.group, resource.kind, "", [Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)]
    )
