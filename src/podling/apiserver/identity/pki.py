"""Owns the keys and certificates of a cluster: the files under `DIR/pki`, when they are made and when made anew.

    ca.crt ca.key                      the authority, ten years
    apiserver.crt .key                 what the API server shows, for every name and address it is reached at
    apiserver-kubelet-client.crt .key  as whom it calls kubelets
    admin.crt .key                     the kubeconfig's user, of group system:masters
    <name>.crt .key                    further clients and kubelets, made when first asked for
    sa.key sa.pub                      what ServiceAccount tokens are signed with: ECDSA, since RSA keys cost start-up
    index.json                         for whom each was made, until when it holds, the digest of what was written

Invariants: a key is never readable by others (0600) and never half written; what is there and valid is not touched, and
then `cryptography` (120 ms to import) is not loaded; a lost or foreign certificate is made anew by the same authority.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

_DAY: Final = 86_400
_AUTHORITY_LIFE: Final = 3650 * _DAY
_LIFE: Final = 365 * _DAY
_RENEW: Final = 60 * _DAY
_BACKDATED: Final = 300
"""Certificates hold from five minutes ago, so that a client whose clock is behind believes them."""

CLUSTER_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a certificate and its key stand."""

    certificate: Path
    key: Path


class _Made(msgspec.Struct, frozen=True):
    """What the index holds of one certificate or key."""

    until: float
    common_name: str
    digest: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    issuer: str = ""
    jwk: dict[str, str] = {}


