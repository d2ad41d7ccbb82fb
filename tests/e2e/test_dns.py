"""Names in real Pods: what the cluster's DNS answers to them and to the host, and how soon."""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address

import dns.exception
import dns.message
import dns.query
import dns.rcode
import kubernetes
import pytest
from kubernetes.watch import Watch

from tests.families import needs_ipv6
from tests.running import IMAGE, RunningCluster, eventually, started

pytestmark = pytest.mark.root

ZONE = "default.svc.cluster.local"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("dns")) as running:
        create(running, pod("web-0", "httpd -f -p 8080 -h /www", subdomain="heads", hostname="web-0"))
        create(running, pod("client", "sleep 1000"))
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        create(running, service("web", selector={"app": "web-0"}, ports=ports))
        create(running, service("heads", clusterIP="None", selector={"heads": "yes"}, ports=ports))
        create(running, service("outside", type="ExternalName", externalName=f"web.{ZONE}"))
        create(running, service("both", selector={"app": "web-0"}, ports=ports, ipFamilyPolicy="PreferDualStack"))
        spec = {"clusterIP": "None", "ipFamilyPolicy": "PreferDualStack", "selector": {"app": "client"}}
        create(running, service("twins", ports=ports, **spec))
        running.wait_ready("web-0", "client")
        yield running


def create(cluster: RunningCluster, tree: dict) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))


def pod(name: str, script: str, **spec: object) -> dict:
    labels = {"app": name, **({"heads": "yes"} if "subdomain" in spec else {})}
    container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", script]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def service(name: str, **spec: object) -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def server(
    cluster: RunningCluster,
    family: str = "IPv4",
    known: dict[tuple[int, str], str] = {},  # noqa: B006  # the addresses stay
) -> str:
    if (cluster.port, family) not in known:
        found = cluster.get("endpointslices", "-n", "kube-system", "-l", "kubernetes.io/service-name=kube-dns")
        for each in found["items"]:
            known[cluster.port, each["addressType"]] = each["endpoints"][0]["addresses"][0]
    return known[cluster.port, family]


def ask(
    cluster: RunningCluster, name: str, kind: str = "A", *, tcp: bool = False, family: str = "IPv4"
) -> list[str] | str:
    query = dns.message.make_query(name, kind)
    reply = (dns.query.tcp if tcp else dns.query.udp)(query, server(cluster, family), timeout=5)
    if reply.rcode():
        return dns.rcode.to_text(reply.rcode())
    return sorted(str(item) for rrset in reply.answer for item in rrset)


def inside(cluster: RunningCluster, script: str, name: str = "client") -> str:
    return cluster.kubectl("exec", name, "--", "sh", "-c", script, check=False).stdout


def address(cluster: RunningCluster, kind: str, name: str) -> str:
    found = cluster.get(kind, name)
    return found["spec"]["clusterIP"] if kind == "service" else found["status"]["podIP"]


def test_records_of_what_runs(cluster: RunningCluster) -> None:
    """Services, headless names and their targets, aliases, Pods, reverse names: over UDP and over TCP."""
    one, web = address(cluster, "pod", "web-0"), address(cluster, "service", "web")
    dashed = one.replace(".", "-")
    expected = {
        (f"web.{ZONE}", "A"): [web],
        (f"web.{ZONE}", "AAAA"): [],
        (f"_http._tcp.web.{ZONE}", "SRV"): [f"0 100 80 web.{ZONE}."],
        (f"heads.{ZONE}", "A"): [one],
        (f"web-0.heads.{ZONE}", "A"): [one],
        (f"_http._tcp.heads.{ZONE}", "SRV"): [f"0 100 8080 web-0.heads.{ZONE}."],
        (f"outside.{ZONE}", "A"): sorted([web, f"web.{ZONE}."]),
        (f"{dashed}.default.pod.cluster.local", "A"): [one],
        (".".join(reversed(web.split("."))) + ".in-addr.arpa", "PTR"): [f"web.{ZONE}."],
        (".".join(reversed(one.split("."))) + ".in-addr.arpa", "PTR"): [f"web-0.heads.{ZONE}."],
        ("dns-version.cluster.local", "TXT"): ['"1.1.0"'],
        (f"none.{ZONE}", "A"): "NXDOMAIN",
        (f"web.{ZONE}.{ZONE}", "A"): "NXDOMAIN",
    }
    for tcp in (False, True):
        assert {key: ask(cluster, *key, tcp=tcp) for key in expected} == expected


