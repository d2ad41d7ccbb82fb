"""Whom a write concerns: rules, scope and selectors of webhooks, as upstream reads them. Pure.

Two questions, because one can be remembered: whether a webhook's rules have a resource and verb (`place_of`), and
whether this object in this namespace is one of those that it selects (`selects`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api.selectors import from_label_selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.selectors import Selector
    from podling.api.types.admissionregistration_v1 import (
        MutatingWebhook,
        MutatingWebhookConfiguration,
        RuleWithOperations,
        ValidatingWebhook,
        ValidatingWebhookConfiguration,
    )

EXEMPT: Final = "admissionregistration.k8s.io"
"""The group whose kinds no webhook may hold up: whoever is locked out must be able to take the lock away."""


class Place(NamedTuple):
    """A resource as a request names it."""

    group: str
    version: str
    plural: str
    subresource: str = ""


class Hook(NamedTuple):
    """One webhook, ready to be asked."""

    configuration: str
    webhook: MutatingWebhook | ValidatingWebhook
    namespaces: Selector
    objects: Selector

    @property
    def name(self) -> str:
        return self.webhook.name

    @property
    def fails_open(self) -> bool:
        return self.webhook.failure_policy == "Ignore"

    @property
    def may_be_asked_again(self) -> bool:
        return getattr(self.webhook, "reinvocation_policy", None) == "IfNeeded"

    @property
    def bears_dry_run(self) -> bool:
        return self.webhook.side_effects in {"None", "NoneOnDryRun"}


def hooks_of(
    configurations: Iterable[MutatingWebhookConfiguration | ValidatingWebhookConfiguration],
) -> tuple[Hook, ...]:
    """Return all webhooks in the order in which they are asked: by the configuration's name, then as they stand."""
    return tuple(
        Hook(
            each.metadata.name,
            webhook,
            from_label_selector(webhook.namespace_selector),
            from_label_selector(webhook.object_selector),
        )
        for each in sorted(configurations, key=lambda it: it.metadata.name)
        for webhook in each.webhooks
    )


def place_of(hook: Hook, verb: str, asked: Place, others: Sequence[Place], *, namespaced: bool) -> Place | None:
    """Return as what a webhook wants to see a write of `asked`; `None` where its rules do not have it.

    `others` are the places where the same objects are served too: such a rule counts where the policy is Equivalent.
    """
    if asked.group == EXEMPT:
        return None
    rules = hook.webhook.rules
    places = (asked, *others) if hook.webhook.match_policy != "Exact" else (asked,)
    for place in places:
        if any(_has(rule, verb, place, namespaced=namespaced) for rule in rules):
            return place
    return None


def _has(rule: RuleWithOperations, verb: str, place: Place, *, namespaced: bool) -> bool:
    return (
        _lists(rule.operations, verb)
        and _lists(rule.api_groups, place.group)
        and _lists(rule.api_versions, place.version)
        and rule.scope in {None, "*", "Namespaced" if namespaced else "Cluster"}
        and any(_is_of(text, place) for text in rule.resources)
    )


def _lists(values: Sequence[str], value: str) -> bool:
    return "*" in values or value in values


def _is_of(text: str, place: Place) -> bool:
    resource, _, subresource = text.partition("/")
    return resource in {"*", place.plural} and subresource in {"*", place.subresource}


def selects(hook: Hook, namespace: Mapping[str, str] | None, objects: Iterable[Mapping[str, str]]) -> bool:
    """Whether the selectors let a write pass to the webhook.

    `namespace` has the labels of the namespace, `None` for what is in none and is none; `objects` those of the new and
    of the old object, of which one must match.
    """
    if namespace is not None and not hook.namespaces.empty and not hook.namespaces.matches(namespace):
        return False
    return hook.objects.empty or any(hook.objects.matches(labels) for labels in objects)
