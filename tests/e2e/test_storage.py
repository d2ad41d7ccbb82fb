"""Claims on real containers: data that outlives its Pod, folders that go with their claim, and nothing else that goes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing_for_containers
from tests.running import IMAGE, RunningCluster, eventually, started

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    why = missing_for_containers()
    if why:
        pytest.skip(f"volumes are tried on real containers: {why}")
    with started(tmp_path_factory.mktemp("storage")) as running:
        yield running


def claim(name: str, **spec: object) -> dict:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asked}


def pod(
    name: str,
    script: str,
    source: dict | str,
    *,
    mount: dict | None = None,
    container: dict | None = None,
    **spec: object,
) -> dict:
    """A Pod that runs `script` with a volume at /v: a claim by its name, or another source."""
    volume = {"persistentVolumeClaim": {"claimName": source}} if isinstance(source, str) else source
    mounts = [{"name": "v", "mountPath": "/v", **(mount or {})}]
    main = {
        "name": "main",
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "volumeMounts": mounts,
        **(container or {}),
    }
    whole = {
        "terminationGracePeriodSeconds": 0,
        "restartPolicy": "Never",
        "containers": [main],
        "volumes": [{"name": "v", **volume}],
        **spec,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def local(name: str, path: object, **spec: object) -> dict:
    """A `local` volume of this node, made by an administrator."""
    here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [socket.gethostname().lower()]}]
    whole = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "storageClassName": "by-hand",
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
        **spec,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": whole}


def apply(cluster: RunningCluster, *objects: dict) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(items))


def ended(cluster: RunningCluster, name: str) -> str:
    """The log of a Pod that has Succeeded."""
    eventually(lambda: cluster.get("pod", name)["status"].get("phase") == "Succeeded", 30)
    return cluster.kubectl("logs", name).stdout.strip()


def folders(cluster: RunningCluster) -> list[str]:
    return sorted(path.name for path in cluster.data.rglob("volumes/pvc-*") if path.is_dir())


def messages(cluster: RunningCluster, about: str) -> str:
    told = cluster.get("events", "--field-selector", f"involvedObject.name={about}")["items"]
    return "\n".join(event["message"] for event in told)


def test_data_outlives_its_pod_and_goes_with_its_claim(cluster: RunningCluster) -> None:
    """What one Pod writes the next reads; a claim in use waits with its deletion; its folder goes with it, alone."""
    apply(cluster, claim("data"), claim("other"), pod("other", "sleep 3600", "other"))
    assert cluster.get("pvc", "data")["status"]["phase"] == "Pending"
    apply(
        cluster,
        pod("writer", "id -u > /v/who; echo kept > /v/file; sync; ln -s /etc /v/etc; ln -s /v/../.. /v/up", "data"),
    )
    ended(cluster, "writer")
    cluster.kubectl("delete", "pod", "writer")
    apply(cluster, pod("reader", "cat /v/file /v/who", "data", container={"securityContext": {"runAsUser": 1234}}))
    assert ended(cluster, "reader").split() == ["kept", "0"]
    cluster.wait_ready("other")
    bound = cluster.get("pvc", "data")
    assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    volume = cluster.get("pv", bound["spec"]["volumeName"])
    path = Path(volume["spec"]["local"]["path"])
    assert path.parent == cluster.data / "volumes" and (path / "file").read_text() == "kept\n"
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"

    cluster.kubectl("delete", "pvc", "data", "--wait=false")  # the Pod that ended uses it still
    held = cluster.get("pvc", "data")["metadata"]
    assert held["deletionTimestamp"] and held["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert "Terminating" in cluster.kubectl("get", "pvc", "data").stdout
    cluster.kubectl("delete", "pod", "reader")
    eventually(lambda: not path.exists())
    eventually(lambda: cluster.kubectl("get", "pv", volume["metadata"]["name"], check=False).returncode)
    assert Path("/etc/passwd").exists() and cluster.data.exists()
    assert folders(cluster) == [cluster.get("pvc", "other")["spec"]["volumeName"]]
    cluster.kubectl("exec", "other", "--", "sh", "-c", "echo alive > /v/file")
    cluster.kubectl("delete", "pod/other", "pvc/other")


def test_what_kubectl_shows(cluster: RunningCluster) -> None:
    """Upstream's columns for volumes, claims and classes; describe tells who uses a claim."""
    apply(cluster, claim("shown"), pod("shows", "sleep 3600", "shown"))
    cluster.wait_ready("shows")
    name = cluster.get("pvc", "shown")["spec"]["volumeName"]
    head, row = cluster.kubectl("get", "pvc", "shown").stdout.splitlines()
    assert " ".join(head.split()) == "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE"
    assert row.split()[:7] == ["shown", "Bound", name, "1Gi", "RWO", "standard", "<unset>"]
    head, row = cluster.kubectl("get", "pv", name).stdout.splitlines()
    assert " ".join(head.split()) == (
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE"
    )
    assert row.split()[:8] == [name, "1Gi", "RWO", "Delete", "Bound", "default/shown", "standard", "<unset>"]
    head, row = cluster.kubectl("get", "sc").stdout.splitlines()
    assert " ".join(head.split()) == "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE"
    assert row.split()[:6] == [
        "standard",
        "(default)",
        "podling.dev/local-path",
        "Delete",
        "WaitForFirstConsumer",
        "false",
    ]
    told = cluster.kubectl("describe", "pvc", "shown").stdout
    assert "Successfully provisioned volume" in told and "shows" in told
    cluster.kubectl("delete", "pod/shows", "pvc/shown")


