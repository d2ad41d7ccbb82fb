"""Admission webhooks as upstream's suite tries them: a server in a Pod behind a Service, asked over the cluster's network.

The server does what the suite's own does: each of its paths refuses or changes one kind of thing.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from podling.apiserver.identity.pki import Pki
from tests.conftest import missing_for_containers
from tests.custom import definition, version, widget
from tests.running import IMAGE, RunningCluster, eventually, started

pytestmark = pytest.mark.root

# What the webhooks think of a write, by path. It runs in a container, on the machine's Python.
_SERVER = """
import base64, http.server, json, ssl, time
def unwanted(it):
    return "the object contains unwanted data" if (it.get("data") or {}).get("wanted") == "no" else ""
def pod(it):
    names = [each["name"] for each in it["spec"]["containers"]]
    return "the pod contains unwanted container name" if "unwanted" in names else ""
def stages(it):
    data = it.get("data") or {}
    if data.get("mutation-start") == "yes" and "mutation-stage-1" not in data:
        return [{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"}]
    if data.get("mutation-stage-1") == "yes" and "mutation-stage-2" not in data:
        return [{"op": "add", "path": "/data/mutation-stage-2", "value": "yes"}]
    return []
def added(it):
    return [{"op": "add", "path": "/spec/initContainers", "value": [{"name": "added", "image": IMAGE, "command": ["true"]}]}]
def judge(path, request):
    new, old = request["object"], request["oldObject"]
    if path == "/always-deny": return "this webhook denies all requests", []
    if path == "/slow": time.sleep(5)
    if path == "/unwanted": return unwanted(new or old), []
    if path == "/pods": return pod(new), []
    if path == "/attach": return ("attaching to pod 'locked' is not allowed" if request["name"] == "locked" else ""), []
    if path == "/crds": return ("the crd contains unwanted label" if (new["metadata"].get("labels") or {}).get("wanted") == "no" else ""), []
    if path == "/stages": return "", stages(new)
    if path == "/add-container": return "", added(new)
    if path == "/color": return "", [{"op": "add", "path": "/spec/color", "value": "blue"}, {"op": "add", "path": "/spec/pruned", "value": 1}]
    if path == "/label": return "", [{"op": "add", "path": "/metadata/labels", "value": {"changed": "yes"}}]
    return "", []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        refused, patch = judge(self.path.partition("?")[0], request)
        said = {"uid": request["uid"], "allowed": not refused}
        if refused: said["status"] = {"message": refused}
        if self.path.startswith("/warn"): said["warnings"] = ["think again"]
        if patch: said |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": said}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *words): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
RULE = {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
ALL_CONFIGURATIONS = {
    "operations": ["CREATE", "UPDATE", "DELETE"],
    "apiGroups": ["admissionregistration.k8s.io"],
    "apiVersions": ["*"],
    "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
}
CUSTOM = RULE | {"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": ["example.com"], "resources": ["widgets"]}


class Hooks:
    """A cluster with the server, and the ways to make it count."""

    def __init__(self, cluster: RunningCluster, bundle: str) -> None:
        self.cluster = cluster
        self._bundle = bundle

    def hook(self, path: str, name: str = "a.example.com", service: str = "hooks", **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "rules": [RULE],
            "clientConfig": {
                "service": {"namespace": "default", "name": service, "path": path, "port": 8443},
                "caBundle": self._bundle,
            },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
        } | more

    @contextmanager
    def registered(self, kind: str, *hooks: dict[str, Any], name: str = "tried") -> Iterator[str]:
        kind = f"{kind}WebhookConfiguration"
        configuration = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}
        self.create(configuration | {"metadata": {"name": name, "labels": {"tried": "yes"}}, "webhooks": [*hooks]})
        try:
            yield f"{kind.lower()}/{name}"
        finally:
            self.cluster.kubectl("delete", f"{kind.lower()}/{name}", "--ignore-not-found")

    def create(self, tree: dict[str, Any], *words: str) -> dict[str, Any]:
        done = self.cluster.kubectl("create", "-o", "json", "-f", "-", *words, stdin=json.dumps(tree))
        return json.loads(done.stdout)

    def refused(self, tree: dict[str, Any], *words: str) -> str:
        done = self.cluster.kubectl("create", "-f", "-", *words, stdin=json.dumps(tree), check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def delete(self, *words: str) -> None:
        self.cluster.kubectl("delete", "--now", *words)


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooks]:
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("webhooks")
    pki = Pki(folder / "pki")
    pki.ensure(time.time(), ["hooks.default.svc"])
    with started(folder) as running:
        made = Hooks(running, base64.b64encode(pki.authority.read_bytes()).decode())
        made.create(_server_pod(pki))
        ports = [{"port": 8443, "targetPort": 8443}]
        for name, selector in (("hooks", {"app": "hooks"}), ("nobody", {"app": "nobody"})):
            spec = {"selector": selector, "ports": ports}
            made.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
        running.wait_ready("hooks")
        with made.registered("Validating", made.hook("/always-deny"), name="ready"):
            eventually(lambda: "denies all" in made.refused(config_map("never")))
        yield made


def _server_pod(pki: Pki) -> dict[str, Any]:
    values = {"IMAGE": IMAGE, "CERTIFICATE": str(pki.server.certificate), "KEY": str(pki.server.key)}
    script = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + _SERVER
    python = str(Path(sys.executable).resolve())
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hooks", "labels": {"app": "hooks"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "machine", "hostPath": {"path": "/"}}],
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "command": ["chroot", "/machine", python, "-ISc", script],
                    "volumeMounts": [{"name": "machine", "mountPath": "/machine", "readOnly": True}],
                    "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                }
            ],
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, container: str = "main") -> dict[str, Any]:
    containers = [{"name": container, "image": IMAGE, "command": ["sleep", "1000"]}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}}


