"""What Kubernetes's own signers sign, for how long, and when requests are cleared away: pure, in upstream's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.times import from_wire
from podling.api.validation.certificates import APPROVED, DENIED, FAILED

if TYPE_CHECKING:
    from collections.abc import Collection

    from podling.api.certificates import Requested
    from podling.api.types.certificates_v1 import CertificateSigningRequest

CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
SIGNERS: Final = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)

_YEAR: Final = 8760 * 3600
_SHORTEST: Final = 600
_HOUR: Final = 3600
_SIGNATURE, _ENCIPHERMENT = "digital signature", "key encipherment"
_NODES: Final = ("system:nodes",)
_NODE: Final = "system:node:"


def awaits_signing(csr: CertificateSigningRequest) -> bool:
    """Whether a request of one of these signers is approved and has no answer yet."""
    kinds = _kinds(csr)
    decided = APPROVED in kinds and DENIED not in kinds and FAILED not in kinds
    return decided and not csr.status.certificate and csr.spec.signer_name in SIGNERS


def complaint(signer: str, asked: Requested, usages: Collection[str]) -> str:
    """Return why a signer does not sign a request; empty where it does."""
    match signer:
        case "kubernetes.io/kube-apiserver-client":
            return _of_client(usages)
        case "kubernetes.io/kube-apiserver-client-kubelet":
            return _of_kubelet_client(asked, usages)
        case _:
            return _of_kubelet_serving(asked, usages)


def _of_client(usages: Collection[str]) -> str:
    for usage in usages:
        if usage not in {_SIGNATURE, _ENCIPHERMENT, "client auth"}:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _of_kubelet_client(asked: Requested, usages: Collection[str]) -> str:
    if asked.organizations != _NODES:
        return "subject organization is not system:nodes"
    for names, word in (
        (asked.dns_names, "DNS"),
        (asked.emails, "Email"),
        (asked.addresses, "IP"),
        (asked.uris, "URI"),
    ):
        if names:
            return f"{word} subjectAltNames are not allowed"
    if not asked.common_name.startswith(_NODE):
        return f"subject common name does not begin with {_NODE}"
    return _exactly(usages, "client auth")


def _of_kubelet_serving(asked: Requested, usages: Collection[str]) -> str:
    if asked.organizations != _NODES:
        return "subject organization is not system:nodes"
    if not asked.dns_names and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    if asked.emails:
        return "Email subjectAltNames are not allowed"
    if asked.uris:
        return "URI subjectAltNames are not allowed"
    wrong = _exactly(usages, "server auth")
    if not wrong and not asked.common_name.startswith(_NODE):
        return f"subject common name does not begin with {_NODE}"
    return wrong


def _exactly(usages: Collection[str], purpose: str) -> str:
    if set(usages) in ({_SIGNATURE, purpose}, {_SIGNATURE, _ENCIPHERMENT, purpose}):
        return ""
    return f"usages did not match [{' '.join(sorted((_SIGNATURE, _ENCIPHERMENT, purpose)))}]"


def lifetime(asked: int | None) -> int:
    """Return the seconds that a certificate holds: a year at most, ten minutes at least."""
    return _YEAR if asked is None else min(max(asked, _SHORTEST), _YEAR)


def is_past(csr: CertificateSigningRequest, now: float) -> bool:
    """Whether a request may be cleared away: an hour after it was decided, a day after nobody did."""
    kinds = _kinds(csr)
    ages = [now - from_wire(c.last_update_time) for c in csr.status.conditions if c.last_update_time]
    if DENIED in kinds or FAILED in kinds or (APPROVED in kinds and csr.status.certificate):
        return max(ages, default=0.0) > _HOUR
    created = csr.metadata.creation_timestamp
    return not kinds and created is not None and now - from_wire(created) > 24 * _HOUR


def _kinds(csr: CertificateSigningRequest) -> set[str]:
    return {condition.type for condition in csr.status.conditions}
