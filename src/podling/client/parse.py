"""From the bytes of an API server to `Encoded`.

Owns the split of an object into its stored form (no resourceVersion, kind and metadata first) and what stands beside
it. Objects of Podling's own server are cut in place; any other server's order of fields is brought into ours without
decoding what lies within. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.encoded import Encoded
from podling.api.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.resources import Resource


class _Meta(msgspec.Struct):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    labels: dict[str, str] | None = None
    resourceVersion: str | None = None  # noqa: N815  # the wire's name


class _Object(msgspec.Struct):
    metadata: _Meta | None = None


class _ListMeta(msgspec.Struct, rename={"continue_": "continue"}):
    resourceVersion: str | None = None  # noqa: N815  # the wire's name
    continue_: str | None = None


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _WatchLine(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _PodSpec(msgspec.Struct):
    nodeName: str | None = None  # noqa: N815
    restartPolicy: str | None = None  # noqa: N815
    schedulerName: str | None = None  # noqa: N815
    serviceAccountName: str | None = None  # noqa: N815
    hostNetwork: bool | None = None  # noqa: N815


class _PodStatus(msgspec.Struct):
    phase: str | None = None
    podIP: str | None = None  # noqa: N815
    nominatedNodeName: str | None = None  # noqa: N815


class _PodFields(msgspec.Struct):
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


_object = msgspec.json.Decoder(_Object)
_list = msgspec.json.Decoder(_List)
_line = msgspec.json.Decoder(_WatchLine)
_pod = msgspec.json.Decoder(_PodFields)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_object(resource: Resource[Any], data: bytes) -> Encoded:
    """Return one object as `Encoded`; `resource` says its kind where, as in upstream's lists, the object does not."""
    meta = (_object.decode(data).metadata) or _Meta()
    revision = meta.resourceVersion or ""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":{' % (resource.kind.encode(), resource.api_version.encode())
    mark = b'"resourceVersion":"%b",' % revision.encode()
    if revision and data.startswith(mark, len(head)) and data.startswith(head):
        raw = head + data[len(head) + len(mark) :]
    else:
        raw = _reordered(head, data)
    return Encoded(
        raw,
        len(head),
        int(revision or 0),
        name=meta.name or "",
        namespace=meta.namespace or "",
        uid=meta.uid or "",
        labels=meta.labels,
        fields=_pod_fields(data) if resource.kind == "Pod" and not resource.group else None,
    )


def parse_list(resource: Resource[Any], data: bytes) -> tuple[list[Encoded], int, str]:
    """Return the items of a list, its revision and its continue token."""
    page = _list.decode(data)
    items = [parse_object(resource, bytes(item)) for item in page.items or ()]
    return items, int(page.metadata.resourceVersion or 0), page.metadata.continue_ or ""


def parse_watch_line(resource: Resource[Any], line: bytes) -> tuple[str, Encoded]:
    """Return the type and object of one line of a watch; an ERROR is raised as the `StatusError` that it carries."""
    event = _line.decode(line)
    if event.type == "ERROR":
        raise StatusError.from_tree(msgspec.json.decode(event.object), 500)
    return event.type, parse_object(resource, bytes(event.object))


def _reordered(head: bytes, data: bytes) -> bytes:
    parts = _parts.decode(data)
    metadata = _parts.decode(parts.pop("metadata", msgspec.Raw(b"{}")))
    metadata.pop("resourceVersion", None)
    # The stored form's metadata is never empty, because the revision is spliced in with a comma behind it.
    inner = _members(metadata) or b'"creationTimestamp":null'
    parts.pop("apiVersion", None)
    parts.pop("kind", None)
    rest = _members(parts)
    return head + inner + (b"}," + rest + b"}" if rest else b"}}")


def _members(parts: Mapping[str, msgspec.Raw]) -> bytes:
    return b",".join(msgspec.json.encode(name) + b":" + bytes(value) for name, value in parts.items())


def _pod_fields(data: bytes) -> dict[str, str]:
    pod = _pod.decode(data)
    spec, status = pod.spec or _PodSpec(), pod.status or _PodStatus()
    return {
        "spec.nodeName": spec.nodeName or "",
        "spec.restartPolicy": spec.restartPolicy or "",
        "spec.schedulerName": spec.schedulerName or "",
        "spec.serviceAccountName": spec.serviceAccountName or "",
        "spec.hostNetwork": "true" if spec.hostNetwork else "false",
        "status.phase": status.phase or "",
        "status.podIP": status.podIP or "",
        "status.nominatedNodeName": status.nominatedNodeName or "",
    }
