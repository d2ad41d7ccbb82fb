"""The profile that `RuntimeDefault` stands for, and profiles of the node's own."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest

from podling.runtime.oci import default_profile, seccomp, spec
from podling.runtime.oci.default_profile import BY_CAPABILITY, runtime_default
from podling.runtime.protocol import RuntimeFailure, Security

NEVER = """
    add_key keyctl request_key io_uring_setup userfaultfd kexec_load kexec_file_load swapon swapoff pivot_root
    nfsservctl move_pages migrate_pages uselib create_module query_module _sysctl
"""


def allowed(profile: dict) -> set[str]:
    """Calls that are allowed whatever their arguments are."""
    return {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]
            if rule["action"] == "SCMP_ACT_ALLOW"}  # fmt: skip


def test_what_is_not_named_is_refused():
    """The default is EPERM; nothing that reaches beyond the container is open to a container as it comes."""
    profile = runtime_default(spec.CAPABILITIES, "x86_64")
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    closed = {"mount", "unshare", "setns", "bpf", "ptrace", "reboot", "init_module", "clone3", "personality", "socket"}
    assert not allowed(profile) & (closed | set(NEVER.split()))
    assert {"read", "execve", "arch_prctl", "futex", "chroot"} <= allowed(profile)


@pytest.mark.parametrize("capability", sorted(BY_CAPABILITY))
def test_a_capability_opens_its_calls_and_no_others(capability):
    """Whoever holds a capability may make the calls that it is about."""
    without = allowed(runtime_default([], "x86_64"))
    opened = allowed(runtime_default([capability], "x86_64")) - without
    assert opened == set(BY_CAPABILITY[capability].split())


def test_all_capabilities_open_nothing_that_is_closed_to_all():
    """No capability says that a container may have the node's keys."""
    assert not allowed(runtime_default(spec.ALL_CAPABILITIES, "x86_64")) & set(NEVER.split())


def test_new_namespaces_are_for_those_who_may_administer():
    """`clone` is judged by its flags, which stand elsewhere on s390x; of `clone3` they cannot be seen."""
    for machine, place in (("x86_64", 0), ("aarch64", 0), ("s390x", 1)):
        rules = {rule["names"][0]: rule for rule in runtime_default([], machine)["syscalls"]}
        assert rules["clone"]["args"] == [{"index": place, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
        assert (rules["clone3"]["action"], rules["clone3"]["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert {"clone", "clone3", "unshare"} <= allowed(runtime_default(["CAP_SYS_ADMIN"], "x86_64"))


def test_every_call_is_named_once():
    """A call in two categories would hide that it was taken out of one."""
    parts = ("FILES", "MEMORY", "PROCESSES", "TIME", "WAITING", "TALKING", "MACHINE")
    names = [name for part in parts for name in getattr(default_profile, part).split()]
    assert sorted(names) == sorted(set(names))
    assert not set(names) & {name for held in BY_CAPABILITY.values() for name in held.split()}


YOUNG = """
cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listxattrat map_shadow_stack memfd_secret mseal
quotactl_fd removexattrat set_mempolicy_home_node setxattrat uretprobe futex_waitv process_mrelease
"""
"""Calls of kernels that are younger than some library that resolves names."""


def test_every_name_is_a_call():
    """A name that no kernel knows would be passed over in silence, and what was meant be refused."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        pytest.skip(f"the library that knows all names is not here: {error}")
    parts = ("FILES", "MEMORY", "PROCESSES", "TIME", "WAITING", "TALKING", "MACHINE")
    names = [name for part in parts for name in getattr(default_profile, part).split()]
    names += [name for held in BY_CAPABILITY.values() for name in held.split()]
    names += [name for more in default_profile.BY_ARCHITECTURE.values() for name in more]
    unknown = [name for name in names if library.seccomp_syscall_resolve_name(name.encode()) == -1]
    assert [name for name in unknown if name not in YOUNG.split()] == []


def test_privileged_containers_and_those_who_say_so_are_not_filtered():
    """Unconfined means it, and a privileged container has no profile whatever it names."""
    for security in (Security(seccomp="Unconfined"), Security(seccomp=""), Security(privileged=True)):
        assert seccomp.profile(security, spec.CAPABILITIES) is None
    assert seccomp.profile(Security(privileged=True, seccomp="/nowhere"), ()) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "open {}: no such file or directory"),
        ("{", "decoding seccomp profile failed: …"),
        ("[]", "decoding seccomp profile failed: not a seccomp profile"),
        ("{}", "decoding seccomp profile failed: not a seccomp profile"),
    ],
)
def test_a_profile_that_cannot_be_read_keeps_the_container_from_being_made(tmp_path: Path, content, why):
    """The words are containerd's; a container without its profile does not start."""
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RuntimeFailure) as failure:
        seccomp.profile(Security(seccomp=str(path)), ())
    assert failure.value.reason == "CreateContainerError"
    start = f'failed to create containerd container: cannot load seccomp profile "{path}": {why.format(path)}'
    assert failure.value.message.startswith(start.rstrip("…"))


def test_a_profile_of_the_nodes_own_is_handed_on_as_it_is(tmp_path: Path):
    """It is of the runtime specification's form; nothing is added to it."""
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_LOG"}))
    assert seccomp.profile(Security(seccomp=str(path)), ()) == {"defaultAction": "SCMP_ACT_LOG"}
