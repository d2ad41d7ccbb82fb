"""The parameters of requests: list, watch, get, write and delete options, read and checked as upstream does."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.errors import Cause, bad_request, invalid
from podling.api.validation.field import quoted
from podling.apiserver.paths import truth

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or watch is asked for."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_token: str = ""
    revision: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a create, update or patch is asked for."""

    dry_run: bool = False
    validation: str = "Warn"
    """Ignore, Warn or Strict."""


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a deletion is asked for."""

    dry_run: bool = False
    grace: int | None = None
    uid: str | None = None
    revision: str | None = None
    propagation: str | None = None
    """Orphan, Background or Foreground."""


def list_options(query: Sequence[tuple[str, str]]) -> ListOptions:
    """Read the options of a list or watch; `StatusError` for contradictions, in upstream's words."""
    if not query:
        return _PLAIN_LIST
    given = _first(query)
    watch = "watch" in given and truth(given["watch"])
    initial = truth(given["sendInitialEvents"]) if "sendInitialEvents" in given else None
    timeout = _integer(given, "timeoutSeconds")
    options = ListOptions(
        labels=given.get("labelSelector", ""),
        fields=given.get("fieldSelector", ""),
        limit=max(_integer(given, "limit") or 0, 0),
        continue_token=given.get("continue", ""),
        revision=given.get("resourceVersion", ""),
        match=given.get("resourceVersionMatch", ""),
        watch=watch,
        bookmarks="allowWatchBookmarks" in given and truth(given["allowWatchBookmarks"]),
        initial_events=initial,
        timeout=float(timeout) if timeout else None,
    )
    check_list_options(options)
    return options


_PLAIN_LIST = ListOptions()


def check_list_options(options: ListOptions) -> None:
    """Refuse what contradicts itself."""
    match, why, reason = options.match, "", "FieldValueForbidden"
    field = "resourceVersionMatch"
    if options.watch:
        if options.initial_events is not None and match != "NotOlderThan":
            why = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        elif match and options.initial_events is None:
            why = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    elif options.initial_events is not None:
        field, why = "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"
    elif match:
        if not options.revision:
            why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        elif options.continue_token:
            why = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
        elif match not in {"Exact", "NotOlderThan"}:
            reason = "FieldValueNotSupported"
            why = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        elif match == "Exact" and options.revision == "0":
            why = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if why:
        raise invalid("meta.k8s.io", "ListOptions", "", [Cause(reason, why, field)])


def revision_of(text: str) -> int:
    """Read a resourceVersion; `StatusError` 400 for what is none."""
    if not text:
        return 0
    wrong = revision_problem(text)
    if wrong:
        raise bad_request(f"resourceVersion: Invalid value: {quoted(text)}: {wrong}")
    return int(text)


def revision_problem(text: str) -> str:
    """Return why a text is no resourceVersion, in Go's words; empty if it is one."""
    if not (text.isascii() and text.isdigit()):
        return f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax"
    if len(text) > _LONGEST_INTEGER or int(text) >= 2**64:
        return f"strconv.ParseUint: parsing {quoted(text)}: value out of range"
    return ""


def write_options(query: Sequence[tuple[str, str]], kind: str = "CreateOptions") -> WriteOptions:
    """Read the options of a write; refusals name them by `kind`, which is upstream's for the verb."""
    if not query:
        return _PLAIN_WRITE
    given = _first(query)
    dry_run = _dry_run([value for key, value in query if key == "dryRun"], kind)
    validation = given.get("fieldValidation", "") or "Warn"
    if validation not in {"Ignore", "Warn", "Strict"}:
        why = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid("meta.k8s.io", kind, "", [Cause("FieldValueNotSupported", why, "fieldValidation")])
    return WriteOptions(dry_run, validation)


_PLAIN_WRITE = WriteOptions()


def delete_options(query: Sequence[tuple[str, str]], body: bytes, content_type: str) -> DeleteOptions:
    """Read the options of a deletion, from the body if there is one, else from the query."""
    if body:
        from podling.api.body import decode_body
        from podling.api.conform import conform
        from podling.api.schema import Schema

        tree = decode_body(body, content_type, "DeleteOptions", strict=False).tree
        kind = tree.get("kind")
        if kind not in {None, "", "DeleteOptions"}:
            raise bad_request(f"decoded object cannot be converted to DeleteOptions: {kind}")
        conform(tree, Schema.of("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"))
        preconditions: dict[str, Any] = tree.get("preconditions") or {}
        grace, orphan = tree.get("gracePeriodSeconds"), tree.get("orphanDependents")
        propagation = tree.get("propagationPolicy")
        dry_run = tree.get("dryRun") or []
        uid, revision = preconditions.get("uid"), preconditions.get("resourceVersion")
    else:
        given = _first(query)
        grace = _integer(given, "gracePeriodSeconds")
        orphan = truth(given["orphanDependents"]) if "orphanDependents" in given else None
        propagation = given.get("propagationPolicy")
        dry_run = [value for key, value in query if key == "dryRun"]
        uid = revision = None
    if propagation not in {None, "Orphan", "Background", "Foreground"}:
        why = f'Unsupported value: "{propagation}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise invalid("meta.k8s.io", "DeleteOptions", "", [Cause("FieldValueNotSupported", why, "propagationPolicy")])
    if propagation is not None and orphan is not None:
        why = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        raise invalid("meta.k8s.io", "DeleteOptions", "", [Cause("FieldValueInvalid", why, "propagationPolicy")])
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if grace is not None and grace < 0:
        grace = 1
    return DeleteOptions(_dry_run(dry_run, "DeleteOptions"), grace, uid, revision, propagation)


PRESENT = -1


@dataclass(frozen=True, slots=True)
class Continue:
    """Where a list goes on: upstream's continue token."""

    revision: int
    """`PRESENT`: whatever is there by now, for a list whose own revision is no longer kept."""
    start: str
    """The key, relative to the kind's prefix, behind which to go on, followed by a NUL as upstream writes it."""

    def token(self) -> str:
        data = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start})
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_continue(token: str) -> Continue:
    """Read a continue token; `StatusError` 400 for what is none."""
    try:
        tree = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, start = tree["v"], tree["rv"], tree["start"]
    except (binascii.Error, ValueError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from None
    if version != "meta.k8s.io/v1" or not isinstance(revision, int) or not isinstance(start, str):
        raise bad_request("continue key is not valid: server does not recognize this encoded version")
    if revision == 0 or not start or "/../" in f"/{start}":
        raise bad_request(f"continue key is not valid: {start!r}")
    return Continue(max(revision, PRESENT), start)


def _first(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in query:
        given.setdefault(key, value)
    return given


def _integer(given: dict[str, str], key: str) -> int | None:
    text = given.get(key, "")
    if not text:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise bad_request(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    if len(text) > _LONGEST_INTEGER or not -(2**63) <= int(text) < 2**63:
        raise bad_request(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return int(text)


_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_LONGEST_INTEGER = 100


def _dry_run(values: Sequence[str], kind: str) -> bool:
    for value in values:
        if value != "All":
            why = f'Unsupported value: ["{value}"]: supported values: "All"'
            raise invalid("meta.k8s.io", kind, "", [Cause("FieldValueNotSupported", why, "dryRun")])
    return bool(values)
