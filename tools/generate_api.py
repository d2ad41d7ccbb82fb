"""Generates what `podling.api` knows of Kubernetes from the published schema of its newest release.

Reads the definitions in the `kubernetes-validate` package and writes the typed view (`api/types/*.py`), the walkable
schema (`api/data/schema.json`) and the published definitions (`api/data/openapi.json.gz`). What the published schema
does not say (which Go strings are pointers, which empty structs upstream prints) stands in `generate_api_tables.py`,
what is Podling's own in `podling_definitions.py`.

Run it without arguments to write, with `--check` to fail when the written files are not what it would write.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.resources
import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any, Final

from generate_api_tables import (
    ALWAYS_PRINTED,
    GO_STRINGS,
    NAME_EXCEPTIONS,
    POINTER_STRINGS,
    REQUIRED_FIELDS,
    REQUIRED_POINTERS,
)
from podling_definitions import DEFINITIONS, INSIGHT

Definition = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent / "src" / "podling" / "api"
RELEASE: Final = "v1.37.0"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
GROUPS: Final = (
    "core_v1",
    "coordination_v1",
    "discovery_v1",
    "events_v1",
    "node_v1",
    "scheduling_v1",
    "rbac_v1",
    "authentication_v1",
    "authorization_v1",
    "policy_v1",
    "apps_v1",
    "batch_v1",
    "networking_v1",
    "storage_v1",
    "apiextensions_v1",
    "admissionregistration_v1",
    "autoscaling_v1",
    "certificates_v1",
    "flowcontrol_v1",
)
VERSION: Final = "io.k8s.apimachinery.pkg.version.Info"
APIEXTENSIONS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
PREFIXES: Final[dict[str, str]] = {
    "meta_v1": META,
    **{m: APIEXTENSIONS if m == "apiextensions_v1" else f"io.k8s.api.{m.replace('_', '.')}." for m in GROUPS},
}
PREFIXES["insight_v1alpha1"] = INSIGHT
PARTIAL: Final = {"scheduling_v1alpha3": "io.k8s.api.scheduling.v1alpha3."}  # only what the others refer to
SCALAR_DEFINITIONS: Final[dict[str, str]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    META + "Time": "time",
    META + "MicroTime": "microtime",
    META + "FieldsV1": "object",
    META + "Patch": "object",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "object",
    APIEXTENSIONS + "JSON": "any",
    APIEXTENSIONS + "JSONSchemaPropsOrArray": "schema-or-array",
    APIEXTENSIONS + "JSONSchemaPropsOrBool": "schema-or-bool",
    APIEXTENSIONS + "JSONSchemaPropsOrStringArray": "schema-or-strings",
}
PYTHON_SCALARS: Final[dict[str, str]] = {
    "string": "str",
    "byte": "str",
    "bool": "bool",
    "int32": "int",
    "int64": "int",
    "double": "float",
    "quantity": "Quantity",
    "int-or-string": "IntOrString",
    "time": "Time",
    "microtime": "MicroTime",
    "object": "Any",
    "any": "Any",
    "schema-or-array": "Any",
    "schema-or-bool": "Any",
    "schema-or-strings": "Any",
}
META_ALIASES: Final = """\
Quantity: TypeAlias = str
IntOrString: TypeAlias = int | str
Time: TypeAlias = str
MicroTime: TypeAlias = str
"""


def published() -> dict[str, Definition]:
    """The definitions in upstream's form: without the nulls and enums that JSON Schema validators need."""
    root = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    raw = json.loads((root / f"{RELEASE}-local" / "_definitions.json").read_text())
    plain = {name: _plain(d) for name, d in raw["$defs"].items()}
    for name, form in (
        ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"type": "string"}),
        ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", {"type": "string", "format": "int-or-string"}),
    ):
        plain[name].pop("oneOf", None)
        plain[name].update(form)
    return plain | DEFINITIONS


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(n) for n in node]
    if not isinstance(node, dict):
        return node
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, list):
            out[key] = next(t for t in value if t != "null")
        elif key == "$ref" and isinstance(value, str):
            out[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "enum" and isinstance(value, list):
            continue
        elif key == "properties":
            out[key] = {k: _plain(v) for k, v in value.items()}
        else:
            out[key] = _plain(value)
    return out


def module_of(name: str) -> str | None:
    """The types module that holds a definition, or None when its group is not among Podling's."""
    return next((m for m, p in (PREFIXES | PARTIAL).items() if name.startswith(p) and "." not in name[len(p) :]), None)


def ref_of(node: Definition) -> str | None:
    ref = node.get("$ref")
    return ref.rsplit("/", 1)[1] if isinstance(ref, str) else None


def selected(definitions: dict[str, Definition]) -> dict[str, Definition]:
    """The definitions of Podling's groups, with those they refer to."""
    names = {n for n in definitions if module_of(n) in PREFIXES} | {VERSION}
    frontier = set(names)
    while frontier:
        found = set(re.findall(r'#/definitions/([^"]+)"', json.dumps([definitions[n] for n in frontier])))
        frontier = found - names
        names |= frontier
    return {n: definitions[n] for n in sorted(names)}


def scalar_of(node: Definition) -> str | None:
    """The scalar kind of a node that is no object, list or map."""
    ref = ref_of(node)
    if ref is not None:
        return SCALAR_DEFINITIONS.get(ref)
    match node.get("type"):
        case "string":
            form = node.get("format")
            return {"byte": "byte", "date-time": "time"}.get(form or "", "string")
        case "boolean":
            return "bool"
        case "integer":
            return str(node.get("format", "int64"))
        case "number":
            return "double"
        case "object" if "additionalProperties" not in node:
            return "object"
        case None:
            return "any"
    return None


# --- the typed view ---------------------------------------------------------------------------------------------------

TOKEN: Final = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+[0-9]*(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")


def attribute(wire: str) -> str:
    """The Python name of a field: snake case with acronyms kept together (podIPs: pod_ips)."""
    name = NAME_EXCEPTIONS.get(wire) or "_".join(t.lower() for t in TOKEN.findall(wire))
    return name + "_" if keyword.iskeyword(name) else name


class TypesModule:
    """One generated module: the structs of a group and version, each after those it holds."""

    def __init__(self, module: str, definitions: dict[str, Definition]) -> None:
        self.module = module
        self.definitions = definitions
        self.own = {n: d for n, d in definitions.items() if module_of(n) == module and n not in SCALAR_DEFINITIONS}
        self.done: set[str] = set()
        self.doing: list[str] = []
        self.imports: dict[str, set[str]] = {}
        self.body: list[str] = []

    def render(self) -> str:
        for name in self.own:
            self.emit(name)
        title = self.module.replace("_", "/")
        head = [f'"""The structs of {title}, generated by tools/generate_api.py: do not edit."""', ""]
        text = "\n".join(self.body)
        typing_names = ["Any"] if re.search(r"\bAny\b", text) else []
        typing_names += ["TypeAlias"] if self.module == "meta_v1" else []
        if typing_names:
            head += [f"from typing import {', '.join(typing_names)}", ""]
        head += ["from msgspec import Struct" + (", field" if "field(" in text else ""), ""]
        for module, names in sorted(self.imports.items()):
            head.append(f"from podling.api.types.{module} import {', '.join(sorted(names))}")
        if self.imports:
            head.append("")
        if self.module == "meta_v1":
            head += [META_ALIASES]
        return "\n".join(head) + "\n" + text

    def emit(self, name: str) -> None:
        if name in self.done:
            return
        self.doing.append(name)
        definition = self.own[name]
        lines: list[str] = []
        renames: dict[str, str] = {}
        gvks = definition.get("x-kubernetes-group-version-kind", [])
        properties = definition.get("properties", {})
        required = set(definition.get("required", ())) | REQUIRED_FIELDS.get(name, frozenset())
        required -= set(REQUIRED_POINTERS.get(name, ()))
        heads = [f for f in ("apiVersion", "kind", "metadata") if f in properties]
        for wire in [*heads, *(f for f in properties if f not in heads)]:
            node = properties[wire]
            attr = attribute(wire)
            if attr in {"str", "int", "float", "bool", "dict", "tuple"}:
                raise ValueError(f"{name}.{wire} shadows the annotation {attr}")
            if attr != wire:
                renames[attr] = wire
            top = bool(gvks) and "kind" in properties and "apiVersion" in properties
            lines.append(self.field_line(name, wire, attr, node, wire in required, gvks if top else []))
        options = "frozen=True, kw_only=True, omit_defaults=True, "
        # A view of a whole object is shared while anybody holds it; the parts cannot be in cycles.
        options += "weakref=True" if gvks and "kind" in properties else "gc=False"
        if renames:
            options += ", rename={" + ", ".join(f'"{a}": "{w}"' for a, w in renames.items()) + "}"
        self.body.append(f"\nclass {name.rsplit('.', 1)[1]}(Struct, {options}):")
        self.body += ["    " + line for line in lines] or ["    pass"]
        self.body.append("")
        self.doing.pop()
        self.done.add(name)

    def field_line(
        self, owner: str, wire: str, attr: str, node: Definition, required: bool, gvks: list[dict[str, str]]
    ) -> str:
        if gvks and wire in {"apiVersion", "kind"}:
            gvk = gvks[0] if len(gvks) == 1 else {"group": "", "version": "v1", "kind": gvks[0]["kind"]}
            group_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            value = gvk["kind"] if wire == "kind" else group_version
            return f'{attr}: str = field(default_factory="{value}".__str__)'
        annotation = self.annotation(node)
        if required:
            return f"{attr}: {annotation}"
        ref = ref_of(node)
        if ref is not None and ref not in SCALAR_DEFINITIONS:
            if (gvks and wire in {"metadata", "spec", "status"}) or (wire == "metadata" and ref == META + "ObjectMeta"):
                target = self.definitions[ref]
                if not target.get("required") and not REQUIRED_FIELDS.get(ref):
                    return f"{attr}: {annotation} = {annotation}()"
            return (
                f'{attr}: "{annotation.strip(chr(34))} | None" = None'
                if '"' in annotation
                else f"{attr}: {annotation} | None = None"
            )
        if node.get("type") == "array":
            return f"{attr}: {annotation} = ()"
        scalar = scalar_of(node)
        if scalar is None:
            return f"{attr}: {annotation} = {{}}"
        if PYTHON_SCALARS.get(scalar) == "Any":
            return f"{attr}: Any = None"
        pointers = (*POINTER_STRINGS.get(owner, ()), *REQUIRED_POINTERS.get(owner, ()))
        if scalar in {"string", "byte"} and wire not in pointers:
            return f'{attr}: str = ""'
        return f"{attr}: {annotation} | None = None"

    def annotation(self, node: Definition) -> str:
        scalar = scalar_of(node)
        if scalar is not None:
            name = PYTHON_SCALARS[scalar]
            if name in {"Quantity", "IntOrString", "Time", "MicroTime"} and self.module != "meta_v1":
                self.imports.setdefault("meta_v1", set()).add(name)
            return name
        ref = ref_of(node)
        if ref is not None:
            module, cls = module_of(ref), ref.rsplit(".", 1)[1]
            if module is None:
                raise ValueError(f"{ref} is outside the modules")
            if module != self.module:
                self.imports.setdefault(module, set()).add(cls)
            elif ref in self.doing:
                return f'"{cls}"'
            else:
                self.emit(ref)
            return cls
        if node.get("type") == "array":
            return f"tuple[{self.annotation(node['items'])}, ...]"
        return f"dict[str, {self.annotation(node['additionalProperties'])}]"


# --- the walkable schema ----------------------------------------------------------------------------------------------


def compact_type(node: Definition) -> Any:
    """A node of the schema: a scalar's name, ["ref", name, attributes], ["list", item, …] or ["map", value, …]."""
    scalar = scalar_of(node)
    if scalar is not None:
        return scalar
    attributes: dict[str, Any] = {}
    for key, short in (
        ("x-kubernetes-list-type", "listType"),
        ("x-kubernetes-list-map-keys", "keys"),
        ("x-kubernetes-map-type", "mapType"),
        ("x-kubernetes-patch-merge-key", "mergeKey"),
        ("x-kubernetes-patch-strategy", "strategy"),
    ):
        if key in node:
            attributes[short] = node[key]
    ref = ref_of(node)
    if ref is not None:
        return ["ref", ref, attributes] if attributes else ["ref", ref]
    if node.get("type") == "array":
        return ["list", compact_type(node["items"]), attributes]
    return ["map", compact_type(node["additionalProperties"]), attributes]


def printed(name: str, definition: Definition) -> list[str]:
    """The fields that upstream prints although they are empty, in the order of the schema."""
    names = set(definition.get("required", ())) | set(ALWAYS_PRINTED.get(name, ()))
    properties = definition.get("properties", {})
    if {"kind", "apiVersion", "metadata"} <= set(properties):
        names |= {f for f in ("metadata", "spec", "status") if f in properties and ref_of(properties[f])}
    names -= set(REQUIRED_POINTERS.get(name, ()))
    return [f for f, node in properties.items() if f in names and scalar_of(node) not in {"time", "microtime"}]


def compact_schema(definitions: dict[str, Definition]) -> dict[str, Any]:
    """Definition name → fields, required, printed when empty, kinds, and whether it is one atom for apply."""
    out: dict[str, Any] = {}
    for name, definition in definitions.items():
        if name in SCALAR_DEFINITIONS:
            continue
        entry: dict[str, Any] = {"fields": {f: compact_type(n) for f, n in definition.get("properties", {}).items()}}
        entry["required"] = definition.get("required", [])
        entry["printed"] = printed(name, definition)
        entry["pointers"] = [*POINTER_STRINGS.get(name, ()), *REQUIRED_POINTERS.get(name, ())]
        entry["go"] = GO_STRINGS.get(name, {})
        entry["atomic"] = definition.get("x-kubernetes-map-type") == "atomic"
        gvks = definition.get("x-kubernetes-group-version-kind", [])
        if module_of(name) != "meta_v1":
            entry["kinds"] = [[g["group"], g["version"], g["kind"]] for g in gvks]
        out[name] = {key: value for key, value in entry.items() if value or key == "fields"}
    return out


# --- writing ----------------------------------------------------------------------------------------------------------


def outputs() -> dict[Path, bytes]:
    """Every generated file with its content; the same input gives the same bytes."""
    definitions = selected(published())
    files: dict[Path, bytes] = {}
    types = ROOT / "types"
    files[types / "__init__.py"] = (
        b'"""The typed view of Kubernetes objects: one module of frozen structs per group and version."""\n'
    )
    for module in PREFIXES | PARTIAL:
        files[types / f"{module}.py"] = (TypesModule(module, definitions).render().rstrip() + "\n").encode()
    schema = json.dumps(compact_schema(definitions), separators=(",", ":"), sort_keys=True)
    files[ROOT / "data" / "schema.json"] = schema.encode() + b"\n"
    openapi = json.dumps(definitions, separators=(",", ":"), sort_keys=True).encode()
    files[ROOT / "data" / "openapi.json.gz"] = gzip.compress(openapi, 9, mtime=0)
    return files


def current(path: Path, content: bytes) -> bool:
    """Whether the file says what it should: compressed files are compared by what they hold, as zlibs differ."""
    if not path.exists():
        return False
    found = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(found) == gzip.decompress(content)
    return found == content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    check = parser.parse_args().check
    files = outputs()
    stale = [p for p, content in files.items() if not current(p, content)]
    stale += [p for p in (ROOT / "types").glob("*.py") if p not in files]
    if check:
        for path in stale:
            print(f"not current: {path.relative_to(ROOT)}; run tools/generate_api.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
