"""Owns what a node may: the Node authorizer. What it may change in it, admission judges (NodeRestriction).

A node, user `system:node:NAME` of group `system:nodes`, sees its own Node, Lease and Pods, and the Secrets, ConfigMaps,
ServiceAccounts and claims that its Pods name, with the volumes of the claims; of all else as much as
`bootstrap.NODE_RULES` grant. Pure over `Bound`, the reading that the API server's cache gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from podling.api import resources
from podling.apiserver.identity.bootstrap import NODE_RULES, rule_tree
from podling.apiserver.identity.rules import Rule
from podling.apiserver.record import Attributes, Decision, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Container, EphemeralContainer, Pod, Volume

GROUP: Final = "system:nodes"
_PREFIX: Final = "system:node:"
_LEASES: Final = "kube-node-lease"

_ALLOWED: Final = Decision(True)
_NO_OPINION: Final = Decision(False)
_RULES: Final = tuple(Rule.of_tree(rule_tree(rule)) for rule in NODE_RULES)


class Bound(Protocol):
    """What the authorizer must be able to look up."""

    def pods_on(self, node: str) -> Iterable[Encoded]:
        """Yield the Pods whose spec.nodeName is `node`."""
        ...

    def pod(self, namespace: str, name: str) -> Encoded | None: ...

    def volume_of(self, namespace: str, claim: str) -> str:
        """Return the name of the PersistentVolume that a claim is bound to; empty where there is none."""
        ...


def node_of(user: User) -> str:
    """Return the name of the node that calls, "" where it is none."""
    return user.name.removeprefix(_PREFIX) if user.name.startswith(_PREFIX) and GROUP in user.groups else ""


class NodeAuthorizer:
    """Allows nodes what is theirs; has no opinion on anybody else."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def authorize(self, attributes: Attributes) -> Decision:
        node = node_of(attributes.user)
        if not node or not attributes.is_resource:
            return _NO_OPINION
        if attributes.group == "":
            match attributes.resource:
                case "nodes":
                    return self._own_node(node, attributes)
                case "pods":
                    return self._own_pods(node, attributes)
                case "secrets" | "configmaps" | "persistentvolumeclaims":
                    return self._referenced(node, attributes)
                case "persistentvolumes":
                    return self._volume(node, attributes)
                case "serviceaccounts":
                    return self._account(node, attributes)
        if attributes.group == "storage.k8s.io":
            match attributes.resource:
                case "csinodes":
                    return _own_csi_node(node, attributes)
                case "volumeattachments":
                    return _unrelated(node)  # no kubelet of this project attaches anything
        if attributes.group == "coordination.k8s.io" and attributes.resource == "leases":
            return _own_lease(node, attributes)
        return _by_rules(attributes)

    def _own_node(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource not in ("", "status") or asked.verb not in (
            ("get", "list", "watch", "create", "update", "patch") if not asked.subresource else ("update", "patch")
        ):
            return _by_rules(asked)
        if asked.verb == "create" or asked.name == node or _selects(asked, "metadata.name", node):
            return _ALLOWED
        what = "read" if asked.verb in ("get", "list", "watch") else "modify"
        return Decision(False, f'node "{node}" cannot {what} "{asked.name or "*"}", only its own Node object')

    def _own_pods(self, node: str, asked: Attributes) -> Decision:
        if asked.verb in ("list", "watch") and not asked.subresource:
            if _selects(asked, "spec.nodeName", node):
                return _ALLOWED
            return Decision(
                False,
                f"can only {asked.verb} pods with spec.nodeName field selector matching {node!r}".replace("'", '"'),
            )
        if asked.verb == "get" and asked.subresource in ("", "status"):
            pod = self._bound.pod(asked.namespace, asked.name)
            # A Pod that is gone is to be found gone: a kubelet tells 404 from 403, and nothing is given away.
            if pod is None or pod.fields.get("spec.nodeName") == node:
                return _ALLOWED
            return _unrelated(node)
        return _by_rules(asked)

    def _referenced(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource and asked.resource != "persistentvolumeclaims":
            return _NO_OPINION
        if not _by_rules(asked).allowed:
            return _NO_OPINION
        if not asked.name:
            return Decision(False, f"No Object name found, can only {asked.verb} one object at a time")
        wanted = (asked.resource, asked.name)
        return _ALLOWED if self._any_pod(node, asked.namespace, wanted) else _unrelated(node)

    def _volume(self, node: str, asked: Attributes) -> Decision:
        """Let a node read the volumes that are bound to claims which its Pods name."""
        if asked.subresource or not _by_rules(asked).allowed:
            return _NO_OPINION
        if not asked.name:
            return Decision(False, f"No Object name found, can only {asked.verb} one object at a time")
        for pod in self._bound.pods_on(node):
            for resource, name in references(pod.view(resources.PODS.type)):
                if resource == "persistentvolumeclaims" and self._bound.volume_of(pod.namespace, name) == asked.name:
                    return _ALLOWED
        return _unrelated(node)

    def _account(self, node: str, asked: Attributes) -> Decision:
        if (asked.verb, asked.subresource) not in (("create", "token"), ("get", "")):
            return _NO_OPINION
        return _ALLOWED if self._any_pod(node, asked.namespace, ("serviceaccounts", asked.name)) else _unrelated(node)

    def _any_pod(self, node: str, namespace: str, wanted: tuple[str, str]) -> bool:
        return any(
            wanted in references(pod.view(resources.PODS.type))
            for pod in self._bound.pods_on(node)
            if pod.namespace == namespace
        )


class Union:
    """Asks authorizers in turn: one that allows is enough, the reasons of the others are gathered."""

    def __init__(self, *authorizers: Any) -> None:
        self._authorizers = authorizers

    def authorize(self, attributes: Attributes) -> Decision:
        reasons: list[str] = []
        for authorizer in self._authorizers:
            decision: Decision = authorizer.authorize(attributes)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))


