"""Owns the field numbers of what a cluster is made of, and how it is cut up; notation as in `protobuf_fields`.

Nodes, RuntimeClasses, LimitRanges, NetworkPolicies, the ranges of Services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    # core/v1
    "LimitRange": {1: ("metadata", "ObjectMeta"), 2: ("spec", "LimitRangeSpec")},
    "LimitRangeSpec": {1: ("limits", "[LimitRangeItem]")},
    "LimitRangeItem": {
        1: ("type", "text"),
        2: ("max", "{quantity}"),
        3: ("min", "{quantity}"),
        4: ("default", "{quantity}"),
        5: ("defaultRequest", "{quantity}"),
        6: ("maxLimitRequestRatio", "{quantity}"),
    },
    "Node": {1: ("metadata", "ObjectMeta"), 2: ("spec", "NodeSpec"), 3: ("status", "NodeStatus")},
    "NodeSpec": {
        1: ("podCIDR", "text"),
        2: ("externalID", "text"),
        3: ("providerID", "text"),
        4: ("unschedulable", "flag"),
        5: ("taints", "[Taint]"),
        6: ("configSource", "NodeConfigSource"),
        7: ("podCIDRs", "[text]"),
    },
    "Taint": {1: ("key", "text"), 2: ("value", "text"), 3: ("effect", "text"), 4: ("timeAdded", "time")},
    "NodeConfigSource": {2: ("configMap", "ConfigMapNodeConfigSource")},
    "ConfigMapNodeConfigSource": {
        1: ("namespace", "text"),
        2: ("name", "text"),
        3: ("uid", "text"),
        4: ("resourceVersion", "text"),
        5: ("kubeletConfigKey", "text"),
    },
    "NodeStatus": {
        1: ("capacity", "{quantity}"),
        2: ("allocatable", "{quantity}"),
        3: ("phase", "text"),
        4: ("conditions", "[NodeCondition]"),
        5: ("addresses", "[NodeAddress]"),
        6: ("daemonEndpoints", "NodeDaemonEndpoints"),
        7: ("nodeInfo", "NodeSystemInfo"),
        8: ("images", "[ContainerImage]"),
        9: ("volumesInUse", "[text]"),
        10: ("volumesAttached", "[AttachedVolume]"),
        11: ("config", "NodeConfigStatus"),
        12: ("runtimeHandlers", "[NodeRuntimeHandler]"),
        13: ("features", "NodeFeatures"),
    },
    "NodeCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        3: ("lastHeartbeatTime", "time"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    "NodeAddress": {1: ("type", "text"), 2: ("address", "text")},
    "NodeDaemonEndpoints": {1: ("kubeletEndpoint", "DaemonEndpoint")},
    "DaemonEndpoint": {1: ("Port", "number?")},
    "NodeSystemInfo": {
        1: ("machineID", "text?"),
        2: ("systemUUID", "text?"),
        3: ("bootID", "text?"),
        4: ("kernelVersion", "text?"),
        5: ("osImage", "text?"),
        6: ("containerRuntimeVersion", "text?"),
        7: ("kubeletVersion", "text?"),
        8: ("kubeProxyVersion", "text?"),
        9: ("operatingSystem", "text?"),
        10: ("architecture", "text?"),
        11: ("swap", "NodeSwapStatus"),
    },
    "NodeSwapStatus": {1: ("capacity", "number?")},
    "ContainerImage": {1: ("names", "[text]"), 2: ("sizeBytes", "number")},
    "AttachedVolume": {1: ("name", "text?"), 2: ("devicePath", "text?")},
    "NodeConfigStatus": {
        1: ("assigned", "NodeConfigSource"),
        2: ("active", "NodeConfigSource"),
        3: ("lastKnownGood", "NodeConfigSource"),
        4: ("error", "text"),
    },
    "NodeRuntimeHandler": {1: ("name", "text?"), 2: ("features", "NodeRuntimeHandlerFeatures")},
    "NodeRuntimeHandlerFeatures": {1: ("recursiveReadOnlyMounts", "flag?"), 2: ("userNamespaces", "flag?")},
    "NodeFeatures": {1: ("supplementalGroupsPolicy", "flag?")},
    # node/v1
    "RuntimeClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("handler", "text"),
        3: ("overhead", "Overhead"),
        4: ("scheduling", "Scheduling"),
    },
    "Overhead": {1: ("podFixed", "{quantity}")},
    "Scheduling": {1: ("nodeSelector", "{text}"), 2: ("tolerations", "[Toleration]")},
    # networking/v1
    "NetworkPolicy": {1: ("metadata", "ObjectMeta"), 2: ("spec", "NetworkPolicySpec")},
    "NetworkPolicySpec": {
        1: ("podSelector", "LabelSelector"),
        2: ("ingress", "[NetworkPolicyIngressRule]"),
        3: ("egress", "[NetworkPolicyEgressRule]"),
        4: ("policyTypes", "[text]"),
    },
    "NetworkPolicyIngressRule": {1: ("ports", "[NetworkPolicyPort]"), 2: ("from", "[NetworkPolicyPeer]")},
    "NetworkPolicyEgressRule": {1: ("ports", "[NetworkPolicyPort]"), 2: ("to", "[NetworkPolicyPeer]")},
    "NetworkPolicyPort": {1: ("protocol", "text?"), 2: ("port", "int-or-string?"), 3: ("endPort", "number?")},
    "NetworkPolicyPeer": {
        1: ("podSelector", "LabelSelector"),
        2: ("namespaceSelector", "LabelSelector"),
        3: ("ipBlock", "IPBlock"),
    },
    "IPBlock": {1: ("cidr", "text?"), 2: ("except", "[text]")},
    "PortStatus": {1: ("port", "number?"), 2: ("protocol", "text?"), 3: ("error", "text?")},
    "IPAddress": {1: ("metadata", "ObjectMeta"), 2: ("spec", "IPAddressSpec")},
    "IPAddressSpec": {1: ("parentRef", "ParentReference")},
    "ParentReference": {1: ("group", "text"), 2: ("resource", "text"), 3: ("namespace", "text"), 4: ("name", "text")},
    "ServiceCIDR": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ServiceCIDRSpec"), 3: ("status", "ServiceCIDRStatus")},
    "ServiceCIDRSpec": {1: ("cidrs", "[text]")},
    "ServiceCIDRStatus": {1: ("conditions", "[Condition]")},
}
"""Message → its fields."""
