"""What a Pod may not be, in upstream's words."""

from __future__ import annotations

import pytest

from podling.api import errors, validation
from podling.api.resources import PODS
from podling.api.validation.shape import typed

from .objects import found, pod

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PORT = "must be between 1 and 65535, inclusive"
C = "spec.containers[0]"


def test_a_sound_pod_has_nothing_against_it_as_tree_or_struct() -> None:
    """A defaulted Pod passes, and passes an update to itself."""
    tree = pod()
    assert found(PODS, tree) == []
    struct = typed(PODS.type, tree)
    assert validation.create(PODS, struct) == []
    assert validation.update(PODS, struct, struct) == []
    assert validation.status_update(PODS, struct, struct) == []


def test_missing_required_fields_are_found_not_raised() -> None:
    """Fields that the types require are zero where absent, as upstream decodes them."""
    tree = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{}]}}
    lines = found(PODS, tree)
    assert "spec.containers[0].name: Required value" in lines
    assert "spec.containers[0].image: Required value" in lines
    assert found(PODS, {"metadata": {"name": "web", "namespace": "default"}})[1] == "spec.containers: Required value"


def test_causes_make_upstreams_refusal() -> None:
    """The refusal lists the causes in order, in brackets where there are several."""
    tree = pod(restartPolicy="Sometimes", container={"image": ""})
    refusal = errors.invalid("", "Pod", "web", validation.create(PODS, tree))
    assert refusal.message == (
        'Pod "web" is invalid: [spec.containers[0].image: Required value, spec.restartPolicy: Unsupported value: '
        '"Sometimes": supported values: "Always", "OnFailure", "Never"]'
    )