@needs_ipv6
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_records_of_both_families(cluster: RunningCluster, family: str) -> None:
    """Whichever family the question comes by: addresses, targets, headless names, Pods, reverse names; UDP and TCP."""
    four, six = (entry["ip"] for entry in cluster.get("pod", "client")["status"]["podIPs"])
    front4, front6 = cluster.get("service", "both")["spec"]["clusterIPs"]
    back = {address: ip_address(address).reverse_pointer for address in (front4, front6, six)}
    unknown = ip_address(int(ip_address(six)) + 1000).reverse_pointer
    expected = {
        (f"both.{ZONE}", "A"): [front4],
        (f"both.{ZONE}", "AAAA"): [front6],
        (f"web.{ZONE}", "AAAA"): [],
        (f"_http._tcp.both.{ZONE}", "SRV"): [f"0 100 80 both.{ZONE}."],
        (f"twins.{ZONE}", "A"): [four],
        (f"twins.{ZONE}", "AAAA"): [six],
        (f"heads.{ZONE}", "AAAA"): [],
        (f"{six.replace(':', '-')}.twins.{ZONE}", "AAAA"): [six],
        (f"{six.replace(':', '-')}.default.pod.cluster.local", "AAAA"): [six],
        (back[front4], "PTR"): [f"both.{ZONE}."],
        (back[front6], "PTR"): [f"both.{ZONE}."],
        (back[six], "PTR"): [f"{six.replace(':', '-')}.twins.{ZONE}."],
        (unknown, "PTR"): "NXDOMAIN",
    }
    for tcp in (False, True):
        assert {key: ask(cluster, *key, tcp=tcp, family=family) for key in expected} == expected


@needs_ipv6
def test_pods_ask_and_call_by_ipv6(cluster: RunningCluster) -> None:
    """The DNS at its own address and by its Service's, and a page from a name that has both families."""
    found = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]
    assert found["ipFamilyPolicy"] == "PreferDualStack" and found["clusterIPs"][1].endswith("::a")
    front = cluster.get("service", "both")["spec"]["clusterIPs"][1]
    for where in (server(cluster, "IPv6"), found["clusterIPs"][1]):
        assert f"Address: {front}" in inside(cluster, f"nslookup both.{ZONE} {where}")
    create(cluster, pod("six", "sleep 1000", dnsPolicy="None", dnsConfig={"nameservers": [found["clusterIPs"][1]]}))
    cluster.wait_ready("six")
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 both.{ZONE} 80"
    assert "says hello" in inside(cluster, script, "six")
    six = cluster.get("pod", "client")["status"]["podIPs"][1]["ip"]
    assert f"({six})" in inside(cluster, "ping -6 -c 1 -W 2 twins")


def test_the_service_has_upstreams_name(cluster: RunningCluster) -> None:
    found = cluster.get("service", "-n", "kube-system", "kube-dns")
    assert found["metadata"]["labels"]["k8s-app"] == "kube-dns"
    assert [(port["name"], port["protocol"], port["port"]) for port in found["spec"]["ports"]] == [
        ("dns", "UDP", 53),
        ("dns-tcp", "TCP", 53),
    ]
    own = found["spec"]["clusterIP"]
    assert own.endswith(".0.10")
    assert inside(cluster, "cat /etc/resolv.conf").splitlines() == [
        f"search {ZONE} svc.cluster.local cluster.local",
        f"nameserver {own}",
        "options ndots:5",
    ]


def test_pods_find_each_other_by_name(cluster: RunningCluster) -> None:
    """Through the search paths of their own resolver, whole names and short ones, a page from a headless name."""
    one, web = address(cluster, "pod", "web-0"), address(cluster, "service", "web")
    assert f"Address: {web}" in inside(cluster, f"nslookup web.{ZONE}")
    assert f"Address: {web}" in inside(cluster, "nslookup web")
    assert f"Address: {one}" in inside(cluster, f"nslookup web-0.heads.{ZONE}")
    assert f"web-0.heads.{ZONE}" in inside(cluster, f"nslookup -type=srv _http._tcp.heads.{ZONE}")
    assert "says hello" in inside(cluster, "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 web-0.heads 8080")
    assert "says hello" in inside(cluster, "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 web 80")
    assert "says hello" in inside(cluster, "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 outside 80")
    assert f"({one})" in inside(cluster, "ping -c 1 -W 2 heads")


@pytest.mark.parametrize("family", ["IPv4", pytest.param("IPv6", marks=needs_ipv6)])
def test_policies_know_the_dns_by_its_label(cluster: RunningCluster, family: str) -> None:
    """Where nothing may be called, no name is answered; where Pods labelled kube-dns may be, the DNS is one of them."""
    dns_pods = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "quiet"},
        "spec": {"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": []},
    }
    web, query = address(cluster, "service", "web"), f"timeout 1 nslookup web.{ZONE} {server(cluster, family)}"
    assert f"Address: {web}" in inside(cluster, query)
    create(cluster, policy)
    eventually(lambda: f"Address: {web}" not in inside(cluster, query))
    policy["spec"]["egress"] = [{"to": [dns_pods], "ports": [{"protocol": "UDP", "port": 53}]}]
    create(cluster, policy)
    eventually(lambda: f"Address: {web}" in inside(cluster, query))
    cluster.kubectl("delete", "networkpolicy", "quiet")


