"""What the machine does by itself in this minute, so that each mark can be read as a ratio to it.

Three yardsticks: a bare start of one container by conmon and runc (no network, no overlay), an fsync of a 4 KiB append,
and one request and answer over TLS between two threads of this process. Each is a median of several.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path


def _median(measure, count: int) -> float:
    return statistics.median(measure() for _ in range(count))


def fsync_seconds(folder: Path, count: int = 30) -> float:
    """Append 4 KiB and fsync, as a store's log does."""
    path = folder / "fsync"
    with path.open("ab", buffering=0) as file:

        def once() -> float:
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            return time.perf_counter() - began

        result = _median(once, count)
    path.unlink()
    return result


def tls_echo_seconds(folder: Path, count: int = 300) -> float:
    """One small message there and back on an open TLS connection over loopback."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    import socket

    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        raw, _ = listener.accept()
        with server_context.wrap_socket(raw, server_side=True) as connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection(listener.getsockname())) as connection:

        def once() -> float:
            began = time.perf_counter()
            connection.sendall(b"x" * 256)
            connection.recv(4096)
            return time.perf_counter() - began

        result = _median(once, count)
    thread.join(5)
    listener.close()
    return result


def container_seconds(folder: Path, count: int = 7) -> float | None:
    """Start one container by hand with conmon and runc; `None` where this machine cannot."""
    conmon, runc, busybox = shutil.which("conmon"), shutil.which("runc"), shutil.which("busybox")
    if os.geteuid() != 0 or not (conmon and runc and busybox):
        return None
    root = folder / "bundle" / "rootfs"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("proc", "sys", "dev", "tmp"):
        (root / name).mkdir()
    subprocess.run([runc, "spec"], cwd=root.parent, check=True)
    spec = json.loads((root.parent / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/bin/busybox", "sleep", "60"])
    spec["process"].pop("rlimits", None)
    (root.parent / "config.json").write_text(json.dumps(spec))

    def once() -> float:
        name = f"calibrate-{uuid.uuid4().hex[:12]}"
        pidfile = folder / f"{name}.pid"
        read, write = os.pipe()
        os.set_inheritable(write, True)
        began = time.perf_counter()
        subprocess.run(
            [conmon, "-c", name, "-u", name, "-n", name, "-b", str(root.parent), "-r", runc, "-p", str(pidfile),
             "-l", f"k8s-file:{folder / name}.log", "--exit-dir", str(folder),
             "--socket-dir-path", str(folder)],
            env={**os.environ, "_OCI_SYNCPIPE": str(write)}, pass_fds=[write], check=True,
            # conmon keeps what it inherits
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write)
        with os.fdopen(read) as pipe:
            answer = json.loads(pipe.readline())
        if answer.get("data", answer.get("pid", -1)) <= 0:
            raise RuntimeError(f"conmon could not create the container: {answer}")
        subprocess.run([runc, "start", name], check=True, capture_output=True)
        took = time.perf_counter() - began
        subprocess.run([runc, "delete", "--force", name], check=False, capture_output=True)
        return took

    return _median(once, count)


def calibrate() -> dict[str, float]:
    """Return the yardsticks in milliseconds; a missing one is left out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"fsync": fsync_seconds(folder) * 1e3, "tls echo": tls_echo_seconds(folder) * 1e3}
        container = container_seconds(folder)
        if container is not None:
            found["conmon + runc"] = container * 1e3
        return found


if __name__ == "__main__":
    for name, value in calibrate().items():
        print(f"{name:<14} {value:8.3f} ms")
