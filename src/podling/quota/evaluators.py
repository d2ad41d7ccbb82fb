"""Which evaluator counts which resource. Events are not counted, as upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES, STORED, CustomResource
from podling.quota.claims import ClaimEvaluator
from podling.quota.evaluator import Counted, Evaluator
from podling.quota.pods import PodEvaluator
from podling.quota.services import ServiceEvaluator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.resources import Resource

_OWN: Final[Mapping[Resource[Any], Evaluator]] = {
    PODS: PodEvaluator(),
    SERVICES: ServiceEvaluator(),
    PERSISTENT_VOLUME_CLAIMS: ClaimEvaluator(),
}

EVALUATORS: Final[Mapping[Resource[Any], Evaluator]] = {
    resource: _OWN.get(resource) or Counted(resource)
    for resource in STORED
    if resource.namespaced and resource is not EVENTS
}
"""By resource; those that are in no namespace are in no quota."""


def evaluator_of(resource: Resource[Any]) -> Evaluator | None:
    """Return who counts a resource, built in or custom, if anybody does."""
    if isinstance(resource, CustomResource):
        return Counted(resource) if resource.namespaced else None
    return EVALUATORS.get(resource)
