"""Upstream's suite for NetworkPolicies, case by case: on two nodes, by the API server, in every family that Pods have."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest

from podling.api.resources import NETWORK_POLICIES
from podling.cluster.data_dir import DataDir
from podling.linux.families import is_of
from tests.e2e.ends import NUMBERS, Call, Ends, Key
from tests.e2e.netpol import CASES, NAMESPACES, PODS, Step, blocks, holds
from tests.e2e.policies import Api
from tests.running import RunningCluster, eventually, pod_manifest, started
from tests.two_nodes import FAMILIES_HERE

pytestmark = pytest.mark.root


class Playground:
    """Nine Pods in three namespaces, who listen on two ports and call each other."""

    def __init__(self, cluster: RunningCluster, api: Api, closing: contextlib.ExitStack) -> None:
        self._api = api
        nodes = sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])
        for name in NAMESPACES:
            api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        keys = [(namespace, name) for namespace in NAMESPACES for name in PODS]
        pods = [_pod(key, nodes[number % len(nodes)]) for number, key in enumerate(keys)]
        for name in NAMESPACES:
            cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name)
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
        self._found = {key: eventually(lambda key=key: self._running(key)) for key in keys}
        run = DataDir(cluster.data).run
        spaces: dict[Key, str] = {}
        for key, found in self._found.items():
            node = found["spec"]["nodeName"]
            where = run if node == nodes[0] else run / f"node-{node}"
            spaces[key] = str(where / "ns" / found["metadata"]["uid"] / "net")
        self.addresses = {
            key: [entry["ip"] for entry in found["status"]["podIPs"]] for key, found in self._found.items()
        }
        self._ends = [
            Ends(spaces, family, {key: next(ip for ip in held if is_of(family, ip)) for key, held in self.addresses.items()})
            for family in FAMILIES_HERE
        ]  # fmt: skip
        for ends in self._ends:
            closing.callback(ends.close)
        self._pool = closing.enter_context(ThreadPoolExecutor(len(self._ends)))

    def _running(self, key: Key) -> dict[str, Any] | None:
        found = self._api.ask("GET", _path(key))
        return found if found["status"]["phase"] == "Running" else None

    def play(self, steps: Sequence[Step]) -> list[str]:
        """Take a case's steps; return what is not as promised."""
        there: set[str] = set()
        labelled: list[tuple[str, str]] = []
        wrong: list[str] = []
        try:
            for number, step in enumerate(steps, 1):
                self._write(step, there)
                for what, label in step.labels.items():
                    labelled.append((what, label.partition("=")[0]))
                    self._label(what, *label.split("="))
                time.sleep(0.05)
                results = self._pool.map(lambda ends, step=step: _tried(ends, step), self._ends)
                for family, lines in zip(FAMILIES_HERE, results, strict=True):
                    wrong += [f"step {number}, {family.name}: {line}" for line in lines]
        finally:
            for name in NAMESPACES:
                self._api.ask("DELETE", NETWORK_POLICIES.path(name))
            for what, label in labelled:
                self._label(what, label, None)
        return wrong

    def _write(self, step: Step, there: set[str]) -> None:
        for name in there - set(step.policies):
            self._api.ask("DELETE", NETWORK_POLICIES.path(*name.split("/")))
        for name, spec in step.policies.items():
            namespace, short = name.split("/")
            body = {"metadata": {"name": short}, "spec": spec}
            if name in there:
                self._api.ask("PUT", NETWORK_POLICIES.path(namespace, short), body)
            else:
                self._api.ask("POST", NETWORK_POLICIES.path(namespace), body)
        there.clear()
        there.update(step.policies)

    def _label(self, what: str, key: str, value: str | None) -> None:
        path = _path(tuple(what.split("/"))) if "/" in what else f"/api/v1/namespaces/{what}"
        self._api.ask("PATCH", path, {"metadata": {"labels": {key: value}}})


def _tried(ends: Ends, step: Step) -> list[str]:
    promised: dict[Call, bool] = {}
    for call in ends.calls:
        here, there, protocol, port = call
        if (protocol, port) in step.truths:
            promised[call] = holds(step.truths[protocol, port], "/".join(here), "/".join(there))
    got = ends.judged(promised)
    return [
        f"{'/'.join(here)} {'reaches' if got[here, there, protocol, port] else 'does not reach'} {'/'.join(there)} by {protocol} {port}"
        for (here, there, protocol, port), expected in promised.items()
        if got[here, there, protocol, port] is not expected
    ]  # fmt: skip


def _path(key: tuple[str, ...]) -> str:
    return f"/api/v1/namespaces/{key[0]}/pods/{key[1]}"


def _pod(key: Key, node: str) -> dict[str, Any]:
    namespace, name = key
    made = json.loads(pod_manifest(name, nodeName=node))
    made["metadata"] |= {"namespace": namespace, "labels": {"pod": name}}
    made["spec"]["containers"][0]["ports"] = [
        {"name": f"serve-{port}-{protocol.lower()}", "containerPort": port, "protocol": protocol}
        for port in NUMBERS
        for protocol in ("TCP", "UDP", "SCTP")
    ]
    return made


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    with contextlib.ExitStack() as closing:
        cluster = closing.enter_context(started(tmp_path_factory.mktemp("netpol"), "--nodes", "2"))
        api = closing.enter_context(contextlib.closing(Api(cluster)))
        yield Playground(cluster, api, closing)


@pytest.mark.parametrize("case", CASES)
def test_upstreams_cases(playground: Playground, case: str) -> None:
    """Who is promised to reach whom does, and nobody else."""
    assert playground.play(CASES[case]) == []


def test_upstreams_cases_about_addresses(playground: Playground) -> None:
    """The same where a policy speaks of blocks of addresses, of each family that Pods have."""
    cidrs = {"/".join(key): [str(ip_network(ip)) for ip in held] for key, held in playground.addresses.items()}
    wide = [str(ip_network(cidr).supernet(new_prefix=4)) for cidr in cidrs["x/b"]]
    for case, steps in blocks(cidrs, wide).items():
        assert playground.play(steps) == [], case
