"""Owns JSON patches (RFC 6902) as upstream's library applies them: negative indices count from the end.

A patch that is none is a bad request (400). One that does not fit the object is refused with 422 and upstream's general
sentence; what did not fit is the error's cause.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from podling.api.errors import StatusError, bad_request
from podling.api.patch.merge import copied

MOST_OPERATIONS: Final = 10_000
MOST_COPIED: Final = 3 * 1024 * 1024
"""Bytes that the `copy` operations of a patch may add: each may double the document."""
_INDEX: Final = re.compile(r"-?[0-9]+\Z", re.ASCII)


class _DoesNotApply(Exception):
    """Carries what did not fit."""


def json_patch(tree: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return the tree with all operations applied, in order; either all apply or the patch is refused."""
    operations = _operations(patch)
    document: Any = copied(tree)
    copied_bytes = 0
    try:
        for operation in operations:
            copied_bytes += _apply(document, operation)
            if copied_bytes > MOST_COPIED:
                raise _DoesNotApply(f"the accumulated size increase of copy operations exceeds {MOST_COPIED} bytes")
    except _DoesNotApply as error:
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", message, details={}) from error
    return document  # type: ignore[no-any-return]


def _operations(patch: Any) -> list[dict[str, Any]]:
    names = {dict: "object", str: "string", int: "number", float: "number", bool: "bool", list: "array"}
    if type(patch) is not list:
        found = names.get(type(patch), "null")
        raise bad_request(f"json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
    for operation in patch:
        if type(operation) is not dict:
            found = names.get(type(operation), "null")
            raise bad_request(f"json: cannot unmarshal {found} into Go value of type jsonpatch.Operation")
    if len(patch) > MOST_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(patch)}"
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")
    return patch


def _apply(document: Any, operation: dict[str, Any]) -> int:
    """Apply one operation to the document; return the bytes that it copied."""
    match operation.get("op"):
        case "add":
            _add(document, _pointer(operation, "path"), _value(operation))
        case "remove":
            _remove(document, _pointer(operation, "path"))
        case "replace":
            path = _pointer(operation, "path")
            container, key = _locate(document, path)
            _get(container, key, path)
            _set(container, key, _value(operation))
        case "move":
            value = _remove(document, _pointer(operation, "from"))
            _add(document, _pointer(operation, "path"), value)
        case "copy":
            source = _pointer(operation, "from")
            container, key = _locate(document, source)
            value = _get(container, key, source)
            _add(document, _pointer(operation, "path"), copied(value))
            return len(msgspec.json.encode(value))
        case "test":
            _test(document, operation)
        case other:
            raise _DoesNotApply(f"Unexpected kind: {other}")
    return 0


def _pointer(operation: dict[str, Any], name: str) -> str:
    pointer = operation.get(name)
    if type(pointer) is not str:
        raise _DoesNotApply(f"{operation.get('op')} operation has no {name}: missing value")
    return pointer


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _DoesNotApply(f"{operation.get('op')} operation has no value: missing value")
    return copied(operation["value"])


def _locate(document: Any, pointer: str) -> tuple[Any, str]:
    """Return the container that a pointer ends in, and the last key, which may not be there."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    if len(parts) < 2:
        raise _DoesNotApply(f'doc is missing path: "{pointer}": missing value')
    container = document
    for part in parts[1:-1]:
        container = _get(container, part, pointer)
    if type(container) is not dict and type(container) is not list:
        raise _DoesNotApply(f'doc is missing path: "{pointer}": missing value')
    return container, parts[-1]


def _index(size: int, key: str, most: int) -> int:
    if not _INDEX.match(key):
        raise _DoesNotApply(f"value was not a proper array index: '{key}'")
    index = int(key) if len(key) < 12 else most + 1
    if not -size <= index <= most:
        raise _DoesNotApply(f"Unable to access invalid index: {key}: invalid index referenced")
    return index


def _get(container: Any, key: str, pointer: str) -> Any:
    if type(container) is dict:
        if key in container:
            return container[key]
    elif type(container) is list:
        return container[_index(len(container), key, len(container) - 1)]
    raise _DoesNotApply(f'doc is missing path: "{pointer}": missing value')


def _set(container: Any, key: str, value: Any) -> None:
    container[key if type(container) is dict else _index(len(container), key, len(container) - 1)] = value


def _add(document: Any, pointer: str, value: Any) -> None:
    container, key = _locate(document, pointer)
    if type(container) is dict:
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        index = _index(len(container) + 1, key, len(container))
        container.insert(index if index >= 0 else index + len(container) + 1, value)


def _remove(document: Any, pointer: str) -> Any:
    container, key = _locate(document, pointer)
    value = _get(container, key, pointer)
    if type(container) is dict:
        del container[key]
    else:
        del container[_index(len(container), key, len(container) - 1)]
    return value


def _test(document: Any, operation: dict[str, Any]) -> None:
    pointer = _pointer(operation, "path")
    container, key = _locate(document, pointer)
    missing = type(container) is dict and key not in container
    found = None if missing else _get(container, key, pointer)
    if not _equal(found, operation.get("value")):
        raise _DoesNotApply(f"testing value {pointer} failed: test failed")


def _equal(left: Any, right: Any) -> bool:
    """Whether two trees are the same JSON: true is not 1, and 1 is not 1.0."""
    if type(left) is not type(right):
        return False
    if type(left) is dict:
        return left.keys() == right.keys() and all(_equal(v, right[k]) for k, v in left.items())
    if type(left) is list:
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)
