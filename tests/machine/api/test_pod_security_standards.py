"""The Pod Security Standards, check by check, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.pod_security import DEFAULT, Level, LevelVersion, evaluate, policy_of
from podling.api.types.core_v1 import PodSpec
from podling.api.validation.shape import typed

LATEST = 1 << 16
ORDINARY = {"containers": [{"name": "a", "image": "i"}]}
CAREFUL_CONTEXT = {
    "allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
CAREFUL = {"containers": [{"name": "a", "image": "i", "securityContext": CAREFUL_CONTEXT}]}


def one(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "i", "securityContext": context}]}


def whole(**context: Any) -> dict[str, Any]:
    return {**ORDINARY, "securityContext": context}


def careful(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "i", "securityContext": {**CAREFUL_CONTEXT, **context}}]}


def volumes(*sources: str) -> dict[str, Any]:
    needed = {"hostPath": {"path": "/"}, "nfs": {"server": "s", "path": "/"}}
    return {
        **CAREFUL,
        "volumes": [{"name": f"v{n}", source: needed.get(source, {})} for n, source in enumerate(sources)],
    }


def told(spec: dict[str, Any], level: Level, minor: int = LATEST, annotations: dict[str, str] | None = None) -> str:
    return evaluate(LevelVersion(level, minor), typed(PodSpec, spec), annotations or {}).detail


SEVERAL = {
    "initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 1, "hostPort": 90}]}],
    "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2}]},
                   {"name": "b", "image": "i"}],
}  # fmt: skip
PROBES = {"containers": [{
    "name": "a", "image": "i", "livenessProbe": {"httpGet": {"port": 1, "host": "x"}},
    "readinessProbe": {"tcpSocket": {"port": 1}}, "lifecycle": {"preStop": {"httpGet": {"port": 1, "host": "w"}}}}]}  # fmt: skip

BASELINE = [
    (ORDINARY, ""),
    (CAREFUL, ""),
    (one(appArmorProfile={"type": "RuntimeDefault"}), ""),
    (one(appArmorProfile={"type": "Unconfined"}),
     'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")'),
    (whole(appArmorProfile={"type": "Unconfined"}),
     'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")'),
    (one(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"]}), ""),
    (one(capabilities={"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}),
     'non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in securityContext.capabilities.add)'),
    ({**ORDINARY, "hostNetwork": True, "hostIPC": True}, "host namespaces (hostNetwork=true, hostIPC=true)"),
    ({**ORDINARY, "hostPID": True}, "host namespaces (hostPID=true)"),
    ({**ORDINARY, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
    (SEVERAL, 'hostPort (containers "i", "a" use hostPorts 8080, 90)'),
    (PROBES, 'probe or lifecycle host (container "a" uses probe or lifecycle hosts "w", "x")'),
    (one(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
    (one(privileged=False), ""),
    (one(procMount="Default"), ""),
    (one(procMount="Unmasked"), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    ({**one(procMount="Unmasked"), "hostUsers": False}, ""),
    (one(seLinuxOptions={"type": "container_t", "level": "s0"}), ""),
    (one(seLinuxOptions={"type": "container_engine_t"}), ""),
    ({**one(seLinuxOptions={"user": "u"}), "securityContext": {"seLinuxOptions": {"type": "spc_t", "role": "r"}}},
     ('seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: '
     'type "spc_t"; user may not be set; role may not be set)')),
    (one(seccompProfile={"type": "Localhost", "localhostProfile": "x"}), ""),
    ({**one(seccompProfile={"type": "Unconfined"}), "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
     'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")'),
    (whole(sysctls=[{"name": "net.ipv4.tcp_keepalive_time", "value": "1"}]), ""),
    (whole(sysctls=[{"name": "b", "value": "1"}, {"name": "kernel.msgmax", "value": "1"}]), "forbidden sysctls (b, kernel.msgmax)"),
    (whole(windowsOptions={"hostProcess": True}), "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"),
    ({**one(privileged=True), "hostPID": True},
     'host namespaces (hostPID=true), privileged (container "a" must not set securityContext.privileged=true)'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "detail"), BASELINE)
def test_baseline_closes_the_known_ways_to_the_node(spec, detail):
    """What is allowed is not spoken of; what is not is told with reason and place, in upstream's order."""
    assert told(spec, Level.BASELINE) == detail
    assert told(spec, Level.PRIVILEGED) == ""


