"""What decides over a Pod's life is refused where it makes no sense: probes, hooks, restarts, amounts, gates, deadlines."""

from __future__ import annotations

import pytest

from podling.api.resources import PODS

from .objects import found, pod

C = "spec.containers[0]"
PORT = "must be between 1 and 65535, inclusive"
POSITIVE = "must be greater than or equal to 0"
MORE = "may not specify more than 1 handler type"
SLEEP = "must be non-negative and less than terminationGracePeriodSeconds"
HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation "
    "is '[-A-Za-z0-9]+')"
)
SIGNALS = (
    '"SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", '
    '"SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1", '
)
TCP = {"tcpSocket": {"port": 1}}
EXEC = {"exec": {"command": ["a"]}}
RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}


@pytest.mark.parametrize("name", ["livenessProbe", "readinessProbe", "startupProbe"])
@pytest.mark.parametrize(
    ("probe", "lines"),
    [
        ({"httpGet": {"path": "/"}}, [f"{{p}}.httpGet.port: Invalid value: 0: {PORT}"]),
        ({"httpGet": {"port": 65536}}, [f"{{p}}.httpGet.port: Invalid value: 65536: {PORT}"]),
        ({"httpGet": {"port": 1, "httpHeaders": [{"name": "", "value": "v"}]}}, [f'{{p}}.httpGet.httpHeaders: Invalid value: "": {HEADER}']),
        ({"tcpSocket": {"port": "a" * 16}}, [f'{{p}}.tcpSocket.port: Invalid value: "{"a" * 16}": must be no more than 15 characters']),
        ({"tcpSocket": {"port": "1-2"}}, ['{p}.tcpSocket.port: Invalid value: "1-2": must contain at least one letter (a-z)']),
        ({"tcpSocket": {"port": "a--b"}}, ['{p}.tcpSocket.port: Invalid value: "a--b": must not contain consecutive hyphens']),
        ({"tcpSocket": {"port": "-a"}}, ['{p}.tcpSocket.port: Invalid value: "-a": must not begin or end with a hyphen']),
        ({"grpc": {}}, [f"{{p}}.grpc.port: Invalid value: 0: {PORT}"]),
        ({**EXEC, **TCP, "grpc": {"port": 1}}, [f"{{p}}.tcpSocket: Forbidden: {MORE}", f"{{p}}.grpc: Forbidden: {MORE}"]),
        ({"exec": {"command": []}, "httpGet": {"port": 1}}, ["{p}.exec.command: Required value", f"{{p}}.httpGet: Forbidden: {MORE}"]),
        ({**TCP, "timeoutSeconds": -1, "failureThreshold": -3}, [f"{{p}}.timeoutSeconds: Invalid value: -1: {POSITIVE}", f"{{p}}.failureThreshold: Invalid value: -3: {POSITIVE}"]),
    ],
)  # fmt: skip
def test_probes(name: str, probe: dict, lines: list[str]) -> None:
    """Each mistake in a probe is named with its path, every one of them."""
    path = f"{C}.{name}"
    assert found(PODS, pod(container={name: probe})) == [line.replace("{p}", path) for line in lines]


def test_a_negative_success_threshold_is_wrong_twice() -> None:
    """Where one success must do, a negative number is out of range and not one."""
    assert found(PODS, pod(container={"livenessProbe": {**TCP, "successThreshold": -1}})) == [
        f"{C}.livenessProbe.successThreshold: Invalid value: -1: {POSITIVE}",
        f"{C}.livenessProbe.successThreshold: Invalid value: -1: must be 1",
    ]


@pytest.mark.parametrize(
    ("lifecycle", "spec", "lines"),
    [
        ({"preStop": {"sleep": {"seconds": 0}}}, {}, []),
        ({"preStop": {"sleep": {"seconds": 30}}}, {}, []),
        ({"preStop": {"sleep": {"seconds": -1}}}, {}, [f"{C}.lifecycle.preStop.sleep: Invalid value: -1: {SLEEP} (30)"]),
        ({"preStop": {"sleep": {"seconds": 6}}}, {"terminationGracePeriodSeconds": 5}, [f"{C}.lifecycle.preStop.sleep: Invalid value: 6: {SLEEP} (5)"]),
        ({"postStart": {"exec": {}}}, {}, [f"{C}.lifecycle.postStart.exec.command: Required value"]),
        ({"postStart": {"httpGet": {"port": 0, "scheme": "http"}}}, {}, [
            f"{C}.lifecycle.postStart.httpGet.port: Invalid value: 0: {PORT}",
            f'{C}.lifecycle.postStart.httpGet.scheme: Unsupported value: "http": supported values: "HTTP", "HTTPS"',
        ]),
        ({"preStop": {**EXEC, **TCP}, "postStart": {}}, {}, [
            f"{C}.lifecycle.postStart: Required value: must specify a handler type",
            f"{C}.lifecycle.preStop.tcpSocket: Forbidden: {MORE}",
        ]),
        ({"stopSignal": "SIGUSR1"}, {"os": {"name": "linux"}}, []),
        ({"stopSignal": "SIGUSR1"}, {"os": {"name": "windows"}}, [f'{C}.lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"']),
    ],
)  # fmt: skip
def test_hooks(lifecycle: dict, spec: dict, lines: list[str]) -> None:
    """A hook has one sound handler, and sleeps no longer than the Pod may take to end."""
    assert found(PODS, pod(container={"lifecycle": lifecycle}, **spec)) == lines


