"""How a command fails: what went wrong, and what to do next, on a line each; exit code 1."""

from __future__ import annotations

import click


class Failure(click.ClickException):
    """A failure that is the user's to mend."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(f"{what}\n  {next_step}" if next_step else what)
