"""Services and the API server's proxy as upstream's suite tries them, step by step, on real containers.

Only what no other test goes through: `tests/conformance.py` says which case is where.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest
import yaml

from tests.agnhost import called, called_by_name, caller_pod, self_signed, server_pod
from tests.conftest import missing_for_containers
from tests.running import RunningCluster, eventually, free_port, pod_manifest, started

pytestmark = pytest.mark.root

VERBS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
Ask = Callable[[str, str], tuple[int, bytes, str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster with three servers behind one label, and who calls them."""
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    with started(tmp_path_factory.mktemp("conformance")) as running:
        servers = [server_pod(f"server-{n}", {"app": "servers"}, udp=(8081,)) for n in range(3)]
        create(running, *servers, caller_pod("caller"))
        running.wait_ready("caller", *(f"server-{n}" for n in range(3)))
        yield running


def create(cluster: RunningCluster, *items: dict) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def service(cluster: RunningCluster, name: str, *ports: dict, **spec: object) -> dict:
    ports = ports or ({"name": "http", "port": 80, "targetPort": 8080},)
    spec = {"selector": {"app": "servers"}, "ports": ports, **spec}
    create(cluster, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    return cluster.get("service", name)


def update(cluster: RunningCluster, name: str, **spec: object) -> dict:
    """Write a whole Service back with another specification, as a client does that has read it; `None` takes away."""
    found = cluster.get("service", name)
    found["spec"] = {key: value for key, value in (found["spec"] | spec).items() if value is not None}
    return json.loads(cluster.kubectl("replace", "-o", "json", "-f", "-", stdin=json.dumps(found)).stdout)


def node(cluster: RunningCluster) -> str:
    return str(cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"])


@pytest.fixture(scope="module")
def ask(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """The administrator's way to any path by any verb: its code, body and Location."""
    config = yaml.safe_load((cluster.data / "kubeconfig").read_text())
    user, authority = config["users"][0]["user"], config["clusters"][0]["cluster"]["certificate-authority-data"]
    pair = tmp_path_factory.mktemp("administrator") / "pair.pem"
    keys = ("client-certificate-data", "client-key-data")
    pair.write_bytes(b"".join(base64.b64decode(user[key]) for key in keys))
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode())
    context.load_cert_chain(pair)

    def answer(method: str, path: str) -> tuple[int, bytes, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=context, timeout=30)
        try:
            connection.request(method, path)
            found = connection.getresponse()
            return found.status, found.read(), found.headers.get("Location", "")
        finally:
            connection.close()

    return answer


def test_ports_are_reached_through_services_and_pods(cluster: RunningCluster, ask: Ask, tmp_path: Path) -> None:
    """By name and number, plain and over TLS, many at once; the links of pages lead through the proxy again."""
    link, secret = '<a href="/rewriteme">test</a>', '<a href="/tlsrewriteme">test</a>'
    plain = {80: link, 1080: link, 160: "foo", 162: "bar"}
    pages: dict[int, dict[str, Any]] = {port: {"body": body} for port, body in plain.items()}
    pages |= {port: {"body": body, "tls": True} for port, body in {443: secret, 460: "tls baz", 462: "tls qux"}.items()}
    named = ("dest1", 160), ("dest2", 162), ("tlsdest1", 460), ("tlsdest2", 462)
    ports = ({"containerPort": 80}, *({"name": name, "containerPort": port} for name, port in named))
    certificate = self_signed(tmp_path)
    create(cluster, server_pod("porter", {"app": "porter"}, pages, ports=ports, certificate=certificate))
    faces = [
        ("portname1", 80, "dest1"),
        ("portname2", 81, 162),
        ("tlsportname1", 443, "tlsdest1"),
        ("tlsportname2", 444, 462),
    ]
    behind = [{"name": name, "port": port, "targetPort": target} for name, port, target in faces]
    service(cluster, "ported", *behind, selector={"app": "porter"})
    cluster.wait_ready("porter")
    base = "/api/v1/namespaces/default"
    expected = {
        f"{base}/services/{scheme}ported:{port}/proxy/": body
        for scheme, port, body in (
            ("", "portname1", "foo"), ("http:", "portname1", "foo"), ("", "portname2", "bar"), ("", "81", "bar"),
            ("http:", "portname2", "bar"), ("https:", "tlsportname1", "tls baz"), ("https:", "tlsportname2", "tls qux"),
        )
    } | {
        f"{base}/pods/{place}/proxy/": body.replace('"/', f'"{base}/pods/{place}/proxy/')
        for place, body in (
            ("porter", link), ("porter:1080", link), ("http:porter:1080", link), ("porter:160", "foo"),
            ("http:porter:160", "foo"), ("porter:162", "bar"), ("https:porter:443", secret),
            ("https:porter:460", "tls baz"), ("https:porter:462", "tls qux"),
        )
    }  # fmt: skip
    eventually(lambda: ask("GET", f"{base}/services/ported:portname1/proxy/")[0] == 200)
    with ThreadPoolExecutor(16) as many:
        for path, (code, body, _) in zip(
            [*expected] * 5, many.map(lambda path: ask("GET", path), [*expected] * 5), strict=True
        ):
            assert (path, code, body.decode()) == (path, 200, expected[path])


def test_every_method_comes_through(cluster: RunningCluster, ask: Ask) -> None:
    """To a Pod and to a Service, with a path and without: then who only reads is sent to the path with a slash."""
    create(cluster, server_pod("methods", {"app": "methods"}, {80: {"body": "foo", "json": True}}))
    service(cluster, "methods", {"port": 80}, selector={"app": "methods"})
    cluster.wait_ready("methods")
    for kind in ("pods", "services"):
        proxy = f"/api/v1/namespaces/default/{kind}/methods/proxy"
        eventually(lambda proxy=proxy: ask("GET", f"{proxy}/")[0] == 200)
        for verb in VERBS:
            told = json.dumps({"Method": verb, "Body": "foo"}).encode()
            code, body, _ = ask(verb, f"{proxy}/some/path/with/{verb}")
            assert (code, body) == (200, b"" if verb == "HEAD" else told)
            code, body, location = ask(verb, f"{proxy}?method={verb}")
            if verb in {"GET", "HEAD"}:
                assert (code, location) == (301, f"{proxy}/?method={verb}")
            else:
                assert (code, body) == (200, told)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_affinity_comes_and_goes(cluster: RunningCluster, kind: str) -> None:
    """With it one server answers, without it others do, and one again; by the Service's name too."""
    name = f"affine-{kind.lower()}"
    made = service(cluster, name, type=kind, sessionAffinity="ClientIP")
    at = (
        (made["spec"]["clusterIP"], 80)
        if kind == "ClusterIP"
        else (node(cluster), made["spec"]["ports"][0]["nodePort"])
    )

    def servers(times: int) -> set[str]:
        return set(called(cluster, "caller", *at, times=times))

    eventually(lambda: servers(1) <= {"server-0", "server-1", "server-2"})
    assert len(servers(15)) == 1
    assert (
        "sessionAffinityConfig" not in update(cluster, name, sessionAffinity="None", sessionAffinityConfig=None)["spec"]
    )
    eventually(lambda: len(servers(15)) > 1)
    assert update(cluster, name, sessionAffinity="ClientIP")["spec"]["sessionAffinityConfig"]
    eventually(lambda: len(servers(15)) == 1)
    by_name = set(called_by_name(cluster, "caller", name, 80, times=5))
    assert len(by_name) == 1
    assert by_name < {"server-0", "server-1", "server-2"}


def test_a_service_becomes_an_alias_and_back(cluster: RunningCluster) -> None:
    """From an address of its own to another's name and the other way, ports on nodes included; callers by name follow."""
    service(cluster, "meant")
    alias = {"type": "ExternalName", "externalName": "meant.default.svc.cluster.local"}
    real = {"externalName": None, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    for kind in ("ClusterIP", "NodePort"):
        name = f"turns-{kind.lower()}"
        service(cluster, name, type=kind)
        spec = update(cluster, name, **alias)["spec"]
        assert not {"clusterIP", "clusterIPs"} & spec.keys()
        assert "nodePort" not in spec["ports"][0]
        eventually(lambda name=name: called_by_name(cluster, "caller", name, 80)[0].startswith("server-"))
        spec = update(cluster, name, type=kind, **real)["spec"]
        eventually(lambda name=name: called_by_name(cluster, "caller", name, 80)[0].startswith("server-"))
        places = [(spec["clusterIP"], 80)]
        places += [(node(cluster), spec["ports"][0]["nodePort"])] if kind == "NodePort" else []
        for place in places:
            eventually(lambda place=place: called(cluster, "caller", *place)[0].startswith("server-"))


def test_one_port_of_two_protocols(cluster: RunningCluster) -> None:
    """Both are served; taken away one by one, the other stays and the one that is gone answers nobody."""
    ports = [
        {"name": "tcp", "port": 80, "targetPort": 8080, "protocol": "TCP"},
        {"name": "udp", "port": 80, "targetPort": 8081, "protocol": "UDP"},
    ]
    address = service(cluster, "twofold", *ports)["spec"]["clusterIP"]

    def answers() -> list[bool]:
        return [called(cluster, "caller", address, 80, of)[0].startswith("server-") for of in ("TCP", "UDP")]

    eventually(lambda: answers() == [True, True])
    update(cluster, "twofold", ports=ports[:1])
    eventually(lambda: answers() == [True, False])
    update(cluster, "twofold", ports=ports[1:])
    eventually(lambda: answers() == [False, True])


def test_one_host_port_of_three_pods(cluster: RunningCluster) -> None:
    """They differ in address or protocol: all three run on the node, and each is reached at what is its own."""
    port, here = free_port(), node(cluster)
    for number, (address, protocol) in enumerate((("127.0.0.1", "TCP"), (here, "TCP"), (here, "UDP")), 1):
        container_port = 8081 if protocol == "UDP" else 8080
        asked = {"hostPort": port, "containerPort": container_port, "protocol": protocol, "hostIP": address}
        create(cluster, server_pod(f"host-{number}", {"app": "hosts"}, udp=(8081,), ports=(asked,)))
    create(cluster, caller_pod("on-the-node", hostNetwork=True))
    cluster.wait_ready("host-1", "host-2", "host-3", "on-the-node")
    for address, protocol, name in (("127.0.0.1", "TCP", "host-1"), (here, "TCP", "host-2"), (here, "UDP", "host-3")):
        eventually(lambda a=address, p=protocol, n=name: called(cluster, "on-the-node", a, port, p) == [n])


def test_the_status_of_a_service(cluster: RunningCluster) -> None:
    """Read, patched and replaced by itself, then the Service patched: each is told by a watch, and kept."""
    create(
        cluster,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "told"}, "spec": {"ports": [{"port": 80}]}},
    )
    patch = {"metadata": {"annotations": {"patched": "true"}}, "status": {"loadBalancer": {}}}
    words = ("service", "told", "--subresource=status")
    cluster.kubectl("patch", *words, "--type=merge", "-p", json.dumps(patch))
    found = cluster.get(*words)
    assert found["metadata"]["annotations"]["patched"] == "true"
    condition = {
        "type": "StatusUpdate",
        "status": "True",
        "reason": "Tested",
        "message": "Set by a test",
        "lastTransitionTime": None,
    }
    found["status"]["conditions"] = [condition]
    cluster.kubectl("replace", "--subresource=status", "-f", "-", stdin=json.dumps(found))
    cluster.kubectl("patch", "service", "told", "-p", json.dumps({"metadata": {"labels": {"patched": "true"}}}))
    found = cluster.get("service", "told")
    assert [it["type"] for it in found["status"]["conditions"]] == ["StatusUpdate"]
    assert found["metadata"]["labels"] == {"patched": "true"}


def test_services_are_found_and_deleted_together(cluster: RunningCluster) -> None:
    """By label, and no other; the API server's own is found among those of all namespaces."""
    for name, label in (("coll-1", "yes"), ("coll-2", "yes"), ("coll-3", "no")):
        meta = {"name": name, "labels": {"collected": label}}
        create(cluster, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 80}]}})
    cluster.kubectl("delete", "services", "-l", "collected=yes")
    left = {(it["metadata"]["namespace"], it["metadata"]["name"]) for it in cluster.get("services", "-A")["items"]}
    assert {("default", "coll-3"), ("default", "kubernetes")} <= left
    assert not {("default", "coll-1"), ("default", "coll-2")} & left