def test_groups_parts_and_reading_only(cluster: RunningCluster) -> None:
    """fsGroup may write and is given what lies there; a part is shown; a claim that is read only cannot be written."""
    apply(cluster, claim("shared"))
    apply(cluster, pod("first", "mkdir /v/in; echo a > /v/in/f; chmod 700 /v/in; chmod 600 /v/in/f", "shared"))
    ended(cluster, "first")
    security = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 3000}
    script = "cat /v/in/f; echo b > /v/in/g; stat -c '%g %a' /v /v/in /v/in/f /v/in/g"
    apply(cluster, pod("second", script, "shared", securityContext=security))
    assert ended(cluster, "second").splitlines() == ["a", "3000 2777", "3000 2770", "3000 660", "3000 644"]
    apply(cluster, pod("part", "cat /v/g", "shared", mount={"subPath": "in"}))
    assert ended(cluster, "part") == "b"
    only = {"persistentVolumeClaim": {"claimName": "shared", "readOnly": True}}
    apply(cluster, pod("reads", "cat /v/in/g; touch /v/x 2>&1 | grep -o 'Read-only'; true", only))
    assert ended(cluster, "reads").split() == ["b", "Read-only"]
    cluster.kubectl("delete", "pods", "first", "second", "part", "reads")
    cluster.kubectl("delete", "pvc", "shared")


def test_ephemeral_volumes(cluster: RunningCluster) -> None:
    """A claim of the Pod's own, writable, with a folder of its own; both are gone after the Pod."""
    template = {"volumeClaimTemplate": {"spec": claim("x")["spec"]}}
    apply(cluster, pod("own", "echo scratch > /v/f; cat /v/f; sleep 3600", {"ephemeral": template}))
    cluster.wait_ready("own")
    assert "Unable to attach or mount volumes" not in messages(cluster, "own")  # it is bound before its Pod is
    claimed = cluster.get("pvc", "own-v")
    assert claimed["metadata"]["ownerReferences"][0]["name"] == "own"
    made = claimed["spec"]["volumeName"]
    assert (cluster.data / "volumes" / made / "f").read_text() == "scratch\n"
    cluster.kubectl("delete", "pod", "own")
    eventually(lambda: made not in folders(cluster))
    eventually(lambda: cluster.kubectl("get", "pvc", "own-v", check=False).returncode)


def test_one_pod_at_a_time(cluster: RunningCluster) -> None:
    """A ReadWriteOncePod claim keeps the second Pod out, by the scheduler and on its node, until the first has gone."""
    apply(cluster, claim("alone", accessModes=["ReadWriteOncePod"]), pod("one", "sleep 3600", "alone"))
    cluster.wait_ready("one")
    node = cluster.get("pod", "one")["spec"]["nodeName"]
    apply(cluster, pod("two", "sleep 3600", "alone"), pod("forced", "sleep 3600", "alone", nodeName=node))
    why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    eventually(lambda: why in messages(cluster, "two"))
    why = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
    eventually(lambda: why in messages(cluster, "forced"))
    cluster.kubectl("delete", "pod", "forced")
    cluster.kubectl("delete", "pod", "one")
    cluster.wait_ready("two")
    cluster.kubectl("delete", "pod/two", "pvc/alone")


