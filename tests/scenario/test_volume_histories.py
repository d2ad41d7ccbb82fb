"""Random histories with claims: whatever happens, no data is given twice, and none goes that somebody still asks for.

Each invariant has a planted bug beside it, which it must catch first.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from podling.controllers import local_path, volume_protection
from podling.controllers.persistent_volumes import PersistentVolumes
from podling.kubelet.volumes.local_path import SimulatedFolders
from podling.placement import volumes as rules
from podling.placement.volumes import claims_of, is_bound
from tests.scenario.test_chaos import Chaos

if TYPE_CHECKING:
    from podling.api.types.core_v1 import PersistentVolume

PROVE = os.environ.get("PODLING_PROVE") == "1"


class Folders(SimulatedFolders):
    """The folders of one node that remember what is there."""

    def __init__(self) -> None:
        self.there: dict[str, None] = {}
        self.used: dict[str, None] = {}
        """What a claim was bound to is taken to have something in it."""

    async def make(self, volume: str) -> None:
        self.there[volume] = None

    async def remove(self, volume: str) -> None:
        self.there.pop(volume, None)

    async def discard(self, volume: str) -> None:
        if volume not in self.used:
            self.there.pop(volume, None)

    async def volumes(self) -> list[str]:
        return list(self.there)


class VolumeHistory(Chaos):
    """Chaos whose Pods have claims, looked at all the way."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.deeds += [(4, self.delete_claim), (1, self.delete_volume)]
        self.disks: dict[str, Folders] = {}
        self.given: dict[str, str] = {}
        self.retained: dict[str, None] = {}
        self.looks = 0
        enter = self.cluster._plane.folders.enter
        # A disk outlives the kubelets that come and go on it.
        self.cluster._plane.folders.enter = lambda node, _: enter(node, self.disks.setdefault(node, Folders()))  # type: ignore[method-assign]

    async def create(self) -> None:
        self.count += 1
        name, namespace = f"pod-{self.count}", self.pick(self.namespaces)
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        asked["storageClassName"] = self.pick(("standard", "now", "kept"))
        volumes: list[dict[str, Any]] = [{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": asked}}}]
        if not self.one_in(3):
            claim = f"claim-{self.chance.below(8)}"
            volumes = [{"name": "c", "persistentVolumeClaim": {"claimName": claim}}]
            if self.cluster.get(PERSISTENT_VOLUME_CLAIMS, claim, namespace) is None:
                made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": asked}
                await self.cluster.apply(made | {"metadata": {"name": claim, "namespace": namespace}})
        spec = {
            "containers": [{"name": "c", "image": "web"}],
            "volumes": volumes,
            "terminationGracePeriodSeconds": self.chance.below(5),
        }
        metadata = {"name": name, "namespace": namespace}
        await self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def delete_claim(self) -> None:
        found = self.cluster.list(PERSISTENT_VOLUME_CLAIMS)
        if found:
            meta = self.pick(found).metadata
            await self.cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, meta.name, meta.namespace)

    async def delete_volume(self) -> None:
        found = self.cluster.list(PERSISTENT_VOLUMES)
        if found:
            await self.cluster.client.delete(PERSISTENT_VOLUMES, self.pick(found).metadata.name)

    def look(self) -> bool:
        """Check everything; never true, so that it serves as a condition that time runs past."""
        self.looks += 1
        claims = self.cluster.list(PERSISTENT_VOLUME_CLAIMS)
        volumes = {it.metadata.name: it for it in self.cluster.list(PERSISTENT_VOLUMES)}
        holders: dict[str, str] = {}
        for claim in claims:
            who = f"{claim.metadata.namespace}/{claim.metadata.name}"
            if not is_bound(claim):
                continue
            name = claim.spec.volume_name
            assert name not in holders, f"{name} was given to {holders[name]} and to {who}"
            holders[name] = who
            held = self.given.setdefault(claim.metadata.uid, name)
            assert held == name, f"{who} was bound to {held}, and then to {name}"
        self.retained.update((name, None) for name, it in volumes.items() if _is_retained(it))
        for claim in claims:
            if claim.status.phase == "Bound":
                volume = volumes.get(claim.spec.volume_name)
                assert volume is not None, f"{claim.metadata.name} is Bound to a volume that is gone"
                home = self.disks[local_path.home_of(volume)]
                assert volume.metadata.name in home.there, f"{volume.metadata.name}: its folder is not there"
                home.used[volume.metadata.name] = None
        names = {(it.metadata.namespace, it.metadata.name) for it in claims}
        for pod in self.cluster.list(PODS):
            if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
                missing = [n for _, n in claims_of(pod) if (pod.metadata.namespace, n) not in names]
                assert not missing, f"{pod.metadata.name} runs, and its claims are gone: {missing}"
        return False

    async def pass_time(self, seconds: float) -> None:
        try:
            await self.cluster.run_until(self.look, seconds)
        except TimeoutError:
            return

    async def happen(self, steps: int) -> None:
        for name, mode, policy in (("now", "Immediate", "Delete"), ("kept", "WaitForFirstConsumer", "Retain")):
            made = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
            rules = {"provisioner": local_path.NAME, "volumeBindingMode": mode, "reclaimPolicy": policy}
            await self.cluster.apply(made | rules)
        self.faults.lost_events, self.faults.broken_watches = 0.08, 0.01
        self.faults.conflicts, self.faults.refusals = 0.05, 0.03
        deeds = [deed for weight, deed in self.deeds for _ in range(weight)]
        for _ in range(steps):
            try:
                await self.pick(deeds)()
            except StatusError as refusal:
                assert refusal.code in (403, 404, 409), refusal
            await self.pass_time(self.chance.below(4))

    async def come_to_rest(self) -> None:
        """Take all faults back; then let every Pod and every claim go, and see what is left."""
        self.faults.heal()
        for node in self.cluster.nodes.values():
            node.runtime.faults.clear()
        await self.pass_time(400)
        stuck = [
            (pod.metadata.name, pod.spec.node_name, pod.metadata.deletion_timestamp, pod.status)
            for pod in self.cluster.list(PODS)
            if pod.status.phase != "Running" and not self._waits_rightly(pod)
        ]
        assert not stuck, f"Pods that never came to run: {stuck}"
        for namespace in self.namespaces:
            await self.cluster.client.delete_collection(PODS, namespace)
            await self.cluster.client.delete_collection(PERSISTENT_VOLUME_CLAIMS, namespace)
        await self.pass_time(400)
        assert not self.cluster.list(PODS) and not self.cluster.list(PERSISTENT_VOLUME_CLAIMS), "claims never went"
        left = self.cluster.list(PERSISTENT_VOLUMES)
        stuck = [it.metadata.name for it in left if not _is_retained(it)]
        assert not stuck, f"never deleted: {stuck}"
        present = {name for disk in self.disks.values() for name in disk.there}
        assert {it.metadata.name for it in left} <= present, "a folder that was to be kept is gone"
        lost = sorted(present - self.retained.keys())
        assert not lost, f"folders that nobody has: {lost}"

    def _waits_rightly(self, pod: Any) -> bool:
        """Whether a Pod waits for a claim that was deleted, and that nobody makes again."""
        claims = [
            self.cluster.get(PERSISTENT_VOLUME_CLAIMS, name, pod.metadata.namespace)
            for _, name in claims_of(pod)
        ]  # fmt: skip
        return any(
            it is None or it.metadata.deletion_timestamp is not None or it.status.phase == "Lost" for it in claims
        )


def _is_retained(volume: PersistentVolume) -> bool:
    return volume.spec.persistent_volume_reclaim_policy == "Retain"


async def live(seed: int, steps: int) -> int:
    history = VolumeHistory(seed)
    async with history.cluster as cluster:
        await history.happen(steps)
        await history.come_to_rest()
        assert cluster.failures == 0
    return history.looks


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_happens_to_claims(run, seed):
    """100 deeds from a seed, 5,000 to prove it: each claim keeps its volume, each volume its claim and its folder."""
    assert run(live(seed, 5_000 if PROVE else 100)) > 100


def give_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "is_bound_to", lambda volume, claim: True)
    monkeypatch.setattr(PersistentVolumes, "volumes_for", lambda self, claim: self._volumes.list())


def remove_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_path, "must_go", lambda it: it.status.phase == "Bound" and not _is_retained(it))


def remove_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_path, "must_go", lambda volume: False)


def protect_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_protection, "uses", lambda pod, claim: False)


def forget_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Folders, volume: str) -> None:
        return None

    monkeypatch.setattr(Folders, "remove", nothing)


BUGS = {
    "was given to": give_to_all,
    "its folder is not there|is gone": remove_at_once,
    "never deleted": remove_never,
    "its claims are gone": protect_nothing,
    "folders that nobody has": forget_the_folder,
}


@pytest.mark.parametrize(("words", "plant"), BUGS.items(), ids=[plant.__name__ for plant in BUGS.values()])
def test_planted_bugs_are_caught(monkeypatch, words, plant):
    """Each invariant sees the bug that was made for it."""
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=words):
        asyncio.run(live(4, 150))