def test_the_api_servers_endpoints(cluster: RunningCluster) -> None:
    """Endpoints and slices of `kubernetes` say the same, and lead to a server that answers."""
    [subset] = cluster.get("endpoints", "kubernetes")["subsets"]
    addresses = [it["ip"] for it in subset["addresses"]]
    slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=kubernetes")["items"]
    same = [it for it in slices if it["addressType"] == "IPv4"]
    assert [a for it in same for endpoint in it["endpoints"] for a in endpoint["addresses"]] == addresses
    assert [(it["ports"][0]["name"], it["ports"][0]["port"]) for it in same] == [("https", subset["ports"][0]["port"])]


def test_endpoints_of_named_ports(cluster: RunningCluster) -> None:
    """One slice and one subset for each number behind a name; none of them without Pods; deleted slices come back."""
    none = service(cluster, "nobody", selector={"app": "nobody"})
    service(cluster, "named", {"name": "http", "port": 80, "targetPort": "example"}, selector={"named": "yes"})
    for number, ports in enumerate(([3000], [3001, 3002]), 1):
        named = tuple(
            {"name": name, "containerPort": port} for name, port in zip(("example", "other"), ports, strict=False)
        )
        create(cluster, server_pod(f"named-{number}", {"named": "yes"}, ports=named))
    cluster.wait_ready("named-1", "named-2")

    def slices(name: str) -> list[dict]:
        return cluster.get("endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]

    def found() -> list[tuple[int, list[str]]]:
        return sorted(
            (it["ports"][0]["port"], [e["targetRef"]["name"] for e in it["endpoints"]]) for it in slices("named")
        )

    expected = [(3000, ["named-1"]), (3001, ["named-2"])]
    eventually(lambda: found() == expected)
    subsets = cluster.get("endpoints", "named")["subsets"]
    assert (
        sorted((it["ports"][0]["port"], [a["targetRef"]["name"] for a in it["addresses"]]) for it in subsets)
        == expected
    )
    cluster.kubectl("delete", "endpointslices", "-l", "kubernetes.io/service-name=named")
    eventually(lambda: found() == expected)
    [empty] = slices("nobody")
    assert empty["endpoints"] == []
    assert empty["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert empty["metadata"]["ownerReferences"][0]["uid"] == none["metadata"]["uid"]
    assert "subsets" not in cluster.get("endpoints", "nobody")
    cluster.kubectl("delete", "service", "nobody")
    eventually(lambda: not slices("nobody"))
    eventually(lambda: cluster.kubectl("get", "endpoints", "nobody", check=False).returncode)


def test_endpoints_of_pods_with_a_port_each(cluster: RunningCluster) -> None:
    """Of two named ports a Pod has one and another the other: each counts for its own, comes with it and goes with it."""
    ports = [{"name": f"portname{n}", "port": 79 + n, "targetPort": f"svc{n}"} for n in (1, 2)]
    service(cluster, "each", *ports, selector={"each": "yes"})

    def found() -> list[tuple[str, int, str]]:
        return sorted(
            (subset["ports"][0]["name"], subset["ports"][0]["port"], subset["addresses"][0]["targetRef"]["name"])
            for subset in cluster.get("endpoints", "each").get("subsets", [])
        )

    for number in (1, 2):
        port = {"name": f"svc{number}", "containerPort": 99 + number}
        create(cluster, server_pod(f"each-{number}", {"each": "yes"}, ports=(port,)))
        cluster.wait_ready(f"each-{number}")
        eventually(lambda n=number: found() == [(f"portname{k}", 99 + k, f"each-{k}") for k in range(1, n + 1)])
    cluster.kubectl("delete", "pod", "each-1", "--now")
    eventually(lambda: found() == [("portname2", 101, "each-2")])
    cluster.kubectl("delete", "pod", "each-2", "--now")
    eventually(lambda: found() == [])


def test_endpoints_of_many_services_are_there_soon(cluster: RunningCluster) -> None:
    """Thirty Services one after the other: each has its Pods long before upstream's bound of 20 s for the half of them."""
    meta = [{"name": f"many-{n}", "labels": {"many": "yes"}} for n in range(30)]
    spec = {"selector": {"app": "servers"}, "ports": [{"port": 80, "targetPort": 8080}]}
    create(cluster, *({"apiVersion": "v1", "kind": "Service", "metadata": it, "spec": spec} for it in meta))

    def served() -> int:
        items = cluster.get("endpoints", "-l", "many=yes")["items"]
        return sum(len(subset["addresses"]) == 3 for it in items for subset in it.get("subsets", []))

    eventually(lambda: served() == 30, seconds=20)


def test_an_alias_is_told_as_it_changes(cluster: RunningCluster) -> None:
    """The name in the answer follows externalName, and becomes an address when the Service gets one."""
    create(
        cluster,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "alias"},
            "spec": {"type": "ExternalName", "externalName": "foo.example.com"},
        },
    )
    where = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]

    def told(kind: str) -> list[str]:
        query = dns.message.make_query("alias.default.svc.cluster.local", kind)
        return [str(record) for answer in dns.query.udp(query, where, timeout=5).answer for record in answer]

    eventually(lambda: told("CNAME") == ["foo.example.com."])
    update(cluster, "alias", externalName="bar.example.com")
    eventually(lambda: told("CNAME") == ["bar.example.com."])
    made = update(cluster, "alias", type="ClusterIP", externalName=None, ports=[{"port": 80, "name": "http"}])
    eventually(lambda: told("A") == [made["spec"]["clusterIP"]])
    assert told("CNAME") == []


