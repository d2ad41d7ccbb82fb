"""Requests for certificates, as a user's tool makes them."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def request(
    name: str = "jane", organizations: tuple[str, ...] = (), names: tuple[str, ...] = (), emails: tuple[str, ...] = ()
) -> tuple[bytes, bytes]:
    """Return a request and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    others: list[x509.GeneralName] = [x509.RFC822Name(email) for email in emails]
    for each in names:
        try:
            others.append(x509.IPAddress(ipaddress.ip_address(each)))
        except ValueError:
            others.append(x509.DNSName(each))
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def body(name: str = "r", signer: str = "example.com/e2e", pem: bytes | None = None, **spec: Any) -> dict[str, Any]:
    """Return a CertificateSigningRequest."""
    text = base64.b64encode(request()[0] if pem is None else pem).decode()
    spec = {"request": text, "signerName": signer, "usages": ["digital signature", "client auth"], **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name, "labels": {"special-label": "generic"}},
        "spec": spec,
    }
