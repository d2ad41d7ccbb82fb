"""Defaults of a Pod's volumes, one small rule per source.

A volume that names no source is an emptyDir. Must not know containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.defaults.containers import apply_field_ref, apply_resource_field_ref, pull_policy
from podling.api.defaults.quantities import canonicalize

if TYPE_CHECKING:
    from collections.abc import Callable

_Source = dict[str, Any]

_MODE = 0o644


def apply_volume(volume: dict[str, Any]) -> None:
    """Fill in one volume."""
    sourceless = True
    for name, source in volume.items():
        if name == "name" or source is None:
            continue
        sourceless = False
        rule = _RULES.get(name)
        if rule is not None:
            rule(source)
    if sourceless:
        volume["emptyDir"] = {}


def apply_source(name: str, source: _Source) -> None:
    """Fill in one source of a PersistentVolume, by the name of its field."""
    rule = _PERSISTENT.get(name)
    if rule is not None:
        rule(source)


def _file_modes(source: _Source) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = _MODE


def _downward_api(source: _Source) -> None:
    _file_modes(source)
    _downward_items(source)


def _downward_items(source: _Source) -> None:
    for item in source.get("items") or ():
        if item.get("fieldRef") is not None:
            apply_field_ref(item["fieldRef"])
        if item.get("resourceFieldRef") is not None:
            apply_resource_field_ref(item["resourceFieldRef"])


def _projected(source: _Source) -> None:
    _file_modes(source)
    for projection in source.get("sources") or ():
        token = projection.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
        downward = projection.get("downwardAPI")
        if downward:
            _downward_items(downward)
        certificate = projection.get("podCertificate")
        if certificate is not None and certificate.get("maxExpirationSeconds") is None:
            certificate["maxExpirationSeconds"] = 86400


def _empty_dir(source: _Source) -> None:
    if source.get("sizeLimit") is not None:
        canonicalize(source, ("sizeLimit",))


def _host_path(source: _Source) -> None:
    if source.get("type") is None:
        source["type"] = ""


def _image(source: _Source) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference") or "")


def _ephemeral(source: _Source) -> None:
    template = source.get("volumeClaimTemplate")
    if template:
        apply_claim_spec(template.setdefault("spec", {}))


def apply_claim_spec(spec: dict[str, Any]) -> None:
    """Fill in what a PersistentVolumeClaim asks for."""
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    for amounts in (spec.get("resources") or {}).values():
        if amounts and isinstance(amounts, dict):
            canonicalize(amounts)


def _fill(**values: object) -> Callable[[_Source], None]:
    def rule(source: _Source) -> None:
        for name, value in values.items():
            if source.get(name) in {None, ""}:
                source[name] = value

    return rule


_RULES: dict[str, Callable[[_Source], None]] = {
    "secret": _file_modes,
    "configMap": _file_modes,
    "downwardAPI": _downward_api,
    "projected": _projected,
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "image": _image,
    "ephemeral": _ephemeral,
    "iscsi": _fill(iscsiInterface="default"),
    "rbd": _fill(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": _fill(cachingMode="ReadWrite", fsType="ext4", readOnly=False, kind="Shared"),
    "scaleIO": _fill(storageMode="ThinProvisioned", fsType="xfs"),
}

_PERSISTENT: dict[str, Callable[[_Source], None]] = {
    name: _RULES[name] for name in ("hostPath", "iscsi", "rbd", "azureDisk")
} | {"scaleIO": _fill(storageMode="ThinProvisioned", fsType="xfs")}
"""What of it holds for PersistentVolumes too."""
