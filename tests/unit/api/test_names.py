"""The forms of names, and what is said of those that do not have them."""

import pytest

from podling.api import names


@pytest.mark.parametrize("value", ["a", "ab", "a-b", "1a", "a" * 63])
def test_proper_labels(value: str) -> None:
    """Nothing is said of a DNS-1123 label."""
    assert names.is_dns1123_label(value) == []
    assert names.is_dns1123_subdomain(value) == []
    assert names.is_label_value(value) == []


def test_upstreams_sentences() -> None:
    """Word for word, the two spaces before `or` among them."""
    assert names.is_dns1123_label("A") == [
        (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
            "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
    ]
    assert names.is_dns1123_label("a.b") == ["must not contain dots"]
    assert names.is_dns1123_label("a" * 64) == ["must be no more than 63 characters"]
    assert names.is_dns1123_subdomain("a_b") == [
        (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
            "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    ]
    assert names.is_label_value("a b") == [
        (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
            "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    ]


@pytest.mark.parametrize(
    ("value", "beginnings"),
    [
        ("a", []), ("a.io/B_c", []), ("1.2/3", []), ("", ["name part must be non-empty", "name part must consist of"]),
        ("/a", ["prefix part must be non-empty"]), ("a/", ["name part must be non-empty", "name part must consist"]),
        ("A/a", ["prefix part a lowercase RFC 1123 subdomain"]), ("a/b/c", ["a valid label key must consist"]),
        ("a" * 64, ["name part must be no more than 63 bytes"]), ("a/" + "-" * 64, ["name part must be no more", "name part must consist"]),
        ("a\n", ["name part must consist"]),
    ],
)  # fmt: skip
def test_qualified_names(value: str, beginnings: list[str]) -> None:
    """Prefix and name are judged apart."""
    found = names.is_qualified_name(value)
    assert len(found) == len(beginnings)
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(found, beginnings, strict=True))


def test_other_forms() -> None:
    """Each form takes its own and refuses its neighbours'."""
    assert names.is_dns1035_label("a1") == []
    assert names.is_dns1035_label("1a")[0].startswith("a DNS-1035 label must consist of")
    assert names.is_port_name("http-2") == []
    assert names.is_port_name("-1-") == [
        "must contain at least one letter (a-z)",
        "must not begin or end with a hyphen",
    ]
    assert names.is_port_name("a--b" * 4)[0] == "must be no more than 15 characters"
    assert names.is_relaxed_env_var_name("1 A") == []
    assert len(names.is_relaxed_env_var_name("A=")) == 1
    assert names.is_config_map_key("a.b") == []
    assert names.is_config_map_key("..") == ["must not be '..'"]
    assert names.is_config_map_key("..a") == ["must not start with '..'"]
    assert names.is_wildcard_dns1123_subdomain("*.a.b") == []
    assert names.is_wildcard_dns1123_subdomain("a.b") != []
    assert names.is_percent("5%") == []
    assert names.is_http_header_name("X_Y") != []
