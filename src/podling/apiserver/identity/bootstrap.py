"""Owns the RBAC objects that every cluster begins with, as upstream's API server makes them at its start.

Literal data in a short notation: a role is a name and rules, a rule is `(verbs, groups, resources[, names])` in words
parted by blanks (`core` stands for the core group), or `(verbs, paths)` for what is no resource. `objects()` spells
them out. Whoever calls it creates what is missing and leaves alone what carries the annotation
`rbac.authorization.kubernetes.io/autoupdate: "false"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from podling.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

if TYPE_CHECKING:
    from podling.api.resources import Resource

_Rule: TypeAlias = tuple[str, ...]

GROUP: Final = "rbac.authorization.k8s.io"
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"

_READ: Final = "get list watch"
_WRITE: Final = "create delete deletecollection patch update"
_ALL: Final = f"{_READ} {_WRITE}"
_EVENTS: Final[_Rule] = ("create patch update", "core events.k8s.io", "events")
_TOKEN_REVIEWS: Final[_Rule] = ("create", "authentication.k8s.io", "tokenreviews")
_ACCESS_REVIEWS: Final[_Rule] = ("create", "authorization.k8s.io", "subjectaccessreviews")

_WORKLOADS: Final = (
    "statefulsets statefulsets/scale daemonsets deployments deployments/scale replicasets replicasets/scale"
)

NODE_RULES: Final[tuple[_Rule, ...]] = (
    _TOKEN_REVIEWS,
    ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    (_READ, "core", "services"),
    ("create get list watch", "core", "nodes"),
    ("patch update", "core", "nodes/status"),
    ("patch update", "core", "nodes"),
    ("create patch update", "core", "events"),
    (_READ, "core", "pods"),
    ("create delete", "core", "pods"),
    ("patch update", "core", "pods/status"),
    ("create", "core", "pods/eviction"),
    (_READ, "core", "configmaps secrets"),
    ("get", "core", "persistentvolumeclaims persistentvolumes"),
    ("get", "core", "endpoints"),
    ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ("create delete get patch update", "coordination.k8s.io", "leases"),
    ("get", "storage.k8s.io", "volumeattachments"),
    ("create", "core", "serviceaccounts/token"),
    ("get", "core", "serviceaccounts"),
    ("get patch update", "core", "persistentvolumeclaims/status"),
    (_READ, "storage.k8s.io", "csidrivers"),
    ("create delete get patch update", "storage.k8s.io", "csinodes"),
    (_READ, "node.k8s.io", "runtimeclasses"),
    (_READ, "resource.k8s.io", "resourceclaims"),
    ("deletecollection", "resource.k8s.io", "resourceslices"),
    ("create get list watch patch update delete", "resource.k8s.io", "resourceslices"),
)
"""What a node may at most; the Node authorizer narrows it to the node's own."""

