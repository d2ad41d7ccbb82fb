"""Certificates for a simulated cluster that clients call by TLS.

Owns a folder of keys that goes with the cluster. Their validity is of the machine's own time: those who check it do not
live in the simulation.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from podling.aio.clock import SystemClock

if TYPE_CHECKING:
    import ssl

    from podling.apiserver.identity.pki import Pki

_NAMES = ("127.0.0.1", "localhost")


class ServingKeys:
    """An authority, the server's certificate and the administrator's; made when first asked for."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Return the server's side of TLS."""
        from podling.apiserver.identity.pki import server_context

        pki = self._made()
        return server_context(pki.authority, pki.server)

    def write_kubeconfig(self, path: Path, url: str) -> None:
        """Write the administrator's kubeconfig for `url`, 0600."""
        from podling.apiserver.identity.pki import write_kubeconfig

        write_kubeconfig(path, url, self._made())

    def close(self) -> None:
        """Remove the keys."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _made(self) -> Pki:
        from podling.apiserver.identity.pki import Pki

        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="podling-")
        pki = Pki(Path(self._folder.name))
        pki.ensure(SystemClock().time(), _NAMES)
        return pki
