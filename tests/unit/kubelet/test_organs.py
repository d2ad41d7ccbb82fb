"""Small organs: files, downward API, service variables, credentials, security, wording."""

from __future__ import annotations

import pytest

from podling.api.types.core_v1 import (
    Container,
    HostAlias,
    Pod,
    PodDNSConfig,
    PodDNSConfigOption,
    PodSecurityContext,
    PodSpec,
    ResourceFieldSelector,
    ResourceRequirements,
    SecurityContext,
    Service,
    ServicePort,
    ServiceSpec,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.containers import sandbox_config
from podling.kubelet.downward import field_value, resource_value
from podling.kubelet.files import hostname, hosts_file
from podling.kubelet.objects import MissingReference
from podling.kubelet.resolver import resolver_of
from podling.kubelet.security import security_of
from podling.kubelet.services import ServiceVariables
from podling.kubelet.settings import Settings
from podling.runtime.protocol import Image, ImageId


def pod(container: Container | None = None, **spec: object) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name="web", namespace="shop", uid="u1", labels={"app": "web", "tier": 'a"b'}, annotations={"x/y": "z"}
        ),
        spec=PodSpec(containers=(container or Container(name="web"),), node_name="node", **spec),
    )


def test_hosts_file_names_the_pod_and_its_aliases():
    """The Pod's address leads to its host name, with its domain where a subdomain gives one; aliases follow."""
    alias = HostAlias(ip="10.1.1.1", hostnames=("db", "db.local"))
    text = hosts_file(pod(subdomain="shops", host_aliases=(alias,)), ("10.0.0.9",), "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.9\tweb.shops.shop.svc.cluster.local\tweb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n10.1.1.1\tdb\tdb.local\n")


def test_hostname_is_cut_to_what_the_kernel_takes():
    """At most 63 characters, never ending in a dash or dot."""
    long = Pod(metadata=ObjectMeta(name="a" * 62 + "-b"), spec=PodSpec(containers=()))
    assert hostname(long) == "a" * 62


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (
            "ClusterFirst",
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp\nnameserver 10.96.0.10\noptions ndots:5 edns0\n",
        ),
        ("Default", "search corp\nnameserver 192.0.2.53\noptions rotate edns0\n"),
        ("None", "options edns0\n"),
    ],
)
def test_resolv_file_follows_the_dns_policy(policy, text):
    """ClusterFirst asks the cluster's DNS first, Default the host's, None only what dnsConfig says."""
    settings = Settings(cluster_dns=("10.96.0.10",))
    config = PodDNSConfig(options=(PodDNSConfigOption(name="edns0"),))
    host = "nameserver 192.0.2.53\nsearch corp\noptions rotate\n"
    assert resolver_of(pod(dns_policy=policy, dns_config=config), settings, host).text() == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
        ("metadata.annotations['x/y']", "z"),
        ("status.podIP", "10.0.0.9"),
        ("status.podIPs", "10.0.0.9,fd00::9"),
        ("status.hostIP", "192.0.2.1"),
        ("spec.nodeName", "node"),
    ],
)
def test_fields_of_the_downward_api(path, value):
    """Each field path gives what upstream gives."""
    assert field_value(pod(), path, ("10.0.0.9", "fd00::9"), ("192.0.2.1",)) == value


def test_unknown_field_paths_are_refused():
    """A path that is none raises, and is told as a configuration error."""
    with pytest.raises(ValueError, match="unsupported fieldPath"):
        field_value(pod(), "spec.secret", (), ())


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "500"),
        ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Gi", "8"),
        ("requests.cpu", "1m", "250"),
    ],
)
def test_resource_fields_are_divided_and_rounded_up(resource, divisor, value):
    """Amounts come in units of the divisor; a limit that is not set is what the node can give."""
    resources = ResourceRequirements(requests={"cpu": "250m", "memory": "64Mi"}, limits={"cpu": "500m"})
    container = Container(name="web", resources=resources)
    selector = ResourceFieldSelector(resource=resource, divisor=divisor, container_name="web")
    assert resource_value(pod(container), selector, {"memory": "8Gi"}) == value


class Listed:
    """An informer of Services."""

    def __init__(self, *services: Service) -> None:
        self.services = services

    def get(self, name, namespace=""):
        return next((s for s in self.services if (s.metadata.name, s.metadata.namespace) == (name, namespace)), None)

    def list(self, namespace=""):
        return [s for s in self.services if s.metadata.namespace == namespace]


