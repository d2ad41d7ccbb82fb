"""What a node refuses for the Pod's own sake."""

from __future__ import annotations

import pytest

from podling.api.types.core_v1 import Node, Pod, PodSecurityContext, PodSpec, Sysctl
from podling.lifecycle.admission import admit


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("kernel.shm_rmid_forced", {}, ""),
        ("net/ipv4/tcp_syncookies", {}, ""),
        ("net.ipv4.tcp_syncookies", {"host_ipc": True}, ""),
        ("kernel.msgmax", {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("kernel/shm_rmid_forced", {"host_ipc": True}, '"kernel.shm_rmid_forced" not allowed with host ipc enabled'),
        ("net.ipv4.tcp_rmem", {"host_network": True}, '"net.ipv4.tcp_rmem" not allowed with host net enabled'),
    ],
)
def test_only_sysctls_that_stay_in_the_pod_are_taken(name, spec, message):
    """Upstream's safe list passes; others, and those of a namespace shared with the host, are SysctlForbidden."""
    security = PodSecurityContext(sysctls=(Sysctl(name=name, value="1"),))
    refused = admit(Pod(spec=PodSpec(containers=(), security_context=security, **spec)), Node())
    assert (refused is None) is (message == "")
    assert refused is None or (refused.reason == "SysctlForbidden" and refused.message.endswith(message))
