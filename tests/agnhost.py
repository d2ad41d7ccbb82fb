"""A stand-in for the image of upstream's suite: Pods that serve and call, with the machine's Python in a container.

Serves its name over HTTP (`/hostname`) and UDP, or per port a page, plain or over TLS, which may tell the method by which
it was asked for; calls whatever address it is told to. All of it listens on both address families where there are two.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.running import IMAGE, RunningCluster

_SERVE = r"""
import http.server, json, os, socket, ssl, sys, threading
told = json.loads(sys.argv[1])

class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET
    request_queue_size = 128

def handler(page):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = socket.gethostname() if page.get("hostname") else page["body"]
            kind = "text/plain"
            if page.get("json"):
                body, kind = json.dumps({"Method": self.command, "Body": body}), "application/json"
            elif body.startswith("<"):
                kind = "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())
        def log_message(self, *words):
            pass
    for verb in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"):
        setattr(Handler, "do_" + verb, Handler.answer)
    return Handler

def datagrams(port):
    udp = socket.socket(Server.address_family, socket.SOCK_DGRAM)
    udp.bind(("", port))
    while True:
        _, peer = udp.recvfrom(100)
        udp.sendto(socket.gethostname().encode(), peer)

for port, page in told["pages"].items():
    server = Server(("", int(port)), handler(page))
    if page.get("tls"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["certificate"])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()
for port in told["udp"]:
    threading.Thread(target=datagrams, args=[port]).start()
"""
_CALL = r"""
import socket, sys
protocol, address, port, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for _ in range(times):
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM) as caller:
            caller.settimeout(1)
            caller.connect((address, port))
            caller.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := caller.recv(4096):
                answer += piece
                if protocol == "UDP":
                    break
            print(answer.rpartition(b"\r\n")[2].decode())
    except OSError as error:
        print(type(error).__name__)
"""


def server_pod(
    name: str,
    labels: Mapping[str, str],
    pages: Mapping[int, Mapping[str, Any]] | None = None,
    *,
    udp: tuple[int, ...] = (),
    certificate: Path | None = None,
    ports: tuple[Mapping[str, Any], ...] = (),
    **spec: object,
) -> dict[str, Any]:
    """Return a Pod that serves `pages` by port, its name on 8080 where none are given, and answers on `udp`."""
    pages = pages or {8080: {"hostname": True}}
    told = {"pages": pages, "udp": udp, "certificate": str(certificate)}
    probe = {"tcpSocket": {"port": next(iter(pages))}, "periodSeconds": 1}
    container = {"ports": list(ports), "readinessProbe": probe}
    return _pod(name, labels, [_SERVE, json.dumps(told)], container, spec)


def caller_pod(name: str, **spec: object) -> dict[str, Any]:
    """Return a Pod that `called` calls from."""
    return _pod(name, {"calls": name}, ["import signal; signal.pause()"], {}, spec)


def called(
    cluster: RunningCluster, pod: str, address: str, port: int, protocol: str = "TCP", *, times: int = 1
) -> list[str]:
    """Call an address from within a Pod; return who answered, or the error, each time."""
    words = ("-c", _CALL, protocol, address, str(port), str(times))
    return cluster.kubectl("exec", pod, "--", *_PYTHON, *words).stdout.split()


def called_by_name(cluster: RunningCluster, pod: str, name: str, port: int, *, times: int = 1) -> list[str]:
    """Call a name that the Pod's own resolver knows, over HTTP; return who answered, or `failed`, each time."""
    script = f"for i in $(seq {times}); do timeout 3 wget -qO- http://{name}:{port}/hostname || echo failed; echo; done"
    return cluster.kubectl("exec", pod, "--", "sh", "-c", script).stdout.split()


def self_signed(folder: Path) -> Path:
    """Return a file with a certificate that nobody vouches for, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "somebody.pem"
    file.write_bytes(key.private_bytes(*form) + made.sign(key, hashes.SHA256()).public_bytes(form[0]))
    return file


_PYTHON = ("chroot", "/machine", str(Path(sys.executable).resolve()), "-IS")


def _pod(
    name: str, labels: Mapping[str, str], words: list[str], container: Mapping[str, Any], spec: Mapping[str, object]
) -> dict[str, Any]:
    mount = {"name": "machine", "mountPath": "/machine", "readOnly": True}
    main = {"name": "main", "image": IMAGE, "command": [*_PYTHON, "-c", *words], "volumeMounts": [mount], **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "machine", "hostPath": {"path": "/"}}],
            "containers": [main],
            **spec,
        },
    }
