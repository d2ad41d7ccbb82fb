"""What a test can do with a simulated cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest

import podling.testing
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from podling.client.wait import condition, exists, ready
from podling.kubelet.settings import Settings
from podling.testing import BlockingCluster, ImageScript, Run, SimulatedCluster

WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: team}
  spec: {containers: [{name: c, image: nginx}]}
"""


DEFINED = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: one}
spec: {a: 1}
status: {conditions: [{type: Ready, status: "True"}]}
"""


def test_kinds_that_a_test_brings(podling_cluster):
    """Definitions and their objects in one manifest, applied once and again, found by kind, waited for by condition."""
    cluster = podling_cluster()
    with pytest.raises(ValueError, match="no resource serves Thing"):
        cluster.resource("Thing")
    cluster.apply(DEFINED)
    things = cluster.resource("Thing", "example.com/v1")
    assert [thing.spec for thing in cluster.list(things)] == [{"a": 1}]
    assert cluster.wait(things, "one", condition("Ready"), limit=1).metadata.name == "one"
    cluster.apply(DEFINED.replace("a: 1", "b: 2"))
    assert cluster.get(things, "one").spec == {"a": 1, "b": 2}
    cluster.apply(DEFINED.replace("a: 1", "a: 3").replace("Ready", "Lost"))
    with pytest.raises(TimeoutError):
        cluster.wait(things, "one", condition("Ready"), limit=1)


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_the_blocking_cluster_has_every_verb():
    """What can be done to a simulated cluster with asyncio can be done without."""
    assert public(SimulatedCluster) - public(BlockingCluster) == set()


def test_the_guide_names_every_verb_and_every_key_of_a_script():
    """docs/testing.md leaves out nothing that a test can call, or write into a script."""
    guide = (Path(__file__).parents[3] / "docs" / "testing.md").read_text()
    prose = re.sub(r"```.*?```", "", guide, flags=re.DOTALL)
    words = set(re.findall(r"[a-zA-Z_]+", " ".join(re.findall(r"`[^`]+`", prose))))
    keys = {field.encode_name for field in msgspec.structs.fields(Run)} | set(ImageScript.__struct_fields__)
    assert (public(SimulatedCluster) | keys) - words == set()


def test_every_name_leads_somewhere():
    """`podling.testing` offers what it says, each from its home."""
    assert [name for name in podling.testing.__all__ if not hasattr(podling.testing, name)] == []


def test_a_cluster_loads_only_what_it_needs():
    """No HTTP, keys, netlink, disk or YAML is loaded by a cluster that uses none of them: that is why it is fast."""
    program = (
        "import asyncio, sys; from podling.testing.cluster import SimulatedCluster\n"
        "async def main():\n"
        "    async with SimulatedCluster(3): pass\n"
        "asyncio.run(main())\n"
        "print(*[m for m in ('aiohttp', 'cryptography', 'pyroute2', 'sqlite3', 'yaml') if m in sys.modules])"
    )
    source = str(Path(podling.testing.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_apply_takes_what_kubectl_takes(run, tmp_path):
    """YAML with many documents and Lists, files and trees; again, it patches; what is no manifest is refused."""

    async def main():
        async with SimulatedCluster() as cluster:
            made = await cluster.apply(WEB)
            assert [it["kind"] for it in made] == ["Namespace", "Pod"]
            (tmp_path / "web.yaml").write_text(WEB.replace("name: web,", "name: web, labels: {tier: front},"))
            again = await cluster.apply(tmp_path / "web.yaml")
            assert again[1]["metadata"]["labels"] == {"tier": "front"}
            assert again[1]["metadata"]["uid"] == made[1]["metadata"]["uid"]
            assert (await cluster.wait(PODS, "web", ready(), "team")).status.pod_ip.startswith("10.128.0.")
            with pytest.raises(ValueError, match="no resource serves example.com/v1 Thing"):
                await cluster.apply({"apiVersion": "example.com/v1", "kind": "Thing"})
            with pytest.raises(ValueError, match="has no kind"):
                await cluster.apply("just: text")
            with pytest.raises(StatusError, match=r"spec.containers: Required value"):
                await cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}})

    run(main())


def test_the_log_holds_every_change(run):
    """One line for each revision, without a gap, from the first write to the last; deletions too."""

    async def main():
        async with SimulatedCluster() as cluster:
            conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}}
            await cluster.advance(2.5)
            await cluster.apply(conf)
            await cluster.apply({**conf, "data": {"a": "b"}})
            await cluster.client.delete(CONFIG_MAPS, "conf", "default")
            await cluster.advance(0)
            lines = [line.split(" ") for line in cluster.log()]
            assert [int(line[1]) for line in lines] == list(range(2, cluster.store.revision + 1))
            assert [(line[0], line[2], line[3]) for line in lines[-3:]] == [
                ("2.500000", verb, "configmaps/default/conf") for verb in ("create", "update", "delete")
            ]
            assert lines[-2][4] == lines[-1][4] != lines[-3][4]

    run(main())


def test_time_is_the_tests_alone(run):
    """Nothing that needs time happens without `advance`; `wait` says what was seen where its limit is not enough."""

    async def main():
        async with SimulatedCluster(start=1_800_000_000.0) as cluster:
            script = {"sim.podling.dev/script": '{"c": {"runs": [{"startLatency": 90}]}}'}
            await cluster.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "web", "annotations": script},
                    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
                }
            )
            with pytest.raises(
                TimeoutError, match='pods "web" did not come to be Ready=True within 60 s: its status is'
            ):
                await cluster.wait(PODS, "web", ready(), limit=60)
            found = await cluster.wait(PODS, "web", ready(), limit=60)
            assert cluster.clock.monotonic() == 90
            assert found.status.container_statuses[0].state.running.started_at == "2027-01-15T08:01:30Z"

    run(main())


def test_nodes_are_as_they_are_asked_for(run):
    """Capacity, labels and taints are the settings'; a node can be added later."""

    async def main():
        settings = Settings(port=0, labels={"zone": "a"}, capacity={"cpu": "2", "memory": "1Gi"})
        async with SimulatedCluster(2, settings=settings) as cluster:
            added = await cluster.add_node(Settings(port=0, taints=(("gpu", "yes", "NoSchedule"),)))
            await cluster.advance(1)
            nodes = {node.metadata.name: node for node in cluster.list(podling.testing.NODES)}
            assert list(nodes) == ["node-0", "node-1", added.name]
            assert nodes["node-1"].status.capacity["cpu"] == "2"
            assert nodes["node-1"].metadata.labels["zone"] == "a"
            assert nodes["node-2"].spec.taints[0].key == "gpu"

    run(main())


