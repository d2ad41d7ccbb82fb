"""Files that come from API objects: items of ConfigMaps and Secrets, the downward API, projected volumes.

Some paths name the volume rather than the item: so upstream reports them. Must not know the volume around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import Path, forbidden, invalid, invalid_each, not_supported, required
from podling.api.validation.meta import check_annotations, check_selector
from podling.api.validation.paths import check_not_reserved
from podling.api.validation.references import check_resource_field, check_volume_field

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        ClusterTrustBundleProjection,
        DownwardAPIVolumeFile,
        KeyToPath,
        PodCertificateProjection,
        ProjectedVolumeSource,
        ServiceAccountTokenProjection,
        VolumeProjection,
    )

_KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
_SHORTEST_CERTIFICATE = 3600
_LONGEST_CERTIFICATE = 91 * 24 * 3600


def check_mode(mode: int | None, path: Path, causes: list[Cause]) -> None:
    if mode is not None:
        invalid_each(path, mode, formats.file_mode(mode), causes)


def check_items(items: tuple[KeyToPath, ...], path: Path, causes: list[Cause]) -> None:
    """Check which keys become which files."""
    for i, item in enumerate(items):
        _check_item(item, path[i], causes)


def _check_item(item: KeyToPath, path: Path, causes: list[Cause]) -> None:
    if not item.key:
        causes.append(required(path / "key"))
    if not item.path:
        causes.append(required(path / "path"))
    check_not_reserved(item.path, path / "path", causes)
    check_mode(item.mode, path / "mode", causes)


def check_downward_items(items: tuple[DownwardAPIVolumeFile, ...], path: Path, causes: list[Cause]) -> None:
    for item in items:
        if not item.path:
            causes.append(required(path / "path"))
        check_not_reserved(item.path, path / "path", causes)
        if item.field_ref is not None:
            check_volume_field(item.field_ref, path / "fieldRef", causes)
            if item.resource_field_ref is not None:
                causes.append(
                    invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
                )
        elif item.resource_field_ref is not None:
            check_resource_field(item.resource_field_ref, path / "resourceFieldRef", causes, volume=True)
        else:
            causes.append(required(path, "one of fieldRef and resourceFieldRef is required"))
        check_mode(item.mode, path / "mode", causes)


def check_projected(source: ProjectedVolumeSource, path: Path, causes: list[Cause]) -> None:
    """Check a projected volume: each source of one kind, and no two files at one path."""
    check_mode(source.default_mode, path / "defaultMode", causes)
    files: set[str] = set()
    for i, projection in enumerate(source.sources):
        _check_projection(projection, files, (path / "sources")[i], path, causes)


def _check_projection(
    projection: VolumeProjection, files: set[str], path: Path, volume: Path, causes: list[Cause]
) -> None:
    count = 0
    for name, source in (("secret", projection.secret), ("configMap", projection.config_map)):
        if source is None:
            continue
        count += 1
        if not source.name:
            causes.append(required(path / name / "name"))
        for i, item in enumerate(source.items):
            _check_item(item, (path / name / "items")[i], causes)
            _claim(item.path, source.name, files, volume, causes)
    if projection.downward_api is not None:
        count += 1
        for file in projection.downward_api.items:
            check_downward_items((file,), path / "downwardAPI", causes)
            _claim(file.path, file.path, files, volume, causes)
    if projection.service_account_token is not None:
        count += 1
        _check_token(projection.service_account_token, path / "serviceAccountToken", volume, causes)
    if projection.cluster_trust_bundle is not None:
        count += 1
        _check_trust_bundle(projection.cluster_trust_bundle, path / "clusterTrustBundle", causes)
        bundle = projection.cluster_trust_bundle.path
        _claim(bundle, bundle, files, volume, causes, even_empty=True)
    if projection.pod_certificate is not None:
        count += 1
        _check_certificate(projection.pod_certificate, path / "podCertificate", causes)
        certificate = projection.pod_certificate
        for text in (certificate.credential_bundle_path, certificate.key_path, certificate.certificate_chain_path):
            _claim(text, text, files, volume, causes)
    if count > 1:
        causes.append(forbidden(path, "may not specify more than 1 volume type per source"))


def _claim(
    text: str, value: str, files: set[str], volume: Path, causes: list[Cause], *, even_empty: bool = False
) -> None:
    if not text and not even_empty:
        return
    if text in files:
        causes.append(invalid(volume, value, "conflicting duplicate paths"))
    files.add(text)


def _check_token(token: ServiceAccountTokenProjection, path: Path, volume: Path, causes: list[Cause]) -> None:
    seconds = token.expiration_seconds or 0
    if seconds < 600:
        causes.append(invalid(path / "expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > 1 << 32:
        causes.append(
            invalid(path / "expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        )
    if not token.path:
        causes.append(required(volume / "path"))
    else:
        check_not_reserved(token.path, volume / "path", causes)


def _check_trust_bundle(bundle: ClusterTrustBundleProjection, path: Path, causes: list[Cause]) -> None:
    if bundle.name is not None and bundle.signer_name is not None:
        shown = {"Name": bundle.name, "SignerName": bundle.signer_name}
        causes.append(invalid(path, shown, "only one of name and signerName may be used"))
    elif bundle.name is not None:
        if not bundle.name:
            causes.append(required(path / "name", "must be a valid object name"))
        signer, colon, own = bundle.name.rpartition(":")
        name = own if colon and signer else bundle.name
        for complaint in formats.dns_subdomain(name):
            causes.append(  # noqa: PERF401
                invalid(path / "name", bundle.name, f"not a valid clustertrustbundlename: {complaint}")
            )
        if bundle.label_selector is not None:
            causes.append(invalid(path / "labelSelector", "", "labelSelector must be unset if name is specified"))
    elif bundle.signer_name is not None:
        if not bundle.signer_name:
            causes.append(required(path / "signerName", "must be a valid signer name"))
        check_signer(bundle.signer_name, path / "signerName", causes)
        check_selector(bundle.label_selector, path / "labelSelector", causes)
    else:
        causes.append(required(path, "either name or signerName must be specified"))
    if not bundle.path:
        causes.append(required(path / "path"))
    check_not_reserved(bundle.path, path / "path", causes)


def check_signer(name: str, path: Path, causes: list[Cause]) -> None:
    """Check a signer's name: a domain of at least two labels, a slash, and a name of its own."""
    if not name:
        causes.append(required(path))
        return
    domain, slash, own = name.partition("/")
    if not slash or "/" in own or not domain or not own:
        causes.append(
            invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        )
        return
    invalid_each(path, name, formats.dns_subdomain(domain), causes)
    if "." not in domain:
        causes.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    invalid_each(path, own, formats.dns_subdomain(own), causes)


