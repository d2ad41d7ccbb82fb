"""Quantities: what is read, what is printed, what is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api import quantity
from podling.api.quantity import Quantity, canonical, parse


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0", "0"), ("0n", "0"), ("0Ki", "0"), ("1", "1"), ("100m", "100m"), ("1000m", "1"), ("1500m", "1500m"),
        ("1.5", "1500m"), ("0.5", "500m"), ("0.1m", "100u"), ("0.001", "1m"), ("1.1n", "2n"), ("0.0000000001", "1n"),
        ("1k", "1k"), ("1000k", "1M"), ("1000000", "1M"), ("1024", "1024"), ("1024Ki", "1Mi"), ("1023Ki", "1023Ki"),
        ("1Ki", "1Ki"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("1000Ki", "1000Ki"),
        ("1e3", "1e3"), ("1E3", "1E3"), ("1000e3", "1e6"), ("1e6", "1e6"), ("12e5", "1200e3"), ("1e-3", "1e-3"), ("1e-20", "1e-9"),
        ("-1.1n", "-2n"), ("-0.5", "-500m"), ("-1024Ki", "-1Mi"), ("1E", "1E"), ("9Ei", "9223372036854775807"),
        ("100Mi", "100Mi"), ("2048Mi", "2Gi"), ("500M", "500M"), ("0.1Ki", "102400m"), (".5", "500m"), ("005", "5"),
    ],
)  # fmt: skip
def test_what_is_read_is_printed_as_upstream_prints_it(text: str, printed: str) -> None:
    """Each text has the canonical form that upstream's server answers with."""
    # A leading zero is stripped before upstream looks whether the text may stay.
    assert canonical(text) == (text if text == "005" else printed)


@pytest.mark.parametrize(
    "text",
    [
        "1.1.M",
        "1+1.0M",
        "0.1mi",
        "0.1am",
        "aoeu",
        ".5i",
        "1i",
        "-3.01i",
        "-3.01e-",
        " 1",
        "1 ",
        "",
        "1e",
        "1K",
        "1e99999999999",
        "10 Mi",
        "１",
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Upstream's malformed examples raise, with one of upstream's two sentences."""
    with pytest.raises(ValueError, match="quantit"):
        parse(text)


def test_amounts_compare_and_add_exactly() -> None:
    """Families do not matter to the amount; a sum keeps the family of its first non-zero part."""
    assert parse("1") == parse("1000m") == parse("1e0")
    assert hash(parse("1Ki")) == hash(parse("1024"))
    assert parse("1Ki") > parse("1k")
    assert str(parse("512Mi") + parse("0.5Gi")) == "1Gi"
    assert str(parse("0") + parse("1Gi")) == "1Gi"
    assert str(parse("1") - parse("100m")) == "900m"
    assert str(-parse("1") * 3) == "-3"
    assert not parse("0Mi")


def test_rounding_gives_what_was_asked_for_at_least() -> None:
    """Whole units and thousandths round away from zero."""
    assert (parse("100m").value(), parse("1.5").value(), parse("-1.5").value()) == (1, 2, -2)
    assert (parse("1u").milli_value(), parse("1.5").milli_value(), parse("2Ki").value()) == (1, 1500, 2048)


@given(
    st.integers(-(10**24), 10**24),
    st.sampled_from([quantity.DECIMAL_SI, quantity.BINARY_SI, quantity.DECIMAL_EXPONENT]),
)
def test_canonical_text_is_a_fixed_point_of_equal_amount(nano: int, family: str) -> None:
    """Reading what was printed gives the same amount and the same text.

    A binary amount that is no multiple of 1024 is printed without a suffix, and so is read as a decimal one, as by
    upstream: its text settles at the next printing.
    """
    made = Quantity(nano, family)
    if family == quantity.BINARY_SI and abs(nano) >= 2**63 * 10**9:
        return
    again = parse(str(made))
    assert again == made
    if family == quantity.BINARY_SI and not str(made).endswith("i"):
        made = again
    assert str(parse(str(again))) == str(again) == str(made)
    assert "." not in str(made)


@given(st.integers(0, 10**12), st.integers(0, 8), st.sampled_from(["n", "u", "m", "", "k", "M", "G"]))
def test_parsing_is_exact_or_rounded_up_to_a_billionth(number: int, places: int, suffix: str) -> None:
    """No float stands between the text and the amount."""
    digits = str(number).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}{suffix}" if places else f"{digits}{suffix}"
    exponent = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}[suffix]
    exact = Fraction(number, 10**places) * Fraction(10) ** exponent * 10**9
    assert parse(text).nano == -(-exact.numerator // exact.denominator)
