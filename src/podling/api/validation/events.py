"""Events, by their old face (core/v1) and their new one (events.k8s.io/v1).

The old face is lax, for what was written before; the new one is strict on top. Both are checked as one shape, named as
upstream names the fields: mostly by the old face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from podling.api.validation import formats, meta
from podling.api.validation.field import ROOT, immutable, invalid, invalid_each, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types import core_v1, events_v1
    from podling.api.types.core_v1 import ObjectReference
    from podling.api.types.meta_v1 import ObjectMeta

_LONGEST = 128
_LONGEST_NOTE = 1024


class _Event(NamedTuple):
    """What both faces say."""

    metadata: ObjectMeta
    event_time: str | None
    regarding: ObjectReference | None
    controller: str
    instance: str
    action: str
    reason: str
    note: str
    type: str
    series: Any
    series_count: int
    first: str | None
    last: str | None
    repeats: int
    source: Any
    related: ObjectReference | None


def _of_core(event: core_v1.Event) -> _Event:
    return _Event(
        event.metadata,
        event.event_time,
        event.involved_object,
        event.reporting_component,
        event.reporting_instance,
        event.action,
        event.reason,
        event.message,
        event.type,
        event.series,
        (event.series.count or 0) if event.series is not None else 0,
        event.first_timestamp,
        event.last_timestamp,
        event.count or 0,
        event.source,
        event.related,
    )


def _of_events(event: events_v1.Event) -> _Event:
    return _Event(
        event.metadata,
        event.event_time or None,
        event.regarding,
        event.reporting_controller,
        event.reporting_instance,
        event.action,
        event.reason,
        event.note,
        event.type,
        event.series,
        event.series.count if event.series is not None else 0,
        event.deprecated_first_timestamp,
        event.deprecated_last_timestamp,
        event.deprecated_count or 0,
        event.deprecated_source,
        event.related,
    )


def check_core_create(event: core_v1.Event, causes: list[Cause]) -> None:
    _check_lax(_of_core(event), causes)


def check_core_update(new: core_v1.Event, _old: core_v1.Event, causes: list[Cause]) -> None:
    _check_lax(_of_core(new), causes)


def check_create(typed: events_v1.Event, causes: list[Cause]) -> None:
    """Check an Event made by the new face: it must be complete, and say nothing in the old face's fields."""
    event = _of_events(typed)
    _check_lax(event, causes)
    meta.check_create(event.metadata, causes, namespaced=True)
    _check_series(event, causes)
    if event.event_time is None:
        causes.append(required(ROOT / "eventTime"))
    if event.type not in {"Normal", "Warning"}:
        causes.append(invalid(ROOT / "type", "", f"has invalid value: {event.type}"))
    source = event.source
    for name, given in (
        ("firstTimestamp", event.first),
        ("lastTimestamp", event.last),
        ("count", event.repeats),
        ("source", source is not None and (source.component or source.host)),
    ):
        if given:
            causes.append(invalid(ROOT / name, "", "needs to be unset"))


def check_update(typed: events_v1.Event, typed_old: events_v1.Event, causes: list[Cause]) -> None:
    """Check a change by the new face: only the series goes on."""
    new, old = _of_events(typed), _of_events(typed_old)
    _check_lax(new, causes)
    meta.check_update(new.metadata, old.metadata, causes)
    if new.series != old.series:
        _check_series(new, causes)
    for name, after, before in (
        ("involvedObject", _reference(new.regarding), _reference(old.regarding)),
        ("reason", new.reason, old.reason),
        ("message", new.note, old.note),
        ("source", _source(new.source), _source(old.source)),
        ("firstTimestamp", new.first, old.first),
        ("lastTimestamp", new.last, old.last),
        ("count", new.repeats, old.repeats),
        ("reason", new.reason, old.reason),
        ("type", new.type, old.type),
        ("eventTime", new.event_time, old.event_time),
        ("action", new.action, old.action),
        ("related", _reference(new.related), _reference(old.related)),
        ("reportingController", new.controller, old.controller),
        ("reportingInstance", new.instance, old.instance),
    ):
        immutable(ROOT / name, after, before, causes)


def _check_series(event: _Event, causes: list[Cause]) -> None:
    if event.series is None:
        return
    if event.series_count < 2:
        causes.append(invalid(ROOT / "series.count", "", "should be at least 2"))
    if not event.series.last_observed_time:
        causes.append(required(ROOT / "series.lastObservedTime"))


def _check_lax(event: _Event, causes: list[Cause]) -> None:
    namespace = event.metadata.namespace
    of_object = event.regarding.namespace if event.regarding is not None else ""
    where, said = ROOT / "involvedObject" / "namespace", "does not match event.namespace"
    if event.event_time is None:
        if (of_object and namespace != of_object) or (not of_object and namespace not in {"", "default"}):
            causes.append(invalid(where, of_object, said))
    else:
        if not of_object and namespace not in {"default", "kube-system"}:
            causes.append(invalid(where, of_object, said))
        _check_complete(event, causes)
    invalid_each(ROOT / "namespace", namespace, formats.dns_subdomain(namespace), causes)


def _check_complete(event: _Event, causes: list[Cause]) -> None:
    if not event.controller:
        causes.append(required(ROOT / "reportingController"))
    complaints = formats.qualified_name(event.controller)
    invalid_each(ROOT / "reportingController", event.controller, complaints, causes)
    for name, text in (
        ("reportingInstance", event.instance),
        ("action", event.action),
        ("reason", event.reason),
    ):
        if not text:
            causes.append(required(ROOT / name))
        if len(text.encode()) > _LONGEST:
            causes.append(invalid(ROOT / name, "", f"can have at most {_LONGEST} characters"))
    if len(event.note.encode()) > _LONGEST_NOTE:
        causes.append(invalid(ROOT / "message", "", f"can have at most {_LONGEST_NOTE} characters"))


def _reference(reference: ObjectReference | None) -> dict[str, str] | None:
    if reference is None:
        return None
    return {
        "Kind": reference.kind,
        "Namespace": reference.namespace,
        "Name": reference.name,
        "UID": reference.uid,
        "APIVersion": reference.api_version,
        "ResourceVersion": reference.resource_version,
        "FieldPath": reference.field_path,
    }


def _source(source: Any) -> dict[str, str]:
    if source is None:
        return {"Component": "", "Host": ""}
    return {"Component": source.component, "Host": source.host}
