"""Certificates and requests for them, as objects carry them: PEM in base64. Pure reading.

`cryptography` is loaded when the first one is read. Refusals are `ValueError` in upstream's words, as far as these are
Kubernetes's and not those of Go's libraries.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.x509 import Certificate, CertificateSigningRequest

_BLOCK: Final = re.compile(
    rb"-----BEGIN ([^\n-]+)-----[ \t\r]*\n((?:[^\n:]+: [^\n]*\n)*)[A-Za-z0-9+/=\s]*-----END \1-----", re.ASCII
)


class Requested(Struct, frozen=True):
    """For whom a certificate is asked for."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def decoded(text: str) -> bytes:
    """Return the PEM of a field; empty where the text is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def parse_request(pem: bytes) -> CertificateSigningRequest:
    """Return the request in a PEM whose signature has been verified."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import load_der_x509_csr

    block = next(_blocks(pem), None)
    if block is None or block[0] != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    request = load_der_x509_csr(block[2])
    try:
        sound = request.is_signature_valid
    except UnsupportedAlgorithm as error:
        raise ValueError("x509: cannot verify signature: algorithm unimplemented") from error
    if not sound:
        raise ValueError("x509: the request's signature does not verify")
    return request


def requested(request: CertificateSigningRequest) -> Requested:
    """Return for whom a request asks; `ValueError` where its subject or its other names cannot be read."""
    from cryptography import x509

    try:
        return _requested(request)
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"x509: {error}") from error


def _requested(request: CertificateSigningRequest) -> Requested:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(each.value) for each in request.subject.get_attributes_for_oid(oid))

    names = named(NameOID.COMMON_NAME)
    found = Requested(names[-1] if names else "", named(NameOID.ORGANIZATION_NAME))
    try:
        others = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    return Requested(
        found.common_name,
        found.organizations,
        tuple(others.get_values_for_type(x509.DNSName)),
        tuple(str(each) for each in others.get_values_for_type(x509.IPAddress)),
        tuple(others.get_values_for_type(x509.RFC822Name)),
        tuple(others.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def parse_certificates(pem: bytes) -> list[Certificate]:
    """Return the certificates of a PEM that holds nothing else."""
    from cryptography.x509 import load_der_x509_certificate

    found = []
    for kind, headers, der in _blocks(pem):
        if kind != "CERTIFICATE":
            raise ValueError(f'only CERTIFICATE PEM blocks are allowed, found "{kind}"')
        if headers:
            raise ValueError("no PEM block headers are permitted")
        found.append(load_der_x509_certificate(der))
    if not found:
        raise ValueError("must contain at least one CERTIFICATE PEM block")
    return found


def _blocks(pem: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the kind, the headers and the content of each PEM block; what stands around them is nobody's."""
    for match in _BLOCK.finditer(pem):
        body = match[0].split(b"-----")[2][len(match[2]) :] if match[2] else match[0].split(b"-----")[2]
        yield match[1].decode(), match[2], base64.b64decode(b"".join(body.split()))
