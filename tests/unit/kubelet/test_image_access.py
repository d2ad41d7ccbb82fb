"""Pull secrets, the node's own credentials, and who may use what they brought."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podling.aio.clock import SystemClock
from podling.api.types.core_v1 import Container, LocalObjectReference, Pod, PodSpec, Secret
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.images import ImageEnsurer
from podling.kubelet.keyring import entries_of_config, entries_of_secret, lookup
from podling.kubelet.objects import MissingReference
from podling.runtime.protocol import Credentials, Image, ImageId, RuntimeFailure

KEYS = {
    "registry.example": "all",
    "registry.example/team": "team",
    "registry.example:5000": "port",
    "*.wild.example": "wild",
    "https://v2.example/v2/": "v2",
    "http://v1.example/v1/": "v1",
    "https://index.docker.io/v1/": "hub",
}


@pytest.mark.parametrize(
    ("image", "names"),
    [
        ("registry.example/team/app:1", ["team", "all"]),
        ("registry.example/other@sha256:" + "0" * 64, ["all"]),
        ("registry.example:5000/x", ["port"]),
        ("registry.example:5001/x", []),
        ("a.wild.example/x", ["wild"]),
        ("a.b.wild.example/x", []),
        ("wild.example/x", []),
        ("v2.example/x", ["v2"]),
        ("v1.example/x:y", ["v1"]),
        ("busybox", ["hub"]),
        ("team/app:1", ["hub"]),
        ("docker.io/team/app", ["hub"]),
        ("quay.io/x/y", []),
    ],
)
def test_credentials_match_by_registry_port_glob_and_path(image: str, names: list[str]) -> None:
    """All that fit are found, the most specific first; Docker Hub has several names."""
    config = {"auths": {key: {"username": name, "password": "p"} for key, name in KEYS.items()}}
    entries = entries_of_config(json.dumps(config).encode())
    assert [entry.credentials.username for entry in lookup(image, entries)] == names


def test_both_types_of_secret_are_read_and_broken_ones_give_nothing() -> None:
    """`auth` decides over username and password; what is no configuration is no credential."""
    auth = base64.b64encode(b"ann:p:w").decode().rstrip("=")
    entry = {"r.example": {"auth": auth, "username": "bob"}}
    new = {".dockerconfigjson": json.dumps({"auths": entry}).encode()}
    old = {".dockercfg": json.dumps(entry).encode()}
    for type_, content in (("kubernetes.io/dockerconfigjson", new), ("kubernetes.io/dockercfg", old)):
        (found,) = entries_of_secret(type_, content)
        assert found.credentials == Credentials("ann", "p:w")
    assert entries_of_secret("Opaque", new) == ()
    for raw in (
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"auths": 3}',
        b'{"auths": {"r": {"auth": "!!"}}}',
        b'{"auths": {"r": 1}}',
    ):
        assert list(entries_of_config(raw)) == []


class _Registry:
    """Images of which one needs the password `right`."""

    def __init__(self) -> None:
        self.held: dict[str, Image] = {}
        self.tried: list[Credentials | None] = []

    def check(self, reference: str) -> None:
        pass

    async def status(self, reference: str) -> Image | None:
        return self.held.get(reference)

    async def list(self) -> list[Image]:
        return list(self.held.values())

    async def pull(self, reference: str, credentials: Credentials | None = None) -> ImageId:
        self.tried.append(credentials)
        if "private" in reference and (credentials is None or credentials.password != "right"):
            raise RuntimeFailure("ErrImagePull", f"refused {credentials.password if credentials else 'nobody'}")
        image = Image(id=ImageId(f"sha256:{reference}"), tags=(reference,), digests=(), size=5)
        self.held |= {reference: image, image.id: image}
        return image.id


class _Told:
    def __init__(self) -> None:
        self.words: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda _, *arguments, **__: self.words.append(f"{name} {arguments[-1]}")


class _Node:
    """An ensurer over a registry and Secrets by name."""

    def __init__(self, home: Path, secrets: Mapping[str, str]) -> None:
        self.registry = _Registry()
        self.home = home
        self.secrets = dict(secrets)
        self.restart()

    def restart(self) -> None:
        self.told = _Told()
        references: Any = SimpleNamespace(secret=self.secret)
        images: Any = self.registry
        events: Any = self.told
        self.ensurer = ImageEnsurer(images, references, events, SystemClock(), self.home)

    async def secret(self, namespace: str, name: str) -> Secret:
        if name not in self.secrets:
            raise MissingReference(f'secret "{name}" not found')
        config = json.dumps({"auths": {"r.example": {"username": "u", "password": self.secrets[name]}}}).encode()
        return Secret(
            metadata=ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}"),
            type="kubernetes.io/dockerconfigjson",
            data={".dockerconfigjson": base64.b64encode(config).decode()},
        )

    def ensure(self, *secrets: str, image: str = "r.example/private", policy: str = "IfNotPresent") -> Image:
        container = Container(name="c", image=image, image_pull_policy=policy)
        pod = Pod(
            metadata=ObjectMeta(name="p", namespace="ns", uid="1"),
            spec=PodSpec(
                containers=(container,), image_pull_secrets=tuple(LocalObjectReference(name=name) for name in secrets)
            ),
        )
        return asyncio.run(self.ensurer.ensure(pod, container))


def test_several_credentials_are_tried_in_order_and_missing_secrets_are_told(tmp_path: Path) -> None:
    """A missing Secret is an Event; a wrong password is no end while another fits; all failures are told."""
    node = _Node(tmp_path, {"bad": "wrong", "worse": "awful", "good": "right"})
    with pytest.raises(RuntimeFailure, match=r"^\[refused wrong, refused awful\]$"):
        node.ensure("bad", "worse")
    node.ensure("absent", "bad", "good", "gone")
    assert [said.password for said in node.registry.tried if said] == ["wrong", "awful", "wrong", "right"]
    assert node.told.words.count("pull_secrets_missing ['absent', 'gone']") == 1


def test_the_nodes_own_credentials_open_for_every_pod(tmp_path: Path) -> None:
    """`config.json` in the node's folder is read at each pull, after the Pod's own Secrets."""
    node = _Node(tmp_path, {"bad": "wrong"})
    with pytest.raises(RuntimeFailure, match="^refused nobody$"):
        node.ensure()
    config = {"auths": {"r.example": {"username": "node", "password": "right"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    node.ensure("bad")
    assert [said.password if said else "" for said in node.registry.tried] == ["", "wrong", "right"]
    node.ensure()
    assert len(node.registry.tried) == 3


def test_a_private_image_that_is_present_opens_to_who_could_pull_it(tmp_path: Path) -> None:
    """Pulled with a Secret, it needs that Secret, its content, or a pull; the proof survives a restart."""
    node = _Node(tmp_path, {"good": "right", "same": "right", "bad": "wrong"})
    node.ensure("good")
    for proof in ("good", "same"):
        node.restart()
        node.ensure(proof)
        assert node.told.words == ["present r.example/private"]
    for secrets in ((), ("bad",)):
        with pytest.raises(RuntimeFailure, match="refused"):
            node.ensure(*secrets)
        with pytest.raises(RuntimeFailure, match="is not present with pull policy of Never"):
            node.ensure(*secrets, policy="Never")
    node.secrets["good"] = "changed"
    node.ensure("good")
    assert len([said for said in node.registry.tried if said and said.password == "right"]) == 1
    assert "right" not in (tmp_path / "image_manager" / "pulled.json").read_text()


def test_images_that_nobody_pulled_are_everybodys(tmp_path: Path) -> None:
    """A loaded image runs without credentials, and a public one that was pulled too."""
    node = _Node(tmp_path, {})
    loaded = Image(id=ImageId("sha256:loaded"), tags=("r.example/private",), digests=(), size=1)
    node.registry.held["r.example/private"] = loaded
    assert node.ensure() is loaded
    assert node.ensure(policy="Never") is loaded
    node.ensure(image="r.example/public")
    node.ensure(image="r.example/public")
    assert node.registry.tried == [None]
