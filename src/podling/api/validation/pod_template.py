"""PodTemplates: their metadata, and the one rule on templates that `pod` has for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.core_v1 import PodTemplateSpec
from podling.api.validation import meta, pod
from podling.api.validation.field import ROOT

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import PodTemplate


def check_create(template: PodTemplate, causes: list[Cause]) -> None:
    meta.check_create(template.metadata, causes, namespaced=True)
    _check_template(template, causes)


def check_update(new: PodTemplate, old: PodTemplate, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_template(new, causes)


def _check_template(template: PodTemplate, causes: list[Cause]) -> None:
    pod.check_template(template.template or PodTemplateSpec(), ROOT / "template", causes)