def test_a_load_balancers_address_answers(cluster: RunningCluster) -> None:
    """From the machine and from a Pod, by the address in its status, until the Service is of another type."""
    ports = [{"name": "http", "port": 8088, "targetPort": 8080}]
    create(cluster, service("shown", type="LoadBalancer", selector={"app": "web-0"}, ports=ports))

    def ingress() -> list[dict]:
        return cluster.get("service", "shown")["status"]["loadBalancer"].get("ingress", [])

    (given,) = eventually(ingress)
    assert given["ipMode"] == "VIP"
    url = f"http://{given['ip']}:8088/"

    def page() -> str:
        try:
            return urllib.request.urlopen(url, timeout=2).read().decode()
        except OSError as error:
            return f"nothing: {error}"

    eventually(lambda: "says hello" in page())
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {given['ip']} 8088"
    assert "says hello" in inside(cluster, script)
    assert given["ip"] in cluster.kubectl("get", "service", "shown").stdout
    cluster.kubectl("patch", "service", "shown", "-p", '{"spec": {"type": "ClusterIP"}}')
    eventually(lambda: not ingress())
    eventually(lambda: "nothing" in page())
    cluster.kubectl("delete", "service", "shown")


def test_a_pod_that_is_not_ready_has_no_name(cluster: RunningCluster) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    late = pod("late", "sleep 1000", subdomain="heads", hostname="late")
    late["spec"]["containers"][0]["readinessProbe"] = probe
    create(cluster, late)
    eventually(lambda: cluster.get("pod", "late")["status"].get("podIP"))
    assert ask(cluster, f"late.heads.{ZONE}") == "NXDOMAIN"
    cluster.kubectl("exec", "late", "--", "touch", "/tmp/ready")
    eventually(lambda: ask(cluster, f"late.heads.{ZONE}") == [address(cluster, "pod", "late")])
    cluster.kubectl("delete", "pod", "late", "--now")
    assert ask(cluster, f"late.heads.{ZONE}") == "NXDOMAIN"


def test_a_new_pods_name_is_there_when_the_pod_is_ready(cluster: RunningCluster) -> None:
    """Within 100 ms, seen from outside: by a watch of the Pod, and by asking for the name all the time."""
    took = []
    where = server(cluster)
    config = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(cluster.data / "kubeconfig"), client_configuration=config)
    api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(config))
    for number in range(3):
        name = f"new-{number}"
        ready, named = threading.Event(), threading.Event()
        at: dict[str, float] = {}

        def watch(name: str = name, ready: threading.Event = ready, at: dict[str, float] = at) -> None:
            words = {"namespace": "default", "field_selector": f"metadata.name={name}", "timeout_seconds": 30}
            for event in Watch().stream(api.list_namespaced_pod, **words):
                conditions = event["object"].status.conditions or ()
                if any(each.type == "Ready" and each.status == "True" for each in conditions):
                    break
            at["ready"] = time.monotonic()
            ready.set()

        def poll(name: str = name, named: threading.Event = named, at: dict[str, float] = at) -> None:
            query = dns.message.make_query(f"{name}.heads.{ZONE}", "A")
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    if not dns.query.udp(query, where, timeout=0.2).rcode():
                        break
                except dns.exception.Timeout:
                    continue
                time.sleep(0.002)
            at["named"] = time.monotonic()
            named.set()

        create(cluster, pod(name, "sleep 1000", subdomain="heads", hostname=name))
        threads = [threading.Thread(target=watch), threading.Thread(target=poll)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took.append(at["named"] - at["ready"])
    print("seconds from Ready to a name:", [round(each, 4) for each in took])
    assert statistics.median(took) < 0.1


def test_names_are_back_after_a_kill(cluster: RunningCluster) -> None:
    """At the same address, so that what stands in Pods' resolv.conf goes on to be true."""
    before, web = server(cluster), address(cluster, "service", "web")
    os.kill(cluster.pid, signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{cluster.pid}"))
    cluster.up()
    found = cluster.get("endpoints", "-n", "kube-system", "kube-dns")
    assert found["subsets"][0]["addresses"] == [{"ip": before}]
    assert ask(cluster, f"web.{ZONE}") == [web]
    assert f"Address: {web}" in inside(cluster, f"nslookup web.{ZONE}")
