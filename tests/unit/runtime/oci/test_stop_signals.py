"""How a container is asked to stop."""

from __future__ import annotations

import signal

import pytest

from podling.runtime.oci.lives import stop_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGQUIT", signal.SIGQUIT), ("quit", signal.SIGQUIT), ("9", 9), ("64", 64), ("SIGRTMIN+3", 37), ("rtmin+3", 37),
        ("SIGRTMIN", 34), ("", 15), ("0", 15), ("65", 15), ("-1", 15), ("SIGNONE", 15), ("SIGRTMIN+31", 15),
        ("SIGRTMIN+three", 15), ("SIGRTMIN+", 15), ("RTMIN+-40", 15), ("9" * 5000, 15), ("\u00b2", 15),
    ],
)  # fmt: skip
def test_what_an_image_says(text: str, number: int) -> None:
    """Every spelling of a signal is understood, and whatever is none is SIGTERM."""
    assert stop_signal(text) == number
