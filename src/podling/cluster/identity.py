"""Who is who in a cluster with sockets: certificates on disk, tokens, and the authentication over both.

Owns the wiring of `apiserver.identity` to the folder that holds the keys and to the server's own cache.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from podling.apiserver.identity.authentication import Authentication, TokenFile
from podling.apiserver.identity.pki import KeyPair, Pki, client_context, server_context, write_kubeconfig
from podling.apiserver.identity.tokens import SigningKey, TokenIssuer, TokenVerifier

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.apiserver.server import ApiServer


class Identity:
    """The keys of one cluster and what is made of them. `ensure` comes first."""

    def __init__(self, directory: Path, clock: Clock, chance: Chance, server: ApiServer) -> None:
        self._pki = Pki(directory)
        self._clock = clock
        self._chance = chance
        self._server = server

    def ensure(self, names: Iterable[str]) -> None:
        """Make what keys are missing or stale; `names` are where the API server is reached."""
        self._pki.ensure(self._clock.time(), names)
        self._key = SigningKey(self._pki.signing_key, self._pki.signing_jwk)
        lookup = self._server.registry.find
        self.issuer = TokenIssuer(self._key, lookup, self._chance)
        self._verifier = TokenVerifier(self._key, lookup)

    def authentication(self, token_file: Path | None) -> Authentication:
        """Return the union of certificates, the token file and ServiceAccount tokens."""
        tokens = TokenFile.read(token_file) if token_file is not None else None
        return Authentication(self._clock, tokens=tokens, accounts=self._verifier)

    def root_ca(self) -> str:
        return self._pki.authority.read_text()

    def sign(self, request: bytes, usages: Collection[str], seconds: int) -> str:
        """Return the certificate for a request, as `controllers.certificates.Authority` wants it."""
        return base64.b64encode(self._pki.sign(request, usages, self._clock.time(), seconds)).decode()

    def server_tls(self) -> ssl.SSLContext:
        return server_context(self._pki.authority, self._pki.server)

    def kubelet_client(self) -> ssl.SSLContext:
        """Return the TLS with which the API server calls kubelets."""
        return client_context(self._pki.authority, self._pki.kubelet_client)

    def kubelet_server_tls(self, node: str, names: Iterable[str]) -> ssl.SSLContext:
        """Return the TLS of a kubelet's own server."""
        return server_context(self._pki.authority, self.kubelet_pair(node, names))

    def kubelet_pair(self, node: str, names: Iterable[str]) -> KeyPair:
        return self._pki.kubelet_server(node, self._clock.time(), names)

    def write_kubeconfig(self, path: Path, server: str) -> None:
        """Write the administrator's, 0600."""
        write_kubeconfig(path, server, self._pki)