def test_signals_that_linux_does_not_know() -> None:
    """An unknown signal is refused with the list of those that there are."""
    (line,) = found(PODS, pod(container={"lifecycle": {"stopSignal": "SIGX"}}, os={"name": "linux"}))
    assert line.startswith(f'{C}.lifecycle.stopSignal: Unsupported value: "SIGX": supported values: {SIGNALS}')
    assert line.count('"') == 2 * (65 + 1)


@pytest.mark.parametrize(
    ("container", "lines"),
    [
        ({"restartPolicy": "Never", "restartPolicyRules": [RULE, {**RULE, "action": "RestartAllContainers"}]}, []),
        ({"restartPolicy": "Never", "restartPolicyRules": [{**RULE, "action": "Stop"}]}, [f'{C}.restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"']),
        ({"restartPolicy": "Never", "restartPolicyRules": [{**RULE, "exitCodes": {"operator": "Equals", "values": [1]}}]}, [f'{C}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "Equals": supported values: "In", "NotIn"']),
        ({"restartPolicy": "Never", "restartPolicyRules": [{**RULE, "exitCodes": {"operator": "In", "values": list(range(256))}}]}, [f"{C}.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"]),
        ({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2}, [f'{C}.resizePolicy[1]: Duplicate value: "cpu"']),
        ({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "Maybe"}]}, [
            f'{C}.resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"',
            f'{C}.resizePolicy: Unsupported value: "Maybe": supported values: "NotRequired", "RestartContainer"',
        ]),
        ({"resources": {"limits": {"cpu": "-1"}}}, [f'{C}.resources.limits[cpu]: Invalid value: "-1": {POSITIVE}', f'{C}.resources.requests[cpu]: Invalid value: "-1": {POSITIVE}']),
        ({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}, [f'{C}.resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi']),
        ({"resources": {"requests": {"ephemeral-storage": "2Gi"}, "limits": {"ephemeral-storage": "1Gi"}}}, [f'{C}.resources.requests: Invalid value: "2Gi": must be less than or equal to ephemeral-storage limit of 1Gi']),
        ({"resources": {"requests": {"pods": "1"}}}, [f'{C}.resources.requests[pods]: Invalid value: "pods": must be a standard resource for containers']),
        ({"resources": {"claims": [{"name": "gpu"}]}}, [f'{C}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty']),
    ],
)  # fmt: skip
def test_restarts_and_amounts(container: dict, lines: list[str]) -> None:
    """Rules of restarting and resizing are known ones; requests fit under limits."""
    assert found(PODS, pod(container=container)) == lines


def test_what_is_never_restarted_is_not_resized_by_a_restart() -> None:
    """A Pod that never restarts may not ask for a restart when it is resized."""
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    assert found(PODS, pod(container={"resizePolicy": policy}, restartPolicy="Never")) == [
        f"{C}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'"
    ]


EFFECTS = '"NoSchedule", "PreferNoSchedule", "NoExecute"'


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({"activeDeadlineSeconds": -1}, ["spec.activeDeadlineSeconds: Invalid value: -1: must be between 1 and 2147483647, inclusive"]),
        ({"activeDeadlineSeconds": 2**31}, ["spec.activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive"]),
        ({"terminationGracePeriodSeconds": -1}, []),
        ({"tolerations": [{"key": "a", "operator": "Lt", "value": "1"}]}, ['spec.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists"']),
        ({"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]}, ["spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"]),
        ({"tolerations": [{"key": "a", "effect": "Evict"}]}, [f'spec.tolerations[0].effect: Unsupported value: "Evict": supported values: {EFFECTS}']),
        ({"tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": -1}]}, []),
        ({"schedulingGates": [{"name": "example.com/a"}, {"name": "b"}, {"name": "b"}]}, ['spec.schedulingGates[2]: Duplicate value: "b"']),
        ({"readinessGates": [{"conditionType": "example.com/ready"}]}, []),
    ],
)  # fmt: skip
def test_tolerations_gates_and_deadlines(spec: dict, lines: list[str]) -> None:
    """Seconds belong to NoExecute, gates are named once, deadlines lie ahead."""
    assert found(PODS, pod(**spec)) == lines
