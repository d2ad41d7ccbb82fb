"""Owns the field numbers of volumes, claims and storage classes; notation as in `protobuf_fields`.

Of the sources of PersistentVolumes only those are here that nodes can mount, NFS and CSI; a volume of a vendor's is
refused as protobuf and taken as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    "PersistentVolume": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "PersistentVolumeSpec"),
        3: ("status", "PersistentVolumeStatus"),
    },
    "PersistentVolumeSpec": {
        1: ("capacity", "{quantity}"),
        2: ("", "PersistentVolumeSource"),
        3: ("accessModes", "[text]"),
        4: ("claimRef", "ObjectReference"),
        5: ("persistentVolumeReclaimPolicy", "text"),
        6: ("storageClassName", "text"),
        7: ("mountOptions", "[text]"),
        8: ("volumeMode", "text?"),
        9: ("nodeAffinity", "VolumeNodeAffinity"),
        10: ("volumeAttributesClassName", "text?"),
    },
    "PersistentVolumeSource": {
        3: ("hostPath", "HostPathVolumeSource"),
        5: ("nfs", "NFSVolumeSource"),
        20: ("local", "LocalVolumeSource"),
        22: ("csi", "CSIPersistentVolumeSource"),
    },
    "CSIPersistentVolumeSource": {
        1: ("driver", "text"),
        2: ("volumeHandle", "text"),
        3: ("readOnly", "flag"),
        4: ("fsType", "text"),
        5: ("volumeAttributes", "{text}"),
        6: ("controllerPublishSecretRef", "SecretReference"),
        7: ("nodeStageSecretRef", "SecretReference"),
        8: ("nodePublishSecretRef", "SecretReference"),
        9: ("controllerExpandSecretRef", "SecretReference"),
        10: ("nodeExpandSecretRef", "SecretReference"),
    },
    "SecretReference": {1: ("name", "text"), 2: ("namespace", "text")},
    "LocalVolumeSource": {1: ("path", "text"), 2: ("fsType", "text?")},
    "VolumeNodeAffinity": {1: ("required", "NodeSelector")},
    "PersistentVolumeStatus": {
        1: ("phase", "text"),
        2: ("message", "text"),
        3: ("reason", "text"),
        4: ("lastPhaseTransitionTime", "time"),
    },
    "PersistentVolumeClaim": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "PersistentVolumeClaimSpec"),
        3: ("status", "PersistentVolumeClaimStatus"),
    },
    "PersistentVolumeClaimSpec": {
        1: ("accessModes", "[text]"),
        2: ("resources", "VolumeResourceRequirements"),
        3: ("volumeName", "text"),
        4: ("selector", "LabelSelector"),
        5: ("storageClassName", "text?"),
        6: ("volumeMode", "text?"),
        7: ("dataSource", "TypedLocalObjectReference"),
        8: ("dataSourceRef", "TypedObjectReference"),
        9: ("volumeAttributesClassName", "text?"),
    },
    "VolumeResourceRequirements": {1: ("limits", "{quantity}"), 2: ("requests", "{quantity}")},
    "TypedLocalObjectReference": {1: ("apiGroup", "text?"), 2: ("kind", "text"), 3: ("name", "text")},
    "TypedObjectReference": {
        1: ("apiGroup", "text?"),
        2: ("kind", "text"),
        3: ("name", "text"),
        4: ("namespace", "text?"),
    },
    "PersistentVolumeClaimStatus": {
        1: ("phase", "text"),
        2: ("accessModes", "[text]"),
        3: ("capacity", "{quantity}"),
        4: ("conditions", "[PersistentVolumeClaimCondition]"),
        5: ("allocatedResources", "{quantity}"),
        7: ("allocatedResourceStatuses", "{text}"),
        8: ("currentVolumeAttributesClassName", "text?"),
        9: ("modifyVolumeStatus", "ModifyVolumeStatus"),
    },
    "ModifyVolumeStatus": {1: ("targetVolumeAttributesClassName", "text"), 2: ("status", "text?")},
    "PersistentVolumeClaimCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        3: ("lastProbeTime", "time"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    "EphemeralVolumeSource": {1: ("volumeClaimTemplate", "PersistentVolumeClaimTemplate")},
    "PersistentVolumeClaimTemplate": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PersistentVolumeClaimSpec")},
    "StorageClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("provisioner", "text"),
        3: ("parameters", "{text}"),
        4: ("reclaimPolicy", "text?"),
        5: ("mountOptions", "[text]"),
        6: ("allowVolumeExpansion", "flag?"),
        7: ("volumeBindingMode", "text?"),
        8: ("allowedTopologies", "[TopologySelectorTerm]"),
    },
    "CSIDriver": {1: ("metadata", "ObjectMeta"), 2: ("spec", "CSIDriverSpec")},
    "CSIDriverSpec": {
        1: ("attachRequired", "flag?"),
        2: ("podInfoOnMount", "flag?"),
        3: ("volumeLifecycleModes", "[text]"),
        4: ("storageCapacity", "flag?"),
        5: ("fsGroupPolicy", "text?"),
        6: ("tokenRequests", "[CSITokenRequest]"),
        7: ("requiresRepublish", "flag?"),
        8: ("seLinuxMount", "flag?"),
        9: ("nodeAllocatableUpdatePeriodSeconds", "number?"),
    },
    "CSITokenRequest": {1: ("audience", "text"), 2: ("expirationSeconds", "number?")},
    "CSINode": {1: ("metadata", "ObjectMeta"), 2: ("spec", "CSINodeSpec")},
    "CSINodeSpec": {1: ("drivers", "[CSINodeDriver]")},
    "CSINodeDriver": {
        1: ("name", "text"),
        2: ("nodeID", "text"),
        3: ("topologyKeys", "[text]"),
        4: ("allocatable", "VolumeNodeResources"),
    },
    "VolumeNodeResources": {1: ("count", "number?")},
    "CSIStorageCapacity": {
        1: ("metadata", "ObjectMeta"),
        2: ("nodeTopology", "LabelSelector"),
        3: ("storageClassName", "text"),
        4: ("capacity", "quantity?"),
        5: ("maximumVolumeSize", "quantity?"),
    },
    "VolumeAttachment": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "VolumeAttachmentSpec"),
        3: ("status", "VolumeAttachmentStatus"),
    },
    "VolumeAttachmentSpec": {1: ("attacher", "text"), 2: ("source", "VolumeAttachmentSource"), 3: ("nodeName", "text")},
    "VolumeAttachmentSource": {
        1: ("persistentVolumeName", "text?"),
        2: ("inlineVolumeSpec", "PersistentVolumeSpec"),
    },
    "VolumeAttachmentStatus": {
        1: ("attached", "flag"),
        2: ("attachmentMetadata", "{text}"),
        3: ("attachError", "VolumeError"),
        4: ("detachError", "VolumeError"),
    },
    "VolumeError": {1: ("time", "time"), 2: ("message", "text"), 3: ("errorCode", "number?")},
    "TopologySelectorTerm": {1: ("matchLabelExpressions", "[TopologySelectorLabelRequirement]")},
    "TopologySelectorLabelRequirement": {1: ("key", "text"), 2: ("values", "[text]")},
}