def _check_certificate(projection: PodCertificateProjection, path: Path, causes: list[Cause]) -> None:
    check_signer(projection.signer_name, path / "signerName", causes)
    if projection.key_type not in _KEY_TYPES:
        causes.append(not_supported(path / "keyType", projection.key_type, _KEY_TYPES))
    seconds = projection.max_expiration_seconds
    if seconds is None:
        causes.append(required(path / "maxExpirationSeconds"))
    elif seconds < _SHORTEST_CERTIFICATE:
        causes.append(
            invalid(path / "maxExpirationSeconds", seconds, "if provided, maxExpirationSeconds must be >= 3600")
        )
    elif seconds > _LONGEST_CERTIFICATE:
        causes.append(
            invalid(path / "maxExpirationSeconds", seconds, "if provided, maxExpirationSeconds must be <= 7862400")
        )
    files = (
        ("credentialBundlePath", projection.credential_bundle_path),
        ("keyPath", projection.key_path),
        ("certificateChainPath", projection.certificate_chain_path),
    )
    if not any(text for _, text in files):
        causes.append(required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
    for name, text in files:
        if text:
            check_not_reserved(text, path / name, causes)
    if projection.user_annotations:
        where = path / "userAnnotations"
        check_annotations(projection.user_annotations, where, causes)
        for key in projection.user_annotations:
            if "/" not in key:
                invalid_each(where, key, formats.domain_prefixed_key(key.lower()), causes)
