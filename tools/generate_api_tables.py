"""What the published schema does not say of Kubernetes's Go types, as literal tables for `generate_api.py`.

Invariant: a name in a table exists in the schema; the generator's tests hold them to it.
"""

from __future__ import annotations

from typing import Final

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DISCOVERY = "io.k8s.api.discovery.v1."
_NETWORKING = "io.k8s.api.networking.v1."
_BATCH = "io.k8s.api.batch.v1."
_STORAGE = "io.k8s.api.storage.v1."
_APPS = "io.k8s.api.apps.v1."
_ADMISSION = "io.k8s.api.admissionregistration.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

# Wire names whose words cannot be told apart by their capitals.
NAME_EXCEPTIONS: Final[dict[str, str]] = {
    "openAPIV3Schema": "open_api_v3_schema",
    "$ref": "ref",
    "$schema": "schema",
}

# Fields that the typed view asks for although the schema does not: a Pod without a spec does not exist.
REQUIRED_FIELDS: Final[dict[str, frozenset[str]]] = {_CORE + "Pod": frozenset({"spec"})}

# Strings that are pointers in Go, where absent and empty differ.
POINTER_STRINGS: Final[dict[str, tuple[str, ...]]] = {
    _META + "DeleteOptions": ("propagationPolicy",),
    _META + "Preconditions": ("uid", "resourceVersion"),
    _CORE + "AppArmorProfile": ("localhostProfile",),
    _CORE + "AzureDiskVolumeSource": ("cachingMode", "fsType", "kind"),
    _CORE + "AzureFilePersistentVolumeSource": ("secretNamespace",),
    _CORE + "CSIVolumeSource": ("fsType",),
    _CORE + "ClusterTrustBundleProjection": ("name", "signerName"),
    _CORE + "Container": ("restartPolicy",),
    _CORE + "ContainerStatus": ("stopSignal",),
    _CORE + "EndpointAddress": ("nodeName",),
    _CORE + "EndpointPort": ("appProtocol",),
    _CORE + "EphemeralContainer": ("restartPolicy",),
    _CORE + "GRPCAction": ("service", "mode"),
    _CORE + "GlusterfsPersistentVolumeSource": ("endpointsNamespace",),
    _CORE + "HTTPGetAction": ("protocol",),
    _CORE + "HostPathVolumeSource": ("type",),
    _CORE + "ISCSIPersistentVolumeSource": ("initiatorName",),
    _CORE + "ISCSIVolumeSource": ("initiatorName",),
    _CORE + "Lifecycle": ("stopSignal",),
    _CORE + "LoadBalancerIngress": ("ipMode",),
    _CORE + "LocalVolumeSource": ("fsType",),
    _CORE + "PersistentVolumeClaimSpec": ("storageClassName", "volumeMode", "volumeAttributesClassName"),
    _CORE + "PersistentVolumeClaimStatus": ("currentVolumeAttributesClassName",),
    _CORE + "PersistentVolumeSpec": ("volumeMode", "volumeAttributesClassName"),
    _CORE + "PodDNSConfigOption": ("value",),
    _CORE + "PodResourceClaim": ("resourceClaimName", "resourceClaimTemplateName"),
    _CORE + "PodResourceClaimStatus": ("resourceClaimName",),
    _CORE + "PodSchedulingGroup": ("podGroupName",),
    _CORE + "PodSecurityContext": ("fsGroupChangePolicy", "supplementalGroupsPolicy", "seLinuxChangePolicy"),
    _CORE + "PodSpec": ("runtimeClassName", "preemptionPolicy", "hostnameOverride"),
    _CORE + "PortStatus": ("error",),
    _CORE + "SeccompProfile": ("localhostProfile",),
    _CORE + "SecurityContext": ("procMount",),
    _CORE + "ServicePort": ("appProtocol",),
    _CORE + "ServiceSpec": ("loadBalancerClass", "internalTrafficPolicy", "ipFamilyPolicy", "trafficDistribution"),
    _CORE + "TopologySpreadConstraint": ("nodeAffinityPolicy", "nodeTaintsPolicy"),
    _CORE + "TypedLocalObjectReference": ("apiGroup",),
    _CORE + "TypedObjectReference": ("apiGroup", "namespace"),
    _CORE + "VolumeMount": ("mountPropagation", "recursiveReadOnly"),
    _CORE + "VolumeMountStatus": ("recursiveReadOnly",),
    _CORE + "WindowsSecurityContextOptions": ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"),
    _DISCOVERY + "Endpoint": ("hostname", "nodeName", "zone"),
    _DISCOVERY + "EndpointPort": ("name", "protocol", "appProtocol"),
    "io.k8s.api.coordination.v1.LeaseSpec": ("holderIdentity", "strategy", "preferredHolder"),
    "io.k8s.api.scheduling.v1.PriorityClass": ("preemptionPolicy",),
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": ("unhealthyPodEvictionPolicy",),
    _STORAGE + "StorageClass": ("reclaimPolicy", "volumeBindingMode"),
    _STORAGE + "CSIDriverSpec": ("fsGroupPolicy",),
    _STORAGE + "VolumeAttachmentSource": ("persistentVolumeName",),
    _NETWORKING + "IngressSpec": ("ingressClassName",),
    _NETWORKING + "IngressClassParametersReference": ("apiGroup", "scope", "namespace"),
    _NETWORKING + "IngressPortStatus": ("error",),
    _NETWORKING + "NetworkPolicyPort": ("protocol",),
    _BATCH + "CronJobSpec": ("timeZone",),
    _BATCH + "JobSpec": ("completionMode", "podReplacementPolicy", "managedBy"),
    _BATCH + "JobStatus": ("failedIndexes",),
    _BATCH + "PodFailurePolicyOnExitCodesRequirement": ("containerName",),
    _BATCH + "SuccessPolicyRule": ("succeededIndexes",),
    _ADMISSION + "MatchResources": ("matchPolicy",),
    _ADMISSION + "MutatingWebhook": ("failurePolicy", "matchPolicy", "reinvocationPolicy"),
    _ADMISSION + "NamedRuleWithOperations": ("scope",),
    _ADMISSION + "ParamRef": ("parameterNotFoundAction",),
    _ADMISSION + "RuleWithOperations": ("scope",),
    _ADMISSION + "ServiceReference": ("path",),
    _ADMISSION + "ValidatingAdmissionPolicySpec": ("failurePolicy",),
    _ADMISSION + "ValidatingWebhook": ("failurePolicy", "matchPolicy"),
    _ADMISSION + "Validation": ("reason",),
    _ADMISSION + "WebhookClientConfig": ("url",),
    _EXTENSIONS + "CustomResourceDefinitionVersion": ("deprecationWarning",),
    _EXTENSIONS + "CustomResourceSubresourceScale": ("labelSelectorPath",),
    _EXTENSIONS + "JSONSchemaProps": ("$ref", "x-kubernetes-list-type", "x-kubernetes-map-type"),
    _EXTENSIONS + "ServiceReference": ("path",),
    _EXTENSIONS + "ValidationRule": ("reason",),
    _EXTENSIONS + "WebhookClientConfig": ("url",),
}

