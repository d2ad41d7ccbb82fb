"""Owns what the server says of itself: groups, versions, resources, subresources; each by itself or all at once.

Made from the records alone, lazily, once per form; then bytes. `/api` and `/apis` answer the aggregated form (v2 and
v2beta1 of apidiscovery.k8s.io) to who asks for it, with an ETag, and the plain one to everybody else.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.resources import Resource
    from podling.apiserver.record import Record

_ORDER: Final = (
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)
"""Groups in the order in which upstream lists them; clients prefer the earlier where kinds share a name."""

_JSON: Final = "application/json"
_AGGREGATED: Final = "APIGroupDiscoveryList"
_DEFAULT_VERBS: Final = ("get", "patch", "update")

SUBRESOURCE_KINDS: Final[Mapping[tuple[str, str], tuple[str, str, str]]] = {
    ("pods", "attach"): ("", "v1", "PodAttachOptions"),
    ("pods", "binding"): ("", "v1", "Binding"),
    ("pods", "eviction"): ("policy", "v1", "Eviction"),
    ("pods", "exec"): ("", "v1", "PodExecOptions"),
    ("pods", "portforward"): ("", "v1", "PodPortForwardOptions"),
    ("pods", "proxy"): ("", "v1", "PodProxyOptions"),
    ("services", "proxy"): ("", "v1", "ServiceProxyOptions"),
    ("nodes", "proxy"): ("", "v1", "NodeProxyOptions"),
    ("serviceaccounts", "token"): ("authentication.k8s.io", "v1", "TokenRequest"),
}
"""Subresources that speak of another kind than their resource's: group, version, kind. Any `scale` is autoscaling's."""


class Document(NamedTuple):
    """An answer that seldom changes: who holds its ETag need not be sent it again."""

    body: bytes
    content_type: str
    etag: str


class Served(NamedTuple):
    """A resource as discovery lists it."""

    resource: Resource[Any]
    verbs: tuple[str, ...]
    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()


def served(records: Iterable[Record], virtual: Iterable[Resource[Any]] = ()) -> list[Served]:
    """Return everything that is served: kinds with a record, and those that can be created but are not stored."""
    found = [
        Served(
            record.resource,
            tuple(sorted(record.verbs)),
            tuple(
                (sub, tuple(sorted(record.subresource_verbs.get(sub, _DEFAULT_VERBS)))) for sub in record.subresources
            ),
        )
        for record in records
    ]
    found += [Served(resource, ("create",)) for resource in virtual]
    return sorted(found, key=lambda it: (_rank(it.resource.group), _priority(it.resource.version), it.resource.plural))


def subresource_kind(resource: Resource[Any], subresource: str) -> tuple[str, str, str]:
    """Return group, version and kind of what a subresource takes and gives."""
    if subresource == "scale":
        return "autoscaling", "v1", "Scale"
    return SUBRESOURCE_KINDS.get((resource.plural, subresource), (resource.group, resource.version, resource.kind))


class Discovery:
    """Answers `/api`, `/apis` and what lies under them up to the resources."""

    def __init__(self, records: Iterable[Record], virtual: Iterable[Resource[Any]] = (), address: str = "") -> None:
        """`address` is HOST:PORT under which clients are told to reach the server."""
        self._served = served(records, virtual)
        self._address = address
        self._made: dict[tuple[str, str], Document] = {}

    def answer(self, path: str, accept: str = "") -> Document | None:
        """Return what a GET of `path` answers, `None` where the path is not discovery's; `accept` is the header."""
        path = path.rstrip("/")
        version = _aggregated_version(accept) if path in ("/api", "/apis") else ""
        made = self._made.get((path, version))
        if made is None:
            made = self._make(path, version)
            if made is not None:
                self._made[path, version] = made
        return made

    def paths(self) -> Iterable[str]:
        """Yield the paths of the groups and their versions."""
        yield from ("/api", "/apis")
        yield from (f"/api/{version}" for version in self._versions(""))
        for group in self._groups():
            yield f"/apis/{group}"
            yield from (f"/apis/{group}/{version}" for version in self._versions(group))

    def _make(self, path: str, version: str) -> Document | None:
        parts = path.split("/")[1:]
        match parts:
            case ["api" | "apis" as root] if version:
                tree: dict[str, Any] | None = self._aggregated(root == "api", version)
            case ["api"]:
                tree = self._core_versions()
            case ["apis"]:
                tree = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(g) for g in self._groups()]}
            case ["api", of]:
                tree = self._resources("", of)
            case ["apis", group] if group in self._groups():
                tree = {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["apis", group, of]:
                tree = self._resources(group, of)
            case _:
                return None
        if tree is None:
            return None
        body = msgspec.json.encode(tree)
        kind = f"{_JSON};g=apidiscovery.k8s.io;v={version};as={_AGGREGATED}" if version else _JSON
        return Document(body, kind, f'"{hashlib.sha256(body).hexdigest().upper()}"')

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(it.resource.group for it in self._served if it.resource.group))

    def _versions(self, group: str) -> list[str]:
        return list(dict.fromkeys(it.resource.version for it in self._served if it.resource.group == group))

    def _core_versions(self) -> dict[str, Any]:
        return {
            "kind": "APIVersions",
            "versions": self._versions(""),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
        }

    def _group(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> dict[str, Any] | None:
        listed: list[dict[str, Any]] = []
        for it in self._served:
            of = it.resource
            if (of.group, of.version) != (group, version):
                continue
            entry: dict[str, Any] = {
                "name": of.plural,
                "singularName": of.singular,
                "namespaced": of.namespaced,
                "kind": of.kind,
                "verbs": it.verbs,
            }
            if of.short_names:
                entry["shortNames"] = of.short_names
            if of.categories:
                entry["categories"] = of.categories
            listed.append(entry)
            for subresource, verbs in it.subresources:
                sub_group, sub_version, kind = subresource_kind(of, subresource)
                part: dict[str, Any] = {"name": f"{of.plural}/{subresource}", "singularName": ""}
                part["namespaced"] = of.namespaced
                if (sub_group, sub_version) != (group, version):
                    part |= {"group": sub_group, "version": sub_version}
                listed.append(part | {"kind": kind, "verbs": verbs})
        if not listed:
            return None
        name = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}

    def _aggregated(self, core: bool, version: str) -> dict[str, Any]:
        groups = [""] if core else self._groups()
        return {
            "kind": _AGGREGATED,
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group} if group else {},
                    "versions": [
                        {"version": of, "resources": self._resource_trees(group, of), "freshness": "Current"}
                        for of in self._versions(group)
                    ],
                }
                for group in groups
            ],
        }

    def _resource_trees(self, group: str, version: str) -> list[dict[str, Any]]:
        trees: list[dict[str, Any]] = []
        for it in self._served:
            of = it.resource
            if (of.group, of.version) != (group, version):
                continue
            tree: dict[str, Any] = {
                "resource": of.plural,
                "responseKind": {"group": of.group, "version": of.version, "kind": of.kind},
                "scope": "Namespaced" if of.namespaced else "Cluster",
                "singularResource": of.singular,
                "verbs": it.verbs,
            }
            if of.short_names:
                tree["shortNames"] = of.short_names
            if of.categories:
                tree["categories"] = of.categories
            if it.subresources:
                tree["subresources"] = [
                    {
                        "subresource": subresource,
                        "responseKind": dict(
                            zip(("group", "version", "kind"), subresource_kind(of, subresource), strict=True)
                        ),
                        "verbs": verbs,
                    }
                    for subresource, verbs in it.subresources
                ]
            trees.append(tree)
        return trees


def _aggregated_version(accept: str) -> str:
    """Return the version of the aggregated form that `accept` prefers, "" for the plain one."""
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        wanted = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media == _JSON and wanted.get("as") == _AGGREGATED:
            if wanted.get("g") == "apidiscovery.k8s.io" and wanted.get("v") in ("v2", "v2beta1"):
                return wanted["v"]
        elif media in (_JSON, "*/*", "application/*", ""):
            return ""
    return ""


def _priority(version: str) -> tuple[int, int, int, str]:
    """Order versions as upstream does: stable before beta before alpha, later before earlier, others by their names."""
    found = re.fullmatch(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", version)
    if found is None:
        return 3, 0, 0, version
    major, stage, minor = found.groups()
    return ("", "beta", "alpha").index(stage or ""), -int(major), -int(minor or 0), version


def _rank(group: str) -> tuple[int, str]:
    if not group:
        return -1, ""
    return (_ORDER.index(group), group) if group in _ORDER else (len(_ORDER), group)
