"""Webhook configurations: what is sent where, and how its answer counts.

An update is judged more kindly where the stored object has the fault already, as upstream does for configurations from
before a rule. What match conditions say is not looked into: nothing here evaluates them (`apiserver/gaps.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from podling.api.validation import formats, meta
from podling.api.validation.field import ROOT, duplicate, invalid, invalid_each, not_supported, required, too_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.errors import Cause
    from podling.api.types.admissionregistration_v1 import (
        MatchCondition,
        MutatingWebhook,
        MutatingWebhookConfiguration,
        RuleWithOperations,
        ServiceReference,
        ValidatingWebhook,
        ValidatingWebhookConfiguration,
    )
    from podling.api.validation.field import Path

_FAILURE_POLICIES: Final = ("Fail", "Ignore")
_MATCH_POLICIES: Final = ("Equivalent", "Exact")
_REINVOCATION_POLICIES: Final = ("IfNeeded", "Never")
_WITHOUT_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun", "Some", "Unknown")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_REVIEWS: Final = ("v1", "v1beta1")
_LONGEST_TIMEOUT: Final = 30
_MOST_CONDITIONS: Final = 64
_FORM: Final = "; desired format: https://host[/path]"


class _Strictness(NamedTuple):
    """What the stored object has not broken yet, and must not begin to break."""

    side_effects: bool = True
    reviews: bool = True
    names: bool = True
    conditions: bool = True


def check_mutating_create(new: MutatingWebhookConfiguration, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=False)
    _check_all(new.webhooks, _Strictness(), causes)


def check_mutating_update(
    new: MutatingWebhookConfiguration, old: MutatingWebhookConfiguration, causes: list[Cause]
) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_all(new.webhooks, _strictness(new.webhooks, old.webhooks), causes)


def check_validating_create(new: ValidatingWebhookConfiguration, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=False)
    _check_all(new.webhooks, _Strictness(), causes)


def check_validating_update(
    new: ValidatingWebhookConfiguration, old: ValidatingWebhookConfiguration, causes: list[Cause]
) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_all(new.webhooks, _strictness(new.webhooks, old.webhooks), causes)


def _strictness(
    new: Sequence[MutatingWebhook | ValidatingWebhook], old: Sequence[MutatingWebhook | ValidatingWebhook]
) -> _Strictness:
    names = [it.name for it in old]
    return _Strictness(
        all(it.side_effects in _WITHOUT_SIDE_EFFECTS for it in old),
        all(not it.admission_review_versions or {*_REVIEWS} & {*it.admission_review_versions} for it in old),
        len(set(names)) == len(names),
        [it.match_conditions for it in new] != [it.match_conditions for it in old],
    )


def _check_all(
    webhooks: Sequence[MutatingWebhook | ValidatingWebhook], strictness: _Strictness, causes: list[Cause]
) -> None:
    seen: set[str] = set()
    for number, webhook in enumerate(webhooks):
        path = (ROOT / "webhooks")[number]
        _check(webhook, path, strictness, causes)
        _check_reviews(webhook.admission_review_versions, path / "admissionReviewVersions", strictness, causes)
        if strictness.names and webhook.name in seen:
            causes.append(duplicate(path / "name", webhook.name))
        if webhook.name:
            seen.add(webhook.name)


def _check(
    webhook: MutatingWebhook | ValidatingWebhook, path: Path, strictness: _Strictness, causes: list[Cause]
) -> None:
    _check_name(webhook.name, path / "name", causes)
    for number, rule in enumerate(webhook.rules):
        _check_rule(rule, (path / "rules")[number], causes)
    _check_choice(webhook.failure_policy, _FAILURE_POLICIES, path / "failurePolicy", causes)
    _check_choice(webhook.match_policy, _MATCH_POLICIES, path / "matchPolicy", causes)
    allowed = _WITHOUT_SIDE_EFFECTS if strictness.side_effects else _SIDE_EFFECTS
    if not webhook.side_effects:
        causes.append(required(path / "sideEffects", f"must specify one of {', '.join(allowed)}"))
    else:
        _check_choice(webhook.side_effects, allowed, path / "sideEffects", causes)
    seconds = webhook.timeout_seconds
    if seconds is not None and not 1 <= seconds <= _LONGEST_TIMEOUT:
        detail = f"the timeout value must be between 1 and {_LONGEST_TIMEOUT} seconds"
        causes.append(invalid(path / "timeoutSeconds", seconds, detail))
    meta.check_selector(webhook.namespace_selector, path / "namespaceSelector", causes)
    meta.check_selector(webhook.object_selector, path / "objectSelector", causes)
    reinvocation: str | None = getattr(webhook, "reinvocation_policy", None)
    _check_choice(reinvocation, _REINVOCATION_POLICIES, path / "reinvocationPolicy", causes)
    client = webhook.client_config
    if (client.url is None) == (client.service is None):
        causes.append(required(path / "clientConfig", "exactly one of url or service is required"))
    elif client.url is not None:
        _check_url(client.url, path / "clientConfig" / "url", causes)
    elif client.service is not None:
        _check_service(client.service, path / "clientConfig" / "service", causes)
    if strictness.conditions:
        _check_conditions(webhook.match_conditions, path / "matchConditions", causes)


def _check_choice(value: str | None, supported: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    if value is not None and value not in supported:
        causes.append(not_supported(path, value, supported))


def _check_name(name: str, path: Path, causes: list[Cause]) -> None:
    if not name:
        causes.append(required(path))
    elif wrong := formats.dns_subdomain(name):
        causes.append(invalid(path, name, ",".join(wrong)))
    elif name.count(".") < 2:
        causes.append(invalid(path, name, "should be a domain with at least three segments separated by dots"))


def _check_rule(rule: RuleWithOperations, path: Path, causes: list[Cause]) -> None:
    _check_wildcard(rule.operations, path / "operations", "operations", causes)
    for number, operation in enumerate(rule.operations):
        if operation not in _OPERATIONS:
            causes.append(not_supported((path / "operations")[number], operation, _OPERATIONS))
    _check_wildcard(rule.api_groups, path / "apiGroups", "API groups", causes)
    _check_wildcard(rule.api_versions, path / "apiVersions", "API versions", causes)
    for number, version in enumerate(rule.api_versions):
        if not version:
            causes.append(required((path / "apiVersions")[number]))
    _check_resources(rule.resources, path / "resources", causes)
    _check_choice(rule.scope, _SCOPES, path / "scope", causes)


def _check_wildcard(values: tuple[str, ...], path: Path, others: str, causes: list[Cause]) -> None:
    if not values:
        causes.append(required(path))
    elif len(values) > 1 and "*" in values:
        causes.append(invalid(path, values, f"if '*' is present, must not specify other {others}"))


def _check_resources(resources: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    if not resources:
        causes.append(required(path))
    whole: set[str] = set()
    everywhere: set[str] = set()
    last_is_plain = False
    for number, text in enumerate(resources):
        place = path[number]
        if not text:
            causes.append(required(place))
            continue
        resource, slash, subresource = text.partition("/")
        if not slash:
            last_is_plain = text != "*"
            continue
        if resource in whole:
            causes.append(invalid(place, text, f"if '{resource}/*' is present, must not specify {text}"))
        if subresource in everywhere:
            causes.append(invalid(place, text, f"if '*/{subresource}' is present, must not specify {text}"))
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        causes.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and last_is_plain:
        detail = "if '*' is present, must not specify other resources without subresources"
        causes.append(invalid(path, resources, detail))


def _check_reviews(versions: tuple[str, ...], path: Path, strictness: _Strictness, causes: list[Cause]) -> None:
    known = ", ".join(_REVIEWS)
    if not versions:
        causes.append(required(path, f"must specify one of {known}"))
        return
    for number, version in enumerate(versions):
        if version in versions[:number]:
            causes.append(invalid(path[number], version, "duplicate version"))
        else:
            invalid_each(path[number], version, formats.dns_1035_label(version), causes)
    if strictness.reviews and not {*_REVIEWS} & {*versions}:
        causes.append(invalid(path, versions, f"must include at least one of {known}"))


def _check_url(text: str, path: Path, causes: list[Cause]) -> None:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # it is read now, and may be no number
    except ValueError as error:
        causes.append(required(path, f"url must be a valid URL: {error}{_FORM}"))
        return
    user, _, host = url.netloc.rpartition("@")
    if url.scheme != "https":
        causes.append(invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not host:
        causes.append(invalid(path, host, f"host must be provided{_FORM}"))
    if user:
        causes.append(invalid(path, user, "user information is not permitted in the URL"))
    if url.fragment:
        causes.append(invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        causes.append(invalid(path, url.query, "query parameters are not permitted in the URL"))


def _check_service(service: ServiceReference, path: Path, causes: list[Cause]) -> None:
    if not service.name:
        causes.append(required(path / "name", "service name is required"))
    if not service.namespace:
        causes.append(required(path / "namespace", "service namespace is required"))
    port = service.port if service.port is not None else 0
    if wrong := formats.port_number(port):
        causes.append(invalid(path / "port", port, f"port is not valid: {', '.join(wrong)}"))
    text = service.path or "/"
    if text == "/":
        return
    place = path / "path"
    if text == "//":
        causes.append(invalid(place, text, "segment[0] may not be empty"))
        return
    if not text.startswith("/"):
        causes.append(invalid(place, text, "must start with a '/'"))
    for number, segment in enumerate(text[1:].removesuffix("/").split("/")):
        if not segment:
            causes.append(invalid(place, text, f"segment[{number}] may not be empty"))
            continue
        invalid_each(place, text, (f"segment[{number}]: {it}" for it in formats.dns_subdomain(segment)), causes)


def _check_conditions(conditions: tuple[MatchCondition, ...], path: Path, causes: list[Cause]) -> None:
    if len(conditions) > _MOST_CONDITIONS:
        causes.append(too_many(path, len(conditions), _MOST_CONDITIONS))
    seen: set[str] = set()
    for number, condition in enumerate(conditions):
        place = path[number]
        if not condition.expression.strip():
            causes.append(required(place / "expression"))
        if not condition.name:
            causes.append(required(place / "name"))
            continue
        invalid_each(place / "name", condition.name, formats.qualified_name(condition.name), causes)
        if condition.name in seen:
            causes.append(duplicate(place / "name", condition.name))
        seen.add(condition.name)
