"""Which objects a selector means: label and field selectors as one test over `Encoded`, and the index that holds it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from podling.api import field_selectors, selectors
from podling.api.errors import StatusError, bad_request
from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.apiserver.record import Record

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"


def scope_of(record: Record, namespace: str, labels: str = "", fields: str = "", name: str = "") -> Scope:
    """Return what a list or watch means; `StatusError` 400 for selectors that cannot be read."""
    if not labels and not fields and not name:
        return Scope(namespace)
    return _scope(record.key_prefix, _Names(record), namespace, labels, fields, name)


class _Names:
    """The selectable fields of a record, by the names under which the stored kind's fields stand; hashable."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def __hash__(self) -> int:
        return hash(self.record.resource)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Names) and other.record is self.record

    def stored(self, field: str) -> str:
        record = self.record
        path = record.fields.get(field)
        if path is None:
            raise _unknown(record, field)
        if record.stored_as is not None:
            return next((name for name, other in record.stored_as.fields.items() if other == path), field)
        return field


def _unknown(record: Record, field: str) -> StatusError:
    if record.fields:
        return bad_request(f"field label not supported: {field}")
    return bad_request(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')


@functools.lru_cache(maxsize=4096)
def _scope(_prefix: str, names: _Names, namespace: str, labels: str, fields: str, name: str) -> Scope:
    try:
        by_label = selectors.parse(labels)
        by_field = field_selectors.parse_fields(fields)
    except ValueError as error:
        raise bad_request(str(error)) from None
    tests: list[Callable[[Encoded], bool]] = []
    indexed = ""
    for it in by_field.requirements:
        if it.field in {_NAME, _NAMESPACE}:
            attribute = it.field.removeprefix("metadata.")
            if not it.negated and not (name if attribute == "name" else namespace):
                name, namespace = (it.value, namespace) if attribute == "name" else (name, it.value)
                if it.value:
                    continue
            tests.append(_attribute(attribute, it.value, negated=it.negated))
            continue
        field = names.stored(it.field)
        if field == names.record.index and it.value and not it.negated and not indexed:
            indexed = it.value
        tests.append(_field(field, it.value, negated=it.negated))
    if not by_label.empty:
        tests.append(lambda encoded: by_label.matches(encoded.labels))
    return Scope(namespace, name, indexed, _all(tests))


def _all(tests: list[Callable[[Encoded], bool]]) -> Callable[[Encoded], bool] | None:
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda encoded: all(test(encoded) for test in tests)


def _attribute(attribute: str, value: str, *, negated: bool) -> Callable[[Encoded], bool]:
    return lambda encoded: (getattr(encoded, attribute) == value) != negated


def _field(field: str, value: str, *, negated: bool) -> Callable[[Encoded], bool]:
    return lambda encoded: (encoded.fields.get(field, "") == value) != negated
