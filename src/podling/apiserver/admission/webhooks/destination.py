"""The seam between who decides that a webhook is asked and who talks to it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Destination(NamedTuple):
    """Where a webhook is."""

    host: str
    port: int
    name: str
    """Whom its certificate must be for."""
    bundle: str
    """Certificates in PEM, in base64, one of which must have signed it; empty: those that this machine trusts."""
    authority: str
    target: str


class Unreachable(Exception):
    """No answer, or none with code 200; says why."""


class Caller(Protocol):
    """Carries a body to a webhook and its answer back."""

    async def post(self, destination: Destination, body: bytes) -> bytes:
        """Return the answer's body; `Unreachable` where there is none. Bounded in size, not in time."""
        ...
