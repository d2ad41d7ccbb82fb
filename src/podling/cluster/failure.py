"""The one way in which a cluster says that it cannot be started."""

from __future__ import annotations


class StartFailed(Exception):  # an outcome that the command words for its user
    """The cluster cannot be started; `next_step` says what to do about it."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.next_step = next_step
