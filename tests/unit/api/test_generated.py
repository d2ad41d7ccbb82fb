"""The generated types, schema and definitions, held to upstream's and to each other."""

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from podling.api import codec, openapi_data
from podling.api.schema import Schema
from podling.api.types import core_v1
from podling.api.types.core_v1 import Container, Node, Pod, PodSpec, Service
from podling.api.types.meta_v1 import ObjectMeta

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("generate_api")
    finally:
        sys.path.remove(str(TOOLS))


def test_what_is_written_is_current(generator: ModuleType) -> None:
    """The generator would write exactly the files that are there."""
    stale = [path.name for path, content in generator.outputs().items() if not generator.current(path, content)]
    assert stale == []


def test_the_tables_speak_of_what_exists(generator: ModuleType) -> None:
    """No definition or field in the hand-written tables is a slip of the pen."""
    tables = sys.modules["generate_api_tables"]
    definitions = generator.selected(generator.published())
    for table in (
        tables.REQUIRED_FIELDS,
        tables.POINTER_STRINGS,
        tables.REQUIRED_POINTERS,
        tables.ALWAYS_PRINTED,
        tables.GO_STRINGS,
    ):
        for name, fields in table.items():
            unknown = set(fields) - set(definitions[name]["properties"])
            assert not unknown, (name, unknown)
    for name, fields in tables.POINTER_STRINGS.items():
        for field in fields:
            assert generator.scalar_of(definitions[name]["properties"][field]) == "string", (name, field)


@pytest.mark.parametrize(
    ("wire", "attribute"),
    [
        ("podIPs", "pod_ips"), ("podIP", "pod_ip"), ("hostIPC", "host_ipc"), ("clusterIPs", "cluster_ips"), ("uid", "uid"),
        ("setHostnameAsFQDN", "set_hostname_as_fqdn"), ("targetWWNs", "target_wwns"), ("systemUUID", "system_uuid"),
        ("fieldsV1", "fields_v1"), ("openAPIV3Schema", "open_api_v3_schema"), ("from", "from_"), ("continue", "continue_"),
        ("x-kubernetes-list-map-keys", "x_kubernetes_list_map_keys"), ("$ref", "ref"), ("Port", "port"),
        ("serverAddressByClientCIDRs", "server_address_by_client_cidrs"), ("ipBlock", "ip_block"),
    ],
)  # fmt: skip
def test_names_keep_acronyms_together(generator: ModuleType, wire: str, attribute: str) -> None:
    """Python's names of Kubernetes's fields."""
    assert generator.attribute(wire) == attribute


def _structs(module: ModuleType) -> dict[str, Any]:
    return {
        name: cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, msgspec.Struct) and cls.__module__ == module.__name__
    }


def _lightkube(module: str) -> dict[str, set[str]]:
    """Read lightkube's models as text: they do not import without lightkube itself."""
    root = importlib.util.find_spec("lightkube.models")
    assert root is not None
    assert root.submodule_search_locations is not None
    path = Path(root.submodule_search_locations[0]) / f"{module}.py"
    found: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            renamed = {n: re.search(r"'json': '([^']+)'", ast.unparse(n)) for n in fields}
            found[node.name] = {m[1] if (m := renamed[n]) else ast.unparse(n.target) for n in fields}
    return found


@pytest.mark.parametrize(
    "module", ["core_v1", "meta_v1", "discovery_v1", "rbac_v1", "apps_v1", "networking_v1", "batch_v1", "storage_v1"]
)
def test_fields_are_those_of_an_independent_generator(module: str) -> None:
    """Each struct has exactly the fields of lightkube's model of the same release."""
    models = _lightkube(module)
    ours = _structs(importlib.import_module(f"podling.api.types.{module}"))
    compared = 0
    for name, cls in ours.items():
        if name in models:
            assert {f.encode_name for f in msgspec.structs.fields(cls)} == models[name], name
            compared += 1
    assert compared > len(ours) * 0.8


def test_every_struct_is_read_from_what_conform_makes_of_nothing(generator: ModuleType) -> None:
    """Schema and types agree on what must be there, so that what is stored is read by the fast path."""
    missing: dict[str, set[str]] = {}
    for module, prefix in (generator.PREFIXES | generator.PARTIAL).items():
        for name, cls in _structs(importlib.import_module(f"podling.api.types.{module}")).items():
            schema = Schema.of(prefix + name)
            assert set(schema.fields) == {f.encode_name for f in msgspec.structs.fields(cls)}
            required = {f.encode_name for f in msgspec.structs.fields(cls) if f.required}
            untimed = {n for n in required if schema.fields[n].kind not in {"time", "microtime"}}
            if untimed - set(schema.printed):
                missing[name] = untimed - set(schema.printed)
    assert missing == {}


def test_whole_objects_are_convenient() -> None:
    """Metadata, spec and status need no check for None where upstream holds them by value."""
    assert Node().spec.unschedulable is None
    assert Service().status.load_balancer is None
    assert Pod(spec=PodSpec(containers=())).metadata.labels == {}
    assert codec.to_tree(core_v1.Namespace(metadata=ObjectMeta(name="a"))) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "a"},
    }
    with pytest.raises(AttributeError):
        Container(name="a").name = "b"  # type: ignore[misc]


def test_the_published_definitions_are_upstreams_form() -> None:
    """References within the document, no nulls, quantities and int-or-strings as upstream publishes them."""
    definitions = openapi_data.load()
    pod = definitions["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    assert pod["properties"]["kind"]["type"] == "string"
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    containers = definitions["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"


def test_the_schema_knows_how_lists_merge() -> None:
    """List types, keys, strategies, kinds."""
    spec = Schema.of("io.k8s.api.core.v1.PodSpec")
    assert (spec.fields["containers"].keys, spec.fields["containers"].merge_key) == (("name",), "name")
    assert spec.fields["volumes"].strategies == ("merge", "retainKeys")
    assert spec.fields["tolerations"].list_type == "atomic"
    assert Schema.of("io.k8s.api.core.v1.ServiceSpec").fields["ports"].keys == ("port", "protocol")
    assert Schema.of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").fields["finalizers"].list_type == "set"
    assert Schema.of("io.k8s.api.core.v1.NodeSelector").atomic
    assert Schema.of("io.k8s.api.core.v1.ServiceSpec").fields["selector"].atomic
    assert Schema.of_kind("discovery.k8s.io", "v1", "EndpointSlice").name == "io.k8s.api.discovery.v1.EndpointSlice"
    assert spec.fields["containers"].item is Schema.of("io.k8s.api.core.v1.Container")
    with pytest.raises(KeyError):
        Schema.of_kind("", "v2", "Pod")
