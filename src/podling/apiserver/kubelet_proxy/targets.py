"""What a request for a Pod's streams becomes at its kubelet: checked, and put as a path there.

Owns upstream's checks and sentences, and the translation of parameters. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from podling.api.errors import Cause, bad_request, invalid
from podling.api.times import from_wire
from podling.api.validation.addresses import parse
from podling.apiserver.paths import truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.apiserver.paths import ResourcePath


def host_of(pod: Pod) -> str:
    """Return the node of a Pod; a `StatusError` where it has none."""
    if not pod.spec.node_name:
        raise bad_request(f"pod {pod.metadata.name} does not have a host assigned")
    return pod.spec.node_name


def container_of(pod: Pod, name: str) -> str:
    """Return the container that is meant; only a Pod with one container may leave it out."""
    spec = pod.spec
    names = [it.name for it in (*spec.init_containers, *spec.containers)]
    names += [it.name for it in spec.ephemeral_containers]
    if name:
        if name not in names:
            raise bad_request(f"container {name} is not valid for pod {pod.metadata.name}")
        return name
    if len(spec.containers) == 1:
        return spec.containers[0].name
    choices = f", choose one of: [{' '.join(names)}]" if spec.containers else ""
    raise bad_request(f"a container name must be specified for pod {pod.metadata.name}{choices}")


def stream_path(pod: Pod, verb: str, query: Sequence[tuple[str, str]]) -> str:
    """Return the kubelet's path for `exec`, `attach` or `portforward`."""
    meta = pod.metadata
    if verb == "portforward":
        ports = [value for key, value in query if key == "ports"]
        return _path("portForward", meta.namespace, meta.name) + _query([("port", ",".join(ports))] if ports else [])
    first = _firsts(query)
    container = container_of(pod, first.get("container", ""))
    names = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
    asked = [(ours, "1") for theirs, ours in names.items() if theirs in first and truth(first[theirs])]
    if verb == "exec":
        asked += [("command", value) for key, value in query if key == "command"]
    return _path(verb, meta.namespace, meta.name, container) + _query(asked)


def log_path(pod: Pod, query: Sequence[tuple[str, str]]) -> str:
    """Return the kubelet's path for a log; a `StatusError` for options that are wrong or contradict each other."""
    first = _firsts(query)
    container = container_of(pod, first.get("container", ""))
    _check_log_options(pod.metadata.name, first)
    asked = [(name, "true") for name in ("follow", "previous", "timestamps") if name in first and truth(first[name])]
    asked += [
        (name, first[name])
        for name in ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
        if first.get(name)
    ]
    return _path("containerLogs", pod.metadata.namespace, pod.metadata.name, container) + _query(asked)


def _check_log_options(pod: str, query: Mapping[str, str]) -> None:
    causes: list[Cause] = []

    def wrong(field: str, value: object, why: str) -> None:
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field))

    for name, least, why in (
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        text = query.get(name)
        if not text:
            continue
        try:
            number = int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        if number < least:
            wrong(name, number, why)
    if query.get("sinceTime"):
        try:
            from_wire(query["sinceTime"])
        except ValueError:
            raise bad_request(
                f'parsing time "{query["sinceTime"]}" as "2006-01-02T15:04:05Z07:00": cannot parse'
            ) from None
        if query.get("sinceSeconds"):
            causes.append(
                Cause(
                    "FieldValueForbidden",
                    "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
                    "",
                )
            )
    stream = query.get("stream") or "All"
    if stream not in {"All", "Stdout", "Stderr"}:
        sentence = f'Unsupported value: "{stream}": supported values: "All", "Stderr", "Stdout"'
        causes.append(Cause("FieldValueNotSupported", sentence, "stream"))
    elif stream != "All" and query.get("tailLines"):
        sentence = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
        causes.append(Cause("FieldValueForbidden", sentence, ""))
    if causes:
        raise invalid("", "PodLogOptions", pod, causes)


def scheme_name_port(text: str) -> tuple[str, str, str]:
    """Read `name`, `name:port` or `scheme:name:port`."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in {"", "http", "https"}:
        return parts[0], parts[1], parts[2]
    raise bad_request(f'invalid request "{text}"')


def proxy_path(raw: str, path: ResourcePath) -> tuple[str, str | None]:
    """Split a proxy path, as it was sent, into what stands for the backend's root and what is asked of the backend.

    `None` is asked where not even a slash follows. Names are skipped by their number: any may be `proxy`.
    """
    parts = raw.lstrip("/").split("/")
    depth = (7 if path.namespace else 5) + path.watch
    return "/" + "/".join(parts[:depth]), "/".join(parts[depth:]) if len(parts) > depth else None


def is_global_unicast(address: str) -> bool:
    """Return whether a Pod may have this address: a proxy to loopback would open the API server's own machine."""
    ip = parse(address)
    if ip is None:
        return False
    barred = ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local
    return not barred and str(ip) != "255.255.255.255"


def _firsts(query: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    return dict(reversed(query))


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return "?" + urlencode(pairs) if pairs else ""