def service(name: str, namespace: str, address: str, *ports: ServicePort) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace), spec=ServiceSpec(cluster_ip=address, ports=ports)
    )


def test_service_variables():
    """Services of the namespace and the API server's own; none of headless ones; links can be declined."""
    informer = Listed(
        service("kubernetes", "default", "10.96.0.1", ServicePort(name="https", port=443)),
        service("my-db", "shop", "10.96.0.7", ServicePort(name="sql", port=5432), ServicePort(name="x", port=1)),
        service("headless", "shop", "None", ServicePort(port=1)),
        service("other", "elsewhere", "10.96.0.8", ServicePort(port=1)),
    )
    found = ServiceVariables(informer).variables("shop", True)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert found["MY_DB_PORT"] == "tcp://10.96.0.7:5432"
    assert found["MY_DB_PORT_1_TCP_ADDR"] == "10.96.0.7"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)
    assert all(name.startswith("KUBERNETES") for name in ServiceVariables(informer).variables("shop", False))


def image(user: str) -> Image:
    return Image(ImageId("sha256:1"), (), (), 1, user=user)


@pytest.mark.parametrize(
    ("own", "user", "message"),
    [
        (SecurityContext(run_as_non_root=True, run_as_user=0), "", "container's runAsUser breaks non-root policy"),
        (SecurityContext(run_as_non_root=True), "", "container has runAsNonRoot and image will run as root"),
        (SecurityContext(run_as_non_root=True), "app", "image has non-numeric user (app)"),
    ],
)
def test_non_root_is_held(own, user, message):
    """runAsNonRoot refuses root, by number, by default, or unknown, in upstream's words."""
    container = Container(name="web", security_context=own)
    with pytest.raises(MissingReference) as refused:
        security_of(pod(container), container, image(user), None)
    assert message in str(refused.value)


def test_the_containers_word_goes_before_the_pods():
    """User and group of the container override the Pod's; groups and fsGroup add up."""
    container = Container(name="web", security_context=SecurityContext(run_as_user=5, allow_privilege_escalation=False))
    whole = PodSecurityContext(run_as_user=1, run_as_group=2, supplemental_groups=(7,), fs_group=9)
    found = security_of(pod(container, security_context=whole), container, image("0"), None)
    assert (found.user, found.group, found.supplemental_groups, found.no_new_privileges) == (5, 2, (7, 9), True)


def test_a_resolver_is_cut_to_what_resolvers_take():
    """Three servers, 32 search paths of 2048 characters together; what is left out is told with what remains."""
    settings = Settings(cluster_dns=("10.96.0.10",))

    def told(servers: int, searches: list[str]) -> tuple[list[str], int, int]:
        config = PodDNSConfig(nameservers=tuple(f"192.0.2.{n}" for n in range(servers)), searches=tuple(searches))
        found = resolver_of(pod(dns_policy="None", dns_config=config), settings, "")
        return [notice.message.partition(",")[0] for notice in found.notices], len(found.servers), len(found.searches)

    assert told(3, ["a.example"] * 1) == ([], 3, 1)
    assert told(4, []) == (["Nameserver limits were exceeded"], 3, 0)
    assert told(1, [f"{n}.example" for n in range(33)]) == (["Search Line limits were exceeded"], 1, 32)
    assert told(1, [f"{'x' * 60}.{n}.example" for n in range(10)] * 1) == ([], 1, 10)
    assert told(1, [f"{'x' * 240}.{n}.example" for n in range(10)]) == (["Search Line limits were exceeded"], 1, 8)
    assert told(1, ["x" * 254, "b"]) == (["Search Line limits were exceeded"], 1, 1)
    (missing,) = resolver_of(pod(), Settings(), "nameserver 1.2.3.4").notices
    assert missing.reason == "MissingClusterDNS"
    assert missing.message.endswith('cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.')
    assert resolver_of(pod(host_network=True), Settings(), "nameserver 1.2.3.4").notices == []


def test_a_name_that_the_kernel_does_not_take_is_refused():
    """With setHostnameAsFQDN the whole name must fit; without, only the short one is used."""
    long = {"hostname": "h" * 30, "subdomain": "s" * 30}
    assert sandbox_config(pod(**long), 0, Settings()).hostname == "h" * 30
    with pytest.raises(MissingReference, match=r"is too long \(64 characters is the max, 8\d characters requested\)"):
        sandbox_config(pod(**long, set_hostname_as_fqdn=True), 0, Settings())
