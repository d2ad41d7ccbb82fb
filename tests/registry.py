"""Debian's docker-registry on the loopback, a token service for it, and a pusher: for tests of pulling."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.running import eventually, free_port

PROGRAM = shutil.which("docker-registry")
USER, PASSWORD = "ann", "right-one"
_HASHED = (
    "$2b$04$abcdefghijklmnopqrstuuDamSpEBK/aHXBMNOuT7tjZRd3dlURqO"  # bcrypt of it, which is all that the registry takes
)


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """A registry process; `auth` is `none`, `basic` or `token`."""

    folder: Path
    auth: str = "none"
    port: int = field(default_factory=free_port)
    asked: list[str] = field(default_factory=list)
    """What the token service was asked for: the query, and who asked."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Registry:
        self.folder.mkdir(parents=True, exist_ok=True)
        config: dict = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}, "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {"addr": self.host},
        }
        self._tokens = None
        if self.auth == "basic":
            (self.folder / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.folder / "htpasswd")}}
        elif self.auth == "token":
            self._tokens = _Tokens(self.folder, self.asked)
            config["auth"] = {"token": {
                "realm": f"http://127.0.0.1:{self._tokens.server_port}/token", "service": "tests", "issuer": "tests",
                "rootcertbundle": str(self.folder / "tokens.pem"),
            }}  # fmt: skip
        (self.folder / "config.yml").write_text(json.dumps(config))
        assert PROGRAM is not None
        self._log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [PROGRAM, "serve", str(self.folder / "config.yml")], stdout=self._log, stderr=self._log
        )
        eventually(self._answers, 10)
        return self

    def _answers(self) -> bool:
        try:
            return self._ask("GET", "/v2/")[0] in {200, 401}
        except OSError:
            return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        if self._tokens is not None:
            self._tokens.shutdown()
            self._tokens.server_close()

    def requests(self, method: str, part: str, status: int = 200) -> int:
        """Return how often the registry answered `status` to such requests, by its own log."""
        count = 0
        for line in (self.folder / "log").read_text(errors="replace").splitlines():
            if f'"{method} /v2/' in line and part in line and f'" {status} ' in line:
                count += 1
        return count

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _put(self, method: str, path: str, body: bytes, media: str) -> Mapping[str, str]:
        headers = {"Content-Type": media}
        if self.auth == "basic":
            headers["Authorization"] = basic()
        elif self._tokens is not None:
            name = urlsplit(path).path.removeprefix("/v2/").rpartition("/blobs/")[0] or path.split("/manifests/")[0][4:]
            headers["Authorization"] = f"Bearer {self._tokens.token(name, ['pull', 'push'])}"
        status, answer, data = self._ask(method, path, body, headers)
        assert status in {201, 202}, (method, path, status, data)
        return answer

    def push_blob(self, name: str, data: bytes) -> dict:
        media = "application/octet-stream"
        place = urlsplit(self._put("POST", f"/v2/{name}/blobs/uploads/", b"", media)["Location"])
        self._put("PUT", f"{place.path}?{place.query}&digest={digest(data)}", data, media)
        return {"digest": digest(data), "size": len(data)}

    def push(self, archive: Path, name: str, tag: str, *, oci: bool = False, index: bool = False) -> str:
        """Push the image of a docker-archive under `name:tag`; return its digest."""
        from podling.runtime.oci.images.archive import architecture

        words = "vnd.oci.image" if oci else "vnd.docker"
        with tarfile.open(archive) as tar:

            def content(member: str) -> bytes:
                file = tar.extractfile(member)
                assert file is not None
                return file.read()

            (item,) = json.loads(content("manifest.json"))
            config = self.push_blob(name, content(item["Config"]))
            layers = [self.push_blob(name, gzip.compress(content(layer), 1, mtime=0)) for layer in item["Layers"]]
        kinds = (
            ("config.v1+json", "layer.v1.tar+gzip", "manifest.v1+json", "index.v1+json") if oci else
            ("container.image.v1+json", "image.rootfs.diff.tar.gzip", "distribution.manifest.v2+json",
             "distribution.manifest.list.v2+json")
        )  # fmt: skip
        config_type, layer_type, manifest_type, index_type = (f"application/{words}.{kind}" for kind in kinds)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": manifest_type, "config": {"mediaType": config_type, **config},
            "layers": [{"mediaType": layer_type, **layer} for layer in layers],
        }).encode()  # fmt: skip
        self._put("PUT", f"/v2/{name}/manifests/{digest(manifest) if index else tag}", manifest, manifest_type)
        if not index:
            return digest(manifest)
        here = {"os": "linux", "architecture": architecture()}
        listed = {"mediaType": manifest_type, "digest": digest(manifest), "size": len(manifest), "platform": here}
        both = json.dumps({"schemaVersion": 2, "mediaType": index_type, "manifests": [
            {**listed, "platform": {"os": "linux", "architecture": "riscv64"}}, listed
        ]}).encode()  # fmt: skip
        self._put("PUT", f"/v2/{name}/manifests/{tag}", both, index_type)
        return digest(both)

    def blob_path(self, digest_: str) -> Path:
        value = digest_.removeprefix("sha256:")
        return self.folder / "storage/docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


class Breaking:
    """A way to a registry that breaks: of each connection's answers only the first `limit` bytes come, then it is cut."""

    def __init__(self, port: int, limit: int) -> None:
        self._registry = port
        self._limit = limit
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._registry))
            threading.Thread(target=self._carry, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, self._limit), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        carried = 0
        try:
            while data := source.recv(16384):
                if limit is not None and carried + len(data) > limit:
                    target.sendall(data[: limit - carried])
                    self.cuts += 1
                    break
                target.sendall(data)
                carried += len(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class _Tokens(ThreadingHTTPServer):
    """Gives tokens for `public/…` to everybody and for the rest to who has the password."""

    daemon_threads = True

    def __init__(self, folder: Path, asked: list[str]) -> None:
        import datetime as dt

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.asked = asked
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, self._key.public_key(), 1, now - dt.timedelta(hours=1),
                                    now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip
        (folder / "tokens.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def token(self, repository: str, actions: list[str]) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        now = int(time.time())
        access = [{"type": "repository", "name": repository, "actions": actions}]
        claims = {"iss": "tests", "aud": "tests", "sub": "", "iat": now, "nbf": now - 5, "exp": now + 60, "jti": "1",
                  "access": access}  # fmt: skip
        parts = [{"typ": "JWT", "alg": "ES256", "x5c": [self._chain]}, claims]
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
        return f"{text}.{signature}"


class _TokenHandler(BaseHTTPRequestHandler):
    server: _Tokens

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        who = self.headers.get("Authorization", "")
        (scope,) = query["scope"]
        self.server.asked.append(f"{scope} {query['service'][0]} {'ann' if who == basic() else who or 'anybody'}")
        _, repository, actions = scope.split(":")
        body = b"{}"
        if who and who != basic():
            self.send_response(401)
        else:
            allowed = actions.split(",") if who or repository.startswith("public/") else []
            body = json.dumps({"token": self.server.token(repository, allowed), "expires_in": 60}).encode()
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
