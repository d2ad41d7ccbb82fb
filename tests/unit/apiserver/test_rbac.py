"""Who may what: RBAC, the Node authorizer, and the roles that a cluster begins with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podling.api import resources
from podling.api.encoded import Encoded
from podling.api.errors import StatusError
from podling.api.resources import Resource
from podling.apiserver.identity import bootstrap, nodes
from podling.apiserver.identity.rbac import Rbac, refusal, refuse_escalation
from podling.apiserver.record import Attributes, User

ALICE = User("alice", ("dev", "system:authenticated"))
ROOT = User("root", ("system:masters",))


def encoded(resource: Resource[Any], tree: dict[str, Any], revision: int = 1) -> Encoded:
    meta = dict(tree["metadata"])
    raw = msgspec.json.encode(
        {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        | {k: v for k, v in tree.items() if k not in ("metadata", "kind", "apiVersion")}
    )
    fields = {"spec.nodeName": tree.get("spec", {}).get("nodeName", "")}
    return Encoded(
        raw, raw.index(b'"metadata":{') + 12, revision, name=meta["name"], namespace=meta.get("namespace", ""), uid=meta.get("uid", ""),
        labels=meta.get("labels", {}), fields=fields,
    )  # fmt: skip


def tell(rbac: Rbac, resource: Resource[Any], tree: dict[str, Any]) -> None:
    found = encoded(resource, tree)
    rbac.observe(resource, found.namespace, found.name, found)


def role(
    name: str, *rules: dict[str, Any], namespace: str = "", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {}),
        "rules": list(rules),
    }


def bind(name: str, kind: str, to: str, *subjects: dict[str, str], namespace: str = "") -> dict[str, Any]:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "metadata": meta,
        "roleRef": {"kind": kind, "name": to, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": list(subjects),
    }


def rule(verbs: str, group: str, names: str, **more: Any) -> dict[str, Any]:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": names.split()} | more


def may(
    rbac: Any,
    user: User,
    verb: str,
    resource: str,
    namespace: str = "",
    name: str = "",
    sub: str = "",
    group: str = "",
    fields: str = "",
) -> bool:
    return bool(
        rbac.authorize(
            Attributes(user, verb, group, "v1", resource, sub, namespace, name, field_selector=fields)
        ).allowed
    )


def seeded() -> Rbac:
    rbac = Rbac()
    for resource, tree in bootstrap.objects():
        tell(rbac, resource, tree)
    return rbac


def test_a_role_counts_in_its_namespace_alone() -> None:
    """A RoleBinding grants in its namespace, subresources apart, and a change is felt at once."""
    rbac = Rbac()
    tell(rbac, resources.ROLES, role("r", rule("get list", "", "pods pods/log"), namespace="a"))
    tell(rbac, resources.ROLE_BINDINGS, bind("b", "Role", "r", {"kind": "Group", "name": "dev"}, namespace="a"))
    assert may(rbac, ALICE, "get", "pods", "a")
    assert may(rbac, ALICE, "get", "pods", "a", sub="log")
    assert not may(rbac, ALICE, "get", "pods", "a", sub="status")
    assert not may(rbac, ALICE, "get", "pods", "b")
    assert not may(rbac, ALICE, "delete", "pods", "a")
    assert not may(rbac, ALICE, "get", "pods", "a", group="apps")
    assert (
        rbac.authorize(Attributes(ALICE, "get", "", "v1", "pods", "", "a")).reason
        == 'RBAC: allowed by RoleBinding "b/a" of Role "r" to Group "dev"'
    )
    rbac.observe(resources.ROLE_BINDINGS, "a", "b", None)
    assert not may(rbac, ALICE, "get", "pods", "a")


def test_names_and_wildcards() -> None:
    """resourceNames narrow a rule to these names; `*/scale` is every resource's scale and nothing else."""
    rbac = Rbac()
    tell(
        rbac,
        resources.CLUSTER_ROLES,
        role("r", rule("get", "", "secrets", resourceNames=["s"]), rule("update", "*", "*/scale")),
    )
    tell(rbac, resources.CLUSTER_ROLE_BINDINGS, bind("b", "ClusterRole", "r", {"kind": "User", "name": "alice"}))
    assert may(rbac, ALICE, "get", "secrets", "x", "s")
    assert not may(rbac, ALICE, "get", "secrets", "x", "t")
    assert not may(rbac, ALICE, "get", "secrets", "x")
    assert may(rbac, ALICE, "update", "deployments", "x", "d", "scale", "apps")
    assert not may(rbac, ALICE, "update", "deployments", "x", "d", "", "apps")


