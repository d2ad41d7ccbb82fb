"""Security contexts resolved: the container's word before the Pod's, and what breaks runAsNonRoot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podling.api.types.core_v1 import AppArmorProfile as Armor
from podling.api.types.core_v1 import Capabilities, Container, Pod, PodSecurityContext, PodSpec, SecurityContext
from podling.api.types.core_v1 import SeccompProfile as Profile
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.objects import MissingReference
from podling.kubelet.security import security_of
from podling.linux import confinement
from podling.runtime.protocol import Image, ImageId, Security

ROOT = Path("/data/seccomp")
WHERE = '(pod: "p_d(u)", container: c)'


def resolved(
    whole: dict[str, Any], own: dict[str, Any], user: str = "", annotations: dict[str, str] | None = None, **more: Any
) -> Security:
    container = Container(name="c", security_context=SecurityContext(**own))
    spec = PodSpec(containers=(container,), security_context=PodSecurityContext(**whole))
    pod = Pod(metadata=ObjectMeta(name="p", namespace="d", uid="u", annotations=annotations or {}), spec=spec)
    return security_of(pod, container, Image(ImageId("sha256:0"), (), (), 0, user=user), ROOT, **more)


@pytest.mark.parametrize(
    ("whole", "own", "field", "value"),
    [
        ({"run_as_user": 1}, {}, "user", 1),
        ({"run_as_user": 1}, {"run_as_user": 0}, "user", 0),
        ({"run_as_group": 1}, {"run_as_group": 2}, "group", 2),
        ({"supplemental_groups": (7,), "fs_group": 9}, {}, "supplemental_groups", (7, 9)),
        ({"supplemental_groups": (9,), "fs_group": 9}, {}, "supplemental_groups", (9,)),
        ({"supplemental_groups_policy": "Strict"}, {}, "supplemental_groups_strict", True),
        ({"supplemental_groups_policy": "Merge"}, {}, "supplemental_groups_strict", False),
        ({}, {"capabilities": Capabilities(add=("A",), drop=("ALL",))}, "add_capabilities", ("A",)),
        ({}, {"capabilities": Capabilities(add=("A",), drop=("ALL",))}, "drop_capabilities", ("ALL",)),
        ({}, {"allow_privilege_escalation": False}, "no_new_privileges", True),
        ({}, {"allow_privilege_escalation": True}, "no_new_privileges", False),
        ({}, {"read_only_root_filesystem": True}, "read_only_root", True),
        ({}, {"proc_mount": "Unmasked"}, "masked_paths", False),
        ({}, {}, "masked_paths", True),
        ({}, {}, "seccomp", "Unconfined"),
        ({"seccomp_profile": Profile(type="RuntimeDefault")}, {}, "seccomp", "RuntimeDefault"),
        (
            {"seccomp_profile": Profile(type="RuntimeDefault")},
            {"seccomp_profile": Profile(type="Unconfined")},
            "seccomp",
            "Unconfined",
        ),
        ({"seccomp_profile": Profile(type="RuntimeDefault")}, {"privileged": True}, "seccomp", "Unconfined"),
        (
            {},
            {"seccomp_profile": Profile(type="Localhost", localhost_profile="a/b.json")},
            "seccomp",
            str(ROOT / "a/b.json"),
        ),
    ],
)
def test_the_containers_word_comes_before_the_pods(whole, own, field, value):
    """What the container leaves open, the Pod says."""
    assert getattr(resolved(whole, own), field) == value


def test_a_node_may_confine_those_who_say_nothing():
    """`seccompDefault` gives RuntimeDefault to whoever asks for nothing, and to nobody else."""
    unconfined = {"seccomp_profile": Profile(type="Unconfined")}
    assert resolved({}, {}, seccomp_default=True).seccomp == "RuntimeDefault"
    assert resolved({}, unconfined, seccomp_default=True).seccomp == "Unconfined"
    assert resolved({}, {"privileged": True}, seccomp_default=True).seccomp == "Unconfined"


@pytest.mark.parametrize(
    ("whole", "own", "user", "message"),
    [
        ({}, {"run_as_user": 0}, "7", f"container's runAsUser breaks non-root policy {WHERE}"),
        ({"run_as_user": 0}, {}, "7", f"container's runAsUser breaks non-root policy {WHERE}"),
        ({}, {}, "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ({}, {}, "0", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ({}, {}, "0:5", f"container has runAsNonRoot and image will run as root {WHERE}"),
        (
            {},
            {},
            "www",
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root " + WHERE,
        ),
        ({}, {}, "7", None),
        ({}, {}, "7:0", None),
        ({"run_as_user": 5}, {}, "www", None),
        ({}, {"run_as_non_root": False}, "", None),
    ],
)
def test_root_is_refused_where_nobody_may_be_root(whole, own, user, message):
    """From the Pod's user, else from the image's, which must be a number to be believed."""
    wanted = {"run_as_non_root": True, **whole}
    if message is None:
        resolved(wanted, own, user)
        return
    with pytest.raises(MissingReference) as refused:
        resolved(wanted, own, user)
    assert str(refused.value) == message


LOCAL = Armor(type="Localhost", localhost_profile="mine")


@pytest.mark.parametrize(
    ("whole", "own", "noted", "profile"),
    [
        ({}, {}, {}, ""),
        ({"app_armor_profile": LOCAL}, {}, {}, "mine"),
        ({}, {"app_armor_profile": LOCAL}, {}, "mine"),
        ({"app_armor_profile": LOCAL}, {"app_armor_profile": Armor(type="Unconfined")}, {}, ""),
        ({}, {}, {"container.apparmor.security.beta.kubernetes.io/c": "localhost/old"}, "old"),
        ({}, {}, {"container.apparmor.security.beta.kubernetes.io/other": "localhost/old"}, ""),
        ({"app_armor_profile": LOCAL}, {}, {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}, "mine"),
        ({"app_armor_profile": LOCAL}, {"privileged": True}, {}, ""),
    ],
)
def test_apparmor_profiles_are_asked_for_where_the_kernel_has_them(whole, own, noted, profile):
    """By field, else by the annotation of old; nothing is asked of a kernel without it."""
    assert resolved(whole, own, annotations=noted, apparmor=True).apparmor == profile
    assert resolved(whole, own, annotations=noted).apparmor == ""


def test_the_kernel_is_asked_whether_it_has_apparmor(tmp_path: Path):
    """Its module is there and on; a profile counts when it is loaded, whatever its mode."""
    assert not confinement.apparmor(tmp_path)
    module = tmp_path / "module/apparmor/parameters"
    module.mkdir(parents=True)
    (module / "enabled").write_text("N\n")
    confinement.apparmor.cache_clear()
    assert not confinement.apparmor(tmp_path)
    (module / "enabled").write_text("Y\n")
    confinement.apparmor.cache_clear()
    assert confinement.apparmor(tmp_path)
    assert not confinement.apparmor_profile_loaded("mine", tmp_path)
    loaded = tmp_path / "kernel/security/apparmor"
    loaded.mkdir(parents=True)
    (loaded / "profiles").write_text("mine (enforce)\n/usr/bin/man (complain)\n")
    found = [confinement.apparmor_profile_loaded(name, tmp_path) for name in ("mine", "/usr/bin/man", "min", "other")]
    assert found == [True, True, False, False]
