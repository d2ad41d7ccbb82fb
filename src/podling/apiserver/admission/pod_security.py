"""PodSecurity: what a namespace's labels allow its Pods, by the Pod Security Standards.

Owns when a Pod is judged (when it is made, and when something of it changes that a standard is about), and what
existing Pods a namespace is told of that becomes stricter. What is forbidden is `api.pod_security`'s. Nobody is exempt,
and no default is set. `audit` is read and checked; there is no audit log that it could be written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.errors import forbidden, invalid
from podling.api.pod_security import Level, LevelVersion, Policy, Violations, evaluate, policy_of
from podling.api.resources import NAMESPACES, PODS
from podling.api.types.core_v1 import PodSpec
from podling.api.validation.security import SECCOMP_CONTAINER, SECCOMP_POD
from podling.api.validation.shape import typed
from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_JUDGED: Final = frozenset(("", "ephemeralcontainers", "resize"))
"""The ways in which a Pod's specification may change."""
_TEMPLATES: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where the kinds that make Pods say what kind of Pod: their writers are warned, and their Pods refused."""
_MOST_PODS: Final = 1000
"""How many Pods are looked at while a writer of a namespace waits, and everybody else too."""


class PodSecurity:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def judge(self, operation: Operation) -> None:
        if operation.verb == "DELETE":
            return
        resource = operation.record.resource
        kind = (resource.group, resource.plural)
        if kind == ("", "pods") and operation.subresource in _JUDGED:
            self._judge_pod(operation)
        elif kind in _TEMPLATES and not operation.subresource:
            self._judge_template(operation, _TEMPLATES[kind])
        elif kind == ("", "namespaces") and not operation.subresource:
            self._judge_namespace(operation)

    def _policy(self, namespace: str) -> Policy | None:
        """Return what a namespace asks for, or nothing where it asks for nothing."""
        found = self._registry.find(NAMESPACES, "", namespace)
        policy, _ = policy_of(found.labels if found is not None else {})
        return None if policy.is_open else policy

    def _judge_pod(self, operation: Operation) -> None:
        policy = self._policy(operation.namespace)
        if policy is None or (operation.old is not None and not _matters(operation.tree, operation.old)):
            return
        spec, annotations = _of(operation.tree)
        violations = evaluate(policy.enforce, spec, annotations)
        if violations:
            why = f'violates PodSecurity "{policy.enforce}": {violations.detail}'
            raise forbidden("", "pods", operation.name, why)
        _warn(operation, policy.warn, spec, annotations)

    def _judge_template(self, operation: Operation, path: Sequence[str]) -> None:
        policy = self._policy(operation.namespace)
        template: Any = operation.tree
        for step in path:
            template = template.get(step) if isinstance(template, dict) else None
        if policy is not None and isinstance(template, dict):
            _warn(operation, policy.warn, *_of(template))

    def _judge_namespace(self, operation: Operation) -> None:
        policy, causes = policy_of(_labels(operation.tree))
        before, old_causes = policy_of(_labels(operation.old or {}))
        # Labels that were wrong before anybody looked keep nobody from changing something else.
        if causes and (operation.old is None or causes != old_causes):
            raise invalid("", "Namespace", operation.name, causes)
        relaxed = policy.enforce.minor == before.enforce.minor and policy.enforce.level <= before.enforce.level
        if operation.old is None or policy.enforce.level == Level.PRIVILEGED or relaxed:
            return
        operation.context.warnings.extend(self._violators(operation.name, policy.enforce))

    def _violators(self, namespace: str, enforce: LevelVersion) -> list[str]:
        """Say which Pods of a namespace would be refused, gathered by what is wrong with them."""
        pods = list(self._registry.shelf(self._registry.record(PODS)).select(Scope(namespace=namespace)))
        names: dict[str, list[str]] = {}
        for encoded in pods[:_MOST_PODS]:
            violations: Violations = evaluate(enforce, *_of(msgspec.json.decode(encoded.raw)))
            if violations:
                names.setdefault(violations.reason, []).append(encoded.name)
        told = []
        if len(pods) > _MOST_PODS:
            some = f"the first {_MOST_PODS} of {len(pods)} existing pods"
            told.append(f"new PodSecurity enforce level only checked against {some}")
        if names:
            told.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{enforce}"'
            )
        return told + sorted(f"{_first(who)}: {reason}" for reason, who in names.items())


def _warn(operation: Operation, asked: LevelVersion, spec: PodSpec, annotations: Mapping[str, str]) -> None:
    violations = evaluate(asked, spec, annotations)
    if violations:
        operation.context.warnings.append(f'would violate PodSecurity "{asked}": {violations.detail}')


def _first(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return first + (f" (and {len(rest)} other pod{'s' if len(rest) > 1 else ''})" if rest else "")


def _of(tree: Mapping[str, Any]) -> tuple[PodSpec, Mapping[str, str]]:
    return typed(PodSpec, tree.get("spec") or {"containers": []}), _annotations(tree)


def _annotations(tree: Mapping[str, Any]) -> Mapping[str, str]:
    return (tree.get("metadata") or {}).get("annotations") or {}


def _labels(tree: Mapping[str, Any]) -> Mapping[str, str]:
    return (tree.get("metadata") or {}).get("labels") or {}


def _matters(tree: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a change of a Pod is one that a standard may be about: images, containers, seccomp annotations."""
    return _concerned(tree) != _concerned(old)


def _concerned(tree: dict[str, Any]) -> object:
    annotations = _annotations(tree)
    lists = ("initContainers", "containers", "ephemeralContainers")
    containers = [[(each["name"], each.get("image")) for each in tree["spec"].get(kind) or ()] for kind in lists]
    notes = {key: annotations[key] for key in annotations if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER)}
    return containers, notes
