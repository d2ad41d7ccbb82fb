"""Owns the field numbers of what bounds, vouches and leads in: quotas, budgets, requests, flows, Ingresses, webhooks.

Notation as in `protobuf_fields`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE: Final = {1: ("metadata", "ObjectMeta")}
_WEBHOOK: Final = {
    1: ("name", "text"),
    2: ("clientConfig", "WebhookClientConfig"),
    3: ("rules", "[RuleWithOperations]"),
    4: ("failurePolicy", "text?"),
    5: ("namespaceSelector", "LabelSelector"),
    6: ("sideEffects", "text?"),
    7: ("timeoutSeconds", "number?"),
    8: ("admissionReviewVersions", "[text]"),
    9: ("matchPolicy", "text?"),
}

POLICIES: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    "Condition": {
        1: ("type", "text"),
        2: ("status", "text"),
        3: ("observedGeneration", "number"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    # core/v1
    "ResourceQuota": {**_WHOLE, 2: ("spec", "ResourceQuotaSpec"), 3: ("status", "ResourceQuotaStatus")},
    "ResourceQuotaSpec": {1: ("hard", "{quantity}"), 2: ("scopes", "[text]"), 3: ("scopeSelector", "ScopeSelector")},
    "ResourceQuotaStatus": {1: ("hard", "{quantity}"), 2: ("used", "{quantity}")},
    "ScopeSelector": {1: ("matchExpressions", "[ScopedResourceSelectorRequirement]")},
    "ScopedResourceSelectorRequirement": {1: ("scopeName", "text"), 2: ("operator", "text"), 3: ("values", "[text]")},
    # policy/v1
    "PodDisruptionBudget": {**_WHOLE, 2: ("spec", "BudgetSpec"), 3: ("status", "BudgetStatus")},
    "BudgetSpec": {
        1: ("minAvailable", "int-or-string?"),
        2: ("selector", "LabelSelector"),
        3: ("maxUnavailable", "int-or-string?"),
        4: ("unhealthyPodEvictionPolicy", "text?"),
    },
    "BudgetStatus": {
        1: ("observedGeneration", "number"),
        2: ("disruptedPods", "{time}"),
        3: ("disruptionsAllowed", "number?"),
        4: ("currentHealthy", "number?"),
        5: ("desiredHealthy", "number?"),
        6: ("expectedPods", "number?"),
        7: ("conditions", "[Condition]"),
    },
    # certificates.k8s.io/v1
    "CertificateSigningRequest": {**_WHOLE, 2: ("spec", "RequestSpec"), 3: ("status", "RequestStatus")},
    "RequestSpec": {
        1: ("request", "bytes"),
        2: ("username", "text"),
        3: ("uid", "text"),
        4: ("groups", "[text]"),
        5: ("usages", "[text]"),
        6: ("extra", "{ExtraValue}"),
        7: ("signerName", "text"),
        8: ("expirationSeconds", "number?"),
    },
    "RequestStatus": {1: ("conditions", "[RequestCondition]"), 2: ("certificate", "bytes")},
    "RequestCondition": {
        1: ("type", "text"),
        2: ("reason", "text"),
        3: ("message", "text"),
        4: ("lastUpdateTime", "time"),
        5: ("lastTransitionTime", "time"),
        6: ("status", "text"),
    },
    # flowcontrol.apiserver.k8s.io/v1
    "FlowSchema": {**_WHOLE, 2: ("spec", "FlowSchemaSpec"), 3: ("status", "FlowStatus")},
    "FlowSchemaSpec": {
        1: ("priorityLevelConfiguration", "LevelReference"),
        2: ("matchingPrecedence", "number"),
        3: ("distinguisherMethod", "FlowMethod"),
        4: ("rules", "[FlowRules]"),
    },
    "LevelReference": {1: ("name", "text")},
    "FlowMethod": {1: ("type", "text")},
    "FlowRules": {
        1: ("subjects", "[FlowSubject]"),
        2: ("resourceRules", "[FlowResources]"),
        3: ("nonResourceRules", "[FlowUrls]"),
    },
    "FlowSubject": {
        1: ("kind", "text"),
        2: ("user", "FlowName"),
        3: ("group", "FlowName"),
        4: ("serviceAccount", "FlowAccount"),
    },
    "FlowName": {1: ("name", "text")},
    "FlowAccount": {1: ("namespace", "text"), 2: ("name", "text")},
    "FlowResources": {
        1: ("verbs", "[text]"),
        2: ("apiGroups", "[text]"),
        3: ("resources", "[text]"),
        4: ("clusterScope", "flag"),
        5: ("namespaces", "[text]"),
    },
    "FlowUrls": {1: ("verbs", "[text]"), 6: ("nonResourceURLs", "[text]")},
    "FlowStatus": {1: ("conditions", "[FlowCondition]")},
    "FlowCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        3: ("lastTransitionTime", "time"),
        4: ("reason", "text"),
        5: ("message", "text"),
    },
    "PriorityLevelConfiguration": {**_WHOLE, 2: ("spec", "LevelSpec"), 3: ("status", "FlowStatus")},
    "LevelSpec": {1: ("type", "text"), 2: ("limited", "LimitedLevel"), 3: ("exempt", "ExemptLevel")},
    "LimitedLevel": {
        1: ("nominalConcurrencyShares", "number?"),
        2: ("limitResponse", "LimitResponse"),
        3: ("lendablePercent", "number?"),
        4: ("borrowingLimitPercent", "number?"),
    },
    "ExemptLevel": {1: ("nominalConcurrencyShares", "number?"), 2: ("lendablePercent", "number?")},
    "LimitResponse": {1: ("type", "text"), 2: ("queuing", "LevelQueuing")},
    "LevelQueuing": {1: ("queues", "number"), 2: ("handSize", "number"), 3: ("queueLengthLimit", "number")},
    # networking.k8s.io/v1
    "IngressClass": {**_WHOLE, 2: ("spec", "IngressClassSpec")},
    "IngressClassSpec": {1: ("controller", "text"), 2: ("parameters", "IngressClassParameters")},
    "IngressClassParameters": {
        1: ("apiGroup", "text?"),
        2: ("kind", "text"),
        3: ("name", "text"),
        4: ("scope", "text?"),
        5: ("namespace", "text?"),
    },
    "Ingress": {**_WHOLE, 2: ("spec", "IngressSpec"), 3: ("status", "IngressStatus")},
    "IngressSpec": {
        1: ("defaultBackend", "IngressBackend"),
        2: ("tls", "[IngressTLS]"),
        3: ("rules", "[IngressRule]"),
        4: ("ingressClassName", "text?"),
    },
    "IngressTLS": {1: ("hosts", "[text]"), 2: ("secretName", "text")},
    "IngressRule": {1: ("host", "text"), 2: ("", "IngressRuleValue")},
    "IngressRuleValue": {1: ("http", "IngressPaths")},
    "IngressPaths": {1: ("paths", "[IngressPath]")},
    "IngressPath": {1: ("path", "text"), 2: ("backend", "IngressBackend"), 3: ("pathType", "text?")},
    "IngressBackend": {3: ("resource", "TypedLocalObjectReference"), 4: ("service", "IngressService")},
    "IngressService": {1: ("name", "text"), 2: ("port", "IngressServicePort")},
    "IngressServicePort": {1: ("name", "text"), 2: ("number", "number")},
    "IngressStatus": {1: ("loadBalancer", "IngressBalancer")},
    "IngressBalancer": {1: ("ingress", "[IngressPoint]")},
    "IngressPoint": {1: ("ip", "text"), 2: ("hostname", "text"), 4: ("ports", "[IngressPort]")},
    "IngressPort": {1: ("port", "number"), 2: ("protocol", "text"), 3: ("error", "text?")},
    # admissionregistration.k8s.io/v1
    "MutatingWebhookConfiguration": {**_WHOLE, 2: ("webhooks", "[MutatingWebhook]")},
    "ValidatingWebhookConfiguration": {**_WHOLE, 2: ("webhooks", "[ValidatingWebhook]")},
    "MutatingWebhook": {
        **_WEBHOOK,
        10: ("reinvocationPolicy", "text?"),
        11: ("objectSelector", "LabelSelector"),
        12: ("matchConditions", "[MatchCondition]"),
    },
    "ValidatingWebhook": {
        **_WEBHOOK,
        10: ("objectSelector", "LabelSelector"),
        11: ("matchConditions", "[MatchCondition]"),
    },
    "WebhookClientConfig": {1: ("service", "WebhookService"), 2: ("caBundle", "bytes"), 3: ("url", "text?")},
    "WebhookService": {1: ("namespace", "text"), 2: ("name", "text"), 3: ("path", "text?"), 4: ("port", "number?")},
    "RuleWithOperations": {1: ("operations", "[text]"), 2: ("", "WebhookRule")},
    "WebhookRule": {
        1: ("apiGroups", "[text]"),
        2: ("apiVersions", "[text]"),
        3: ("resources", "[text]"),
        4: ("scope", "text?"),
    },
    "MatchCondition": {1: ("name", "text"), 2: ("expression", "text")},
}
