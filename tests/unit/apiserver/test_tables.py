"""Objects as rows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podling.api import resources
from podling.api.encoded import Encoded
from podling.api.resources import Resource
from podling.api.times import from_wire
from podling.apiserver import tables
from podling.apiserver.record import Record

NOW = from_wire("2026-11-23T12:00:00Z")
BORN = "2026-11-23T11:00:00Z"


def record(resource: Resource[Any], stored_as: Record | None = None) -> Record:
    return Record(resource, f"/registry/{resource.plural}/", strategy=None, stored_as=stored_as)  # type: ignore[arg-type]


def item(resource: Resource[Any], tree: dict[str, Any], name: str = "x") -> Encoded:
    meta = {"name": name, "namespace": "ns", "creationTimestamp": BORN} | tree.pop("metadata", {})
    raw = msgspec.json.encode({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta} | tree)
    return Encoded(raw, raw.index(b'"metadata":{') + 12, 7, name=name, namespace="ns")


def table(resource: Resource[Any], *trees: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = tables.render(record(resource), [item(resource, tree) for tree in trees], now=NOW, **more)
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    return decoded


SUBJECTS = [
    {"kind": "User", "name": "u"},
    {"kind": "Group", "name": "g"},
    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
]

ROWS: list[tuple[Resource[Any], dict[str, Any], dict[str, Any]]] = [
    (
        resources.CSI_DRIVERS,
        {"spec": {"attachRequired": False, "tokenRequests": [{"audience": "a"}], "volumeLifecycleModes": ["Persistent"]}},
        {"Name": "x", "AttachRequired": False, "PodInfoOnMount": False, "StorageCapacity": False, "TokenRequests": "a",
         "RequiresRepublish": False, "Modes": "Persistent", "Age": "60m"},
    ),
    (resources.CSI_NODES, {"spec": {"drivers": [{"name": "a", "nodeID": "n"}]}}, {"Name": "x", "Drivers": 1, "Age": "60m"}),
    (
        resources.REPLICA_SETS,
        {"spec": {"replicas": 3, "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]},
                  "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}},
         "status": {"replicas": 2, "readyReplicas": 1}},
        {"Name": "x", "Desired": 3, "Current": 2, "Ready": 1, "Age": "60m", "Containers": "c,d", "Images": "i,j",
         "Selector": "a in (x,y)"},
    ),
    (
        resources.DEPLOYMENTS,
        {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "1"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
         "status": {"readyReplicas": 2, "updatedReplicas": 1}},
        {"Name": "x", "Ready": "2/3", "Up-to-date": 1, "Available": 0, "Age": "60m", "Containers": "c", "Images": "i",
         "Selector": "a=1"},
    ),
    (
        resources.STATEFUL_SETS,
        {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "1"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
         "status": {"replicas": 3, "readyReplicas": 2}},
        {"Name": "x", "Ready": "2/3", "Age": "60m", "Containers": "c", "Images": "i"},
    ),
    (
        resources.DAEMON_SETS,
        {"spec": {"selector": {"matchLabels": {"a": "1"}},
                  "template": {"spec": {"nodeSelector": {"d": "1", "c": "2"}, "containers": [{"name": "c", "image": "i"}]}}},
         "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberMisscheduled": 0, "numberReady": 3,
                    "updatedNumberScheduled": 2, "numberAvailable": 1}},
        {"Name": "x", "Desired": 5, "Current": 4, "Ready": 3, "Up-to-date": 2, "Available": 1, "Node Selector": "c=2,d=1",
         "Age": "60m", "Containers": "c", "Images": "i", "Selector": "a=1"},
    ),
    (
        resources.CONTROLLER_REVISIONS,
        {"data": {}, "revision": 2,
         "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}]}},
        {"Name": "x", "Controller": "daemonset.apps/d", "Revision": 2, "Age": "60m"},
    ),
    (
        resources.REPLICATION_CONTROLLERS,
        {"spec": {"replicas": 3, "selector": {"b": "2", "a": "1"}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}},
        {"Name": "x", "Desired": 3, "Current": 0, "Ready": 0, "Age": "60m", "Containers": "c", "Images": "i",
         "Selector": "a=1,b=2"},
    ),
    (
        resources.CRON_JOBS,
        {"spec": {"schedule": "@daily", "suspend": True, "jobTemplate": {"spec": {"template": {}}}},
         "status": {"active": [{"name": "a"}], "lastScheduleTime": "2026-11-23T11:59:00Z"}},
        {"Name": "x", "Schedule": "@daily", "Timezone": "<none>", "Suspend": "True", "Active": 1, "Last Schedule": "60s",
         "Age": "60m", "Containers": "", "Images": "", "Selector": "<none>"},
    ),
    (
        resources.JOBS,
        {"spec": {"completions": 3, "parallelism": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
         "status": {"succeeded": 2, "startTime": "2026-11-23T11:30:00Z",
                    "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}},
        {"Name": "x", "Status": "SuccessCriteriaMet", "Completions": "2/3", "Duration": "30m", "Age": "60m",
         "Containers": "c", "Images": "i", "Selector": "<none>"},
    ),
    (
        resources.JOBS,
        {"spec": {"parallelism": 4, "template": {}},
         "status": {"succeeded": 1, "startTime": "2026-11-23T11:30:00Z", "completionTime": "2026-11-23T11:30:09Z",
                    "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}},
        {"Name": "x", "Status": "Complete", "Completions": "1/1 of 4", "Duration": "9s", "Age": "60m",
         "Containers": "", "Images": "", "Selector": "<none>"},
    ),
    (
        resources.CSI_STORAGE_CAPACITIES,
        {"storageClassName": "slow"},
        {"Name": "x", "StorageClassName": "slow", "Capacity": "<unset>"},
    ),
    (
        resources.VOLUME_ATTACHMENTS,
        {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}, "status": {"attached": True}},
        {"Name": "x", "Attacher": "a", "PV": "v", "Node": "n", "Attached": True, "Age": "60m"},
    ),
    (
        resources.PERSISTENT_VOLUMES,
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": "a", "name": "data"},
                "storageClassName": "standard",
                "volumeMode": "Filesystem",
            },
            "status": {"phase": "Bound"},
        },
        {"Name": "x", "Capacity": "1Gi", "Access Modes": "RWO,RWX", "Reclaim Policy": "Delete", "Status": "Bound",
         "Claim": "a/data", "StorageClass": "standard", "VolumeAttributesClass": "<unset>", "Reason": "", "Age": "60m",
         "VolumeMode": "Filesystem"},
    ),
    (
        resources.PERSISTENT_VOLUME_CLAIMS,
        {
            "spec": {"volumeName": "v", "storageClassName": "standard", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "accessModes": ["ReadWriteOncePod"], "capacity": {"storage": "2Gi"}},
        },
        {"Name": "x", "Status": "Bound", "Volume": "v", "Capacity": "2Gi", "Access Modes": "RWOP",
         "StorageClass": "standard", "VolumeAttributesClass": "<unset>", "Age": "60m", "VolumeMode": "Filesystem"},
    ),
    (
        resources.PERSISTENT_VOLUME_CLAIMS,
        {"metadata": {"deletionTimestamp": BORN}, "spec": {}, "status": {"phase": "Pending"}},
        {"Name": "x", "Status": "Terminating", "Volume": "", "Capacity": "", "Access Modes": "", "StorageClass": "",
         "VolumeAttributesClass": "<unset>", "Age": "60m", "VolumeMode": "<unset>"},
    ),
    (
        resources.STORAGE_CLASSES,
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "a/b",
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        {"Name": "x (default)", "Provisioner": "a/b", "ReclaimPolicy": "Retain",
         "VolumeBindingMode": "WaitForFirstConsumer", "AllowVolumeExpansion": False, "Age": "60m"},
    ),
    (
        resources.PODS,
        {"spec": {"containers": [{"name": "c"}], "nodeName": "n1"}, "status": {"phase": "Pending"}},
        {"Name": "x", "Ready": "0/1", "Status": "Pending", "Restarts": "0", "Age": "60m", "IP": "<none>", "Node": "n1",
         "Nominated Node": "<none>", "Readiness Gates": "<none>"},
    ),
    (
        resources.NETWORK_POLICIES,
        {"spec": {"podSelector": {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["b", "a"]}]}}},
        {"Name": "x", "Pod-Selector": "app=db,t in (a,b)", "Age": "60m"},
    ),
    (resources.NETWORK_POLICIES, {"spec": {"podSelector": {}}}, {"Name": "x", "Pod-Selector": "<none>", "Age": "60m"}),
    (
        resources.POD_TEMPLATES,
        {"template": {"metadata": {"labels": {"b": "2", "a": "1"}}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}},
        {"Name": "x", "Containers": "c,d", "Images": "i,j", "Pod Labels": "a=1,b=2"},
    ),
    (
        resources.RESOURCE_QUOTAS,
        {"status": {"hard": {"requests.cpu": "2", "pods": "5", "limits.cpu": "4"}, "used": {"pods": "1", "limits.cpu": "500m"}}},
        {"Name": "x", "Request": "pods: 1/5, requests.cpu: 0/2", "Limit": "limits.cpu: 500m/4", "Age": "60m"},
    ),
    (
        resources.CERTIFICATE_SIGNING_REQUESTS,
        {"spec": {"request": "", "signerName": "a.b/c", "username": "jane", "expirationSeconds": 86400}, "status": {"certificate": "YQ==", "conditions": [{"type": "Approved", "status": "True"}]}},
        {"Name": "x", "Age": "60m", "SignerName": "a.b/c", "Requestor": "jane", "RequestedDuration": "24h", "Condition": "Approved,Issued"},
    ),
    (
        resources.CERTIFICATE_SIGNING_REQUESTS,
        {"spec": {"request": "", "signerName": "a.b/c"}},
        {"Name": "x", "Age": "60m", "SignerName": "a.b/c", "Requestor": "", "RequestedDuration": "<none>", "Condition": "Pending"},
    ),
    (
        resources.FLOW_SCHEMAS,
        {"spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 9, "distinguisherMethod": {"type": "ByUser"}}},
        {"Name": "x", "PriorityLevel": "l", "MatchingPrecedence": 9, "DistinguisherMethod": "ByUser", "Age": "60m", "MissingPL": "?"},
    ),
    (
        resources.FLOW_SCHEMAS,
        {"spec": {"priorityLevelConfiguration": {"name": "l"}}, "status": {"conditions": [{"type": "Dangling", "status": "True"}]}},
        {"Name": "x", "PriorityLevel": "l", "MatchingPrecedence": 0, "DistinguisherMethod": "<none>", "Age": "60m", "MissingPL": "True"},
    ),
    (
        resources.PRIORITY_LEVELS,
        {"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Queue", "queuing": {"queues": 3, "handSize": 1, "queueLengthLimit": 4}}}}},
        {"Name": "x", "Type": "Limited", "NominalConcurrencyShares": 2, "Queues": 3, "HandSize": 1, "QueueLengthLimit": 4, "Age": "60m"},
    ),
    (
        resources.PRIORITY_LEVELS,
        {"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 2}}},
        {"Name": "x", "Type": "Exempt", "NominalConcurrencyShares": "<none>", "Queues": "<none>", "HandSize": "<none>", "QueueLengthLimit": "<none>", "Age": "60m"},
    ),
    (resources.POD_TEMPLATES, {}, {"Name": "x", "Containers": "", "Images": "", "Pod Labels": "<none>"}),
    (
        resources.INGRESSES,
        {
            "spec": {"ingressClassName": "c", "rules": [{"host": h} for h in "abcd"] + [{}], "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"hostname": "z"}, {"ip": "1.2.3.4"}]}},
        },
        {"Name": "x", "Class": "c", "Hosts": "a,b,c + 2 more...", "Address": "1.2.3.4,z", "Ports": "80, 443", "Age": "60m"},
    ),
    (resources.INGRESSES, {"spec": {}}, {"Name": "x", "Class": "<none>", "Hosts": "*", "Address": "", "Ports": "80", "Age": "60m"}),
    (resources.MUTATING_WEBHOOKS, {"webhooks": [{"name": "a"}, {"name": "b"}]}, {"Name": "x", "Webhooks": 2, "Age": "60m"}),
    (resources.VALIDATING_WEBHOOKS, {}, {"Name": "x", "Webhooks": 0, "Age": "60m"}),
    (resources.INGRESS_CLASSES, {"spec": {"controller": "a/b"}}, {"Name": "x", "Controller": "a/b", "Parameters": "<none>", "Age": "60m"}),
    (
        resources.INGRESS_CLASSES,
        {
            "metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
            "spec": {"controller": "a/b", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}},
        },
        {"Name": "x (default)", "Controller": "a/b", "Parameters": "K.g/n", "Age": "60m"},
    ),
    (
        resources.NODES,
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion", "operatingSystem", "architecture"), "")
                | {"kubeletVersion": "v1.37.0", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "podling://0.1"},
            },
        },
        {"Name": "x", "Status": "Ready,SchedulingDisabled", "Roles": "a,control-plane", "Age": "60m", "Version": "v1.37.0",
         "Internal-IP": "10.0.0.1", "External-IP": "<none>", "OS-Image": "Debian", "Kernel-Version": "6.1", "Container-Runtime": "podling://0.1"},
    ),
    (
        resources.SERVICES,
        {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "selector": {"b": "2", "a": "1"},
                  "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}},
        {"Name": "x", "Type": "LoadBalancer", "Cluster-IP": "10.96.0.9", "External-IP": "<pending>", "Port(s)": "80:30080/TCP,53/UDP",
         "Age": "60m", "Selector": "a=1,b=2"},
    ),
    (
        resources.ENDPOINTS,
        {"subsets": [{"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 6)], "ports": [{"port": 80}]}]},
        {"Name": "x", "Endpoints": "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "Age": "60m"},
    ),
    (
        resources.ENDPOINT_SLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []},
        {"Name": "x", "AddressType": "IPv4", "Ports": "<unset>", "Endpoints": "10.0.0.1", "Age": "60m"},
    ),
    (
        resources.EVENTS,
        {"involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "type": "Normal", "reason": "Pulled",
         "message": " ready\n", "firstTimestamp": BORN, "lastTimestamp": "2026-11-23T11:59:50Z", "count": 4,
         "source": {"component": "kubelet", "host": "n1"}},
        {"Last Seen": "10s", "Type": "Normal", "Reason": "Pulled", "Object": "pod/p", "Subobject": "spec.containers{c}",
         "Source": "kubelet, n1", "Message": "ready", "First Seen": "60m", "Count": 4, "Name": "x"},
    ),
    (resources.NAMESPACES, {"status": {"phase": "Active"}}, {"Name": "x", "Status": "Active", "Age": "60m"}),
    (resources.CONFIG_MAPS, {"data": {"a": "1"}, "binaryData": {"b": ""}}, {"Name": "x", "Data": 2, "Age": "60m"}),
    (resources.SECRETS, {"type": "Opaque", "data": {"a": ""}}, {"Name": "x", "Type": "Opaque", "Data": 1, "Age": "60m"}),
    (resources.SERVICE_ACCOUNTS, {}, {"Name": "x", "Secrets": 0, "Age": "60m"}),
    (resources.LEASES, {"spec": {"holderIdentity": "n1"}}, {"Name": "x", "Holder": "n1", "Age": "60m"}),
    (
        resources.PRIORITY_CLASSES,
        {"value": 5},
        {"Name": "x", "Value": 5, "Global-Default": False, "Age": "60m", "PreemptionPolicy": "PreemptLowerPriority"},
    ),
    (
        resources.POD_DISRUPTION_BUDGETS,
        {"spec": {"maxUnavailable": "10%"}, "status": {"disruptionsAllowed": 2}},
        {"Name": "x", "Min Available": "N/A", "Max Unavailable": "10%", "Allowed Disruptions": 2, "Age": "60m"},
    ),
    (resources.RUNTIME_CLASSES, {"handler": "crun"}, {"Name": "x", "Handler": "crun", "Age": "60m"}),
    (resources.CLUSTER_ROLES, {"rules": []}, {"Name": "x", "Created At": BORN}),
    (
        resources.ROLE_BINDINGS,
        {"roleRef": {"kind": "Role", "name": "r", "apiGroup": ""}, "subjects": SUBJECTS},
        {"Name": "x", "Role": "Role/r", "Age": "60m", "Users": "u", "Groups": "g", "ServiceAccounts": "n/s"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "tree", "row"), [pytest.param(*row, id=row[0].kind) for row in ROWS])
def test_rows(resource: Resource[Any], tree: dict[str, Any], row: dict[str, Any]) -> None:
    """Each kind has upstream's columns and cells."""
    shown = table(resource, tree)
    assert dict(zip([c["name"] for c in shown["columnDefinitions"]], shown["rows"][0]["cells"], strict=True)) == row
    assert all(
        set(c) == {"name", "type", "format", "description", "priority"} and c["description"]
        for c in shown["columnDefinitions"]
    )


