"""StatefulSets: Pods by their numbers, their claims, and how they come from one template to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.selectors import NOTHING, from_label_selector
from podling.api.types.core_v1 import PersistentVolumeClaimVolumeSource, Volume
from podling.api.validation import formats, meta, storage
from podling.api.validation.field import SPEC, STATUS, forbidden, invalid, invalid_each, not_supported, required
from podling.api.validation.pod import check_template
from podling.api.validation.shares import check_part, check_share, is_nothing
from podling.api.validation.workloads import (
    check_at_most,
    check_kept_running,
    check_not_decremented,
    check_not_negative,
    check_selected,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apps_v1 import (
        RollingUpdateStatefulSetStrategy,
        StatefulSet,
        StatefulSetSpec,
        StatefulSetStatus,
        StatefulSetUpdateStrategy,
    )
    from podling.api.types.core_v1 import PodTemplateSpec
    from podling.api.validation.field import Path

_RETENTION: Final = ("Delete", "Retain")
_CHANGEABLE: Final = (
    "replicas",
    "ordinals",
    "template",
    "update_strategy",
    "revision_history_limit",
    "persistent_volume_claim_retention_policy",
    "min_ready_seconds",
)
_PARTS: Final = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")


def check_create(new: StatefulSet, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_spec(new.spec, SPEC, causes)


def check_update(new: StatefulSet, old: StatefulSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new.spec, SPEC, causes)
    changed = {name: getattr(new.spec, name) for name in _CHANGEABLE}
    if msgspec.structs.replace(old.spec, **changed) != new.spec:
        said = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        causes.append(forbidden(SPEC, said))


def check_status_update(new: StatefulSet, old: StatefulSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if new.status is None:
        return
    _check_status(new.status, causes)
    before = old.status.collision_count if old.status is not None else None
    check_not_decremented(new.status.collision_count, before, STATUS / "collisionCount", causes)


def _check_spec(spec: StatefulSetSpec, path: Path, causes: list[Cause]) -> None:
    policy = spec.pod_management_policy
    if not policy:
        causes.append(required(path / "podManagementPolicy"))
    elif policy not in {"OrderedReady", "Parallel"}:
        said = "must be 'OrderedReady' or 'Parallel'"
        causes.append(invalid(path / "podManagementPolicy", policy, said))
    _check_strategy(spec.update_strategy, path / "updateStrategy", causes)
    retention = spec.persistent_volume_claim_retention_policy
    if retention is not None:
        where = path / "persistentVolumeClaimRetentionPolicy"
        for name, value in (("whenDeleted", retention.when_deleted), ("whenScaled", retention.when_scaled)):
            if value not in _RETENTION:
                causes.append(not_supported(where / name, value, _RETENTION))
    check_not_negative(path, {"replicas": spec.replicas, "minReadySeconds": spec.min_ready_seconds}, causes)
    if spec.ordinals is not None:
        check_not_negative(path, {"ordinals.start": spec.ordinals.start}, causes)
    if spec.service_name:
        invalid_each(path / "serviceName", spec.service_name, formats.dns_subdomain(spec.service_name), causes)
    _check_selector(spec, path, causes)
    _check_template(spec, path, causes)


def _check_strategy(strategy: StatefulSetUpdateStrategy | None, path: Path, causes: list[Cause]) -> None:
    kind = strategy.type if strategy is not None else ""
    rolling = strategy.rolling_update if strategy is not None else None
    if not kind:
        causes.append(required(path))
    elif kind == "OnDelete":
        if rolling is not None:
            said = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(invalid(path / "rollingUpdate", rolling, said))
    elif kind != "RollingUpdate":
        causes.append(invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    elif rolling is not None:
        _check_rolling(rolling, path / "rollingUpdate", causes)


def _check_rolling(rolling: RollingUpdateStatefulSetStrategy, path: Path, causes: list[Cause]) -> None:
    check_not_negative(path, {"partition": rolling.partition}, causes)
    missing = rolling.max_unavailable
    if missing is not None:
        check_share(missing, path / "maxUnavailable", causes)
        if is_nothing(missing):
            causes.append(invalid(path / "maxUnavailable", missing, "cannot be 0"))
        check_part(missing, path / "maxUnavailable", causes)


def _check_selector(spec: StatefulSetSpec, path: Path, causes: list[Cause]) -> None:
    selector, where = spec.selector, path / "selector"
    if selector is None:
        causes.append(required(where))
    else:
        meta.check_selector(selector, where, causes)
        if not selector.match_labels and not selector.match_expressions:
            causes.append(invalid(where, selector, "empty selector is invalid for statefulset"))
    try:
        selects = from_label_selector(selector) if selector is not None else NOTHING
    except ValueError:
        causes.append(invalid(where, selector, ""))
        return
    check_selected(spec.template, selects, path / "template", causes)


def _check_template(spec: StatefulSetSpec, path: Path, causes: list[Cause]) -> None:
    """Check the template as its Pods will be: with a volume for each claim."""
    for i, claim in enumerate(spec.volume_claim_templates):
        storage.check_claim_spec(claim.spec, (path / "volumeClaimTemplates")[i] / "spec", causes)
    check_template(_with_claims(spec), path / "template", causes)
    check_kept_running(spec.template, "StatefulSet", path / "template", causes)


def _with_claims(spec: StatefulSetSpec) -> PodTemplateSpec:
    pod, names = spec.template.spec, [claim.metadata.name for claim in spec.volume_claim_templates]
    if pod is None or not names:
        return spec.template
    volumes = (
        *(volume for volume in pod.volumes if volume.name not in names),
        *(
            Volume(name=name, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=name))
            for name in names
        ),
    )
    return msgspec.structs.replace(spec.template, spec=msgspec.structs.replace(pod, volumes=volumes))


def _check_status(status: StatefulSetStatus, causes: list[Cause]) -> None:
    counts = {
        "replicas": status.replicas,
        "readyReplicas": status.ready_replicas,
        "currentReplicas": status.current_replicas,
        "updatedReplicas": status.updated_replicas,
        "availableReplicas": status.available_replicas,
        "observedGeneration": status.observed_generation,
        "collisionCount": status.collision_count,
    }
    check_not_negative(STATUS, counts, causes)
    check_at_most(STATUS, counts, _PARTS, "replicas", "cannot be greater than status.replicas", causes)
    said = "cannot be greater than status.readyReplicas"
    check_at_most(STATUS, counts, ("availableReplicas",), "readyReplicas", said, causes)
