"""Paths, reasons and how values are shown."""

from __future__ import annotations

import pytest

from podling.api.validation import field
from podling.api.validation.field import ROOT, SPEC


def test_paths_read_as_upstream_writes_them() -> None:
    """Children have dots, items and keys brackets, and the root has no name."""
    path = ((SPEC / "containers")[0] / "ports")[1] / "hostPort"
    assert str(path) == "spec.containers[0].ports[1].hostPort"
    assert str((ROOT / "data").key("tls.crt")) == "data[tls.crt]"
    assert str(ROOT) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", '"a"'),
        ('say "x"\n', '"say \\"x\\"\\n"'),
        ("\x00\u200b", '"\\x00\\u200b"'),
        ("grün", '"grün"'),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (("a", "b"), '["a","b"]'),
        ((), "null"),
        ({"Key": "a<b", "TimeAdded": None}, '{"Key":"a\\u003cb","TimeAdded":null}'),
    ],
)
def test_values_are_shown_as_upstream_shows_them(value: object, shown: str) -> None:
    """Text is quoted, numbers are bare, all else is JSON."""
    assert field.shown(value) == shown


@pytest.mark.parametrize(
    ("cause", "reason", "message"),
    [
        (field.required(SPEC), "FieldValueRequired", "Required value"),
        (field.required(SPEC, "why"), "FieldValueRequired", "Required value: why"),
        (field.invalid(SPEC, "x", "why"), "FieldValueInvalid", 'Invalid value: "x": why'),
        (
            field.not_supported(SPEC, "x", ("A", "B")),
            "FieldValueNotSupported",
            'Unsupported value: "x": supported values: "A", "B"',
        ),
        (field.forbidden(SPEC, "why"), "FieldValueForbidden", "Forbidden: why"),
        (field.duplicate(SPEC, 80), "FieldValueDuplicate", "Duplicate value: 80"),
        (field.not_found(SPEC, "x"), "FieldValueNotFound", 'Not found: "x"'),
        (field.too_long(SPEC, 63), "FieldValueTooLong", "Too long: may not be more than 63 bytes"),
        (field.too_many(SPEC, 21, 20), "FieldValueTooMany", "Too many: 21: must have at most 20 items"),
    ],
)
def test_each_reason_has_its_words(cause: object, reason: str, message: str) -> None:
    """The nine reasons and their sentences are the wire's."""
    assert cause == (reason, message, "spec")
