"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may answer for a signer, with what.

Upstream's rights are on `signers` of certificates.k8s.io, by the signer's name or by its domain and a star.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.certificates import decoded, parse_request, requested
from podling.api.errors import forbidden
from podling.api.validation.field import quoted
from podling.apiserver.record import Attributes

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.record import Authorizer

_GROUP: Final = "certificates.k8s.io"
_PLURAL: Final = "certificatesigningrequests"
_OF_CLIENTS: Final = "kubernetes.io/kube-apiserver-client"
_MASTERS: Final = "system:masters"


class Certificates:
    """Upstream's three plugins, of which each has one way in."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def judge(self, operation: Operation) -> None:
        resource = operation.record.resource
        if resource.group != _GROUP or resource.plural != _PLURAL:
            return
        match operation.verb, operation.subresource:
            case "CREATE", "":
                self._restrict_subject(operation)
            case "UPDATE", "approval":
                self._ask(operation, "approve")
            case "UPDATE", "status" if _answers(operation):
                self._ask(operation, "sign")

    def _restrict_subject(self, operation: Operation) -> None:
        spec = operation.tree["spec"]
        if spec.get("signerName") != _OF_CLIENTS:
            return
        if _MASTERS in requested(parse_request(decoded(spec["request"]))).organizations:
            why = f"use of {_OF_CLIENTS} signer with {_MASTERS} group is not allowed"
            raise forbidden(_GROUP, _PLURAL, operation.name, why)

    def _ask(self, operation: Operation, verb: str) -> None:
        signer = (operation.old or operation.tree)["spec"]["signerName"]
        domain = signer.partition("/")[0]
        user = operation.context.user
        for name in (signer, f"{domain}/*"):
            if self._authorizer.authorize(Attributes(user, verb, _GROUP, "*", "signers", name=name)).allowed:
                return
        why = f"user not permitted to {verb} requests with signerName {quoted(signer)}"
        raise forbidden(_GROUP, _PLURAL, operation.name, why)


def _answers(operation: Operation) -> bool:
    """Whether a write of a status changes what a signer says."""
    status, before = operation.tree.get("status") or {}, (operation.old or {}).get("status") or {}
    return any(status.get(part) != before.get(part) for part in ("certificate", "conditions"))
