"""What `make up` runs: a cluster, an image made from this machine's busybox, and a Pod that serves a page.

Needs no network. Where containers cannot run it starts a simulated cluster instead, and says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from podling.cli.admin import ask
from podling.cluster import DataDir
from podling.cluster.data_dir import default_path

HERE = Path(__file__).parent
IMAGE = "podling.dev/hello:1"


def _podling(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "podling.cli", *words], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def main() -> None:
    data = DataDir(default_path())
    if data.holder() is None:
        _podling("up", "--detach")
    else:
        print(f"Podling is already running on {data.path}")
    simulated = ask(data, "GET", "/status")["runtime"] == "sim"
    if not simulated:
        from podling.runtime.oci.images.build import build_busybox

        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "hello.tar"
            build_busybox(archive, IMAGE)
            _podling("image", "load", str(archive))
    import asyncio

    ip, seconds = asyncio.run(_apply_and_wait(data))
    print(f"\nPod default/hello is Ready at {ip} after {seconds:.2f} s")
    if simulated:
        print("Its containers are simulated here, so there is no page to fetch.")
    else:
        with urllib.request.urlopen(f"http://{ip}/", timeout=10) as page:
            print(f"GET http://{ip}/ says:\n\n{page.read().decode()}")
    print(
        f"Try next:\n  export KUBECONFIG={data.kubeconfig}\n  kubectl get pods -o wide\n"
        "  kubectl describe pod hello\n  kubectl exec -it hello -- sh\n  kubectl logs hello\n  make down"
    )


async def _apply_and_wait(data: DataDir) -> tuple[str, float]:
    import yaml

    from podling.aio.clock import SystemClock
    from podling.api.codec import from_tree
    from podling.api.errors import StatusError
    from podling.api.resources import PODS
    from podling.client.client import ApiClient
    from podling.client.http import HttpTransport
    from podling.client.kubeconfig import load_kubeconfig
    from podling.client.wait import ready, wait_for

    clock = SystemClock()
    transport = HttpTransport(load_kubeconfig(data.kubeconfig), clock)
    try:
        client = ApiClient(transport)
        began = time.perf_counter()
        try:
            hello = from_tree(PODS.type, yaml.safe_load((HERE / "hello.yaml").read_text()))
            await client.create(PODS, hello, namespace="default")
        except StatusError as error:
            if not error.is_already_exists:
                raise
        pod = await wait_for(client, PODS, "hello", "default", ready(), clock, 60)
        return pod.status.pod_ip, time.perf_counter() - began
    finally:
        await transport.close()


if __name__ == "__main__":
    main()