def test_pods_and_config_maps_are_refused(hooks: Hooks) -> None:
    """At their creation and at every kind of change; not in a namespace that is exempt; who fails open holds up nobody."""
    pods = hooks.hook("/pods", "b.example.com", rules=[RULE | {"resources": ["pods"]}])
    exempt = {"matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}]}
    gone = hooks.hook("/", "c.example.com", service="nobody", failurePolicy="Ignore", namespaceSelector=exempt)
    with hooks.registered("Validating", hooks.hook("/unwanted", namespaceSelector=exempt), pods, gone):
        said = hooks.refused(pod("wrong", "unwanted"))
        assert said.startswith("Error from server"), said
        assert 'admission webhook "b.example.com" denied the request: the pod contains unwanted container name' in said
        sentence = 'admission webhook "a.example.com" denied the request: the object contains unwanted data'
        assert sentence in hooks.refused(config_map("wrong", wanted="no"))
        hooks.create(config_map("right", wanted="yes"))
        patch = ("patch", "configmap", "right", "--type=merge", "-p", '{"data": {"wanted": "no"}}')
        assert sentence in hooks.cluster.kubectl(*patch, check=False).stderr
        changed = json.dumps(config_map("right", wanted="no"))
        assert sentence in hooks.cluster.kubectl("replace", "-f", "-", stdin=changed, check=False).stderr
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "exempt", "labels": {"skip": "yes"}}}
        hooks.create(namespace)
        hooks.create(config_map("wrong", wanted="no"), "-n", "exempt")
    hooks.delete("configmap/right", "namespace/exempt")


def test_attaching_is_refused(hooks: Hooks) -> None:
    """A connection is judged as a write is; another way into the same Pod is none of the rule's business."""
    rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/attach"]}
    hooks.create(pod("locked"))
    hooks.cluster.wait_ready("locked")
    with hooks.registered("Validating", hooks.hook("/attach", rules=[rule])):
        done = hooks.cluster.kubectl("attach", "locked", "-i", check=False)
        assert done.returncode != 0
        assert "attaching to pod 'locked' is not allowed" in done.stderr
        assert hooks.cluster.kubectl("exec", "locked", "--", "echo", "in").stdout == "in\n"
    hooks.delete("pod/locked")


def test_who_fails_closed_holds_up_everything(hooks: Hooks) -> None:
    """No server behind it, and no write comes through where its selector matches."""
    labelled = {"matchLabels": {"closed": "yes"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "closed", "labels": {"closed": "yes"}}}
    hooks.create(namespace)
    with hooks.registered("Validating", hooks.hook("/", service="nobody", namespaceSelector=labelled)):
        said = hooks.refused(config_map("held"), "-n", "closed")
        assert 'Error from server (InternalError): error when creating "STDIN": Internal error occurred: ' in said
        assert 'failed calling webhook "a.example.com": failed to call webhook: Post ' in said
        assert "https://nobody.default.svc:8443/?timeout=10s" in said
        hooks.create(config_map("passes"))
    hooks.create(config_map("held"), "-n", "closed")
    hooks.delete("namespace/closed", "configmap/passes")