def test_hooks_are_heard(cluster: RunningCluster) -> None:
    """postStart and preStop, by HTTP and by a command that calls: another Pod's server hears each when its time has come."""
    script = "mkdir /www; touch /www/heard; exec httpd -f -vv -p 8080 -h /www"
    create(cluster, json.loads(pod_manifest("hears", "sh", "-c", script)))
    cluster.wait_ready("hears")
    address = cluster.get("pod", "hears")["status"]["podIP"]

    def heard() -> int:
        return cluster.kubectl("logs", "hears").stdout.count("url:/heard")

    asks = {"httpGet": {"host": address, "port": 8080, "path": "/heard"}}
    calls = {"exec": {"command": ["wget", "-qO-", f"http://{address}:8080/heard"]}}
    before = 0
    for number, action in enumerate((asks, calls)):
        for hook, count in (("postStart", (1, 1)), ("preStop", (0, 1))):
            name = f"hooks-{number}-{hook.lower()}"
            made = json.loads(pod_manifest(name, "sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"))
            made["spec"]["containers"][0]["lifecycle"] = {hook: action}
            made["spec"]["terminationGracePeriodSeconds"] = 30
            create(cluster, made)
            cluster.wait_ready(name)
            eventually(lambda expected=before + count[0]: heard() == expected)
            cluster.kubectl("delete", "pod", name)
            eventually(lambda expected=before + count[1]: heard() == expected)
            before += count[1]
