"""Pod Security labels as whoever uses kubectl meets them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import IMAGE, RunningCluster, pod_manifest

pytestmark = pytest.mark.root


@pytest.fixture
def namespace(cluster: RunningCluster, name: str) -> Iterator[str]:
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_labels_refuse_warn_and_tell(cluster: RunningCluster, namespace: str) -> None:
    """What runs is named when its namespace becomes stricter, and stays; what comes later is warned of, then refused."""
    in_it = ("-n", namespace)
    cluster.kubectl("apply", *in_it, "-f", "-", stdin=pod_manifest("open", hostNetwork=True))
    told = cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline").stderr
    words = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "baseline:latest"'
    assert f"Warning: {words}" in told
    assert "Warning: open: host namespaces" in told
    refused = cluster.kubectl("apply", *in_it, "-f", "-", stdin=pod_manifest("more", hostPID=True), check=False)
    assert (
        'pods "more" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)'
        in refused.stderr
    )
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted")
    warned = cluster.kubectl("run", "plain", *in_it, f"--image={IMAGE}", "--restart=Never", "--", "true").stderr
    assert (
        'Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "plain"'
        in warned
    )
    debugging = ("debug", "plain", *in_it, f"--image={IMAGE}", "-c", "d", "--", "true")
    refused = cluster.kubectl(*debugging[:4], "--profile=sysadmin", *debugging[4:], check=False)
    assert 'violates PodSecurity "baseline:latest"' in refused.stderr
    assert cluster.kubectl(*debugging[:4], "--profile=restricted", *debugging[4:]).returncode == 0
    typo = cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/audit=strict", check=False)
    assert "must be one of privileged, baseline, restricted" in typo.stderr
