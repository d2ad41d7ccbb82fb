"""Where an API server is and who one is to it: kubeconfig files and the in-cluster mount.

Owns reading those files into `Connection`. Knows nothing of HTTP. Relative file names count from the kubeconfig's own
directory, as upstream has it.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from podling.api.validation.addresses import bracketed

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """A kubeconfig that cannot be used; the message says what is missing where."""


class Connection(Struct, frozen=True):
    """An API server's address and the credentials for it."""

    server: str
    """`https://host:port`, or `unix:///path` for a socket that speaks plain HTTP."""
    ca: bytes = b""
    """PEM; empty means the system's authorities."""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: Path | None = None
    """Read afresh for each call, since what stands in it is rotated."""
    insecure: bool = False
    server_name: str = ""
    namespace: str = "default"

    @property
    def socket(self) -> str:
        """The path of the unix socket, if it is one."""
        parts = urlsplit(self.server)
        return unquote(parts.path) if parts.scheme == "unix" else ""

    def bearer(self) -> str:
        """Return the token to present, or nothing."""
        return self.token_file.read_text().strip() if self.token_file is not None else self.token


def load_kubeconfig(path: Path, context: str = "") -> Connection:
    """Read a kubeconfig; `context` is its current one unless given."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} is not a kubeconfig")
    wanted = context or tree.get("current-context") or ""
    if not wanted:
        raise ConfigError(f"{path} names no current-context")
    chosen = _named(tree, "contexts", "context", wanted, path)
    cluster = _named(tree, "clusters", "cluster", chosen.get("cluster", ""), path)
    user = _named(tree, "users", "user", chosen.get("user", ""), path) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    if user.get("exec") or user.get("auth-provider"):
        raise ConfigError(
            f"{path}: user {chosen.get('user')!r} gets its credentials from a program, which is not supported"
        )
    token_file = user.get("tokenFile")
    return Connection(
        server=cluster["server"],
        ca=_data(cluster, "certificate-authority", path),
        certificate=_data(user, "client-certificate", path),
        key=_data(user, "client-key", path),
        token=user.get("token") or "",
        token_file=path.parent / token_file if token_file else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
        namespace=chosen.get("namespace") or "default",
    )


def in_cluster(directory: Path = SERVICE_ACCOUNT_DIRECTORY) -> Connection:
    """Return the connection of a Pod: its service account's token and the API server's service address."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    return Connection(
        server=f"https://{bracketed(host)}:{port}",
        ca=(directory / "ca.crt").read_bytes(),
        token_file=directory / "token",
        namespace=(directory / "namespace").read_text().strip(),
    )


def _named(tree: dict[str, Any], section: str, member: str, name: str, path: Path) -> dict[str, Any]:
    for entry in tree.get(section) or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(member) or {}
            return found
    raise ConfigError(f"{path} has no {member} {name!r}")


def _data(entry: dict[str, Any], name: str, path: Path) -> bytes:
    # Data given in the file goes before the name of another file, as upstream has it.
    if entry.get(f"{name}-data"):
        return base64.b64decode(entry[f"{name}-data"])
    return (path.parent / entry[name]).read_bytes() if entry.get(name) else b""