def test_refusals_speak_upstreams_words() -> None:
    """The 403 says who, what and where, and names a role that a binding misses."""
    rbac = Rbac()
    tell(rbac, resources.CLUSTER_ROLE_BINDINGS, bind("b", "ClusterRole", "gone", {"kind": "User", "name": "alice"}))
    asked = Attributes(ALICE, "get", "", "v1", "pods", "log", "default", "web")
    error = refusal(asked, rbac.authorize(asked).reason)
    assert error.message == (
        'pods "web" is forbidden: User "alice" cannot get resource "pods/log" in API group "" in the namespace "default": '
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )
    assert error.details == {"name": "web", "kind": "pods"}
    assert refusal(Attributes(ALICE, "list", "apps", "v1", "deployments")).message == (
        'deployments.apps is forbidden: User "alice" cannot list resource "deployments" in API group "apps" at the cluster scope'
    )
    assert (
        refusal(Attributes(ALICE, "get", path="/metrics")).message
        == 'forbidden: User "alice" cannot get path "/metrics"'
    )


def test_bootstrap_roles() -> None:
    """The roles that a cluster begins with let each of upstream's identities do its work, and not more."""
    rbac = seeded()
    anonymous = User("system:anonymous", ("system:unauthenticated",))
    scheduler = User("system:kube-scheduler", ("system:authenticated",))
    slices = User(
        "system:serviceaccount:kube-system:endpointslice-controller", ("system:serviceaccounts", "system:authenticated")
    )
    assert rbac.authorize(Attributes(anonymous, "get", path="/livez")).allowed
    assert not rbac.authorize(Attributes(anonymous, "get", path="/api")).allowed
    assert not may(rbac, anonymous, "get", "pods", "default", "p")
    assert rbac.authorize(Attributes(ALICE, "get", path="/openapi/v2")).allowed
    assert may(rbac, ALICE, "create", "selfsubjectaccessreviews", group="authorization.k8s.io")
    assert may(rbac, scheduler, "create", "pods", "a", "p", "binding")
    assert not may(rbac, scheduler, "create", "pods", "a")
    assert may(rbac, slices, "create", "endpointslices", "a", group="discovery.k8s.io")
    assert may(rbac, ROOT, "anything", "secrets", "kube-system")


def test_aggregation() -> None:
    """`view` gathers what is labelled for it, at once; `admin` contains `edit` contains `view`."""
    rbac = seeded()
    tell(
        rbac,
        resources.ROLE_BINDINGS,
        bind("b", "ClusterRole", "admin", {"kind": "User", "name": "alice"}, namespace="a"),
    )
    assert may(rbac, ALICE, "list", "pods", "a")
    assert may(rbac, ALICE, "create", "pods", "a")
    assert may(rbac, ALICE, "create", "roles", "a", group="rbac.authorization.k8s.io")
    assert not may(rbac, ALICE, "get", "widgets", "a", group="example.com")
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    tell(rbac, resources.CLUSTER_ROLES, role("widgets", rule("get", "example.com", "widgets"), labels=labels))
    assert may(rbac, ALICE, "get", "widgets", "a", group="example.com")
    gathered = rbac.aggregated("view")
    assert gathered is not None and gathered[-1].resources == ("widgets",)


def test_nobody_hands_out_what_she_lacks() -> None:
    """Writing a role or binding with foreign rights is refused in upstream's words, unless `escalate` or `bind` is held."""
    rbac = Rbac()
    tell(
        rbac,
        resources.CLUSTER_ROLES,
        role(
            "r",
            rule("get create", "", "pods"),
            rule("create update", "rbac.authorization.k8s.io", "roles rolebindings"),
        ),
    )
    tell(rbac, resources.CLUSTER_ROLES, role("strong", rule("delete", "", "nodes")))
    tell(rbac, resources.ROLE_BINDINGS, bind("b", "ClusterRole", "r", {"kind": "User", "name": "alice"}, namespace="a"))
    refuse_escalation(rbac, rbac, ALICE, resources.ROLES, role("mine", rule("get", "", "pods"), namespace="a"))
    wider = role("mine", rule("get list delete", "", "pods"), namespace="a")
    with pytest.raises(StatusError) as refused:
        refuse_escalation(rbac, rbac, ALICE, resources.ROLES, wider)
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "mine" is forbidden: user "alice" (groups=["dev" "system:authenticated"]) is attempting to grant '
        'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["list" "delete"]}'
    )
    refuse_escalation(rbac, rbac, ALICE, resources.ROLES, wider, old=wider)
    refuse_escalation(rbac, rbac, ROOT, resources.ROLES, wider)
    binding = bind("x", "ClusterRole", "strong", namespace="a")
    with pytest.raises(StatusError, match="not currently held"):
        refuse_escalation(rbac, rbac, ALICE, resources.ROLE_BINDINGS, binding)
    with pytest.raises(StatusError, match='clusterroles.rbac.authorization.k8s.io "none" not found'):
        refuse_escalation(rbac, rbac, ALICE, resources.ROLE_BINDINGS, bind("x", "ClusterRole", "none", namespace="a"))
    tell(
        rbac,
        resources.ROLES,
        role(
            "p",
            rule("bind", "rbac.authorization.k8s.io", "clusterroles"),
            rule("escalate", "rbac.authorization.k8s.io", "roles"),
            namespace="a",
        ),
    )
    tell(rbac, resources.ROLE_BINDINGS, bind("p", "Role", "p", {"kind": "User", "name": "alice"}, namespace="a"))
    refuse_escalation(rbac, rbac, ALICE, resources.ROLE_BINDINGS, binding)
    refuse_escalation(rbac, rbac, ALICE, resources.ROLES, wider)