# Required fields that are pointers in Go: upstream prints null for them, and the typed view lets them be absent.
REQUIRED_POINTERS: Final[dict[str, tuple[str, ...]]] = {
    _APPS + "ControllerRevision": ("data",),
    _APPS + "DaemonSetSpec": ("selector",),
    _APPS + "DeploymentSpec": ("selector",),
    _APPS + "ReplicaSetSpec": ("selector",),
    _APPS + "StatefulSetSpec": ("selector",),
    _NETWORKING + "HTTPIngressPath": ("pathType",),
}

# Optional fields that upstream prints although they are empty: structs held by value, and tags without omitempty.
# (`spec` and `status` of whole objects are among them without being named here.)
ALWAYS_PRINTED: Final[dict[str, tuple[str, ...]]] = {
    _CORE + "Container": ("resources",),
    _CORE + "ContainerStatus": ("state", "lastState"),
    _CORE + "EphemeralContainer": ("resources",),
    _CORE + "Event": ("source", "reportingComponent", "reportingInstance"),
    _CORE + "NodeDaemonEndpoints": ("kubeletEndpoint",),
    _CORE + "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    _CORE + "PersistentVolumeClaimSpec": ("resources",),
    _CORE + "PodTemplate": ("template",),
    _CORE + "PodTemplateSpec": ("metadata", "spec"),
    _CORE + "ResourceFieldSelector": ("divisor",),
    _CORE + "ServiceStatus": ("loadBalancer",),
    _DISCOVERY + "Endpoint": ("conditions",),
    _DISCOVERY + "EndpointSlice": ("endpoints", "ports"),
    "io.k8s.api.events.v1.Event": ("regarding", "deprecatedSource"),
    "io.k8s.api.rbac.v1.ClusterRole": ("rules",),
    "io.k8s.api.rbac.v1.Role": ("rules",),
    _APPS + "DaemonSetSpec": ("updateStrategy",),
    _APPS + "DeploymentSpec": ("strategy",),
    _APPS + "ReplicaSetSpec": ("template",),
    _APPS + "StatefulSetSpec": ("updateStrategy",),
    _BATCH + "JobTemplateSpec": ("metadata", "spec"),
    _NETWORKING + "IngressStatus": ("loadBalancer",),
    _NETWORKING + "NetworkPolicySpec": ("podSelector",),
}

