"""Pods whose images come from a real registry: by tag and digest, past passwords, and what is said where they do not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.runtime.oci.images.build import build_busybox
from tests.conftest import missing_for_containers
from tests.registry import PASSWORD, PROGRAM, USER, Breaking, Registry
from tests.running import RunningCluster, eventually, free_port

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster that has no image yet."""
    why = missing_for_containers() or (None if PROGRAM else "docker-registry is not installed")
    if why:
        pytest.skip(why)
    running = RunningCluster(tmp_path_factory.mktemp("pulls") / "data", free_port(), "oci")
    try:
        running.up()
        yield running
    finally:
        running.podling("down", check=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image that no other test has, so that nothing of it is on the node."""
    build_busybox(tmp_path / "image.tar", extra={"etc/which": str(tmp_path).encode()})
    return tmp_path / "image.tar"


@pytest.fixture(params=["none", "basic", "token"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """A registry open to all, with a password, with a token service."""
    running = Registry(tmp_path / "registry", request.param).start()
    yield running
    running.stop()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Registry]:
    running = Registry(tmp_path / "registry").start()
    yield running
    running.stop()


def create(cluster: RunningCluster, *items: dict) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}))


def pod(name: str, image: str, policy: str = "IfNotPresent", **spec: object) -> dict:
    container = {"name": "main", "image": image, "command": ["sleep", "3600"], "imagePullPolicy": policy}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def secret(name: str, host: str, password: str = PASSWORD) -> dict:
    config = {"auths": {host: {"username": USER, "password": password}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(config)},
    }


def told(cluster: RunningCluster, name: str) -> list[tuple[str, str]]:
    items = cluster.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
    return [(item["reason"], item["message"]) for item in items]


def waiting(cluster: RunningCluster, name: str) -> dict:
    statuses = cluster.get("pod", name)["status"].get("containerStatuses") or [{"state": {}}]
    return statuses[0]["state"].get("waiting", {})


def clean(cluster: RunningCluster) -> None:
    cluster.kubectl("delete", "pod", "--all", "--wait=true")
    cluster.kubectl("delete", "secret", "--all")


def test_images_come_past_every_kind_of_authentication(cluster, registry, archive):
    """By tag, digest and index, in Docker's and OCI's types; ten Pods of one image fetch its layer once."""
    digest = registry.push(archive, "team/docker", "1")
    registry.push(archive, "team/oci", "1", oci=True)
    index = registry.push(archive, "team/both", "1", oci=True, index=True)
    with_secret = {"imagePullSecrets": [{"name": "registry"}]} if registry.auth != "none" else {}
    if with_secret:
        create(cluster, secret("registry", registry.host))
    ten = [pod(f"ten-{number}", f"{registry.host}/team/docker:1", **with_secret) for number in range(10)]
    before = registry.requests("GET", "/blobs/")
    create(cluster, *ten)
    cluster.wait_ready(*(item["metadata"]["name"] for item in ten))
    assert registry.requests("GET", "/blobs/") - before == 2, "a configuration and a layer"
    names = {
        "by-digest": f"{registry.host}/team/docker@{digest}",
        "oci": f"{registry.host}/team/oci:1",
        "index": f"{registry.host}/team/both:1@{index}",
    }
    create(cluster, *(pod(name, image, **with_secret) for name, image in names.items()))
    cluster.wait_ready(*names)
    status = cluster.get("pod", "by-digest")["status"]["containerStatuses"][0]
    assert status["imageID"].endswith(digest), status
    if registry.auth == "token":
        assert f"repository:team/docker:pull tests {USER}" in registry.asked
    clean(cluster)


def test_who_has_no_right_is_told_so(cluster, registry, archive):
    """Wrong, missing and absent credentials wait with containerd's words; the right ones, added later, let it run."""
    if registry.auth == "none":
        pytest.skip("open to all")
    registry.push(archive, "team/app", "1")
    image = f"{registry.host}/team/app:1"
    create(cluster, secret("wrong", registry.host, "bad"))
    create(
        cluster,
        pod("wrong", image, imagePullSecrets=[{"name": "wrong"}]),
        pod("nobody", image),
        pod("later", image, imagePullSecrets=[{"name": "later"}]),
    )
    head = f'Failed to pull image "{image}": failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    words = {
        "basic": {"wrong": "401 Unauthorized", "nobody": "no basic auth credentials"},
        "token": {"wrong": "failed to fetch oauth token: unexpected status from GET request to ", "nobody": "insufficient_scope"},
    }[registry.auth]  # fmt: skip
    for name, sentence in words.items():
        eventually(lambda name=name: waiting(cluster, name).get("reason") == "ImagePullBackOff")
        assert [m for r, m in told(cluster, name) if r == "Failed" and m.startswith(head) and sentence in m], told(
            cluster, name
        )
    missing = "Unable to retrieve some image pull secrets (later); attempting to pull the image may not succeed."
    eventually(lambda: ("FailedToRetrieveImagePullSecret", missing) in told(cluster, "later"))
    create(cluster, secret("later", registry.host))
    cluster.wait_ready("later", seconds=90)
    create(cluster, pod("thief", image))
    eventually(lambda: waiting(cluster, "thief").get("reason") in {"ErrImagePull", "ImagePullBackOff"})
    clean(cluster)