METADATA = [
    ({"name": "Web"}, [f'metadata.name: Invalid value: "Web": {SUBDOMAIN}']),
    ({"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
    ({"generateName": "Web-"}, [f'metadata.generateName: Invalid value: "Web-": {SUBDOMAIN}']),
    ({"namespace": ""}, ["metadata.namespace: Required value"]),
    ({"labels": {"-a": "b"}}, [f'metadata.labels: Invalid value: "-a": {QUALIFIED}']),
    (
        {"labels": {"a": "b c"}},
        [
            (
                'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
                "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
                "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
        ],
    ),
    (
        {"annotations": {"a": "x" * 262144}},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
    (
        {"finalizers": ["mine"]},
        [
            (
                'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully '
                "qualified"
            )
        ],
    ),
    (
        {"ownerReferences": [{"apiVersion": "", "kind": "K", "name": "n", "uid": ""}]},
        [
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ],
    ),
    (
        {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}},
        [
            (
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "
                '"+1": must be a 32bit integer'
            )
        ],
    ),
]


@pytest.mark.parametrize(("metadata", "lines"), METADATA)
def test_metadata(metadata: dict, lines: list[str]) -> None:
    """Names, labels, annotations, owners and finalizers are refused as upstream refuses them."""
    assert found(PODS, pod(metadata=metadata)) == lines


CONTAINER = [
    ({"name": "C"}, [f'{C}.name: Invalid value: "C": {LABEL}']),
    ({"name": "a.b"}, [f'{C}.name: Invalid value: "a.b": must not contain dots']),
    ({"image": ""}, [f"{C}.image: Required value"]),
    ({"image": " i"}, [f'{C}.image: Invalid value: " i": must not have leading or trailing whitespace']),
    (
        {"imagePullPolicy": "Soon"},
        [f'{C}.imagePullPolicy: Unsupported value: "Soon": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    (
        {"terminationMessagePolicy": "Mail"},
        [f'{C}.terminationMessagePolicy: Unsupported value: "Mail": supported values: "File", "FallbackToLogsOnError"'],
    ),
    ({"ports": [{"containerPort": 0}]}, [f"{C}.ports[0].containerPort: Required value"]),
    ({"ports": [{"containerPort": 70000}]}, [f"{C}.ports[0].containerPort: Invalid value: 70000: {PORT}"]),
    ({"ports": [{"containerPort": 1, "hostPort": -1}]}, [f"{C}.ports[0].hostPort: Invalid value: -1: {PORT}"]),
    (
        {"ports": [{"containerPort": 1, "protocol": "tcp"}]},
        [f'{C}.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        {"ports": [{"containerPort": 1, "name": "a" * 16}]},
        [f'{C}.ports[0].name: Invalid value: "{"a" * 16}": must be no more than 15 characters'],
    ),
    (
        {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        [f'{C}.ports[1].name: Duplicate value: "a"'],
    ),
    (
        {"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
        [f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'],
    ),
    ({"env": [{"name": ""}]}, [f"{C}.env[0].name: Required value"]),
    (
        {"env": [{"name": "A=B"}]},
        [
            (
                f'{C}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable '
                "ASCII characters other than '='"
            )
        ],
    ),
    (
        {"env": [{"name": "A", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        [f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.whee"}}}]},
        [
            (
                f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.whee": error converting fieldPath: '
                "field label not supported: metadata.whee"
            )
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]},
        [
            (
                f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: '
                '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
                '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
            )
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]},
        [
            (
                f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m '
                "and 1 are supported with the cpu resource"
            )
        ],
    ),
    (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]},
        [
            (
                f'{C}.env[0].valueFrom.secretKeyRef.key: Invalid value: "a/b": a valid config key must consist of '
                "alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used "
                "for validation is '[-._a-zA-Z0-9]+')"
            )
        ],
    ),
    (
        {"envFrom": [{}]},
        [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
    ),
    (
        {"volumeMounts": [{"name": "nope", "mountPath": "/x"}]},
        [f'{C}.volumeMounts[0].name: Not found: "nope"'],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]},
        [f'{C}.volumeMounts[1].mountPath: Invalid value: "/x": must be unique'],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "../a"}]},
        [f"{C}.volumeMounts.subPath: Invalid value: \"../a\": must not contain '..'"],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/x", "mountPropagation": "Bidirectional"}]},
        [
            (
                f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
                "privileged containers"
            )
        ],
    ),
    (
        {"volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]},
        [
            (
                f'{C}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim '
                "or Ephemeral for block mode"
            )
        ],
    ),
    (
        {"restartPolicy": "Sometimes"},
        [f'{C}.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'],
    ),
    (
        {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]},
        [f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    (
        {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}] * 21},
        [f"{C}.restartPolicyRules: Too many: 21: must have at most 20 items"]
        + [f"{C}.restartPolicyRules[{i}].exitCodes: Required value: must be specified" for i in range(21)],
    ),
    (
        {"securityContext": {"runAsUser": -1}},
        [f"{C}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 4294967295, inclusive"],
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        [
            (
                f"{C}.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is "
                "Localhost"
            )
        ],
    ),
    (
        {"securityContext": {"procMount": "Unmasked"}},
        [f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
    ),
]


@pytest.mark.parametrize(("container", "lines"), CONTAINER)
def test_containers(container: dict, lines: list[str]) -> None:
    """Each field of a container is refused with upstream's path and words."""
    assert found(PODS, pod(container=container, volumes=[{"name": "v", "emptyDir": {}}])) == lines


PROBES = [
    ({}, ["{p}: Required value: must specify a handler type"]),
    ({"exec": {}}, ["{p}.exec.command: Required value"]),
    (
        {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}},
        ["{p}.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    ({"tcpSocket": {"port": 0}}, ["{p}.tcpSocket.port: Invalid value: 0: " + PORT]),
    ({"grpc": {"port": 70000}}, ["{p}.grpc.port: Invalid value: 70000: " + PORT]),
    (
        {"httpGet": {"port": "", "scheme": "ftp"}},
        [
            (
                '{p}.httpGet.port: Invalid value: "": must contain only alpha-numeric characters (a-z, 0-9), and hyphens '
                "(-)"
            ),
            '{p}.httpGet.port: Invalid value: "": must contain at least one letter (a-z)',
            '{p}.httpGet.scheme: Unsupported value: "ftp": supported values: "HTTP", "HTTPS"',
        ],
    ),
    (
        {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}},
        [
            (
                '{p}.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric '
                "characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            )
        ],
    ),
    (
        {"tcpSocket": {"port": 1}, "initialDelaySeconds": -1, "periodSeconds": -2},
        [
            "{p}.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
            "{p}.periodSeconds: Invalid value: -2: must be greater than or equal to 0",
        ],
    ),
]


@pytest.mark.parametrize("name", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize(("probe", "lines"), PROBES)
def test_probes(name: str, probe: dict, lines: list[str]) -> None:
    """Every probe is refused for the same mistakes, in the same words."""
    path = f"{C}.{name}"
    assert found(PODS, pod(container={name: probe})) == [line.replace("{p}", path) for line in lines]


def test_liveness_and_startup_succeed_once_and_readiness_kills_nobody() -> None:
    """successThreshold must be 1 where a container restarts; a grace period of its own makes no sense in readiness."""
    twice = {"tcpSocket": {"port": 1}, "successThreshold": 2}
    lines = found(PODS, pod(container={"livenessProbe": twice, "startupProbe": twice, "readinessProbe": twice}))
    assert lines == [
        f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
        f"{C}.startupProbe.successThreshold: Invalid value: 2: must be 1",
    ]
    graceful = {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3}
    assert found(PODS, pod(container={"readinessProbe": graceful})) == [
        f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes"
    ]
    graceful["terminationGracePeriodSeconds"] = 0
    assert found(PODS, pod(container={"livenessProbe": graceful})) == [
        f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"
    ]


HOOKS = [
    ({"preStop": {}}, [f"{C}.lifecycle.preStop: Required value: must specify a handler type"]),
    (
        {"preStop": {"sleep": {"seconds": 31}}},
        [
            (
                f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
                "terminationGracePeriodSeconds (30)"
            )
        ],
    ),
    (
        {"postStart": {"exec": {"command": ["a"]}, "sleep": {"seconds": 1}}},
        [f"{C}.lifecycle.postStart.sleep: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        {"stopSignal": "SIGTERM"},
        [f"{C}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
]


@pytest.mark.parametrize(("lifecycle", "lines"), HOOKS)
def test_hooks(lifecycle: dict, lines: list[str]) -> None:
    """Hooks need one handler, and a sleep that fits into the grace period."""
    assert found(PODS, pod(container={"lifecycle": lifecycle})) == lines


RESOURCES = [
    (
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        {"limits": {"memory": "-1"}},
        [
            f'{C}.resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
            f'{C}.resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
    (
        {"requests": {"disk": "1"}},
        [
            f'{C}.resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
            f'{C}.resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers',
        ],
    ),
    (
        {"requests": {"example.com/gpu": "1"}},
        [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        {"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}},
        [f'{C}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
    ),
    (
        {"limits": {"example.com/gpu": "1500m"}},
        [
            f'{C}.resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{C}.resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer',
        ],
    ),
    (
        {"limits": {"hugepages-2Mi": "4Mi"}},
        [f"{C}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}},
        [
            (
                f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
                "hugepages-2Mi"
            ),
            (
                f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
                "hugepages-2Mi"
            ),
        ],
    ),
    (
        {"claims": [{"name": "gpu"}]},
        [
            (
                f'{C}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is '
                "empty"
            )
        ],
    ),
]


@pytest.mark.parametrize(("resources", "lines"), RESOURCES)
def test_resources(resources: dict, lines: list[str]) -> None:
    """Requests fit under limits, and what is counted is counted whole."""
    assert found(PODS, pod(container={"resources": resources})) == lines


def test_a_pods_own_resources_hold_those_of_its_containers() -> None:
    """Pod-level requests are no less than the containers' together, and no container's limit is above the Pod's."""
    own = {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "disk": "1"}}
    lines = found(PODS, pod(resources=own, container={"resources": {"limits": {"cpu": "3"}}}))
    assert lines == [
        'spec.resources.limits[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
        (
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
            "requests of 3"
        ),
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]


INIT = [
    (
        {"livenessProbe": {"tcpSocket": {"port": 1}}},
        [
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
        ],
    ),
    (
        {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
        [
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"
        ],
    ),
    ({"name": "c"}, ['spec.initContainers[0].name: Duplicate value: "c"']),
    ({"restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}, []),
]


@pytest.mark.parametrize(("container", "lines"), INIT)
def test_init_containers(container: dict, lines: list[str]) -> None:
    """Only restartable init containers have probes and hooks; names are unique among both sorts."""
    assert found(PODS, pod(initContainers=[{"name": "i", "image": "i:1", **container}])) == lines


SPEC = [
    (
        {"restartPolicy": "X"},
        ['spec.restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        {"dnsPolicy": "X"},
        [
            'spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'
        ],
    ),
    ({"dnsPolicy": "None"}, ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        {"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "x"]}},
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","x"]: must not have more than 3 nameservers',
            'spec.dnsConfig.nameservers[3]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ],
    ),
    ({"dnsConfig": {"searches": [".", "_tcp.example.com."]}}, []),
    (
        {"activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    ({"hostname": "a.b"}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
    ({"nodeName": "N"}, [f'spec.nodeName: Invalid value: "N": {SUBDOMAIN}']),
    ({"priorityClassName": "P"}, [f'spec.priorityClassName: Invalid value: "P": {SUBDOMAIN}']),
    ({"runtimeClassName": ""}, [f'spec.runtimeClassName: Invalid value: "": {SUBDOMAIN}']),
    (
        {"preemptionPolicy": "Maybe"},
        ['spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"'],
    ),
    (
        {"hostAliases": [{"ip": "999.1.1.1", "hostnames": ["ok"]}]},
        [
            'spec.hostAliases[0].ip: Invalid value: "999.1.1.1": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
        ],
    ),
    (
        {"schedulingGates": [{"name": "a"}, {"name": "a"}], "nodeName": "n"},
        [
            'spec.schedulingGates[1]: Duplicate value: "a"',
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    ),
    (
        {"readinessGates": [{"conditionType": "-"}]},
        [f'spec.readinessGates[0].conditionType: Invalid value: "-": {QUALIFIED}'],
    ),
    (
        {"ephemeralContainers": [{"name": "d", "image": "i:1"}]},
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        {"tolerations": [{"operator": "Equal"}]},
        [
            (
                'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which '
                'means "match all values and all keys"'
            )
        ],
    ),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "v", "tolerationSeconds": 1}]},
        [
            "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            "spec.tolerations[0].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
        ],
    ),
    (
        {"tolerations": [{"key": "a", "operator": "In", "effect": "Never"}]},
        [
            'spec.tolerations[0].operator: Unsupported value: "In": supported values: "Equal", "Exists"',
            'spec.tolerations[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
        ],
    ),
    (
        {"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}, "hostNetwork": True},
        [
            (
                'spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when '
                "'hostNetwork' is true"
            )
        ],
    ),
    (
        {"shareProcessNamespace": True, "hostPID": True},
        [
            (
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot "
                "both be enabled"
            )
        ],
    ),
    ({"hostUsers": False, "hostPID": True}, ["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"]),
    ({"os": {"name": "plan9"}}, ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"']),
    (
        {"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "x"}}},
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    (
        {"overhead": {"cpu": "-1"}},
        ['spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        {"resourceClaims": [{"name": "gpu"}]},
        [
            (
                'spec.resourceClaims[0]: Invalid value: {"Name":"gpu","ResourceClaimName":null,"ResourceClaimTemplateName":null}: '
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            )
        ],
    ),
    (
        {
            "topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Never", "minDomains": 1, "labelSelector": {}}
            ]
        },
        [
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Never": supported values: "DoNotSchedule", "ScheduleAnyway"',
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Never",
        ],
    ),
    (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
        [
            (
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: "
                "must have at least one node selector term"
            )
        ],
    ),
    (
        {
            "affinity": {
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}
                    ]
                }
            }
        },
        [
            (
                "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must "
                "be in the range 1-100"
            )
        ],
    ),
]


@pytest.mark.parametrize(("spec", "lines"), SPEC)
def test_specification(spec: dict, lines: list[str]) -> None:
    """Each field of a Pod's specification is refused with upstream's path and words."""
    assert found(PODS, pod(**spec)) == lines


def test_privilege_escalation_cannot_be_denied_to_the_privileged() -> None:
    """The whole security context is shown, by upstream's internal names."""
    lines = found(PODS, pod(container={"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}))
    assert len(lines) == 1
    assert lines[0].startswith(f'{C}.securityContext: Invalid value: {{"Capabilities":null,"Privileged":true,')
    assert lines[0].endswith(": cannot set `allowPrivilegeEscalation` to false and `privileged` to true")


def test_host_ports_must_be_the_container_ports_on_the_hosts_network() -> None:
    """On the host's network there is one port, not two."""
    tree = pod(hostNetwork=True, container={"ports": [{"containerPort": 80, "hostPort": 81}]})
    assert found(PODS, tree) == [
        f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
    ]


def test_annotations_and_fields_must_say_the_same() -> None:
    """A deprecated seccomp annotation that contradicts the field is refused on create."""
    tree = pod(
        metadata={"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}},
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
    )
    assert found(PODS, tree) == [
        "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"
    ]


def test_tokens_are_only_projected_for_a_named_account() -> None:
    """A projected token needs serviceAccountName."""
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    assert found(PODS, pod(volumes=volumes)) == [
        (
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
            "serviceAccountName is not set"
        )
    ]
    assert found(PODS, pod(volumes=volumes, serviceAccountName="default")) == []