# Go's names of string types, which its decoder's refusals name; all others are `string`.
GO_STRINGS: Final[dict[str, dict[str, str]]] = {
    _CORE + "Container": {
        "imagePullPolicy": "v1.PullPolicy",
        "terminationMessagePolicy": "v1.TerminationMessagePolicy",
        "restartPolicy": "v1.ContainerRestartPolicy",
    },
    _CORE + "ContainerPort": {"protocol": "v1.Protocol"},
    _CORE + "EmptyDirVolumeSource": {"medium": "v1.StorageMedium"},
    _CORE + "HTTPGetAction": {"scheme": "v1.URIScheme"},
    _CORE + "HostPathVolumeSource": {"type": "v1.HostPathType"},
    _CORE + "NamespaceStatus": {"phase": "v1.NamespacePhase"},
    _CORE + "NodeCondition": {"type": "v1.NodeConditionType", "status": "v1.ConditionStatus"},
    _CORE + "ObjectReference": {"uid": "types.UID"},
    _CORE + "PodCondition": {"type": "v1.PodConditionType", "status": "v1.ConditionStatus"},
    _CORE + "PodSecurityContext": {
        "fsGroupChangePolicy": "v1.PodFSGroupChangePolicy",
        "supplementalGroupsPolicy": "v1.SupplementalGroupsPolicy",
        "seLinuxChangePolicy": "v1.PodSELinuxChangePolicy",
    },
    _CORE + "PodSpec": {
        "dnsPolicy": "v1.DNSPolicy",
        "preemptionPolicy": "v1.PreemptionPolicy",
        "restartPolicy": "v1.RestartPolicy",
    },
    _CORE + "PodStatus": {"phase": "v1.PodPhase", "qosClass": "v1.PodQOSClass"},
    _CORE + "Secret": {"type": "v1.SecretType"},
    _CORE + "SecurityContext": {"procMount": "v1.ProcMountType"},
    _CORE + "ServicePort": {"protocol": "v1.Protocol"},
    _CORE + "ServiceSpec": {
        "externalTrafficPolicy": "v1.ServiceExternalTrafficPolicy",
        "internalTrafficPolicy": "v1.ServiceInternalTrafficPolicy",
        "ipFamilyPolicy": "v1.IPFamilyPolicy",
        "sessionAffinity": "v1.ServiceAffinity",
        "type": "v1.ServiceType",
    },
    _CORE + "Taint": {"effect": "v1.TaintEffect"},
    _CORE + "Toleration": {"effect": "v1.TaintEffect", "operator": "v1.TolerationOperator"},
    _DISCOVERY + "EndpointSlice": {"addressType": "v1.AddressType"},
    _META + "ObjectMeta": {"uid": "types.UID"},
    _META + "OwnerReference": {"uid": "types.UID"},
}
