"""Go programs write protobuf unless they are told otherwise: what they read as JSON comes back as that, status and all."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from podling.api import resources
from podling.api.protobuf_fields import KINDS, MESSAGES
from podling.api.resources import Resource
from tests.clients.test_api_operations import KINDS as OPERATIONS
from tests.descriptors import BOOL, BYTES, MESSAGE, TEXT, Field, Message, descriptors, encode
from tests.running import IMAGE, RunningCluster, eventually, free_port

pytestmark = pytest.mark.root
TYPE = "application/vnd.kubernetes.protobuf"
_SCALARS = {BOOL: "flag", BYTES: "bytes", TEXT: "text"}
_SPECIAL = {
    "FieldsV1": "json",
    "RawExtension": "json",
    "IntOrString": "int-or-string",
    "MicroTime": "micro",
    "Quantity": "quantity",
    "Time": "time",
}


AS_JSON = frozenset({"apiextensions.k8s.io", "insight.podling.dev"})


def package(resource_group: str) -> str:
    return f"k8s.io.api.{resource_group.partition('.')[0] or 'core'}.v1"


@pytest.fixture(scope="module", autouse=True)
def upstream() -> None:
    if "k8s.io.api.core.v1.Pod" not in descriptors():
        pytest.skip("the installed kubectl tells nothing of protobuf")


def test_field_numbers_are_upstreams() -> None:
    """Every message that kubectl knows is in our tables whole: numbers, names and forms; vendors' volumes excepted."""
    wrong: list[str] = []
    seen: set[tuple[str, str]] = set()
    for (group, kind), ours in KINDS.items():
        _compare(f"{package(group)}.{kind}", ours, wrong, seen)
    assert wrong == []
    assert len(seen) > 200


def _compare(theirs: str, ours: str, wrong: list[str], seen: set[tuple[str, str]]) -> None:
    if (theirs, ours) in seen or theirs not in descriptors():
        return
    seen.add((theirs, ours))
    message, table = descriptors()[theirs], MESSAGES[ours]
    for number, it in message.fields.items():
        if number not in table:
            if not it.of.endswith("VolumeSource"):
                wrong.append(f"{ours} lacks {number} {it.name}")
            continue
        key, form = table[number]
        if key and key.lower() != it.name.lower():
            wrong.append(f"{ours}.{it.name} is called {key}")
        expected = _form(message, it)
        if expected is None:
            inner = (message.entry(it) or message).fields[2].of if message.entry(it) else it.of
            if (form[0] == "[") is not (it.repeated and not message.entry(it)) or form.strip("[]{}?") not in MESSAGES:
                wrong.append(f"{ours}.{it.name} is {form}")
            else:
                _compare(inner, form.strip("[]{}?"), wrong, seen)
        elif form.rstrip("?") != expected:
            wrong.append(f"{ours}.{it.name} is {form}, not {expected}")


def _form(message: Message, it: Field) -> str | None:
    """Return the form of a field that holds no message of its own."""
    entry = message.entry(it)
    last = entry.fields[2] if entry is not None else it
    plain = _SPECIAL.get(last.of.rpartition(".")[2]) if last.type == MESSAGE else _SCALARS.get(last.type, "number")
    if plain is None:
        return None
    return f"{{{plain}}}" if entry is not None else f"[{plain}]" if it.repeated else plain


def test_every_stored_kind_can_be_sent() -> None:
    """Whatever upstream stores and Podling too; Calls have no such form, and definitions of kinds come as JSON."""
    stored = {(it.group, it.kind) for it in resources.STORED if it.group not in AS_JSON}
    assert stored - KINDS.keys() == set()


@pytest.fixture(scope="module")
def put(cluster: RunningCluster) -> Iterator[Any]:
    """Send an object back as protobuf, by way of kubectl's proxy; return what the server answers."""
    port = free_port()
    command = ["kubectl", "--kubeconfig", str(cluster.data / "kubeconfig"), "proxy", "--port", str(port)]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert proxy.stdout is not None
    proxy.stdout.readline()

    def send(method: str, path: str, body: bytes) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": TYPE}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as refused:
            with refused:
                return dict(json.load(refused))

    yield send
    proxy.kill()
    proxy.wait()
    proxy.stdout.close()


