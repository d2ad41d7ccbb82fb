"""One cluster for the whole folder, on a free port, in a folder of its own."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator

import pytest

from tests.conftest import missing_for_containers
from tests.running import RunningCluster, pod_manifest, started


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster with the busybox image loaded; taken down with everything that it made."""
    why = missing_for_containers()
    if why:
        pytest.skip(f"the clients are tried on real containers: {why}")
    with started(tmp_path_factory.mktemp("clients")) as running:
        yield running


@pytest.fixture(scope="session")
def kubectl(cluster: RunningCluster):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (make test installs Debian's where it may)")
    return cluster.kubectl


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def pod(cluster: RunningCluster, name: str) -> Iterator[str]:
    """A Ready Pod, gone after the test."""
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name))
    cluster.wait_ready(name)
    yield name
    cluster.kubectl("delete", "pod", name, "--now", "--ignore-not-found")