RESTRICTED = [
    (CAREFUL, ""),
    (ORDINARY,
     ('allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
     'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
     'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
     'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")')),
    (careful(allowPrivilegeEscalation=True),
     'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'),
    (careful(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), ""),
    (careful(capabilities={"drop": ["KILL"], "add": ["SYS_TIME", "CHOWN"]}),
     ('unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; '
     'container "a" must not include "CHOWN", "SYS_TIME" in securityContext.capabilities.add)')),
    ({**careful(procMount="Unmasked"), "hostUsers": False},
     'procMount (container "a" must not set securityContext.procMount to "Unmasked")'),
    (volumes("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"),
     ""),
    (volumes("hostPath"), 'restricted volume types (volume "v0" uses restricted volume type "hostPath")'),
    (volumes("nfs", "emptyDir", "hostPath", "no-kind-that-is-known"),
     'restricted volume types (volumes "v0", "v2", "v3" use restricted volume types "hostPath", "nfs", "unknown")'),
    (careful(runAsNonRoot=False), 'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)'),
    ({**careful(runAsNonRoot=None), "securityContext": {"runAsNonRoot": True}}, ""),
    ({**CAREFUL, "securityContext": {"runAsNonRoot": False}}, "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"),
    ({**careful(runAsUser=0), "securityContext": {"runAsUser": 0}}, 'runAsUser=0 (pod and container "a" must not set runAsUser=0)'),
    (careful(runAsUser=1), ""),
    ({**careful(seccompProfile=None), "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, ""),
    (careful(seccompProfile={"type": "Unconfined"}),
     'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")'),
    ({**CAREFUL, "hostNetwork": True}, "host namespaces (hostNetwork=true)"),
    ({"os": {"name": "windows"}, **one(runAsNonRoot=True)}, ""),
    ({**CAREFUL, "ephemeralContainers": [{"name": "e", "image": "i", "securityContext": {**CAREFUL_CONTEXT, "runAsUser": 0}}]},
     'runAsUser=0 (container "e" must not set runAsUser=0)'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "detail"), RESTRICTED)
def test_restricted_asks_for_the_least(spec, detail):
    """All that baseline forbids, said once, and all that it asks for."""
    assert told(spec, Level.RESTRICTED) == detail


UNMASKED = 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'
VERSIONS = [
    (PROBES, Level.BASELINE, 33, ""),
    ({**one(procMount="Unmasked"), "hostUsers": False}, Level.BASELINE, 34, UNMASKED),
    ({**careful(procMount="Unmasked"), "hostUsers": False}, Level.RESTRICTED, 34, UNMASKED),
    (one(seLinuxOptions={"type": "container_engine_t"}), Level.BASELINE, 30,
     'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "container_engine_t")'),
    (whole(sysctls=[{"name": "net.ipv4.ip_local_reserved_ports", "value": "1"}]), Level.BASELINE, 26,
     "forbidden sysctls (net.ipv4.ip_local_reserved_ports)"),
    (whole(seccompProfile={"type": "Unconfined"}), Level.BASELINE, 18, ""),
    (careful(runAsUser=0), Level.RESTRICTED, 22, ""),
    (careful(capabilities={"add": ["SYS_TIME"]}), Level.RESTRICTED, 21,
     'non-default capabilities (container "a" must not include "SYS_TIME" in securityContext.capabilities.add)'),
    (one(runAsNonRoot=True), Level.RESTRICTED, 7, ""),
    ({"os": {"name": "windows"}, **careful(allowPrivilegeEscalation=None)}, Level.RESTRICTED, 24,
     'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "level", "minor", "detail"), VERSIONS)
def test_a_level_is_what_it_was_in_a_release(spec, level, minor, detail):
    """Whoever names a version keeps its rules."""
    assert told(spec, level, minor) == detail


def test_annotations_of_old_count():
    """AppArmor's annotations still do, seccomp's where a version from before its fields is named."""
    armor = {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    found = told(ORDINARY, Level.BASELINE, annotations=armor)
    assert found == (
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        '"container.apparmor.security.beta.kubernetes.io/a="unconfined"")'
    )
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert told(ORDINARY, Level.BASELINE, annotations=seccomp) == ""
    found = told(ORDINARY, Level.BASELINE, 18, seccomp)
    assert found == 'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'


def labels(**words: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{name.replace('_', '-')}": word for name, word in words.items()}


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, ("privileged:latest",) * 3),
        (labels(enforce="baseline"), ("baseline:latest", "privileged:latest", "baseline:latest")),
        (
            labels(enforce="baseline", enforce_version="v1.28"),
            ("baseline:v1.28", "privileged:latest", "baseline:v1.28"),
        ),
        (
            labels(enforce="baseline", warn="restricted", warn_version="latest", audit="baseline", audit_version="v1.0"),
            ("baseline:latest", "baseline:v1.0", "restricted:latest"),
        ),
        (labels(enforce="restricted", warn="privileged"), ("restricted:latest", "privileged:latest", "privileged:latest")),
        (labels(warn="baseline"), ("privileged:latest", "privileged:latest", "baseline:latest")),
        (labels(enforce="strict", audit="strict", warn="strict"), ("restricted:latest", "privileged:latest", "privileged:latest")),
        (labels(enforce="strict"), ("restricted:latest", "privileged:latest", "privileged:latest")),
    ],
)  # fmt: skip
def test_labels_are_read_as_upstream_does(given, policy):
    """Who only enforces warns as well; a level that is none is the strictest for enforcing, and silence for the rest."""
    found, _ = policy_of(given)
    assert (str(found.enforce), str(found.audit), str(found.warn)) == policy


def test_labels_that_make_no_sense_are_named():
    """With the label and what it may be."""
    _, causes = policy_of(labels(enforce="strict", warn_version="1.2"))
    assert [(cause.field, cause.message) for cause in causes] == [
        (
            "metadata.labels[pod-security.kubernetes.io/enforce]",
            'Invalid value: "strict": must be one of privileged, baseline, restricted',
        ),
        (
            "metadata.labels[pod-security.kubernetes.io/warn-version]",
            'Invalid value: "1.2": must be "latest" or "v1.x"',
        ),
    ]
    assert policy_of({"app": "x"}) == (DEFAULT, [])