def _served() -> dict[tuple[str, str], Resource[Any]]:
    return {(it.api_version, it.plural): it for it in (*resources.STORED, resources.EVENTS_V1)}


@pytest.mark.parametrize(
    "kind", [it for it in OPERATIONS if it.api_version.partition("/")[0] not in AS_JSON], ids=lambda it: it.plural
)
def test_what_is_made_as_protobuf_is_what_is_made_as_json(cluster: RunningCluster, put, kind, name: str) -> None:
    """Each kind's example, made in either form, dry, is the same object."""
    resource = _served()[kind.api_version, kind.plural]
    full = f"{package(resource.group)}.{resource.kind}"
    if full not in descriptors():
        pytest.skip("the installed kubectl is older than this kind")
    name = kind.names[0] if kind.names else name
    tree = {"apiVersion": kind.api_version, "kind": resource.kind, "metadata": {"name": name}, **kind.body}
    if resource.namespaced:
        tree["metadata"]["namespace"] = "default"
    tree = json.loads(json.dumps(tree).replace(': "operations"', ': "default"'))
    path = resource.path("default") + "?dryRun=All"
    made = put("POST", path, encode(full, tree))
    assert made.get("kind") == resource.kind, json.dumps(made)
    expected = json.loads(
        cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(tree)).stdout
    )
    assert _said(made) == _said(expected)


def _said(tree: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is another for each object, or drawn."""
    drawn = {
        "uid",
        "creationTimestamp",
        "clusterIP",
        "clusterIPs",
        "volumes",
        "volumeMounts",
        "lastPhaseTransitionTime",
        "lastTransitionTime",
    }
    drawn |= {"controller-uid", "batch.kubernetes.io/controller-uid"}

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(each) for key, each in value.items() if key not in drawn}
        return [kept(each) for each in value] if isinstance(value, list) else value

    return dict(kept(tree))


def test_a_running_pod_comes_back_whole(cluster: RunningCluster, put, name: str) -> None:
    """Read, labelled and written as protobuf, its status with it: nothing but the label has changed; so for the Node."""
    mount = {"name": "v", "mountPath": "/v", "readOnly": True}
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "600"], "volumeMounts": [mount]}
    spec = {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}], "terminationGracePeriodSeconds": 0}
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(tree))
    cluster.wait_ready(name)
    for kind, place in (("Pod", f"/api/v1/namespaces/default/pods/{name}"), ("Node", "")):
        words = ("pod", name) if kind == "Pod" else ("node", cluster.get("nodes")["items"][0]["metadata"]["name"])
        place = place or f"/api/v1/nodes/{words[1]}"

        def sent(path: str, words: tuple[str, ...] = words, kind: str = kind) -> bool:
            found = cluster.get(*words)
            found["metadata"].setdefault("labels", {})["sent"] = "protobuf"
            answer = put("PUT", path, encode(f"k8s.io.api.core.v1.{kind}", found))
            if answer.get("reason") == "Conflict":
                return False
            assert answer.get("kind") == kind, answer
            assert answer["metadata"]["labels"]["sent"] == "protobuf" or path.endswith("/status")
            assert answer["spec"] == found["spec"]
            known = encode(f"k8s.io.api.core.v1.{kind}", answer | {"metadata": {}})
            assert known == encode(f"k8s.io.api.core.v1.{kind}", found | {"metadata": {}})
            return True

        eventually(lambda place=place, sent=sent: sent(place))
        eventually(lambda place=place, sent=sent: sent(f"{place}/status"))
    cluster.kubectl("delete", "pod", name, "--now")


def test_budgets_and_ingresses_by_command(cluster: RunningCluster, name: str) -> None:
    """`kubectl create pdb` and `create ingress` send them so."""
    cluster.kubectl("create", "pdb", name, "--selector=app=none", "--min-available=50%")
    assert cluster.get("pdb", name)["spec"]["minAvailable"] == "50%"
    cluster.kubectl("create", "ingress", name, "--rule=a.example/x*=web:80,tls=cert")
    [rule] = cluster.get("ingress", name)["spec"]["rules"]
    assert rule["http"]["paths"][0]["pathType"] == "Prefix"
    cluster.kubectl("delete", f"pdb/{name}", f"ingress/{name}")
