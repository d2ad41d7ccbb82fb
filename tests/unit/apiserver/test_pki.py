"""The cluster's keys and certificates."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podling.apiserver.identity.authentication import certificate_user
from podling.apiserver.identity.pki import KeyPair, Pki, client_context, server_context, write_kubeconfig

DAY = 86_400


def contents(directory: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in sorted(directory.iterdir())}


def made(directory: Path, now: float | None = None, *names: str) -> Pki:
    pki = Pki(directory / "pki")
    pki.ensure(time.time() if now is None else now, names)
    return pki


def test_a_second_start_changes_nothing_and_imports_nothing(tmp_path: Path) -> None:
    """What is there and valid is left alone, and the costly library stays unloaded."""
    made(tmp_path, None, "10.96.0.1")
    before = contents(tmp_path / "pki")
    code = (
        "import sys, time, pathlib; from podling.apiserver.identity.pki import Pki\n"
        "pki = Pki(pathlib.Path(sys.argv[1])); pki.ensure(time.time(), ['10.96.0.1']); pki.signing_jwk\n"
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "pki")], check=True, env={"PYTHONPATH": "src"})
    assert contents(tmp_path / "pki") == before
    assert all(f.stat().st_mode & 0o077 == 0 for f in (tmp_path / "pki").glob("*.key"))


@pytest.mark.parametrize("change", ["names", "age", "lost", "half"])
def test_a_certificate_that_no_longer_fits_is_made_anew(tmp_path: Path, change: str) -> None:
    """Other names, nearing expiry, loss and half-written files each bring a new certificate of the same authority."""
    now = time.time()
    made(tmp_path, now, "a.example")
    old = contents(tmp_path / "pki")
    match change:
        case "lost":
            (tmp_path / "pki" / "apiserver.crt").unlink()
        case "half":
            (tmp_path / "pki" / "apiserver.key").write_bytes(b"-----BEGIN")
    made(tmp_path, now + (310 * DAY if change == "age" else 0), "b.example" if change == "names" else "a.example")
    new = contents(tmp_path / "pki")
    assert new["apiserver.crt"] != old["apiserver.crt"]
    assert new["ca.crt"] == old["ca.crt"]
    assert new["sa.key"] == old["sa.key"]


def test_a_new_authority_signs_everything_anew(tmp_path: Path) -> None:
    """Where the authority is lost nothing that it signed survives; tokens do."""
    made(tmp_path)
    old = contents(tmp_path / "pki")
    (tmp_path / "pki" / "ca.key").unlink()
    made(tmp_path)
    new = contents(tmp_path / "pki")
    assert all(new[f] != old[f] for f in ("ca.crt", "apiserver.crt", "admin.crt"))
    assert new["sa.key"] == old["sa.key"]


def test_clients_are_known_by_their_certificates(tmp_path: Path) -> None:
    """Over TLS the server learns name and groups; a stranger's certificate ends the handshake, none at all is accepted."""
    pki = made(tmp_path)
    stranger = Pki(tmp_path / "other")
    stranger.ensure(time.time())
    seen: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(certificate_user(writer.get_extra_info("peercert")))
        writer.write(b".")
        writer.close()

    async def call(port: int, context: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(pki.authority, pki.server))
        port = server.sockets[0].getsockname()[1]
        async with server:
            await call(port, client_context(pki.authority, pki.admin))
            await call(port, client_context(pki.authority, pki.kubelet("n1", time.time())))
            await call(port, client_context(pki.authority))
            try:
                answer = await call(port, client_context(pki.authority, stranger.admin))
            except (ssl.SSLError, ConnectionError):
                answer = b""
            assert answer == b""

    asyncio.run(main())
    known = [(u.name, u.groups) if u else None for u in seen]  # type: ignore[attr-defined]
    assert known == [("kubernetes-admin", ("system:masters",)), ("system:node:n1", ("system:nodes",)), None]


def test_kubeconfig(tmp_path: Path) -> None:
    """The kubeconfig is for its owner's eyes, and kubectl reads it."""
    pki = made(tmp_path)
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, "https://127.0.0.1:6443", pki)
    assert path.stat().st_mode & 0o777 == 0o600
    import yaml

    config = yaml.safe_load(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert isinstance(pki.admin, KeyPair)
    assert config["users"][0]["name"] == config["contexts"][0]["context"]["user"]