class Pki:
    """The cluster's keys, under `directory`. `now` is in seconds since the epoch throughout."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._index: dict[str, _Made] = {}

    def ensure(self, now: float, names: Iterable[str] = ()) -> None:
        """Make what is missing, stale or for other names: the authority, the server's, the admin's, the signing key.

        `names` are host names and addresses beyond `CLUSTER_NAMES`, 127.0.0.1 and ::1 under which the API server is
        reached: the Service range's first address, the Pods' gateway, the host's name, what it listens on.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index = self._read_index()
        self._authority(now)
        self._pair("apiserver", now, "kube-apiserver", (), (*CLUSTER_NAMES, "127.0.0.1", "::1", *names))
        self._pair("apiserver-kubelet-client", now, "kube-apiserver-kubelet-client", ("system:masters",), ())
        self._pair("admin", now, "kubernetes-admin", ("system:masters",), ())
        self._signing_key()

    @property
    def authority(self) -> Path:
        """The certificate that clients trust, and that client certificates are judged by."""
        return self._directory / "ca.crt"

    @property
    def server(self) -> KeyPair:
        return self._paths("apiserver")

    @property
    def kubelet_client(self) -> KeyPair:
        """As whom the API server calls kubelets."""
        return self._paths("apiserver-kubelet-client")

    @property
    def admin(self) -> KeyPair:
        return self._paths("admin")

    @property
    def signing_key(self) -> Path:
        """The private key of ServiceAccount tokens (PEM)."""
        return self._directory / "sa.key"

    @property
    def signing_jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key, `kid` included; known without loading `cryptography`."""
        return dict(self._index["sa"].jwk)

    def client(self, name: str, now: float, groups: tuple[str, ...] = ()) -> KeyPair:
        """Return the client certificate of user `name`, made if there is none: `system:kube-scheduler`."""
        return self._pair(name.replace(":", "-").removeprefix("system-"), now, name, groups, ())

    def kubelet(self, node: str, now: float) -> KeyPair:
        """Return as whom a kubelet calls the API server: `system:node:NODE` of group system:nodes."""
        return self._pair(f"kubelet-{node}", now, f"system:node:{node}", ("system:nodes",), ())

    def kubelet_server(self, node: str, now: float, names: Iterable[str] = ()) -> KeyPair:
        """Return what a kubelet's own server shows, for its node's name and the addresses in `names`."""
        return self._pair(f"kubelet-{node}-server", now, f"system:node:{node}", ("system:nodes",), (node, *names))

    def sign(self, request: bytes, usages: Collection[str], now: float, life: int) -> bytes:
        """Return the certificate (PEM) that answers a request (PEM), for `life` seconds."""
        from podling.apiserver.identity.signing import issue

        return issue(request, usages, *self._signer(), now, life)

    def _signer(self) -> tuple[Certificate, EllipticCurvePrivateKey]:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificate

        key = load_pem_private_key((self._directory / "ca.key").read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return load_pem_x509_certificate(self.authority.read_bytes()), key

    def _paths(self, file: str) -> KeyPair:
        return KeyPair(self._directory / f"{file}.crt", self._directory / f"{file}.key")

    def _authority(self, now: float) -> None:
        if self._holds("ca", now, 365 * _DAY):
            return
        key, pem = _new_key()
        certificate = _issue("kubernetes", (), (), key.public_key(), None, key, now, _AUTHORITY_LIFE)
        # Whatever an earlier authority signed is worth nothing under this one.
        self._index = {file: made for file, made in self._index.items() if file == "sa"}
        made = _Made(now + _AUTHORITY_LIFE, "kubernetes", "")
        self._write("ca", _certificate_pem(certificate), pem, made)

    def _pair(
        self, file: str, now: float, common_name: str, groups: tuple[str, ...], names: tuple[str, ...]
    ) -> KeyPair:
        names = tuple(dict.fromkeys(name for name in names if name))
        paths = self._paths(file)
        held = self._index.get(file)
        if (
            held is not None
            and (held.common_name, held.groups, held.names) == (common_name, groups, names)
            and held.issuer == self._index["ca"].digest
            and self._holds(file, now, _RENEW)
        ):
            return paths
        authority, signer = self._signer()
        key, pem = _new_key()
        certificate = _issue(common_name, groups, names, key.public_key(), authority, signer, now, _LIFE)
        made = _Made(now + _LIFE, common_name, "", groups, names, self._index["ca"].digest)
        self._write(file, _certificate_pem(certificate), pem, made)
        return paths

    def _signing_key(self) -> None:
        held = self._index.get("sa")
        if held is not None and held.digest == _digest(self.signing_key):
            return
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        if held is None and self.signing_key.exists():
            # A key that somebody brought: tokens signed with it stay good.
            brought = load_pem_private_key(self.signing_key.read_bytes(), None)
            if not isinstance(brought, EllipticCurvePrivateKey) or brought.curve.name != "secp256r1":
                raise ValueError(f"{self.signing_key} must be an ECDSA P-256 key: tokens are signed as ES256")
            key = brought
        else:
            key, pem = _new_key()
            _replace(self.signing_key, pem, 0o600)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        numbers = key.public_key().public_numbers()
        jwk = {
            "use": "sig",
            "kty": "EC",
            "kid": base64url(hashlib.sha256(der).digest()),
            "crv": "P-256",
            "alg": "ES256",
            "x": base64url(numbers.x.to_bytes(32, "big")),
            "y": base64url(numbers.y.to_bytes(32, "big")),
        }
        _replace(self._directory / "sa.pub", public, 0o644)
        self._note("sa", _Made(float("1e12"), "", _digest(self.signing_key), jwk=jwk))

    def _holds(self, file: str, now: float, margin: float) -> bool:
        paths = self._paths(file)
        made = self._index.get(file)
        return made is not None and made.until - margin > now and made.digest == _digest(paths.certificate, paths.key)

    def _write(self, file: str, certificate: bytes, key: bytes, made: _Made) -> None:
        paths = self._paths(file)
        _replace(paths.key, key, 0o600)
        _replace(paths.certificate, certificate, 0o644)
        self._note(file, msgspec.structs.replace(made, digest=_digest(paths.certificate, paths.key)))

    def _note(self, file: str, made: _Made) -> None:
        self._index[file] = made
        _replace(self._directory / "index.json", msgspec.json.format(msgspec.json.encode(self._index)), 0o600)

    def _read_index(self) -> dict[str, _Made]:
        try:
            return msgspec.json.decode((self._directory / "index.json").read_bytes(), type=dict[str, _Made])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}


def server_context(pki_authority: Path, pair: KeyPair) -> ssl.SSLContext:
    """Return a server's TLS: client certificates are asked for, not demanded, and judged by the cluster's authority."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(pki_authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_context(pki_authority: Path, pair: KeyPair | None = None) -> ssl.SSLContext:
    """Return a client's TLS: trusts the cluster's authority alone, and shows `pair` if there is one."""
    import ssl

    context = ssl.create_default_context(cafile=str(pki_authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def write_kubeconfig(
    path: Path, server: str, pki: Pki, *, cluster: str = "podling", pair: KeyPair | None = None
) -> None:
    """Write a kubeconfig (0600, all data inline) for the admin, or for the holder of `pair`."""
    pair = pair or pki.admin
    user = f"{cluster}-admin" if pair == pki.admin else pair.certificate.stem

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    text = f"""apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {inline(pki.authority)}
contexts:
- name: {cluster}
  context:
    cluster: {cluster}
    user: {user}
current-context: {cluster}
users:
- name: {user}
  user:
    client-certificate-data: {inline(pair.certificate)}
    client-key-data: {inline(pair.key)}
"""
    _replace(path, text.encode(), 0o600)


def base64url(data: bytes) -> str:
    """Return base64url without padding, as JSON Web Tokens and Keys use it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _digest(*files: Path) -> str:
    """Return a digest of the files' content, "" where one is missing."""
    total = hashlib.sha256()
    for file in files:
        try:
            total.update(file.read_bytes())
        except FileNotFoundError:
            return ""
    return total.hexdigest()


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it is either as before or whole, and never wider than `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    beside.replace(path)


def _new_key() -> tuple[EllipticCurvePrivateKey, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _certificate_pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _issue(
    common_name: str,
    groups: tuple[str, ...],
    names: tuple[str, ...],
    public_key: Any,
    authority: Certificate | None,
    signer: EllipticCurvePrivateKey,
    now: float,
    life: float,
) -> Certificate:
    """Sign a certificate: an authority's own where `authority` is `None`, a server's with names, a client's without."""
    import ipaddress
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now) - _BACKDATED, UTC))
        .not_valid_after(datetime.fromtimestamp(int(now + life), UTC))
        .add_extension(x509.BasicConstraints(authority is None, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority is None,
                crl_sign=authority is None,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if authority is not None:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        general: list[x509.GeneralName] = []
        for name in names:
            try:
                general.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                general.append(x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(signer, hashes.SHA256())
