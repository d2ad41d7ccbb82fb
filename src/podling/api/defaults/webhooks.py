"""Webhook configurations: what each webhook leaves unset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
_MUTATING: Final = {**_PLAIN, "reinvocationPolicy": "Never"}
_SELECTORS: Final = ("namespaceSelector", "objectSelector")
_HTTPS: Final = 443


def apply_mutating(tree: dict[str, Any]) -> None:
    _apply(tree, _MUTATING)


def apply_validating(tree: dict[str, Any]) -> None:
    _apply(tree, _PLAIN)


def _apply(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    for webhook in tree.get("webhooks") or ():
        for name, value in values.items():
            if webhook.get(name) is None:
                webhook[name] = value
        for name in _SELECTORS:
            if webhook.get(name) is None:
                webhook[name] = {}
        for rule in webhook.get("rules") or ():
            if rule.get("scope") is None:
                rule["scope"] = "*"
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = _HTTPS