def references(pod: Pod) -> set[tuple[str, str]]:
    """Return what a Pod names in its namespace: pairs of resource and name."""
    spec = pod.spec
    found = {("serviceaccounts", spec.service_account_name)} if spec.service_account_name else set()
    found.update(("secrets", secret.name) for secret in spec.image_pull_secrets)
    containers: tuple[Container | EphemeralContainer, ...] = (
        *spec.init_containers,
        *spec.containers,
        *spec.ephemeral_containers,
    )
    for container in containers:
        for source in container.env_from:
            if source.secret_ref is not None:
                found.add(("secrets", source.secret_ref.name))
            if source.config_map_ref is not None:
                found.add(("configmaps", source.config_map_ref.name))
        for variable in container.env:
            value = variable.value_from
            if value is not None and value.secret_key_ref is not None:
                found.add(("secrets", value.secret_key_ref.name))
            if value is not None and value.config_map_key_ref is not None:
                found.add(("configmaps", value.config_map_key_ref.name))
    for volume in spec.volumes:
        found.update(_of_volume(pod, volume))
    return found


def _of_volume(pod: Pod, volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.secret is not None:
        yield "secrets", volume.secret.secret_name
    if volume.config_map is not None:
        yield "configmaps", volume.config_map.name
    if volume.csi is not None and volume.csi.node_publish_secret_ref is not None:
        yield "secrets", volume.csi.node_publish_secret_ref.name
    if volume.persistent_volume_claim is not None:
        yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
    if volume.ephemeral is not None:
        yield "persistentvolumeclaims", f"{pod.metadata.name}-{volume.name}"
    for source in volume.projected.sources if volume.projected is not None else ():
        if source.secret is not None:
            yield "secrets", source.secret.name
        if source.config_map is not None:
            yield "configmaps", source.config_map.name


def _own_lease(node: str, asked: Attributes) -> Decision:
    if asked.subresource or asked.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if asked.namespace != _LEASES:
        return Decision(False, f'can only access leases in the "{_LEASES}" system namespace')
    if asked.verb != "create" and asked.name != node:
        return Decision(False, "can only access node lease with the same name as the requesting node")
    return _ALLOWED


def _own_csi_node(node: str, asked: Attributes) -> Decision:
    if asked.subresource or asked.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a CSINode")
    if asked.verb != "create" and asked.name != node:
        return Decision(False, "can only access CSINode with the same name as the requesting node")
    return _ALLOWED


def _by_rules(asked: Attributes) -> Decision:
    fits = any(r.matches_resource(asked.verb, asked.group, asked.resource, asked.subresource) for r in _RULES)
    return _ALLOWED if fits else _NO_OPINION


def _selects(asked: Attributes, path: str, value: str) -> bool:
    return any(term.replace("==", "=") == f"{path}={value}" for term in asked.field_selector.split(","))


def _unrelated(node: str) -> Decision:
    return Decision(False, f'no relationship found between node "{node}" and this object')
