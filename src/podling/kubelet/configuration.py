"""A kubelet's configuration file: upstream's KubeletConfiguration, as far as this kubelet can obey it.

Owns the reading of its fields into `Settings`. Knows no file. What cannot be obeyed is refused by name, never passed
over. Podling's own are `evictionMonitoringPeriod`, upstream's ten seconds between looks, and
`serviceReleaseTimeout`, the longest that a deleted Pod waits to be let go by the proxies of its Services.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from podling.api.quantity import canonical, parse
from podling.lifecycle.admission import allowlist
from podling.lifecycle.eviction import UPSTREAM_HARD, thresholds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.kubelet.settings import Settings

_GARBAGE: Final = {
    "imageGCHighThresholdPercent": "high",
    "imageGCLowThresholdPercent": "low",
}
_THRESHOLDS: Final = ("evictionHard", "evictionSoft", "evictionSoftGracePeriod", "evictionMinimumReclaim")
_RESERVED: Final = ("systemReserved", "kubeReserved")
_FIELDS: Final = frozenset((
    "evictionPressureTransitionPeriod", "evictionMonitoringPeriod", *_GARBAGE, *_THRESHOLDS, *_RESERVED,
    "apiVersion", "kind", "evictionMaxPodGracePeriod", "imageMinimumGCAge", "maxPods", "podPidsLimit",
    "serviceReleaseTimeout", "seccompDefault", "allowedUnsafeSysctls",
))  # fmt: skip
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")


def configured(settings: Settings, tree: Mapping[str, Any]) -> Settings:
    """Return the settings as a KubeletConfiguration changes them; `ValueError` names what is wrong with it."""
    if not isinstance(tree, dict):
        raise ValueError("a KubeletConfiguration is a mapping")  # noqa: TRY004  # told to a user, not a programmer
    if tree.get("kind", "KubeletConfiguration") != "KubeletConfiguration":
        raise ValueError(f"kind is {tree['kind']!r}, not KubeletConfiguration")
    unknown = sorted(name for name in tree if name not in _FIELDS)
    if unknown:
        raise ValueError(f"this kubelet does not know: {', '.join(unknown)}")
    eviction = settings.eviction
    if any(name in tree for name in _THRESHOLDS):
        eviction = replace(eviction, thresholds=_thresholds(tree))
    eviction = replace(
        eviction,
        transition=seconds(tree.get("evictionPressureTransitionPeriod", f"{eviction.transition:g}s")),
        period=seconds(tree.get("evictionMonitoringPeriod", f"{eviction.period:g}s")),
    )
    if "evictionMaxPodGracePeriod" in tree:
        eviction = replace(eviction, longest_grace=float(_whole(tree, "evictionMaxPodGracePeriod")))
    garbage = replace(settings.garbage, **{_GARBAGE[name]: _whole(tree, name) for name in _GARBAGE if name in tree})
    if "imageMinimumGCAge" in tree:
        garbage = replace(garbage, image_age=seconds(tree["imageMinimumGCAge"]))
    if not 0 <= garbage.low <= garbage.high <= 100:
        raise ValueError("imageGCLowThresholdPercent must not be above imageGCHighThresholdPercent, both of 0 to 100")
    pids = _whole(tree, "podPidsLimit") if "podPidsLimit" in tree else -1
    policy = settings.policy
    if "serviceReleaseTimeout" in tree:
        policy = replace(policy, let_go=seconds(tree["serviceReleaseTimeout"]))
    return replace(
        settings,
        policy=policy,
        eviction=eviction,
        garbage=garbage,
        max_pods=_whole(tree, "maxPods") if "maxPods" in tree else settings.max_pods,
        pod_pids_limit=pids if pids > 0 else settings.pod_pids_limit,
        reserved=_reserved(settings, tree),
        seccomp_default=_flag(tree, "seccompDefault", settings.seccomp_default),
        allowed_unsafe_sysctls=_sysctls(tree) if "allowedUnsafeSysctls" in tree else settings.allowed_unsafe_sysctls,
    )


def _thresholds(tree: Mapping[str, Any]) -> Any:
    hard, soft, graces, reclaims = (_texts(tree, name) for name in _THRESHOLDS)
    if "evictionHard" not in tree:
        hard = dict(UPSTREAM_HARD)
    return thresholds_of(hard, soft, {name: seconds(text) for name, text in graces.items()}, reclaims)


def _reserved(settings: Settings, tree: Mapping[str, Any]) -> dict[str, str]:
    reserved = {name: parse(text) for name, text in settings.reserved.items()}
    for field in _RESERVED:
        for name, text in _texts(tree, field).items():
            amount = parse(canonical(text))
            reserved[name] = reserved[name] + amount if name in reserved else amount
    return {name: str(amount) for name, amount in reserved.items()}


def _texts(tree: Mapping[str, Any], name: str) -> dict[str, str]:
    value = tree.get(name) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a mapping")  # noqa: TRY004  # told to a user, not a programmer
    return {str(key): str(text) for key, text in value.items()}


def _flag(tree: Mapping[str, Any], name: str, default: bool) -> bool:
    value = tree.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")  # noqa: TRY004  # told to a user, not a programmer
    return value


def _sysctls(tree: Mapping[str, Any]) -> tuple[str, ...]:
    patterns = tree["allowedUnsafeSysctls"] or []
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError("allowedUnsafeSysctls must be a list of names")
    return allowlist(patterns)


def _whole(tree: Mapping[str, Any], name: str) -> int:
    value = tree[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number")  # noqa: TRY004  # told to a user, not a programmer
    return value


def seconds(text: object) -> float:
    """Return the seconds of a Go duration such as `1m30s`; `ValueError` where it is none."""
    parts = _DURATION.findall(text) if isinstance(text, str) else []
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
