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
    _CORE + "GRPCAction": ("service",),
    _CORE + "GlusterfsPersistentVolumeSource": ("endpointsNamespace",),
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

# Optional fields that upstream prints although they are empty: structs held by value, and tags without omitempty.
ALWAYS_PRINTED: Final[dict[str, tuple[str, ...]]] = {}

# Patch strategies of fields that refer to a struct, which the published schema leaves out beside `$ref`.
SELF_MERGED: Final[dict[str, dict[str, str]]] = {}