def test_volumes_made_by_hand(cluster: RunningCluster, tmp_path: Path) -> None:
    """local and hostPath volumes serve claims of their class; missing paths and unknown kinds keep the Pod waiting."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "f").write_text("by hand\n")
    apply(
        cluster,
        local("by-hand-0", tmp_path / "there"),
        claim("by-hand", storageClassName="by-hand"),
        pod("by-hand", "cat /v/f", "by-hand"),
        local("absent", tmp_path / "absent", storageClassName="absent"),
        claim("absent", storageClassName="absent"),
        pod("absent", "cat /v/f", "absent"),
        local("nfs", "", storageClassName="nfs", local=None, nfs={"server": "127.0.0.1", "path": "/x"}),
        claim("nfs", storageClassName="nfs"),
        pod("nfs", "cat /v/f", "nfs"),
    )
    assert ended(cluster, "by-hand") == "by hand"
    why = f'MountVolume.NewMounter initialization failed for volume "absent" : path "{tmp_path}/absent" does not exist'
    eventually(lambda: why in messages(cluster, "absent"))
    why = 'failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched'
    eventually(lambda: why in messages(cluster, "nfs"))
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "f").write_text("now\n")
    assert ended(cluster, "absent") == "now"
    cluster.kubectl("delete", "pods", "by-hand", "absent", "nfs")
    cluster.kubectl("delete", "pvc", "by-hand", "absent", "nfs")
    eventually(lambda: cluster.get("pv", "by-hand-0")["status"]["phase"] == "Released")
    assert (tmp_path / "there" / "f").exists()
    cluster.kubectl("delete", "pv", "by-hand-0", "absent", "nfs")


def test_no_volume_leads_the_node_to_remove_what_is_not_its_own(cluster: RunningCluster, tmp_path: Path) -> None:
    """Volumes that claim to be the provisioner's and point elsewhere are released, refused, and remove nothing."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "f").write_text("data")
    ours = {"annotations": {"pv.kubernetes.io/provisioned-by": "podling.dev/local-path"}}
    traps = {
        "trap-path": str(precious),
        "trap-data": str(cluster.data / "store"),
        "trap-parent": str(cluster.data / "volumes"),
        "trap-link": str(cluster.data / "volumes" / "trap-link"),
    }
    (cluster.data / "volumes").mkdir(exist_ok=True)
    (cluster.data / "volumes" / "trap-link").symlink_to(precious)
    for name, path in traps.items():
        held = {"namespace": "default", "name": "nobody", "uid": f"gone-{name}"}
        made = local(name, path, persistentVolumeReclaimPolicy="Delete", claimRef=held)
        made["metadata"] |= ours
        apply(cluster, made)
    for name in ("trap-path", "trap-data", "trap-parent"):
        eventually(lambda name=name: "is not where this provisioner keeps" in messages(cluster, name))
        assert cluster.get("pv", name)["status"]["phase"] == "Released"
    eventually(lambda: cluster.kubectl("get", "pv", "trap-link", check=False).returncode)
    assert not (cluster.data / "volumes" / "trap-link").is_symlink()
    assert (precious / "f").read_text() == "data" and (cluster.data / "store").exists()
    cluster.kubectl("delete", "pv", "trap-path", "trap-data", "trap-parent")


def test_claims_and_their_data_outlive_podling(cluster: RunningCluster) -> None:
    """Killed and started again, Podling finds the Pod running on its claim, and the claim's deletion still waits."""
    apply(cluster, claim("lasting"), pod("lasting", "echo here > /v/f; sleep 3600", "lasting"))
    cluster.wait_ready("lasting")
    cluster.kubectl("delete", "pvc", "lasting", "--wait=false")
    cluster.podling("down", "--keep-pods")
    cluster.up()
    cluster.wait_ready("lasting")
    assert cluster.kubectl("exec", "lasting", "--", "cat", "/v/f").stdout == "here\n"
    name = cluster.get("pvc", "lasting")["spec"]["volumeName"]
    assert name in folders(cluster)
    cluster.kubectl("delete", "pod", "lasting")
    eventually(lambda: name not in folders(cluster))
    eventually(lambda: cluster.kubectl("get", "pv", name, check=False).returncode)
