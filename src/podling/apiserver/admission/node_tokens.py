"""NodeRestriction, for tokens: a kubelet asks for tokens of the Pods that are bound to its Node, and for no others.

A TokenRequest is answered and never stored, so that it does not pass the rules that stored objects pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.errors import StatusError, forbidden, not_found
from podling.api.resources import PODS
from podling.apiserver.identity.nodes import node_of

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod
    from podling.apiserver.identity.tokens import Lookup
    from podling.apiserver.record import User


def check_token_request(find: Lookup, user: User, namespace: str, account: str, tree: dict[str, Any]) -> None:
    """Refuse what a kubelet may not ask for, in upstream's words; others may ask for what their roles say."""
    node = node_of(user)
    if not node:
        return
    spec = tree.get("spec") or {}
    bound = spec.get("boundObjectRef") or {}
    if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
        raise _refuse(account, "node requested token not bound to a pod")
    uid = bound.get("uid") or ""
    if not uid:
        raise _refuse(account, "node requested token with a pod binding without a uid")
    found = find(PODS, namespace, bound["name"])
    if found is None:
        raise not_found("", "pods", bound["name"])
    if found.uid != uid:
        why = "does not match the UID in record. The object might have been deleted and then recreated"
        raise _refuse(account, f"the UID in the bound object reference ({uid}) {why}")
    pod = found.view(PODS.type)
    if pod.spec.node_name != node:
        raise _refuse(account, "node requested token bound to a pod scheduled on a different node")
    audiences = spec.get("audiences") or [""]
    if len(audiences) > 1:
        raise _refuse(account, "node may only request 0 or 1 audiences")
    if audiences[0] not in _audiences(pod):
        raise _refuse(account, f'audience "{audiences[0]}" not found in pod spec volume')


def _audiences(pod: Pod) -> set[str]:
    """Return those for whom the Pod's volumes hold tokens; empty is the API server itself."""
    sources = [
        source for volume in pod.spec.volumes if volume.projected is not None for source in volume.projected.sources
    ]
    return {each.service_account_token.audience for each in sources if each.service_account_token is not None}


def _refuse(account: str, why: str) -> StatusError:
    return forbidden("", "serviceaccounts", account, why)
