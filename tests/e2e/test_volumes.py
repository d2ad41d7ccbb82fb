"""Volumes under attack and under change, on real containers: nothing leaves a Pod's folders, nobody sees half an update."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.linux import mounts
from tests.conftest import missing_for_containers
from tests.running import IMAGE, RunningCluster, eventually, started

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    with started(tmp_path_factory.mktemp("volumes")) as running:
        yield running


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


def test_mount_points_are_made_in_the_container_alone(cluster, tmp_path):
    """Links in a volume lead whoever mounts below it through the container's own root, never to the node's files."""
    escape = tmp_path / "escape"
    escape.mkdir()
    links = f"ln -s {'../' * 12}{str(escape)[1:]} /v/up; ln -s {escape} /v/straight"
    mounting = {"/v": "v", "/v/up/c": "c", "/v/straight/d": "c"}
    main = container(
        "main", "ls -d /v/up/c/k; echo x > /v/straight/e", mounting, terminationMessagePath="/v/straight/log"
    )
    writer = container("writer", links, {"/v": "v"})
    volumes = [V, {"name": "c", "configMap": {"name": "points"}}]
    cluster.kubectl("create", "configmap", "points", "--from-literal=k=v")
    create(cluster, pod("points", main, volumes=volumes, initContainers=[writer]))

    def begun() -> bool:
        status = cluster.get("pod", "points")["status"]
        state = (status.get("containerStatuses") or [{"state": {}}])[0]["state"]
        waits = state.get("waiting", {}).get("reason", "PodInitializing")
        return status["phase"] in ("Succeeded", "Failed") or waits not in ("PodInitializing", "ContainerCreating")

    eventually(begun)
    assert list(escape.iterdir()) == []
    cluster.kubectl("delete", "pod", "points", "--now")


def host(name: str, path: Path | str, kind: str = "") -> dict:
    return {"name": name, "hostPath": {"path": str(path), **({"type": kind} if kind else {})}}


def logs(cluster: RunningCluster, name: str) -> list[str]:
    return cluster.kubectl("logs", name, check=False).stdout.splitlines()


def test_host_paths_are_what_their_types_say(cluster, tmp_path):
    """Each type holds what is there or makes what it may; what is of another type is waited for, in upstream's words."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(there / "socket"))
    kinds = {
        "a": (there, "Directory"), "b": (tmp_path / "new/deep", "DirectoryOrCreate"), "c": (there / "file", "File"),
        "d": (tmp_path / "made", "FileOrCreate"), "e": (there / "socket", "Socket"), "f": ("/dev/null", "CharDevice"),
        "g": (tmp_path / "untyped", ""),
    }  # fmt: skip
    look = "for v in a b c d e f g; do echo $v $(stat -c %F /$v); done"
    main = container("main", look, {f"/{name}": name for name in kinds})
    create(cluster, pod("typed", main, volumes=[host(name, *kind) for name, kind in kinds.items()]))
    bad = {
        "Directory": (there / "file", "directory"), "DirectoryOrCreate": (there / "file", "directory"),
        "File": (there, "file"), "FileOrCreate": (there, "file"), "Socket": (there / "file", "socket file"),
        "CharDevice": (there / "file", "character device"), "BlockDevice": ("/dev/null", "block device"),
    }  # fmt: skip
    for kind, (path, _) in bad.items():
        waits = pod(f"bad-{kind.lower()}", container("main", "true", {"/v": "v"}), volumes=[host("v", path, kind)])
        create(cluster, waits)
    eventually(lambda: cluster.get("pod", "typed")["status"]["phase"] == "Succeeded")
    assert logs(cluster, "typed") == [
        "a directory", "b directory", "c regular file", "d regular empty file", "e socket", "f character special file",
        "g directory",
    ]  # fmt: skip
    assert (tmp_path / "new/deep").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644
    for kind, (path, what) in bad.items():
        words = f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {path} is not a {what}'
        field = f"involvedObject.name=bad-{kind.lower()},reason=FailedMount"
        said = lambda field=field: cluster.get("events", "--field-selector", field)["items"]  # noqa: E731
        assert eventually(said)[0]["message"] == words
    cluster.kubectl("delete", "pod", "--all", "--now")


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder of the machine whose mounts reach whoever asks for them."""
    folder = tmp_path / "shared"
    folder.mkdir()
    mounts.share(str(folder))
    yield folder
    mounts.unmount_below(str(folder))


def test_mounts_propagate_as_far_as_they_are_asked_to(cluster, shared):
    """The node's later mounts reach HostToContainer, a privileged container's reach the node; None sees neither."""
    for name in ("down", "up"):
        (shared / name).mkdir()
    wait = (
        "until [ -e /h/down/file ]; do sleep 0.1; done; echo down; until [ -e /h/up/file ]; do sleep 0.1; done; echo up"
    )
    mount = "until [ -e /h/down/file ]; do sleep 0.1; done; mount -t tmpfs none /h/up && touch /h/up/file && sleep 600"

    def mounting(name: str, script: str, propagation: str, **more: object) -> dict:
        made = container(name, script, {"/h": "h"}, **more)
        made["volumeMounts"][0]["mountPropagation"] = propagation
        return made

    create(cluster, pod(
        "propagating",
        mounting("hears", f"{wait}; sleep 600", "HostToContainer"),
        mounting("speaks", mount, "Bidirectional", securityContext={"privileged": True}),
        mounting("deaf", "sleep 600", "None"),
        volumes=[host("h", shared)],
    ))  # fmt: skip
    cluster.wait_ready("propagating")
    mounts.tmpfs(str(shared / "down"))
    (shared / "down" / "file").write_text("")
    eventually(lambda: (shared / "up" / "file").exists())
    heard = lambda: cluster.kubectl("logs", "propagating", "-c", "hears").stdout.split()  # noqa: E731
    eventually(lambda: heard() == ["down", "up"])
    assert cluster.kubectl("exec", "propagating", "-c", "deaf", "--", "ls", "/h/down", "/h/up").stdout.split() == [
        "/h/down:", "/h/up:",
    ]  # fmt: skip
    cluster.kubectl("delete", "pod", "propagating", "--now")


def test_read_only_down_to_the_last_mount(cluster, shared):
    """Enabled and IfPossible make what is mounted within a mount read-only too; Disabled leaves that alone."""
    (shared / "inner").mkdir()
    mounts.tmpfs(str(shared / "inner"))
    listed = {"enabled": "Enabled", "possible": "IfPossible", "disabled": "Disabled"}
    script = "".join(f"touch /{name}/inner/{name} 2>/dev/null && echo {name}; " for name in listed)
    main = container("main", f"{script} touch /enabled/x || echo refused", {f"/{name}": "h" for name in listed})
    for mount in main["volumeMounts"]:
        mount |= {"readOnly": True, "recursiveReadOnly": listed[mount["mountPath"][1:]]}
    create(cluster, pod("recursive", main, volumes=[host("h", shared)]))
    eventually(lambda: cluster.get("pod", "recursive")["status"]["phase"] == "Succeeded")
    assert [line for line in logs(cluster, "recursive") if "Read-only" not in line] == ["disabled", "refused"]
    (status,) = cluster.get("pod", "recursive")["status"]["containerStatuses"]
    assert {m["mountPath"]: m["recursiveReadOnly"] for m in status["volumeMounts"]} == {
        "/enabled": "Enabled", "/possible": "Enabled", "/disabled": "Disabled",
    }  # fmt: skip
    cluster.kubectl("delete", "pod", "recursive", "--now")


class Writer:
    """One connection to the API server, for many writes in a row."""

    def __init__(self, cluster: RunningCluster) -> None:
        import base64

        import yaml

        config = yaml.safe_load((cluster.data / "kubeconfig").read_text())
        user = config["users"][0]["user"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        )
        key = cluster.data / "writer.pem"
        pair = [base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")]
        key.write_bytes(b"\n".join(pair))
        context.load_cert_chain(key)
        self._connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=context, timeout=30)

    def patch(self, path: str, body: dict) -> None:
        self._connection.request("PATCH", path, json.dumps(body), {"Content-Type": "application/merge-patch+json"})
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text

    def close(self) -> None:
        self._connection.close()


def test_a_thousand_updates_are_never_seen_by_halves(cluster):
    """Twenty Pods read all the while: no pair of files is ever mixed, and the last is there within two seconds."""
    create(
        cluster,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "turning"},
            "data": dict.fromkeys(("a", "b", "c"), "0\n"),
        },
    )
    # Whoever stands in ..data stands in one revision: while it goes away files may be missing, never others.
    read = (
        "reads=0; while :; do cd / && cd /v/..data 2>/dev/null || continue; a= b= c=; "
        "{ read -r a < a && read -r b < b && read -r c < c; } 2>/dev/null && { reads=$((reads+1)); "
        '[ "$a $b" = "$b $c" ] || echo "MIXED $a $b $c"; [ "$a" = 1000 ] && { echo "last $reads"; exit 0; }; }; '
        "usleep 30000; done"
    )
    turning = [{"name": "v", "configMap": {"name": "turning"}}]
    names = [f"reader-{number}" for number in range(20)]
    create(cluster, *(pod(name, container("main", read, {"/v": "v"}), volumes=turning) for name in names))
    eventually(lambda: all(p["status"]["phase"] == "Running" for p in cluster.get("pods")["items"]), seconds=60)
    writer = Writer(cluster)
    for number in range(1, 1001):
        data = {"data": dict.fromkeys(("a", "b", "c"), f"{number}\n")}
        writer.patch("/api/v1/namespaces/default/configmaps/turning", data)
    written = time.time()
    writer.close()
    eventually(lambda: all(p["status"]["phase"] == "Succeeded" for p in cluster.get("pods")["items"]), seconds=30)
    late = []
    for name in names:
        (line,) = cluster.kubectl("logs", "--timestamps", name).stdout.splitlines()
        stamp, word, reads = line.split()
        assert word == "last", line
        assert int(reads) > 20
        late.append(_seconds(stamp) - written)
    print(f"the last of 1,000 updates was seen in 20 Pods after {min(late):.2f} to {max(late):.2f} s")
    assert max(late) < 2, late
    cluster.kubectl("delete", "pod", "--all", "--now")


def _seconds(stamp: str) -> float:
    from podling.api.times import from_wire

    return from_wire(stamp)
