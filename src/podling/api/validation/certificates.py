"""CertificateSigningRequests: what may be asked of whom, and who may change which part of the answer.

The request never changes. Approval and denial come through `approval`, the certificate through `status`; conditions
that decide are never taken back, and a certificate that was issued stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.certificates import decoded, parse_certificates, parse_request, requested
from podling.api.validation import meta
from podling.api.validation.field import SPEC, STATUS, duplicate, forbidden, invalid, not_supported, quoted, required
from podling.api.validation.projections import check_signer

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.certificates_v1 import (
        CertificateSigningRequest,
        CertificateSigningRequestCondition,
        CertificateSigningRequestStatus,
    )

APPROVED: Final = "Approved"
DENIED: Final = "Denied"
FAILED: Final = "Failed"
_DECIDING: Final = (APPROVED, DENIED, FAILED)
_SHORTEST: Final = 600
USAGES: Final = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_CONDITIONS: Final = STATUS / "conditions"
_CERTIFICATE: Final = STATUS / "certificate"


def check_request_create(csr: CertificateSigningRequest, causes: list[Cause]) -> None:
    meta.check_create(csr.metadata, causes, namespaced=False)
    spec = csr.spec
    try:
        requested(parse_request(decoded(spec.request)))
    except ValueError as error:
        causes.append(invalid(SPEC / "request", spec.request, str(error)))
    if not spec.usages:
        causes.append(required(SPEC / "usages"))
    for i, usage in enumerate(spec.usages):
        if usage not in USAGES:
            causes.append(not_supported((SPEC / "usages")[i], usage, USAGES))
    for i, usage in enumerate(spec.usages):
        if usage in spec.usages[:i]:
            causes.append(duplicate((SPEC / "usages")[i], usage))
    if spec.signer_name == "kubernetes.io/legacy-unknown":
        said = "the legacy signerName is not allowed via this API version"
        causes.append(invalid(SPEC / "signerName", spec.signer_name, said))
    else:
        check_signer(spec.signer_name, SPEC / "signerName", causes)
    if spec.expiration_seconds is not None and spec.expiration_seconds < _SHORTEST:
        said = "may not specify a duration less than 600 seconds (10 minutes)"
        causes.append(invalid(SPEC / "expirationSeconds", spec.expiration_seconds, said))


def check_request_update(new: CertificateSigningRequest, old: CertificateSigningRequest, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)


def check_approval_update(new: CertificateSigningRequest, old: CertificateSigningRequest, causes: list[Cause]) -> None:
    """Check a write of `approval`: conditions and nothing else."""
    meta.check_update(new.metadata, old.metadata, causes)
    _check_conditions(new.status, causes)
    _check_removals(new.status, old.status, causes)
    if new.status.certificate != old.status.certificate:
        causes.append(forbidden(_CERTIFICATE, "updates may not set certificate content"))


def check_status_update(new: CertificateSigningRequest, old: CertificateSigningRequest, causes: list[Cause]) -> None:
    """Check a write of `status`: the certificate, and conditions that neither approve nor deny."""
    meta.check_update(new.metadata, old.metadata, causes)
    _check_conditions(new.status, causes)
    certificate, before = new.status.certificate, old.status.certificate
    if certificate:
        try:
            parse_certificates(decoded(certificate))
        except ValueError as error:
            causes.append(invalid(_CERTIFICATE, "<certificate data>", str(error)))
    _check_removals(new.status, old.status, causes)
    for kind in (APPROVED, DENIED):
        after, then = _of(new.status, kind), _of(old.status, kind)
        if len(after) > len(then):
            causes.append(forbidden(_CONDITIONS, f"updates may not add a condition of type {quoted(kind)}"))
        elif len(after) == len(then) and after != then:
            causes.append(forbidden(_CONDITIONS, f"updates may not modify a condition of type {quoted(kind)}"))
    if before and certificate != before:
        causes.append(forbidden(_CERTIFICATE, "updates may not modify existing certificate content"))


def _check_conditions(status: CertificateSigningRequestStatus, causes: list[Cause]) -> None:
    seen: set[str] = set()
    for i, condition in enumerate(status.conditions):
        where, kind = _CONDITIONS[i], condition.type
        if not kind:
            causes.append(required(where / "type"))
        allowed = ("True",) if kind in _DECIDING else ("False", "True", "Unknown")
        if not condition.status:
            causes.append(required(where / "status"))
        elif condition.status not in allowed:
            causes.append(not_supported(where / "status", condition.status, allowed))
        if (kind == APPROVED and DENIED in seen) or (kind == DENIED and APPROVED in seen):
            causes.append(invalid(where / "type", kind, "Approved and Denied conditions are mutually exclusive"))
        if kind in seen:
            causes.append(duplicate(where / "type", kind))
        seen.add(kind)


def _check_removals(
    new: CertificateSigningRequestStatus, old: CertificateSigningRequestStatus, causes: list[Cause]
) -> None:
    causes.extend(
        forbidden(_CONDITIONS, f"updates may not remove a condition of type {quoted(kind)}")
        for kind in _DECIDING
        if len(_of(new, kind)) < len(_of(old, kind))
    )


def _of(status: CertificateSigningRequestStatus, kind: str) -> list[CertificateSigningRequestCondition]:
    return [condition for condition in status.conditions if condition.type == kind]