def test_an_unknown_kind_has_name_and_birth() -> None:
    """A kind without a layout of its own is shown by name and creation time."""
    widgets: Resource[Any] = Resource("example.com", "v1", "widgets", "Widget", True)
    assert table(widgets, {"spec": {}})["rows"][0]["cells"] == ["x", BORN]


def test_what_a_row_carries() -> None:
    """A row carries its object's metadata, all of it, or nothing, with the resourceVersion spliced in."""
    tree: dict[str, Any] = {"data": {"a": "1"}}
    row = table(resources.CONFIG_MAPS, dict(tree), version="v1beta1")["rows"][0]["object"]
    assert (row["kind"], row["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1beta1")
    assert row["metadata"] == {"resourceVersion": "7", "name": "x", "namespace": "ns", "creationTimestamp": BORN}
    assert table(resources.CONFIG_MAPS, dict(tree), include_object="Object")["rows"][0]["object"]["data"] == {"a": "1"}
    assert table(resources.CONFIG_MAPS, dict(tree), include_object="None")["rows"][0]["object"] is None


def test_lists_and_watches() -> None:
    """A list's metadata is the list's, an only object's is its own; a watch may leave the columns out."""
    listed = table(resources.CONFIG_MAPS, {}, {}, list_meta={"resourceVersion": "9", "continue": "c"})
    assert (listed["metadata"], len(listed["rows"])) == ({"resourceVersion": "9", "continue": "c"}, 2)
    one = table(resources.CONFIG_MAPS, {}, headers=False)
    assert (one["metadata"], one["columnDefinitions"]) == ({"resourceVersion": "7"}, [])
    assert table(resources.CONFIG_MAPS)["rows"] == []


def test_ended_pods_say_so() -> None:
    """A row of a Pod that is over carries the condition by which clients hide it."""
    shown = table(resources.PODS, {"spec": {"containers": []}, "status": {"phase": "Succeeded"}})
    assert shown["rows"][0]["conditions"][0]["reason"] == "Succeeded"


def test_another_face_has_the_stored_kinds_rows() -> None:
    """Events of events.k8s.io are stored as core events and shown as these are."""
    face = record(resources.EVENTS_V1, stored_as=record(resources.EVENTS))
    answer = tables.render(face, [item(resources.EVENTS, {"involvedObject": {"kind": "Pod", "name": "p"}})], now=NOW)
    assert msgspec.json.decode(answer)["rows"][0]["cells"][3] == "pod/p"


def test_partial_lists() -> None:
    """Metadata alone, for one and for many."""
    items = [item(resources.PODS, {"spec": {"containers": []}}, name) for name in "ab"]
    listed = msgspec.json.decode(tables.partial_list(items, list_meta={"resourceVersion": "9"}))
    assert [i["metadata"]["name"] for i in listed["items"]] == ["a", "b"]
    assert listed["items"][0] == msgspec.json.decode(tables.partial_object(items[0]))
