"""ServiceAccount: every Pod acts as an account of its namespace, and finds the account's token where programs look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.annotations import MIRROR
from podling.api.errors import forbidden
from podling.api.resources import SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


class ServiceAccount:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.verb != "CREATE" or not operation.is_on("", "pods"):
            return
        tree = operation.tree
        spec = tree["spec"]
        if MIRROR in (tree["metadata"].get("annotations") or {}):
            if spec.get("serviceAccountName"):
                raise forbidden("", "pods", operation.name, "a mirror pod may not reference service accounts")
            for volume in spec.get("volumes") or ():
                sources = (volume.get("projected") or {}).get("sources") or ()
                if any(source.get("serviceAccountToken") for source in sources):
                    why = "a mirror pod may not use ServiceAccountToken volume projections"
                    raise forbidden("", "pods", operation.name, why)
            return
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._registry.find(SERVICE_ACCOUNTS, operation.namespace, name)
        if account is None:
            where = f"{operation.namespace}/{name}"
            why = f'error looking up service account {where}: serviceaccount "{name}" not found'
            raise forbidden("", "pods", operation.name, why)
        held: dict[str, Any] = msgspec.json.decode(account.raw)
        mount = spec.get("automountServiceAccountToken", held.get("automountServiceAccountToken", True))
        if mount:
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and held.get("imagePullSecrets"):
            spec["imagePullSecrets"] = held["imagePullSecrets"]

    def _mount_token(self, spec: dict[str, Any]) -> None:
        taken = {volume["name"] for volume in spec.get("volumes") or ()}
        volume = next((name for name in sorted(taken) if name.startswith("kube-api-access-")), "")
        known = bool(volume)
        while not volume or (volume in taken and not known):
            volume = f"kube-api-access-{self._registry.chance.suffix()}"
        needed = False
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
            mounts = container.setdefault("volumeMounts", [])
            if all(mount.get("mountPath") != MOUNT_PATH for mount in mounts):
                mounts.append({"name": volume, "readOnly": True, "mountPath": MOUNT_PATH})
                needed = True
        if needed and not known:
            spec.setdefault("volumes", []).append({"name": volume, "projected": _token_volume()})


def _token_volume() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }
