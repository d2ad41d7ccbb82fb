"""Image references: Docker's defaults, and upstream's refusal of what is none."""

from __future__ import annotations

import pytest

from podling.runtime.oci.images.reference import InvalidReference, parse

_DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("podling/busybox:1.36", "docker.io/podling/busybox:1.36"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("index.docker.io/library/x", "docker.io/library/x:latest"),
        (f"quay.io/a@{_DIGEST}", f"quay.io/a@{_DIGEST}"),
        (f"quay.io/a:tag@{_DIGEST}", f"quay.io/a:tag@{_DIGEST}"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
    ],
)
def test_defaults_complete_a_reference(written: str, full: str) -> None:
    """What a user writes gets Docker's registry, folder and tag; completing it again changes nothing."""
    assert str(parse(written)) == full
    assert str(parse(full)) == full


@pytest.mark.parametrize(
    "written",
    ["", " ", "UPPER", "a/UPPER:x", "a b", "a:", "a:b:c", "-a", "a@sha256:short", "a/../b", "/etc/passwd", "a" * 64 * 5,
     "docker.io/", "a:" + "t" * 129, "http://x/y", "a" * 64],
)  # fmt: skip
def test_what_is_no_reference_is_refused(written: str) -> None:
    """Refusals carry upstream's sentence, which events show as InvalidImageName."""
    with pytest.raises(InvalidReference, match="invalid reference format"):
        parse(written)
