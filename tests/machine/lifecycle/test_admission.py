"""What a node refuses for the Pod's own sake."""

from __future__ import annotations

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import (
    Node,
    Pod,
    PodOS,
    PodSecurityContext,
    PodSpec,
    Sysctl,
)
from podling.lifecycle.admission import admit, allowlist


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


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("kernel.msgmax", {}, ""),
        ("kernel/msgmax", {}, ""),
        ("net.core.somaxconn", {}, ""),
        ("net.core.rmem_max", {}, 'forbidden sysctl: "net.core.rmem_max" not allowlisted'),
        ("kernel.msgmax", {"host_ipc": True}, '"kernel.msgmax" not allowed with host ipc enabled'),
        ("net.core.somaxconn", {"host_network": True}, '"net.core.somaxconn" not allowed with host net enabled'),
    ],
)
def test_a_node_may_allow_more(name, spec, message):
    """By name or by a pattern's beginning; a namespace that is the host's is still not a Pod's to set."""
    security = PodSecurityContext(sysctls=(Sysctl(name=name, value="1"),))
    unsafe = allowlist(["kernel/msg*", "net.core.somaxconn"])
    refused = admit(Pod(spec=PodSpec(containers=(), security_context=security, **spec)), Node(), unsafe)
    assert (refused is None) is (message == "")
    assert refused is None or (refused.reason == "SysctlForbidden" and refused.message.endswith(message))


@pytest.mark.parametrize("pattern", ["vm.swappiness", "kernel.*", "*", "..", "kernel.msg max", "a" * 254])
def test_what_no_namespace_keeps_in_cannot_be_allowed(pattern):
    """Whoever allowed it would let one Pod set it for the whole node."""
    with pytest.raises(ValueError, match=r"^(sysctl|the sysctls?) \""):
        allowlist([pattern])


@pytest.mark.parametrize(("wanted", "admitted"), [("linux", True), ("windows", False), (None, True)])
def test_a_pod_of_another_system_is_refused(wanted, admitted):
    """`os.name` is held against what the node says it runs."""
    tree = {
        "status": {
            "nodeInfo": {
                "operatingSystem": "linux",
                "architecture": "any",
                "bootID": "",
                "containerRuntimeVersion": "",
                "kernelVersion": "",
                "kubeProxyVersion": "",
                "kubeletVersion": "",
                "machineID": "",
                "osImage": "",
                "systemUUID": "",
            }
        }
    }
    node = from_tree(Node, tree)
    spec = PodSpec(containers=(), os=PodOS(name=wanted) if wanted else None)
    refused = admit(Pod(spec=spec), node)
    assert (refused is None) is admitted
    assert refused is None or refused.reason == "PodOSNotSupported"