_CLUSTER_ROLES: Final[dict[str, tuple[_Rule, ...]]] = {
    "cluster-admin": (("*", "*", "*"), ("*", "*")),
    "system:discovery": (
        ("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
    ),
    "system:monitoring": (("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),),
    "system:basic-user": (
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:public-info-viewer": (("get", "/healthz /livez /readyz /version /version/"),),
    "system:aggregate-to-admin": (
        ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        (_ALL, GROUP, "rolebindings roles"),
    ),
    "system:aggregate-to-edit": (
        (_READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        ("impersonate", "core", "serviceaccounts"),
        (_WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
        ("create", "core", "pods/eviction"),
        (
            _WRITE,
            "core",
            (
                "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
                "serviceaccounts services services/proxy"
            ),
        ),
        ("create", "core", "serviceaccounts/token"),
        (_WRITE, "apps", f"{_WORKLOADS} deployments/rollback"),
        (_WRITE, "autoscaling", "horizontalpodautoscalers"),
        (_WRITE, "batch", "cronjobs jobs"),
        (
            _WRITE,
            "extensions",
            (
                "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
                "replicasets/scale replicationcontrollers/scale"
            ),
        ),
        (_WRITE, "policy", "poddisruptionbudgets"),
        (_WRITE, "networking.k8s.io", "ingresses networkpolicies"),
        (_ALL, "coordination.k8s.io", "leases"),
        (_WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
    ),
    "system:aggregate-to-view": (
        (
            _READ,
            "core",
            (
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
                "replicationcontrollers/scale serviceaccounts services services/status"
            ),
        ),
        (
            _READ,
            "core",
            (
                "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
                "resourcequotas resourcequotas/status"
            ),
        ),
        (_READ, "core", "namespaces"),
        (_READ, "discovery.k8s.io", "endpointslices"),
        (
            _READ,
            "apps",
            (
                f"controllerrevisions {_WORKLOADS} daemonsets/status deployments/status replicasets/status "
                "statefulsets/status"
            ),
        ),
        (_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        (_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        (
            _READ,
            "extensions",
            (
                "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
                "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
                "replicationcontrollers/scale"
            ),
        ),
        (_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        (_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        (_READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
    ),
    "system:heapster": (
        (_READ, "core", "events namespaces nodes pods"),
        (_READ, "extensions", "deployments"),
    ),
    "system:node": NODE_RULES,
    "system:node-problem-detector": (("get", "core", "nodes"), ("patch", "core", "nodes/status"), _EVENTS),
    "system:kubelet-api-admin": (
        (_READ, "core", "nodes"),
        ("proxy", "core", "nodes"),
        (
            "*",
            "core",
            (
                "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy "
                "nodes/spec nodes/stats"
            ),
        ),
    ),
    "system:node-bootstrapper": (("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),),
    "system:auth-delegator": (_TOKEN_REVIEWS, _ACCESS_REVIEWS),
    "system:kube-aggregator": ((_READ, "core", "endpoints services"),),
    "system:kube-controller-manager": (
        _EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        ("create", "core", "secrets serviceaccounts"),
        ("delete", "core", "secrets"),
        ("get", "core", "configmaps namespaces secrets serviceaccounts"),
        ("update", "core", "secrets serviceaccounts"),
        _TOKEN_REVIEWS,
        _ACCESS_REVIEWS,
        ("list watch", "*", "*"),
        ("create", "core", "serviceaccounts/token"),
    ),
    "system:kube-dns": (("list watch", "core", "endpoints services"),),
    "system:coredns": (
        ("list watch", "core", "endpoints namespaces pods services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:persistent-volume-provisioner": (
        ("create delete get list watch", "core", "persistentvolumes"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("watch", "core", "events"),
        _EVENTS,
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    "system:volume-scheduler": (
        ("get list patch update watch", "core", "persistentvolumes"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("get list patch update watch", "core", "persistentvolumeclaims"),
    ),
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            ("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}"),
        )
        for signer in ("legacy-unknown", "kubelet-serving", "kube-apiserver-client", "kube-apiserver-client-kubelet")
    },
    "system:service-account-issuer-discovery": (("get", "/.well-known/openid-configuration /openid/v1/jwks"),),
    "podling:aggregate-to-view": ((_READ, "insight.podling.dev", "calls"),),
    "system:node-proxier": (
        ("list watch", "core", "services"),
        (_READ, "core", "nodes"),
        _EVENTS,
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "servicecidrs"),
    ),
    "podling:network-policy": (
        ("list watch", "core", "namespaces"),
        (_READ, "core", "pods"),
        ("list watch", "networking.k8s.io", "networkpolicies"),
    ),
    "system:kube-scheduler": (
        _EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
        ("create", "coordination.k8s.io", "leasecandidates"),
        ("delete deletecollection get list patch update watch", "coordination.k8s.io", "leasecandidates"),
        (_READ, "core", "nodes"),
        ("delete get list watch", "core", "pods"),
        ("create", "core", "bindings pods/binding"),
        ("patch update", "core", "pods/status"),
        (_READ, "core", "replicationcontrollers services"),
        (_READ, "apps extensions", "replicasets"),
        (_READ, "apps", "statefulsets"),
        (_READ, "policy", "poddisruptionbudgets"),
        (_READ, "core", "persistentvolumeclaims persistentvolumes"),
        (_READ, "core", "namespaces"),
        _TOKEN_REVIEWS,
        _ACCESS_REVIEWS,
        (_READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities volumeattachments"),
        (_READ, "scheduling.k8s.io", "priorityclasses"),
        (_READ, "resource.k8s.io", "deviceclasses resourceclaims resourceslices"),
        ("patch update", "resource.k8s.io", "resourceclaims/status"),
    ),
}

_CONTROLLERS: Final[dict[str, tuple[_Rule, ...]]] = {
    "attachdetach-controller": (
        ("list watch", "core", "persistentvolumeclaims persistentvolumes"),
        (_READ, "core", "nodes"),
        ("patch update", "core", "nodes/status"),
        ("list watch", "core", "pods"),
        _EVENTS,
        ("create delete get list watch", "storage.k8s.io", "volumeattachments"),
        (_READ, "storage.k8s.io", "csidrivers csinodes"),
    ),
    "clusterrole-aggregation-controller": (("escalate get list patch update watch", GROUP, "clusterroles"),),
    "cronjob-controller": (
        ("get list update watch", "batch", "cronjobs"),
        ("create delete get list patch update watch", "batch", "jobs"),
        ("update", "batch", "cronjobs/finalizers cronjobs/status"),
        ("delete list watch", "core", "pods"),
        _EVENTS,
    ),
    "daemon-set-controller": (
        (_READ, "apps extensions", "daemonsets"),
        ("update", "apps extensions", "daemonsets/finalizers daemonsets/status"),
        ("list watch", "core", "nodes"),
        ("create delete list patch watch", "core", "pods"),
        ("create", "core", "pods/binding"),
        ("create delete get list patch update watch", "apps", "controllerrevisions"),
        _EVENTS,
    ),
    "deployment-controller": (
        ("get list update watch", "apps extensions", "deployments"),
        ("update", "apps extensions", "deployments/finalizers deployments/status"),
        ("create delete get list patch update watch", "apps extensions", "replicasets"),
        ("get list update watch", "core", "pods"),
        _EVENTS,
    ),
    "disruption-controller": (
        (_READ, "apps extensions", "deployments replicasets"),
        (_READ, "core", "replicationcontrollers"),
        (_READ, "policy", "poddisruptionbudgets"),
        (_READ, "apps", "statefulsets"),
        ("update", "policy", "poddisruptionbudgets/status"),
        ("patch update", "core", "pods/status"),
        ("get", "*", "*/scale"),
        _EVENTS,
    ),
    "endpoint-controller": (
        (_READ, "core", "pods services"),
        ("create delete get list update watch", "core", "endpoints"),
        ("create", "core", "endpoints/restricted"),
        _EVENTS,
    ),
    "endpointslice-controller": (
        (_READ, "core", "nodes pods services"),
        ("update", "core", "services/finalizers"),
        ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ),
    "endpointslicemirroring-controller": (
        (_READ, "core", "endpoints services"),
        ("update", "core", "endpoints/finalizers services/finalizers"),
        ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ),
    "expand-controller": (
        ("get list patch update watch", "core", "persistentvolumes"),
        ("patch update", "core", "persistentvolumeclaims/status"),
        (_READ, "core", "persistentvolumeclaims"),
        _EVENTS,
    ),
    "ephemeral-volume-controller": (
        (_READ, "core", "pods"),
        ("update", "core", "pods/finalizers"),
        ("create get list watch", "core", "persistentvolumeclaims"),
        _EVENTS,
    ),
    "generic-garbage-collector": (("delete get list patch update watch", "*", "*"), _EVENTS),
    "horizontal-pod-autoscaler": (
        (_READ, "autoscaling", "horizontalpodautoscalers"),
        ("update", "autoscaling", "horizontalpodautoscalers/status"),
        ("get update", "*", "*/scale"),
        ("list watch", "core", "pods"),
        ("list watch", "metrics.k8s.io", "pods"),
        (_READ, "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
        _EVENTS,
    ),
    "job-controller": (
        ("get list patch update watch", "batch", "jobs"),
        ("update", "batch", "jobs/finalizers jobs/status"),
        ("create delete list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "legacy-service-account-token-cleaner": (
        ("get", "core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        ("delete patch", "core", "secrets"),
    ),
    "local-path-provisioner": (
        ("create delete get list update watch", "core", "persistentvolumes"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        ("update", "core", "persistentvolumeclaims/status"),
        (_READ, "storage.k8s.io", "storageclasses"),
        (_READ, "core", "nodes"),
        _EVENTS,
    ),
    "namespace-controller": (
        ("delete get list watch", "core", "namespaces"),
        ("update", "core", "namespaces/finalize namespaces/status"),
        ("delete deletecollection get list watch", "*", "*"),
    ),
    "node-controller": (
        ("delete get list patch update watch", "core", "nodes"),
        ("patch update", "core", "nodes/status"),
        ("patch update", "core", "pods/status"),
        ("delete get list watch", "core", "pods"),
        _EVENTS,
    ),
    "persistent-volume-binder": (
        ("create delete get list update watch", "core", "persistentvolumes"),
        ("update", "core", "persistentvolumes/status"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        ("update", "core", "persistentvolumeclaims/status"),
        ("create delete get list watch", "core", "pods"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("list watch", "core", "nodes"),
        _EVENTS,
        ("watch", "core", "events"),
    ),
    "pod-garbage-collector": (
        ("delete list watch", "core", "pods"),
        (_READ, "core", "nodes"),
        ("patch", "core", "pods/status"),
    ),
    "pv-protection-controller": (("get list update watch", "core", "persistentvolumes"), _EVENTS),
    "pvc-protection-controller": (
        ("get list update watch", "core", "persistentvolumeclaims"),
        (_READ, "core", "pods"),
        _EVENTS,
    ),
    "replicaset-controller": (
        ("get list update watch", "apps extensions", "replicasets"),
        ("update", "apps extensions", "replicasets/finalizers replicasets/status"),
        ("create delete list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "replication-controller": (
        ("get list update watch", "core", "replicationcontrollers"),
        ("update", "core", "replicationcontrollers/finalizers replicationcontrollers/status"),
        ("create delete list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "resource-claim-controller": (
        (_READ, "core", "pods"),
        ("update", "core", "pods/finalizers"),
        ("create delete get list watch", "resource.k8s.io", "resourceclaims"),
        ("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
        ("patch update", "core", "pods/status"),
        _EVENTS,
    ),
    "certificate-controller": (
        ("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        ("update", "certificates.k8s.io", "certificatesigningrequests/approval certificatesigningrequests/status"),
        ("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        (
            "sign",
            "certificates.k8s.io",
            "signers",
            (
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
                "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown"
            ),
        ),
        _ACCESS_REVIEWS,
        _EVENTS,
    ),
    "resourcequota-controller": (("list watch", "*", "*"), ("update", "core", "resourcequotas/status"), _EVENTS),
    "root-ca-cert-publisher": (("create update", "core", "configmaps"), _EVENTS),
    "route-controller": (("list watch", "core", "nodes"), ("patch", "core", "nodes/status"), _EVENTS),
    "service-account-controller": (("create", "core", "serviceaccounts"), _EVENTS),
    "service-controller": (
        (_READ, "core", "services"),
        ("patch update", "core", "services/status"),
        ("list watch", "core", "nodes"),
        _EVENTS,
    ),
    "statefulset-controller": (
        ("list watch", "core", "pods"),
        (_READ, "apps", "statefulsets"),
        ("update", "apps", "statefulsets/finalizers statefulsets/status"),
        ("create delete get patch update", "core", "pods"),
        ("create delete get list patch update watch", "apps", "controllerrevisions"),
        ("create get list watch", "core", "persistentvolumeclaims"),
        ("delete update", "core", "persistentvolumeclaims"),
        ("update", "core", "pods/finalizers"),
        _EVENTS,
    ),
    "podling-insight": (
        ("list watch", "core", "namespaces nodes pods services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "networkpolicies"),
        ("create delete get list patch update watch", "insight.podling.dev", "calls"),
    ),
    "ttl-after-finished-controller": (("delete get list watch", "batch", "jobs"), _EVENTS),
    "ttl-controller": (("list patch update watch", "core", "nodes"), _EVENTS),
    "validatingadmissionpolicy-status-controller": (
        (_READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        _EVENTS,
    ),
}
"""One ClusterRole `system:controller:NAME` each, bound to the ServiceAccount NAME in kube-system.

Upstream's, and Podling's own provisioner.
"""

_AGGREGATED: Final = {"admin": "", "edit": "admin", "view": "edit"}
"""ClusterRoles that gather others by label, and which wider role gathers each in turn."""

_BINDINGS: Final[dict[str, tuple[str, ...]]] = {
    "cluster-admin": ("g:system:masters",),
    "system:monitoring": ("g:system:monitoring",),
    "system:discovery": ("g:system:authenticated",),
    "system:basic-user": ("g:system:authenticated",),
    "system:public-info-viewer": ("g:system:authenticated", "g:system:unauthenticated"),
    "system:node-proxier": ("u:system:kube-proxy",),
    "podling:network-policy": ("u:podling:network-policy",),
    "system:kube-controller-manager": ("u:system:kube-controller-manager",),
    "system:kube-dns": ("s:kube-system/kube-dns",),
    "system:coredns": ("s:kube-system/coredns",),
    "system:kube-scheduler": ("u:system:kube-scheduler",),
    "system:volume-scheduler": ("u:system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("g:system:serviceaccounts",),
}
"""ClusterRole → who has it everywhere; the binding carries the role's name."""

_ROLES: Final[dict[tuple[str, str], tuple[_Rule, ...]]] = {
    ("kube-node-lease", "podling:node-proxier"): (("list watch patch", "coordination.k8s.io", "leases"),),
    ("kube-system", "extension-apiserver-authentication-reader"): (
        (_READ, "core", "configmaps", "extension-apiserver-authentication"),
    ),
    ("kube-system", "system:controller:bootstrap-signer"): ((_READ, "core", "secrets"),),
    ("kube-system", "system:controller:cloud-provider"): (("create get list update watch", "core", "configmaps"),),
    ("kube-system", "system:controller:token-cleaner"): (("delete get list watch", "core", "secrets"), _EVENTS),
    **{
        ("kube-system", f"system::leader-locking-{component}"): (
            ("watch", "core", "configmaps"),
            ("get update", "core", "configmaps", component),
        )
        for component in ("kube-controller-manager", "kube-scheduler")
    },
    ("kube-public", "system:controller:bootstrap-signer"): (
        (_READ, "core", "configmaps"),
        ("update", "core", "configmaps", "cluster-info"),
        _EVENTS,
    ),
}

_ROLE_BINDINGS: Final[dict[tuple[str, str], tuple[str, tuple[str, ...]]]] = {
    ("kube-node-lease", "podling:node-proxier"): ("podling:node-proxier", ("u:system:kube-proxy",)),
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        ("u:system:kube-controller-manager", "u:system:kube-scheduler"),
    ),
    **{
        ("kube-system", f"system::leader-locking-{component}"): (
            f"system::leader-locking-{component}",
            (f"u:system:{component}", f"s:kube-system/{component}"),
        )
        for component in ("kube-controller-manager", "kube-scheduler")
    },
    **{
        ("kube-system", f"system:controller:{name}"): (f"system:controller:{name}", (f"s:kube-system/{name}",))
        for name in ("bootstrap-signer", "cloud-provider", "token-cleaner")
    },
    ("kube-public", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        ("s:kube-system/bootstrap-signer",),
    ),
}


def objects() -> list[tuple[Resource[Any], dict[str, Any]]]:
    """Return every bootstrap object with its resource, roles before bindings; each tree is the caller's own."""
    made: list[tuple[Resource[Any], dict[str, Any]]] = []
    controllers = {f"system:controller:{name}": rules for name, rules in _CONTROLLERS.items()}
    for name, wider in _AGGREGATED.items():
        role = _object(CLUSTER_ROLES, name, labels=_aggregated_to(wider) if wider else {})
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": _aggregated_to(name)}]}
        role["rules"] = [rule_tree(rule) for part in _parts(name) for rule in _CLUSTER_ROLES[part]]
        made.append((CLUSTER_ROLES, role))
    for name, rules in (_CLUSTER_ROLES | controllers).items():
        prefix, _, target = name.rpartition("aggregate-to-")
        role = _object(CLUSTER_ROLES, name, labels=_aggregated_to(target) if prefix else {})
        role["rules"] = [rule_tree(rule) for rule in rules]
        made.append((CLUSTER_ROLES, role))
    for (namespace, name), rules in _ROLES.items():
        role = _object(ROLES, name, namespace=namespace)
        role["rules"] = [rule_tree(rule) for rule in rules]
        made.append((ROLES, role))

    accounts = {f"system:controller:{name}": (f"s:kube-system/{name}",) for name in _CONTROLLERS}
    for name, subjects in (_BINDINGS | accounts).items():
        made.append((CLUSTER_ROLE_BINDINGS, _bind(CLUSTER_ROLE_BINDINGS, name, "ClusterRole", name, subjects)))
    for (namespace, name), (role_name, subjects) in _ROLE_BINDINGS.items():
        made.append((ROLE_BINDINGS, _bind(ROLE_BINDINGS, name, "Role", role_name, subjects, namespace)))
    return made


def rule_tree(rule: _Rule) -> dict[str, Any]:
    """Return a rule of the short notation as a PolicyRule."""
    verbs = sorted(rule[0].split())
    if len(rule) == 2:
        return {"nonResourceURLs": rule[1].split(), "verbs": verbs}
    tree: dict[str, Any] = {
        "apiGroups": ["" if group == "core" else group for group in rule[1].split()],
        "resources": rule[2].split(),
        "verbs": verbs,
    }
    if len(rule) > 3:
        tree["resourceNames"] = rule[3].split()
    return tree


def _parts(name: str) -> tuple[str, ...]:
    order = ("view", "edit", "admin")
    return tuple(f"system:aggregate-to-{part}" for part in reversed(order[: order.index(name) + 1]))


def _aggregated_to(name: str) -> dict[str, str]:
    return {f"rbac.authorization.k8s.io/aggregate-to-{name}": "true"}


def _object(
    resource: Resource[Any], name: str, *, namespace: str = "", labels: dict[str, str] | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "annotations": {AUTOUPDATE: "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults", **(labels or {})},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _bind(
    resource: Resource[Any], name: str, role_kind: str, role: str, subjects: tuple[str, ...], namespace: str = ""
) -> dict[str, Any]:
    tree = _object(resource, name, namespace=namespace)
    tree["roleRef"] = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    if subjects:
        tree["subjects"] = [_subject(text) for text in subjects]
    return tree


def _subject(text: str) -> dict[str, Any]:
    kind, _, name = text.partition(":")
    if kind == "s":
        namespace, _, name = name.partition("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": "Group" if kind == "g" else "User", "name": name}