class Pods:
    def __init__(self, *pods: Encoded) -> None:
        self.pods = pods

    def pods_on(self, node: str) -> list[Encoded]:
        return [p for p in self.pods if p.fields["spec.nodeName"] == node]

    def pod(self, namespace: str, name: str) -> Encoded | None:
        return next((p for p in self.pods if (p.namespace, p.name) == (namespace, name)), None)

    def volume_of(self, namespace: str, claim: str) -> str:
        return f"pv-of-{namespace}-{claim}"


def pod(name: str, node: str, **spec: Any) -> Encoded:
    return encoded(
        resources.PODS,
        {"metadata": {"name": name, "namespace": "a"}, "spec": {"nodeName": node, "containers": [], **spec}},
    )


def test_a_node_sees_its_own() -> None:
    """A node reads its Node, its Pods, and the Secrets and accounts that they name; nothing of its neighbour's."""
    mine = pod(
        "p",
        "n1",
        volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}}],
        serviceAccountName="sa",
    )
    judge = nodes.NodeAuthorizer(Pods(mine, pod("q", "n2", imagePullSecrets=[{"name": "t"}])))
    n1 = User("system:node:n1", ("system:nodes", "system:authenticated"))
    assert may(judge, n1, "get", "nodes", name="n1") and not may(judge, n1, "get", "nodes", name="n2")
    assert may(judge, n1, "patch", "nodes", name="n1", sub="status") and not may(
        judge, n1, "patch", "nodes", name="n2", sub="status"
    )
    assert may(judge, n1, "watch", "pods", fields="spec.nodeName=n1")
    assert not may(judge, n1, "watch", "pods") and not may(judge, n1, "watch", "pods", fields="spec.nodeName=n2")
    assert may(judge, n1, "get", "pods", "a", "p") and not may(judge, n1, "get", "pods", "a", "q")
    assert may(judge, n1, "get", "secrets", "a", "s") and not may(judge, n1, "get", "secrets", "a", "t")
    assert not may(judge, n1, "get", "secrets", "b", "s") and not may(judge, n1, "list", "secrets", "a")
    assert may(judge, n1, "get", "configmaps", "a", "c") and not may(judge, n1, "update", "configmaps", "a", "c")
    assert may(judge, n1, "create", "serviceaccounts", "a", "sa", "token") and not may(
        judge, n1, "create", "serviceaccounts", "a", "x", "token"
    )
    assert may(judge, n1, "update", "leases", "kube-node-lease", "n1", group="coordination.k8s.io")
    assert not may(judge, n1, "update", "leases", "kube-node-lease", "n2", group="coordination.k8s.io")
    assert may(judge, n1, "create", "events", "a") and may(judge, n1, "list", "services")
    assert not may(judge, User("system:node:n1"), "get", "nodes", name="n1")
    assert not may(judge, n1, "delete", "nodes", name="n1")


def test_a_node_reads_the_claims_of_its_pods_and_their_volumes() -> None:
    """Claims are found by what Pods name, those of generic ephemeral volumes by their made-up name; volumes by claims."""
    claims = [
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]
    theirs = [{"name": "d", "persistentVolumeClaim": {"claimName": "other"}}]
    judge = nodes.NodeAuthorizer(Pods(pod("p", "n1", volumes=claims), pod("q", "n2", volumes=theirs)))
    n1 = User("system:node:n1", ("system:nodes", "system:authenticated"))
    for claim in ("data", "p-e"):
        assert may(judge, n1, "get", "persistentvolumeclaims", "a", claim)
        assert may(judge, n1, "get", "persistentvolumes", name=f"pv-of-a-{claim}")
    assert not may(judge, n1, "get", "persistentvolumeclaims", "a", "other")
    assert not may(judge, n1, "get", "persistentvolumeclaims", "b", "data")
    assert not may(judge, n1, "get", "persistentvolumes", name="pv-of-a-other")
    assert not may(judge, n1, "list", "persistentvolumes") and not may(judge, n1, "list", "persistentvolumeclaims", "a")
    assert not may(judge, n1, "update", "persistentvolumes", name="pv-of-a-data")
    assert not may(judge, n1, "delete", "persistentvolumeclaims", "a", "data")
    assert may(judge, n1, "update", "csinodes", name="n1", group="storage.k8s.io")
    assert not may(judge, n1, "update", "csinodes", name="n2", group="storage.k8s.io")
    assert not may(judge, n1, "get", "volumeattachments", name="x", group="storage.k8s.io")