def test_a_service_account_and_the_node_have_credentials_too(cluster, tmp_path, archive):
    """imagePullSecrets of the Pod's ServiceAccount, and DIR/config.json for all; `public/` needs neither."""
    registry = Registry(tmp_path / "registry", "token").start()
    try:
        for name in ("team/account", "team/node", "public/app"):
            registry.push(archive, name, "1")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "s"}]}  # fmt: skip
        create(cluster, secret("s", f"{registry.host}/team"), account)
        create(cluster, pod("open", f"{registry.host}/public/app:1"))
        create(cluster, pod("account", f"{registry.host}/team/account:1", serviceAccountName="puller"))
        cluster.wait_ready("open", "account")
        assert "repository:public/app:pull tests anybody" in registry.asked
        config = {"auths": {registry.host: {"username": USER, "password": PASSWORD}}}
        (cluster.data / "config.json").write_text(json.dumps(config))
        create(cluster, pod("node", f"{registry.host}/team/node:1"))
        cluster.wait_ready("node")
    finally:
        (cluster.data / "config.json").unlink(missing_ok=True)
        registry.stop()
    clean(cluster)


def test_policies_ask_as_much_as_they_must(cluster, plain, archive):
    """Always resolves the name and fetches nothing that is there; IfNotPresent asks nobody."""
    image = f"{plain.host}/app:1"
    plain.push(archive, "app", "1")
    create(cluster, pod("first", image, "Always"))
    cluster.wait_ready("first")
    heads, blobs = plain.requests("HEAD", "/manifests/1"), plain.requests("GET", "/blobs/")
    create(cluster, pod("always", image, "Always"))
    cluster.wait_ready("always")
    assert plain.requests("HEAD", "/manifests/1") == heads + 1
    assert plain.requests("GET", "/blobs/") == blobs
    create(cluster, pod("present", image), pod("never", image, "Never"))
    cluster.wait_ready("present", "never")
    assert plain.requests("HEAD", "/manifests/1") == heads + 1
    sentence = f'Container image "{image}" already present on machine and can be accessed by the pod'
    for name in ("present", "never"):
        assert ("Pulled", sentence) in told(cluster, name)
    clean(cluster)


def test_a_pull_that_breaks_goes_on_where_it_broke(cluster, plain, tmp_path):
    """Each connection is cut in the middle of the layer: the rest is asked for by range, and nothing twice."""
    layer = os.urandom(3_000_000)
    build_busybox(tmp_path / "large.tar", extra={"etc/large": layer})
    plain.push(tmp_path / "large.tar", "large", "1")
    way = Breaking(plain.port, 1_500_000)
    try:
        create(cluster, pod("breaks", f"{way.host}/large:1"))
        cluster.wait_ready("breaks")
    finally:
        way.close()
    assert way.cuts >= 2
    assert plain.requests("GET", "/blobs/", 206) >= 2
    sums = cluster.kubectl("exec", "breaks", "--", "sha256sum", "/etc/large").stdout
    assert sums.split()[0] == hashlib.sha256(layer).hexdigest()
    assert not [m for r, m in told(cluster, "breaks") if r == "Failed"]
    clean(cluster)


def test_an_image_volume_waits_for_its_image(cluster, plain, archive):
    """One that cannot be pulled keeps its container waiting like its own image would; when it comes, the Pod starts."""
    plain.push(archive, "app", "1")
    image = f"{plain.host}/content:1"
    mounting = pod("mounting", f"{plain.host}/app:1", volumes=[{"name": "v", "image": {"reference": image}}])
    mounting["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    never = pod(
        "never", f"{plain.host}/app:1", volumes=[{"name": "v", "image": {"reference": image, "pullPolicy": "Never"}}]
    )
    never["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    create(cluster, mounting, never)
    eventually(lambda: waiting(cluster, "mounting").get("reason") == "ImagePullBackOff")
    eventually(lambda: waiting(cluster, "never").get("reason") == "ErrImageNeverPull")
    failed = f'Failed to pull image "{image}": '
    assert [m for r, m in told(cluster, "mounting") if r == "Failed" and m.startswith(failed) and "not found" in m]
    assert waiting(cluster, "mounting")["message"].startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
    words = f'Container image "{image}" is not present with pull policy of Never'
    assert waiting(cluster, "never")["message"] == words
    plain.push(archive, "content", "1")
    cluster.wait_ready("mounting", seconds=90)
    assert "etc" in cluster.kubectl("exec", "mounting", "--", "ls", "/v").stdout.split()
    clean(cluster)


def test_what_is_missing_broken_or_down_comes_right_later(cluster, plain, archive):
    """A missing tag, a blob of other content and a registry that is down are told apart, and all end in running Pods."""
    plain.push(archive, "app", "1")
    manifest = json.loads(plain._ask("GET", "/v2/app/manifests/1", headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})[2])  # fmt: skip
    blob = plain.blob_path(manifest["layers"][0]["digest"])
    good = blob.read_bytes()
    blob.write_bytes(good[:-20] + b"x" * 20)
    create(cluster, pod("corrupt", f"{plain.host}/app:1"), pod("missing", f"{plain.host}/app:2"))
    expected = {
        "corrupt": f'failed commit on ref "layer-{manifest["layers"][0]["digest"]}": unexpected commit digest sha256:',
        "missing": f'failed to resolve reference "{plain.host}/app:2": {plain.host}/app:2: not found',
    }
    for name, sentence in expected.items():
        eventually(lambda name=name, sentence=sentence: [m for _, m in told(cluster, name) if sentence in m])
    assert plain.host not in cluster.podling("image", "list").stdout
    plain.stop()
    create(cluster, pod("down", f"{plain.host}/app:1"))
    refused = f"dial tcp {plain.host}: connect: connection refused"
    eventually(lambda: waiting(cluster, "down").get("reason") == "ImagePullBackOff")
    state = waiting(cluster, "down")
    assert state["message"].startswith(f'Back-off pulling image "{plain.host}/app:1": ErrImagePull: failed to pull')
    assert refused in state["message"]
    blob.write_bytes(good)
    plain.start()
    plain.push(archive, "app", "2")
    cluster.wait_ready("corrupt", "missing", "down", seconds=90)
    clean(cluster)
