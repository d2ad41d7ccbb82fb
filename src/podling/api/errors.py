"""The one error type: an exception that is the wire `Status`.

Owns the reasons, codes and sentences that upstream's API machinery gives. Every refusal in Podling is one of these;
"unschedulable" and "image not found" are data, not errors.

    StatusError
      ├─ made by: bad_request · unauthorized · forbidden · not_found · method_not_allowed · not_acceptable
      │           already_exists · conflict · gone · expired · too_large · unsupported_media_type · invalid
      │           too_many_requests · internal · service_unavailable · timeout
      └─ asked by: is_not_found · is_conflict · is_already_exists · is_expired · …
"""

from __future__ import annotations

from typing import Any, NamedTuple


def qualified(group: str, plural: str) -> str:
    """Return how messages name a resource: `pods`, `deployments.apps`."""
    return f"{plural}.{group}" if group else plural


class Cause(NamedTuple):
    """One of several reasons for a refusal: upstream's `StatusCause`."""

    reason: str
    """FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden, FieldValueDuplicate, …"""
    message: str
    field: str


class StatusError(Exception):
    """A refusal in the form in which it goes over the wire."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata
        """The Status's own list metadata: the token with which a list that broke off may go on."""

    def __str__(self) -> str:
        return self.message

    def to_tree(self) -> dict[str, Any]:
        """Return the `Status` object, metadata and all, as upstream prints it."""
        tree: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata or {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if not self.reason:
            del tree["reason"]
        if self.details:
            tree["details"] = self.details
        tree["code"] = self.code
        return tree

    @classmethod
    def from_tree(cls, tree: dict[str, Any], code: int) -> StatusError:
        """Read a `Status` that another API server answered; `code` is the HTTP status, for bodies that carry none."""
        return cls(
            int(tree.get("code") or code),
            str(tree.get("reason", "")),
            str(tree.get("message", "")) or f"the server answered {code}",
            details=tree.get("details"),
            metadata=tree.get("metadata"),
        )

    @property
    def is_not_found(self) -> bool:
        return self.reason == "NotFound"

    @property
    def is_conflict(self) -> bool:
        return self.reason == "Conflict"

    @property
    def is_already_exists(self) -> bool:
        return self.reason == "AlreadyExists"

    @property
    def is_expired(self) -> bool:
        """Whether the asked-for revision is gone, so that the caller must list afresh."""
        return self.code == 410

    @property
    def is_passing(self) -> bool:
        """Whether the server could not answer just now, so that asking again later is all there is to do."""
        return self.code in (429, 503, 504)

    @property
    def is_forbidden(self) -> bool:
        return self.reason == "Forbidden"

    @property
    def is_invalid(self) -> bool:
        return self.reason == "Invalid"


def _details(group: str, plural: str, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if plural:
        details["kind"] = plural
    details.update(more)
    return details


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    """Refuse with upstream's form `pods "web" is forbidden: WHY`."""
    where = qualified(group, plural)
    subject = f'{where} "{name}" is forbidden: {why}' if name else f"{where} is forbidden: {why}"
    return StatusError(403, "Forbidden", subject, details=_details(group, plural, name))


def not_found(group: str, plural: str, name: str) -> StatusError:
    return StatusError(
        404, "NotFound", f'{qualified(group, plural)} "{name}" not found', details=_details(group, plural, name)
    )


def no_such_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed(action: str) -> StatusError:
    return StatusError(405, "MethodNotAllowed", f"{action} is not supported on resources of kind", details={})


def not_acceptable(accepted: str) -> StatusError:
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")


def already_exists(group: str, plural: str, name: str) -> StatusError:
    return StatusError(
        409,
        "AlreadyExists",
        f'{qualified(group, plural)} "{name}" already exists',
        details=_details(group, plural, name),
    )


def conflict(group: str, plural: str, name: str, why: str = "") -> StatusError:
    """Refuse a write whose base is stale; upstream's sentence unless `why` says otherwise."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}',
        details=_details(group, plural, name),
    )


def expired(message: str) -> StatusError:
    """Refuse a revision that is no longer kept; the caller must list afresh."""
    return StatusError(410, "Expired", message)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(accepted: str) -> StatusError:
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {accepted}",
    )


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> StatusError:
    """Refuse an object: `Pod "web" is invalid: spec.x: Required value`, several causes in brackets."""
    qualified_kind = qualified(group, kind)
    sentences = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    detail = sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"
    return StatusError(
        422,
        "Invalid",
        f'{qualified_kind} "{name}" is invalid: {detail}',
        details=_details(
            group,
            kind,
            name,
            causes=[{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
        ),
    )


def too_many_requests(message: str, retry_after: int) -> StatusError:
    """Ask the caller to come back after `retry_after` seconds."""
    return StatusError(429, "TooManyRequests", message, details={"retryAfterSeconds": retry_after})


def internal(why: str) -> StatusError:
    return StatusError(
        500,
        "InternalError",
        f"Internal error occurred: {why}",
        details={"causes": [{"message": why}]},
    )


def service_unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def timeout(message: str) -> StatusError:
    return StatusError(504, "Timeout", f"Timeout: {message}")
