"""Volumes under attack and under change, on real containers: nothing leaves a Pod's folders, nobody sees half an update."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing_for_containers
from tests.running import IMAGE, RunningCluster, busybox_archive, eventually, free_port

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    data = tmp_path_factory.mktemp("volumes") / "data"
    running = RunningCluster(data, free_port(), "oci")
    try:
        running.up()
        running.podling("image", "load", str(busybox_archive(data.parent)))
        yield running
    finally:
        running.podling("down", check=False)


def container(name: str, script: str, mounts: dict[str, str] | None = None, **more: object) -> dict:
    """A container that runs `script`; `mounts` are volume names, with a subPath after a colon, by mount path."""
    listed = []
    for path, what in (mounts or {}).items():
        volume, _, part = what.partition(":")
        listed.append({"name": volume, "mountPath": path, **({"subPath": part} if part else {})})
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], "volumeMounts": listed, **more}


def pod(name: str, *containers: dict, volumes: list[dict] = (), **spec: object) -> dict:  # type: ignore[assignment]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": list(containers),
            "volumes": list(volumes),
            **spec,
        },
    }


def create(cluster: RunningCluster, *items: dict) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def folder(cluster: RunningCluster, name: str) -> Path:
    return cluster.data / "pods" / cluster.get("pod", name)["metadata"]["uid"]


V = {"name": "v", "emptyDir": {}}


def test_who_swaps_links_gets_no_part_of_the_node(cluster):
    """One container exchanges a folder with a link to `/` without end, eight others mount it: none sees the node."""
    swap = "cd /v; mkdir -p x; while :; do mv x y; ln -s / x; rm x; mv y x; done"
    look = "ls -a /m | tr '\\n' ' '"
    victims = [container(f"victim{n}", look, {"/m": "v:x"}) for n in range(8)]
    keep = {**container("attacker", swap, {"/v": "v"}), "restartPolicy": "Always"}
    create(cluster, pod("swapped", *victims, volumes=[V], initContainers=[keep]))

    def over() -> dict | None:
        status = cluster.get("pod", "swapped")["status"]
        return status if status["phase"] in ("Succeeded", "Failed") else None

    assert eventually(over, seconds=60)["phase"] == "Succeeded"
    seen = {cluster.kubectl("logs", "swapped", "-c", f"victim{n}").stdout.strip() for n in range(8)}
    assert seen <= {". ..", ". .. x y", ". .. x", ". .. y"}, seen
    cluster.kubectl("delete", "pod", "swapped", "--now")


def test_what_a_pod_has_filled_is_taken_away_with_it(cluster, tmp_path):
    """Trees deeper than a path may be long, links to the node, a hosts file full of noise: all goes, and only that."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "treasure").write_text("x")
    dig = (
        "if [ -e /v/done ]; then head -1 /etc/hosts; sleep 3600; fi; touch /v/done; chmod 700 /v; "
        f"cd /v; ln -s {kept} link; ln -s / root; d=$(printf 'd%.0s' $(seq 200)); "
        "i=0; while [ $i -lt 60 ]; do mkdir $d; cd $d; i=$((i+1)); done; "
        "head -c 100000 /dev/urandom > /etc/hosts; exit 1"
    )
    main = container("main", dig, {"/v": "v", "/h": "h:treasure"})
    volumes = [V, {"name": "h", "hostPath": {"path": str(kept)}}]
    create(cluster, pod("filler", main, volumes=volumes, restartPolicy="Always"))
    eventually(lambda: "Kubernetes-managed" in cluster.kubectl("logs", "filler", check=False).stdout)
    place = folder(cluster, "filler")
    assert (place / "volume-subpaths/h/main/1").read_text() == "x"
    assert (place / "volumes/kubernetes.io~empty-dir/v").stat().st_mode & 0o777 == 0o700, "the Pod's own mode"
    cluster.kubectl("delete", "pod", "filler", "--now")
    eventually(lambda: not place.exists())
    assert (kept / "treasure").read_text() == "x"
