"""ControllerRevisions: what was recorded once stays as it was; its number may rise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import meta
from podling.api.validation.field import ROOT, invalid, required
from podling.api.validation.workloads import check_not_negative

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apps_v1 import ControllerRevision


def check_create(new: ControllerRevision, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check(new, causes)


def check_update(new: ControllerRevision, old: ControllerRevision, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check(new, causes)
    if new.data != old.data:
        causes.append(invalid(ROOT / "data", new.data, "field is immutable"))


def _check(new: ControllerRevision, causes: list[Cause]) -> None:
    if new.data is None:
        causes.append(required(ROOT / "data", "data is mandatory"))
    check_not_negative(ROOT, {"revision": new.revision}, causes)
