"""NodeRestriction: a kubelet changes only its own Node and the Pods that are bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.annotations import MIRROR
from podling.api.errors import StatusError, forbidden, not_found
from podling.api.resources import NODES, PODS
from podling.api.validation.shape import typed
from podling.apiserver.identity.nodes import node_of, references

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/windows-build",
    }
)
_REFERENCES = {
    "serviceaccounts": "a service account",
    "secrets": "secrets",
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
}
_OWN_LABEL_SPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_LEASES = "kube-node-lease"


class NodeRestriction:
    """Upstream's plugin of that name, for the kinds that Podling serves."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        node = node_of(operation.context.user)
        if not node:
            return
        match operation.plural, operation.record.resource.group:
            case "pods", "":
                self._admit_pod(operation, node)
            case "nodes", "":
                self._admit_node(operation, node)
            case "leases", "coordination.k8s.io":
                self._admit_lease(operation, node)
            case "csinodes", "storage.k8s.io":
                if operation.name != node:
                    raise _refuse(operation, "can only access CSINode with the same name as the requesting node")
            case "persistentvolumeclaims", "":
                self._admit_claim(operation, node)

    def _admit_pod(self, operation: Operation, node: str) -> None:
        tree = operation.tree
        match operation.subresource, operation.verb:
            case "", "CREATE":
                self._admit_mirror_pod(operation, node)
            case "", "DELETE":
                if tree.get("spec", {}).get("nodeName", "") != node:
                    raise _refuse(operation, f'node "{node}" can only delete pods with spec.nodeName set to itself')
            case "status", "UPDATE":
                bound = operation.old or {}
                if bound.get("spec", {}).get("nodeName", "") != node:
                    why = "can only update pod status for pods with spec.nodeName set to itself"
                    raise _refuse(operation, f'node "{node}" {why}')
                if _labels(tree) != _labels(bound):
                    raise _refuse(operation, f'node "{node}" cannot update labels through pod status')
            case "eviction", "CREATE":
                found = self._registry.find(PODS, operation.namespace, operation.name)
                if found is not None and found.fields.get("spec.nodeName") != node:
                    raise _refuse(operation, f'node "{node}" can only evict pods with spec.nodeName set to itself')
            case subresource, verb:
                what = f'"{verb}"' + (f' of subresource "{subresource}"' if subresource else "")
                raise _refuse(operation, f"unexpected operation {what}, node can only create, delete and update status")

    def _admit_mirror_pod(self, operation: Operation, node: str) -> None:
        tree = operation.tree
        if MIRROR not in (tree["metadata"].get("annotations") or {}):
            raise _refuse(
                operation, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if tree.get("spec", {}).get("nodeName", "") != node:
            raise _refuse(operation, f'node "{node}" can only create pods with spec.nodeName set to itself')
        self._check_owner(operation, node)
        # What a Pod on a node refers to the node may read: it must not write itself a Pod that refers to everything.
        named = {plural for plural, _ in references(typed(PODS.type, tree))}
        for plural, what in _REFERENCES.items():
            if plural in named:
                raise _refuse(operation, f'node "{node}" can not create pods that reference {what}')

    def _check_owner(self, operation: Operation, node: str) -> None:
        owners = operation.tree["metadata"].get("ownerReferences") or []
        if len(owners) > 1:
            raise _refuse(operation, f'node "{node}" can only create pods with a single owner reference set to itself')
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise _refuse(operation, f'node "{node}" can only create pods with an owner reference set to itself')
        if not owner.get("controller"):
            why = "can only create pods with a controller owner reference set to itself"
            raise _refuse(operation, f'node "{node}" {why}')
        if owner.get("blockOwnerDeletion"):
            raise _refuse(operation, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        found = self._registry.find(NODES, "", node)
        if found is None:
            raise not_found("", "nodes", node)
        if owner.get("uid") != found.uid:
            raise _refuse(operation, f"node {node} UID mismatch: expected {found.uid} got {owner.get('uid', '')}")

    def _admit_node(self, operation: Operation, node: str) -> None:
        if operation.name != node:
            raise _refuse(operation, f'node "{node}" is not allowed to modify node "{operation.name}"')
        if operation.verb == "DELETE":
            return
        old = operation.old or {}
        if operation.verb == "CREATE":
            foreign = [key for key in sorted(_labels(operation.tree)) if not _own(key)]
            if foreign:
                raise _refuse(
                    operation, f'node "{node}" is not allowed to set the following labels: {", ".join(foreign)}'
                )
            return
        # One whose owner is nobody is collected, and made anew without its taints and the labels it may not change.
        if _owners(operation.tree) != _owners(old):
            raise _refuse(operation, f'node "{node}" is not allowed to modify ownerReferences')
        if operation.tree.get("spec", {}).get("taints") != old.get("spec", {}).get("taints"):
            raise _refuse(operation, f'node "{node}" is not allowed to modify taints')
        new_labels, old_labels = _labels(operation.tree), _labels(old)
        changed = [k for k in sorted({**old_labels, **new_labels}) if new_labels.get(k) != old_labels.get(k)]
        foreign = [key for key in changed if not _own(key)]
        if foreign:
            raise _refuse(operation, f"is not allowed to modify labels: {', '.join(foreign)}")

    def _admit_claim(self, operation: Operation, node: str) -> None:
        """Let a kubelet tell how far a claim has grown, and nothing else of it."""
        if (operation.subresource, operation.verb) != ("status", "UPDATE"):
            raise _refuse(operation, f'unexpected operation "{operation.verb}"')
        told = {"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"}
        new, old = (
            {key: value for key, value in ((tree or {}).get("status") or {}).items() if key not in told}
            for tree in (operation.tree, operation.old)
        )
        if new != old or _labels(operation.tree) != _labels(operation.old or {}):
            why = "is not allowed to update fields other than status.capacity and status.conditions"
            raise _refuse(operation, f'node "{node}" {why}')

    def _admit_lease(self, operation: Operation, node: str) -> None:
        if operation.namespace != _LEASES:
            raise _refuse(operation, f'can only access leases in the "{_LEASES}" system namespace')
        if operation.name != node:
            raise _refuse(operation, "can only access node lease with the same name as the requesting node")


def _labels(tree: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = tree.get("metadata", {}).get("labels") or {}
    return labels


def _owners(tree: dict[str, Any]) -> list[Any]:
    owners: list[Any] = tree.get("metadata", {}).get("ownerReferences") or []
    return owners


def _own(key: str) -> bool:
    """Whether a kubelet may set a label: its own ones, and all outside of Kubernetes's name space."""
    space = key.rpartition("/")[0]
    if not (space in {"kubernetes.io", "k8s.io"} or space.endswith((".kubernetes.io", ".k8s.io"))):
        return True
    if key in _OWN_LABELS:
        return True
    return any(space == own or space.endswith(f".{own}") for own in _OWN_LABEL_SPACES)


def _refuse(operation: Operation, why: str) -> StatusError:
    return forbidden(operation.record.resource.group, operation.plural, operation.name, why)
