"""What may become of a step that a plan has asked for, beside coming off.

Owns `StepFailure`, which the worker takes down as a fact for the next plan.
"""

from __future__ import annotations


class StepFailure(Exception):  # an outcome that the plan reckons with
    """An action did not come off; `reason` and `message` are upstream's."""

    def __init__(self, reason: str, message: str, image: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.image = image