def test_config_maps_are_changed_in_stages(hooks: Hooks) -> None:
    """The second webhook sees what the first did."""
    with hooks.registered("Mutating", hooks.hook("/stages"), hooks.hook("/stages", "b.example.com")):
        made = hooks.create(config_map("staged", **{"mutation-start": "yes"}))
    assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}
    hooks.delete("configmap/staged")


def test_a_pod_is_changed_and_gets_defaults_after_that(hooks: Hooks) -> None:
    """What was added has what is left unset, and runs."""
    rule = RULE | {"operations": ["CREATE"], "resources": ["pods"]}
    with hooks.registered("Mutating", hooks.hook("/add-container", rules=[rule])):
        made = hooks.create(pod("changed"))
    (added,) = made["spec"]["initContainers"]
    assert (added["name"], added["terminationMessagePolicy"]) == ("added", "File")
    hooks.cluster.wait_ready("changed")
    status = hooks.cluster.get("pod", "changed")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    hooks.delete("pod/changed")


def test_configurations_are_out_of_reach(hooks: Hooks) -> None:
    """Neither refused nor changed by a webhook that asks for them."""
    denies = hooks.hook("/always-deny", rules=[ALL_CONFIGURATIONS])
    changes = hooks.hook("/label", rules=[ALL_CONFIGURATIONS])
    with hooks.registered("Validating", denies, name="denies"), hooks.registered("Mutating", changes, name="changes"):
        for kind in ("Validating", "Mutating"):
            with hooks.registered(kind, hooks.hook("/", rules=[CUSTOM]), name="dummy") as dummy:
                assert hooks.cluster.get(dummy)["metadata"]["labels"] == {"tried": "yes"}
                hooks.cluster.kubectl("delete", dummy)


def test_time_is_kept(hooks: Hooks) -> None:
    """Shorter than the answer takes: refused, or passed over; longer, or left unset: the answer counts."""
    with hooks.registered("Validating", hooks.hook("/slow", timeoutSeconds=1)):
        said = hooks.refused(config_map("late"))
        url = "https://hooks.default.svc:8443/slow?timeout=1s"
        assert f'failed to call webhook: Post "{url}": context deadline exceeded' in said
    for more in ({"timeoutSeconds": 1, "failurePolicy": "Ignore"}, {"timeoutSeconds": 30}, {}):
        with hooks.registered("Validating", hooks.hook("/slow", **more)):
            hooks.create(config_map("late"))
            hooks.delete("configmap/late")


def test_warnings_are_shown(hooks: Hooks) -> None:
    """What a webhook lets pass it may yet have something to say about."""
    with hooks.registered("Validating", hooks.hook("/warn")):
        done = hooks.cluster.kubectl("create", "-f", "-", stdin=json.dumps(config_map("doubtful")))
    assert done.stderr == "Warning: think again\n"
    hooks.delete("configmap/doubtful")


@pytest.mark.parametrize(("kind", "path"), [("Validating", "/unwanted"), ("Mutating", "/stages")])
def test_a_configuration_is_changed(hooks: Hooks, kind: str, path: str) -> None:
    """Updated so that it is not about creations, it is not asked; patched back, it is."""
    with hooks.registered(kind, hooks.hook(path)) as name:
        assert _counts(hooks, kind)
        found = hooks.cluster.get(name)
        found["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        hooks.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(found))
        assert not _counts(hooks, kind)
        patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        hooks.cluster.kubectl("patch", name, "--type=json", "-p", json.dumps(patch))
        assert _counts(hooks, kind)


@pytest.mark.parametrize(("kind", "path"), [("Validating", "/unwanted"), ("Mutating", "/stages")])
def test_configurations_are_listed_and_deleted_together(hooks: Hooks, kind: str, path: str) -> None:
    """By their label; those that are gone are asked no more."""
    plural = f"{kind.lower()}webhookconfigurations"
    with hooks.registered(kind, hooks.hook(path)), hooks.registered(kind, hooks.hook(path), name="second"):
        listed = hooks.cluster.get(plural, "-l", "tried=yes")["items"]
        assert [it["metadata"]["name"] for it in listed] == ["second", "tried"]
        assert _counts(hooks, kind)
        hooks.cluster.kubectl("delete", plural, "-l", "tried=yes")
        assert not _counts(hooks, kind)


def _counts(hooks: Hooks, kind: str) -> bool:
    """Whether a webhook of this kind has a word at the creation of a ConfigMap."""
    tree = config_map("tried", wanted="no", **{"mutation-start": "yes"})
    done = hooks.cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(tree), check=False)
    if done.returncode == 0:
        hooks.delete("configmap/tried")
    if kind == "Validating":
        return done.returncode != 0
    return "mutation-stage-1" in json.loads(done.stdout)["data"]


