"""From a Pod's claim to a PersistentVolume: upstream's words for why there is none, and what a Pod keeps once given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.errors import not_found, service_unavailable
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS
from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from podling.kubelet.volumes.claims import ClaimFailure, ClaimVolumes, folder_of, give_to_group
from tests.machine.placement.placed import node_of
from tests.machine.stored import COMPLETED, claim, volume

NODE = node_of("n1", labels={"kubernetes.io/hostname": "n1"}).node
WAITS = (
    "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: "
)
OF_DATA = f"{WAITS}error processing PVC ns/data: "
BOUND: dict[str, Any] = {"spec": {"volumeName": "v"}, "phase": "Bound"}


class Api:
    """A client that has what it was given, and counts what it is asked."""

    def __init__(self, *objects: PersistentVolume | PersistentVolumeClaim) -> None:
        self.objects = {(type(it).__name__, it.metadata.name): it for it in objects}
        self.asked = 0
        self.away = False

    async def get(self, resource: Any, name: str, namespace: str = "") -> Any:
        self.asked += 1
        if self.away:
            raise service_unavailable("the server is away")
        found = self.objects.get((resource.kind, name))
        if found is None or (resource is PERSISTENT_VOLUME_CLAIMS and namespace != "ns"):
            raise not_found("", resource.plural, name)
        return found


def pod(name: str = "web", *, ephemeral: bool = False) -> Pod:
    source = (
        {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
        if ephemeral
        else {"persistentVolumeClaim": {"claimName": "data"}}
    )
    mounts = [{"name": "v", "mountPath": "/v"}]
    tree = {
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": [{"name": "v", **source}]},
    }
    return from_tree(Pod, tree)


async def outcome(client: Api, asking: Pod, claims: ClaimVolumes | None = None) -> str:
    claims = claims or ClaimVolumes(client, lambda: NODE)  # type: ignore[arg-type]
    try:
        found = await claims.volume_of(asking, asking.spec.volumes[0])
    except ClaimFailure as failure:
        return str(failure)
    assert found is not None
    return found.metadata.name


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
HELD = volume(of="data", phase="Bound")
CASES: list[tuple[list[Any], bool, str]] = [
    ([claim(**BOUND), HELD], False, "v"),
    ([], False, f'{OF_DATA}failed to fetch PVC from API server: persistentvolumeclaims "data" not found'),
    ([claim()], False, f"{OF_DATA}PVC is not bound"),
    ([claim(spec={"volumeName": "v"}), HELD], False, f"{OF_DATA}PVC is not bound"),
    ([claim(spec={"volumeName": "v"}, annotations=COMPLETED), HELD], False, "v"),
    ([claim(spec={"volumeName": "v"}, annotations=COMPLETED, phase="Lost"), HELD], False, f"{OF_DATA}PVC is not bound"),
    ([claim(meta=GOING, **BOUND), HELD], False, f"{OF_DATA}PVC is being deleted"),
    ([claim(**BOUND)], False, f'{OF_DATA}failed to fetch PV v from API server: persistentvolumes "v" not found'),
    ([claim(**BOUND), volume()], False, f"{OF_DATA}found PV object v with nil pvc.ClaimRef indicating it is not yet bound to the claim"),
    ([claim(**BOUND), volume(of="data", uid="x")], False, f"{OF_DATA}found PV object v with unexpected pvc UID x, expected uid-data"),
    ([claim(**BOUND), volume(of="data", host="n2")], False, 'MountVolume.NodeAffinity check failed for volume "v" : no matching NodeSelectorTerms'),
    ([claim(**BOUND), volume(of="data", host="n1")], False, "v"),
    ([claim(**BOUND), volume(of="data", spec={"volumeMode": "Block"})], False, f"{WAITS}volume v has volumeMode Block, but is specified in volumeMounts"),
    (
        [claim(**BOUND), volume(of="data", spec={"hostPath": None, "nfs": {"server": "s", "path": "/"}})],
        False,
        f'{WAITS}failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched',
    ),
    ([claim("web-v", **BOUND)], True, f"{WAITS}error processing PVC ns/web-v: PVC ns/web-v was not created for pod ns/web (pod is not owner)"),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "ephemeral", "said"), CASES)
def test_what_a_claim_comes_to(run, objects: list[Any], ephemeral: bool, said: str) -> None:
    """The volume, or upstream's sentence for why the Pod waits."""
    assert run(outcome(Api(*objects), pod(ephemeral=ephemeral))) == said


def test_what_a_pod_was_given_is_its_own(run) -> None:
    """Looked up once; a claim that is deleted, or an API that is away, takes nothing from a Pod that has it."""

    async def main() -> None:
        client = Api(claim(**BOUND), HELD)
        claims = ClaimVolumes(client, lambda: NODE)  # type: ignore[arg-type]
        assert await outcome(client, pod(), claims) == "v"
        asked, client.away = client.asked, True
        assert await outcome(client, pod(), claims) == "v" and client.asked == asked
        claims.forget("uid-web")
        assert "the server is away" in await outcome(client, pod(), claims)

    run(main())


def test_a_volume_for_one_pod_is_one_pods(run) -> None:
    """The second waits until the first has let go; a volume for many is everybody's."""

    async def main() -> None:
        client = Api(claim(**BOUND), volume(of="data", modes=["ReadWriteOncePod"]))
        claims = ClaimVolumes(client, lambda: NODE)  # type: ignore[arg-type]
        assert await outcome(client, pod("one"), claims) == "v" == await outcome(client, pod("one"), claims)
        said = await outcome(client, pod("two"), claims)
        assert said.endswith("volume uses the ReadWriteOncePod access mode and is already in use by another pod")
        claims.forget("uid-one")
        assert await outcome(client, pod("two"), claims) == "v"

    run(main())


def test_a_local_path_must_be_there(tmp_path: Path) -> None:
    """What an administrator has not made is not made for him."""
    local = from_tree(
        PersistentVolume, {"metadata": {"name": "v"}, "spec": {"local": {"path": str(tmp_path / "none")}}}
    )
    with pytest.raises(
        ClaimFailure, match='NewMounter initialization failed for volume "v" : path ".*none" does not exist'
    ):
        folder_of(local)
    (tmp_path / "none").mkdir()
    assert folder_of(local) == str(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_group_gets_what_is_in_the_volume_and_nothing_else(tmp_path: Path) -> None:
    """Files, folders and links change hands, what links lead to does not; by OnRootMismatch a right top is enough."""
    outside = tmp_path / "outside"
    outside.write_text("data")
    outside.chmod(0o600)
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    (top / "in" / "f").write_text("x")
    (top / "in" / "f").chmod(0o600)
    (top / "link").symlink_to(outside)
    give_to_group(str(top), 3000, None)
    assert (top / "in" / "f").stat().st_gid == 3000 and (top / "in" / "f").stat().st_mode & 0o7777 == 0o660
    assert (top / "in").stat().st_mode & 0o2770 == 0o2770 and (top / "link").lstat().st_gid == 3000
    assert (outside.stat().st_gid, outside.stat().st_mode & 0o7777) == (0, 0o600)
    os.chown(top / "in" / "f", 0, 0)
    give_to_group(str(top), 3000, "OnRootMismatch")
    assert (top / "in" / "f").stat().st_gid == 0
    give_to_group(str(top), 3000, "Always")
    assert (top / "in" / "f").stat().st_gid == 3000
