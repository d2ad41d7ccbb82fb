"""What a CertificateSigningRequest may ask."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.requests import body, request

from podling.api.resources import CERTIFICATE_SIGNING_REQUESTS

from .objects import found, found_in_update

PEM = request()[0]


def forged() -> bytes:
    """A request whose name was changed after it had been signed."""
    lines = PEM.splitlines()
    der = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    at = der.index(b"jane")
    der[at : at + 4] = b"fran"
    return (
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(der))
        + b"-----END CERTIFICATE REQUEST-----\n"
    )


def test_what_is_sound() -> None:
    """Text around the block is nobody's."""
    for pem in (PEM, b"hello\n" + PEM + b"bye\n"):
        sound = body(pem=pem, usages=["any", "s/mime"], expirationSeconds=600)
        assert (
            found(CERTIFICATE_SIGNING_REQUESTS, sound)
            == found_in_update(CERTIFICATE_SIGNING_REQUESTS, sound, sound)
            == []
        )


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"request": base64.b64encode(b"a").decode()}, "spec.request", 'Invalid value: "YQ==": PEM block type must be CERTIFICATE REQUEST'),
        ({"request": base64.b64encode(PEM.replace(b"CERTIFICATE R", b"NEW CERTIFICATE R")).decode()}, "spec.request", "PEM block type must be CERTIFICATE REQUEST"),
        ({"request": base64.b64encode(forged()).decode()}, "spec.request", "signature does not verify"),
        ({"usages": []}, "spec.usages", "Required value"),
        ({"usages": ["eat"]}, "spec.usages[0]", 'Unsupported value: "eat": supported values: "any", "cert sign", "client auth", '),
        ({"usages": ["any", "any"]}, "spec.usages[1]", 'Duplicate value: "any"'),
        ({"signerName": ""}, "spec.signerName", "Required value"),
        ({"signerName": "a"}, "spec.signerName", "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ({"signerName": "kubernetes.io/legacy-unknown"}, "spec.signerName", "the legacy signerName is not allowed via this API version"),
        ({"expirationSeconds": 599}, "spec.expirationSeconds", "Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked(spec: dict[str, Any], field: str, said: str) -> None:
    """Each refusal has upstream's path and words."""
    (line,) = found(
        CERTIFICATE_SIGNING_REQUESTS,
        body(**spec) if "request" not in spec else {**body(), "spec": body()["spec"] | spec},
    )
    where, _, words = line.partition(": ")
    assert where == field
    assert said in words