@pytest.fixture(scope="module")
def widgets(hooks: Hooks) -> Iterator[None]:
    schema = version()["schema"]["openAPIV3Schema"]
    schema["properties"]["data"] = {"type": "object", "additionalProperties": {"type": "string"}}
    shown = {"schema": {"openAPIV3Schema": schema}}
    hooks.create(definition(versions=[version("v1", **shown), version("v2", storage=False, **shown)]))
    hooks.cluster.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com")
    yield
    hooks.delete("crd/widgets.example.com")


@pytest.mark.usefixtures("widgets")
def test_custom_resources_are_refused(hooks: Hooks) -> None:
    """Their creation, their change and their deletion."""
    sentence = "denied the request: the object contains unwanted data"
    with hooks.registered("Validating", hooks.hook("/unwanted", rules=[CUSTOM])):
        assert sentence in hooks.refused(widget("wrong") | {"data": {"wanted": "no"}})
        hooks.create(widget("right") | {"data": {"wanted": "yes"}})
        patch = ("patch", "widget", "right", "--type=merge", "-p", '{"data": {"wanted": "no"}}')
        assert sentence in hooks.cluster.kubectl(*patch, check=False).stderr
    hooks.cluster.kubectl(*patch)
    with hooks.registered("Validating", hooks.hook("/unwanted", rules=[CUSTOM])):
        assert sentence in hooks.cluster.kubectl("delete", "widget", "right", check=False).stderr
    hooks.delete("widget/right")


@pytest.mark.usefixtures("widgets")
def test_custom_resources_are_changed(hooks: Hooks) -> None:
    """What their definition knows is kept, what it does not know is pruned; whatever version they are stored in."""
    rules = [CUSTOM | {"operations": ["CREATE", "UPDATE"]}]
    with hooks.registered("Mutating", hooks.hook("/color", rules=rules)):
        for api_version in ("example.com/v1", "example.com/v2"):
            made = hooks.create(widget("changed", api_version=api_version))
            assert made["apiVersion"] == api_version
            assert made["spec"] == {"size": 3, "color": "blue"}
            hooks.delete("widget/changed")


@pytest.mark.usefixtures("widgets")
def test_custom_resources_are_changed_while_the_stored_version_moves(hooks: Hooks) -> None:
    """An object of the old stored version is read, changed by the webhook and stored as the new one."""
    rules = [CUSTOM | {"operations": ["CREATE", "UPDATE"]}]
    with hooks.registered("Mutating", hooks.hook("/color", rules=rules)):
        hooks.create(widget("moves"))
        moved = [{"op": "replace", "path": f"/spec/versions/{n}/storage", "value": bool(n)} for n in (0, 1)]
        hooks.cluster.kubectl("patch", "crd", "widgets.example.com", "--type=json", "-p", json.dumps(moved))
        hooks.cluster.kubectl("patch", "widget", "moves", "--type=merge", "-p", '{"spec": {"color": "red"}}')
        assert hooks.cluster.get("widgets.v2.example.com", "moves")["spec"] == {"size": 3, "color": "blue"}
    hooks.delete("widget/moves")


def test_definitions_are_refused(hooks: Hooks) -> None:
    """A webhook may be asked about CustomResourceDefinitions as about all else."""
    rule = {
        "operations": ["CREATE"], "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"],
        "resources": ["customresourcedefinitions"],
    }  # fmt: skip
    unwanted = definition("unwanted", "Unwanted")
    unwanted["metadata"]["labels"] = {"wanted": "no"}
    with hooks.registered("Validating", hooks.hook("/crds", rules=[rule])):
        assert "denied the request: the crd contains unwanted label" in hooks.refused(unwanted)


def test_discovery_has_the_kinds(hooks: Hooks) -> None:
    """The group, its version and both resources, wherever one looks."""
    group = "admissionregistration.k8s.io"
    groups = json.loads(hooks.cluster.kubectl("get", "--raw", "/apis").stdout)["groups"]
    found = next(it for it in groups if it["name"] == group)
    assert {"groupVersion": f"{group}/v1", "version": "v1"} in found["versions"]
    assert json.loads(hooks.cluster.kubectl("get", "--raw", f"/apis/{group}").stdout)["name"] == group
    resources = json.loads(hooks.cluster.kubectl("get", "--raw", f"/apis/{group}/v1").stdout)["resources"]
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= {it["name"] for it in resources}