def test_while_no_server_stands_nobody_is_answered(run):
    """With the server away, calls and looks are refused with 503, as a closed port would."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster._plane.kill_server()
            with pytest.raises(StatusError) as refusal:
                await cluster.client.get(NAMESPACES, "default")
            assert refusal.value.code == 503
            with pytest.raises(StatusError):
                cluster.get(NAMESPACES, "default")

    run(main())


def test_it_serves_clients_outside(tmp_path):
    """With `serve`, HTTP with the token works, without it is refused, and goes on after the server's restart."""

    def ask(path: str, token: str) -> int:
        request = urllib.request.Request(
            cluster.url + path, headers={"Authorization": f"Bearer {token}"} if token else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return refusal.code

    with BlockingCluster(SimulatedCluster(serve=True)) as cluster:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        assert cluster.wait(SERVICE_ACCOUNTS, "default", exists()) is not None
        assert cluster.outside(ask, path, cluster.token) == 200
        assert cluster.outside(ask, path, "") == 403
        assert cluster.outside(ask, path, "wrong") == 401
        cluster.restart_api_server(5)
        assert cluster.outside(ask, path, cluster.token) == 200
        cluster.simulated.write_kubeconfig(tmp_path / "config")
        assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
        assert json.loads((tmp_path / "config").read_text())["clusters"][0]["cluster"]["server"] == cluster.url
        assert cluster.failures == 0


def test_kubectl_can_call_it(tmp_path):
    """With `tls`, kubectl finds it by its kubeconfig, creates a Pod, and sees it run as far as time was let pass."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    config = tmp_path / "config"

    def kubectl(*words: str) -> str:
        return cluster.outside(
            subprocess.check_output, ["kubectl", "--kubeconfig", str(config), *words], text=True, timeout=60
        )

    with BlockingCluster(SimulatedCluster(tls=True, images={"x": ImageScript(pull_latency=60)})) as cluster:
        cluster.simulated.write_kubeconfig(config)
        assert config.stat().st_mode & 0o777 == 0o600
        kubectl("run", "web", "--image=x")
        status = ("get", "pod", "web", "--no-headers")
        assert kubectl(*status).split()[1:3] == ["0/1", "ContainerCreating"]
        cluster.advance(60)
        assert kubectl(*status).split() == ["web", "1/1", "Running", "0", "60s"]
