"""What Kubernetes's own signers sign, what the authority makes of it, and when requests are cleared away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.requests import body, request

from podling.api.certificates import Requested, parse_request, requested
from podling.api.times import from_wire
from podling.api.types.certificates_v1 import CertificateSigningRequest
from podling.api.validation.shape import typed
from podling.apiserver.identity.pki import Pki
from podling.controllers.signing import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    awaits_signing,
    complaint,
    is_past,
    lifetime,
)

NOW = from_wire("2026-11-30T12:00:00Z")
NODE = Requested("system:node:n", ("system:nodes",))
SERVER = Requested("system:node:n", ("system:nodes",), ("n",), ("10.0.0.1",))
TO_CALL = ("digital signature", "client auth")
TO_SERVE = ("digital signature", "key encipherment", "server auth")


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "said"),
    [
        (CLIENT, Requested("jane"), TO_CALL, ""),
        (CLIENT, Requested("jane"), ("client auth",), ""),
        (CLIENT, Requested("jane"), ("digital signature",), "missing required usage for client certificate: client auth"),
        (CLIENT, Requested("jane"), (*TO_CALL, "server auth"), "invalid usage for client certificate: server auth"),
        (KUBELET_CLIENT, NODE, TO_CALL, ""),
        (KUBELET_CLIENT, NODE, ("client auth",), "usages did not match [client auth digital signature key encipherment]"),
        (KUBELET_CLIENT, SERVER, TO_CALL, "DNS subjectAltNames are not allowed"),
        (KUBELET_CLIENT, Requested("jane", ("system:nodes",)), TO_CALL, "subject common name does not begin with system:node:"),
        (KUBELET_SERVING, SERVER, TO_SERVE, ""),
        (KUBELET_SERVING, SERVER, ("digital signature", "server auth"), ""),
        (KUBELET_SERVING, SERVER, TO_CALL, "usages did not match [digital signature key encipherment server auth]"),
        (KUBELET_SERVING, NODE, TO_SERVE, "DNS or IP subjectAltName is required"),
        (KUBELET_SERVING, Requested("system:node:n", ("other",), ("n",)), TO_SERVE, "subject organization is not system:nodes"),
        (KUBELET_SERVING, Requested("n", ("system:nodes",), ("n",)), TO_SERVE, "subject common name does not begin with system:node:"),
        (KUBELET_SERVING, Requested("system:node:n", ("system:nodes",), ("n",), (), ("a@b",)), TO_SERVE, "Email subjectAltNames are not allowed"),
    ],
)  # fmt: skip
def test_what_is_signed(signer: str, asked: Requested, usages: tuple[str, ...], said: str) -> None:
    """Each signer has its own rule, and says in upstream's words what is against it."""
    assert complaint(signer, asked, usages) == said


def csr(*kinds: str, certificate: str = "", at: str = "2026-11-30T11:00:00Z", signer: str = CLIENT) -> Any:
    conditions = [{"type": kind, "status": "True", "lastUpdateTime": at} for kind in kinds]
    made = body(signer=signer) | {"status": {"conditions": conditions, "certificate": certificate}}
    made["metadata"]["creationTimestamp"] = at
    return typed(CertificateSigningRequest, made)


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        (csr(), False),
        (csr("Approved"), True),
        (csr("Approved", certificate="YQ=="), False),
        (csr("Denied"), False),
        (csr("Approved", "Failed"), False),
        (csr("Approved", signer="example.com/e2e"), False),
    ],
)
def test_what_waits_for_a_signature(found: CertificateSigningRequest, waits: bool) -> None:
    """What is approved, of one of the cluster's own signers, and not answered yet."""
    assert awaits_signing(found) is waits


@pytest.mark.parametrize(
    ("found", "past"),
    [
        (csr(), False),
        (csr(at="2026-11-29T11:59:59Z"), True),
        (csr("Approved", at="2026-11-29T11:00:00Z"), False),
        (csr("Approved", certificate="YQ==", at="2026-11-30T10:59:59Z"), True),
        (csr("Approved", certificate="YQ=="), False),
        (csr("Denied", at="2026-11-30T10:59:59Z"), True),
        (csr("Approved", "Failed", at="2026-11-30T10:59:59Z"), True),
    ],
)
def test_when_a_request_is_past(found: CertificateSigningRequest, past: bool) -> None:
    """An hour after it was answered, a day after nobody cared."""
    assert is_past(found, NOW) is past


def test_how_long_a_certificate_holds() -> None:
    """A year unless less is asked, and never less than ten minutes."""
    assert [lifetime(asked) for asked in (None, 10**9, 3600, 1)] == [31_536_000, 31_536_000, 3600, 600]


@pytest.mark.parametrize(("life", "holds"), [(3600, 3600), (86400, 86400 - 300), (10**9, None)])
def test_the_authority_signs(tmp_path: Path, life: int, holds: int | None) -> None:
    """Subject, names and key of the request, usages as told, dates as upstream's, never beyond the authority's own."""
    pki = Pki(tmp_path)
    pki.ensure(NOW)
    pem, _ = request("system:node:n", ("system:nodes",), ("n", "10.0.0.1"))
    made = x509.load_pem_x509_certificate(pki.sign(pem, TO_SERVE, NOW, life))
    authority = x509.load_pem_x509_certificate(pki.authority.read_bytes())
    made.verify_directly_issued_by(authority)
    assert requested(parse_request(pem)) == SERVER
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n"]
    assert [str(it) for it in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_before_utc.timestamp() == NOW - 300
    assert made.not_valid_after_utc.timestamp() == (NOW + holds if holds else authority.not_valid_after_utc.timestamp())
    assert made.public_key() == parse_request(pem).public_key()


@pytest.mark.parametrize("blank", [b"\n", b" \n", b"A: b\n"])
def test_a_block_of_blanks_takes_no_time(blank):
    """A PEM block without an end is given up in one look, however many blank lines it has."""
    with pytest.raises(ValueError, match="PEM block type must be CERTIFICATE REQUEST"):
        parse_request(b"-----BEGIN CERTIFICATE REQUEST-----\n" + blank * 100_000 + b"!")
