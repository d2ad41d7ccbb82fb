"""What a webhook is sent, and what its answer means. Pure.

Owns the two versions of AdmissionReview. Whatever comes back is distrusted: an answer that is not one is `Unusable`,
and nothing of it counts.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.body import decode_json
from podling.api.errors import StatusError, bad_request
from podling.api.validation.field import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.apiserver.admission.webhooks.matching import Place
    from podling.apiserver.record import User

_GROUP: Final = "admission.k8s.io"
_KNOWN: Final = ("v1", "v1beta1")
_KIND: Final = "AdmissionReview"
_LONGEST_WARNING: Final = 256
_MOST_WARNINGS: Final = 16


class Unusable(Exception):
    """An answer that says nothing."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One write as a webhook is asked about it."""

    uid: str
    verb: str
    kind: tuple[str, str, str]
    """Group, version and kind of `new`, which are those that the webhook's rule names."""
    place: Place
    asked_kind: tuple[str, str, str]
    asked_place: Place
    """What the request itself named."""
    namespace: str
    name: str
    user: User
    new: Mapping[str, Any] | None
    old: Mapping[str, Any] | None
    dry_run: bool


class _Status(msgspec.Struct):
    code: int = 0
    message: str | None = None
    reason: str | None = None
    details: dict[str, Any] | None = None


class _Response(msgspec.Struct, rename={"patch_type": "patchType"}):
    uid: str = ""
    allowed: bool = False
    status: _Status | None = None
    patch: str | None = None
    patch_type: str | None = None
    warnings: list[str] | None = None


class _Answer(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: str = ""
    kind: str = ""
    response: _Response | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What a webhook said."""

    denial: StatusError | None
    patch: Sequence[Any]
    warnings: Sequence[str]


def version_of(versions: Sequence[str]) -> str:
    """Return the version of AdmissionReview to speak: the first that both sides know."""
    return next((it for it in versions if it in _KNOWN), "")


def review(question: Question, version: str) -> bytes:
    """Return the body to send."""
    user = question.user
    request: dict[str, Any] = {
        "uid": question.uid,
        "kind": _kind(question.kind),
        "resource": _resource(question.place),
        "subResource": question.place.subresource,
        "requestKind": _kind(question.asked_kind),
        "requestResource": _resource(question.asked_place),
        "requestSubResource": question.asked_place.subresource,
        "name": question.name,
        "namespace": question.namespace,
        "operation": question.verb,
        "userInfo": {
            "username": user.name,
            "groups": list(user.groups),
            **({"uid": user.uid} if user.uid else {}),
            **({"extra": dict(user.extra)} if user.extra else {}),
        },
        "object": question.new,
        "oldObject": question.old,
        "dryRun": question.dry_run,
        "options": _options(question),
    }
    for name in ("subResource", "requestSubResource", "name", "namespace"):
        if not request[name]:
            del request[name]
    return msgspec.json.encode({"kind": _KIND, "apiVersion": f"{_GROUP}/{version}", "request": request})


def _options(question: Question) -> dict[str, Any] | None:
    if question.verb == "CONNECT":
        return None
    options: dict[str, Any] = {
        "kind": f"{question.verb.capitalize()}Options",
        "apiVersion": "meta.k8s.io/v1",
    }
    return options | ({"dryRun": ["All"]} if question.dry_run else {})


def _kind(kind: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("group", "version", "kind"), kind, strict=True))


def _resource(place: Place) -> dict[str, str]:
    return {"group": place.group, "version": place.version, "resource": place.plural}


def verdict(name: str, body: bytes, uid: str, version: str, *, mutating: bool) -> Verdict:
    """Return what the webhook `name` answered; `Unusable` where it is no answer to the question `uid`."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"couldn't parse webhook response: {error}") from None
    said = answer.response
    if said is None:
        raise Unusable("webhook response was absent")
    if version == "v1":
        if said.uid != uid:
            raise Unusable(f"expected response.uid={quoted(uid)}, got {quoted(said.uid[:100])}")
        if (answer.api_version, answer.kind) != (f"{_GROUP}/v1", _KIND):
            got = answer.api_version if "/" in answer.api_version else f"/{answer.api_version}"
            raise Unusable(f"expected webhook response of {_GROUP}/v1, Kind={_KIND}, got {got}, Kind={answer.kind}")
    patch = _patch(said, version) if mutating and said.allowed else ()
    return Verdict(None if said.allowed else denial(name, said.status), patch, _warnings(said.warnings or ()))


def _patch(said: _Response, version: str) -> Sequence[Any]:
    if version == "v1":
        if said.patch and said.patch_type is None:
            raise Unusable("webhook returned response.patch but not response.patchType")
        if not said.patch and said.patch_type is not None:
            raise Unusable("webhook returned response.patchType but not response.patch")
        if said.patch and said.patch_type != "JSONPatch":
            raise Unusable(f"webhook returned invalid response.patchType of {quoted(said.patch_type or '')}")
    if not said.patch:
        return ()
    try:
        found = decode_json(base64.b64decode(said.patch, validate=True))
    except ValueError as error:
        raise Unusable(f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(found, list):
        raise Unusable("received undecodable patch in webhook response: it is no array")
    return found


def _warnings(said: Sequence[str]) -> Sequence[str]:
    """Return warnings that fit into headers: a webhook writes neither lines of its own nor books."""
    cleaned = ("".join(c if c.isprintable() else " " for c in text[:_LONGEST_WARNING]).strip() for text in said)
    return [text for text in cleaned if text][:_MOST_WARNINGS]


def denial(name: str, status: _Status | None) -> StatusError:
    """Return a webhook's refusal as its caller sees it: never a success, whatever code the webhook gave."""
    found = status or _Status()
    by = f"admission webhook {quoted(name)} denied the request"
    why = found.message or found.reason
    code = found.code if 400 <= found.code < 600 else 400
    return StatusError(
        code, found.reason or "", f"{by}: {why}" if why else f"{by} without explanation", details=found.details
    )


def no_dry_run(name: str) -> StatusError:
    return bad_request(f"admission webhook {quoted(name)} does not support dry run")
