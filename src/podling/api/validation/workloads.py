"""What the kinds that make Pods from a template have in common: selector, template, and counts in their status.

Must not know the kinds. A template that is kept running forever restarts its containers always and knows no deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.selectors import NOTHING, from_label_selector
from podling.api.validation import meta
from podling.api.validation.field import forbidden, invalid, not_supported, required
from podling.api.validation.formats import NOT_NEGATIVE
from podling.api.validation.pod import check_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.errors import Cause
    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import PodTemplateSpec
    from podling.api.types.meta_v1 import LabelSelector
    from podling.api.validation.field import Path


def check_not_negative(path: Path, counts: Mapping[str, int | None], causes: list[Cause]) -> None:
    """Refuse counts below zero, by the names of their fields; what is not set is zero."""
    for name, count in counts.items():
        if count is not None and count < 0:
            causes.append(invalid(path / name, count, NOT_NEGATIVE))


def check_at_most(
    path: Path, counts: Mapping[str, int | None], names: Sequence[str], of: str, said: str, causes: list[Cause]
) -> None:
    """Refuse those of `counts` that are more than the one named `of`, of which they should be a part."""
    most = counts[of] or 0
    causes.extend(invalid(path / name, counts[name], said) for name in names if (counts[name] or 0) > most)


def check_not_decremented(count: int | None, before: int | None, path: Path, causes: list[Cause]) -> None:
    """Refuse a count of collisions that is less than before: names would be met again."""
    if before is not None and (count or 0) < before:
        causes.append(invalid(path, count or 0, "cannot be decremented"))


def check_selector(selector: LabelSelector | None, path: Path, causes: list[Cause]) -> Selector | None:
    """Check a selector that must be there and select something; return it, or nothing where it cannot be read."""
    if selector is None:
        causes.append(required(path))
        return NOTHING
    meta.check_selector(selector, path, causes)
    if not selector.match_labels and not selector.match_expressions:
        # Upstream says so of all of them.
        causes.append(invalid(path, selector, "empty selector is invalid for deployment"))
    try:
        return from_label_selector(selector)
    except ValueError:
        causes.append(invalid(path, selector, "invalid label selector"))
        return None


def check_same_selector(new: LabelSelector | None, old: LabelSelector | None, path: Path, causes: list[Cause]) -> None:
    """Refuse a change of what is selected: the Pods that are there would be nobody's."""
    if new != old:
        causes.append(invalid(path, new, "field is immutable"))


def check_running_template(
    template: PodTemplateSpec | None, selector: Selector | None, kind: str, path: Path, causes: list[Cause]
) -> None:
    """Check the template of Pods that are to run for ever; `selector` must match what is made from it.

    Upstream does not look at a template whose selector it could not read.
    """
    if selector is None:
        return
    if template is None:
        causes.append(required(path))
        return
    check_selected(template, selector, path, causes)
    check_template(template, path, causes)
    check_kept_running(template, kind, path, causes)


def check_kept_running(template: PodTemplateSpec, kind: str, path: Path, causes: list[Cause]) -> None:
    """Refuse a template whose Pods would end by themselves."""
    spec = template.spec
    if spec is None:
        return
    if spec.restart_policy != "Always":
        causes.append(not_supported(path / "spec" / "restartPolicy", spec.restart_policy, ("Always",)))
    if spec.active_deadline_seconds is not None:
        said = f"activeDeadlineSeconds in {kind} is not Supported"
        causes.append(forbidden(path / "spec" / "activeDeadlineSeconds", said))


def check_selected(template: PodTemplateSpec, selector: Selector, path: Path, causes: list[Cause]) -> None:
    """Refuse a template whose Pods their own maker would not know."""
    labels = template.metadata.labels
    if not selector.empty and not selector.matches(labels):
        said = "`selector` does not match template `labels`"
        causes.append(invalid(path / "metadata" / "labels", labels, said))
