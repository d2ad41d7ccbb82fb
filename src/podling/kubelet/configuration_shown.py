"""A kubelet's settings as upstream's KubeletConfiguration: what `/configz` tells.

Owns the way back from `Settings` to the fields of a configuration file, defaults included. Reading it back
(`configuration.configured`) gives the same settings; what a file cannot set stands beside it as upstream's would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.durations import go_duration
from podling.lifecycle.eviction import Signal

if TYPE_CHECKING:
    from podling.kubelet.settings import Settings
    from podling.lifecycle.eviction import Share


def settable(settings: Settings) -> dict[str, Any]:
    """Return the fields that a configuration file has, as these settings have them."""
    eviction, garbage = settings.eviction, settings.garbage
    thresholds = [it for it in eviction.thresholds if it.signal is not Signal.ALLOCATABLE_MEMORY]
    soft = [it for it in thresholds if not it.is_hard]
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "maxPods": settings.max_pods,
        "podPidsLimit": -1 if settings.pod_pids_limit is None else settings.pod_pids_limit,
        "systemReserved": dict(settings.reserved),
        "evictionHard": {str(it.signal): _text(it.value) for it in thresholds if it.is_hard},
        "evictionSoft": {str(it.signal): _text(it.value) for it in soft},
        "evictionSoftGracePeriod": {str(it.signal): go_duration(it.grace) for it in soft},
        "evictionMinimumReclaim": {str(it.signal): _text(it.reclaim) for it in thresholds if it.reclaim is not None},
        "evictionPressureTransitionPeriod": go_duration(eviction.transition),
        "evictionMonitoringPeriod": go_duration(eviction.period),
        "evictionMaxPodGracePeriod": int(eviction.longest_grace),
        "imageGCHighThresholdPercent": garbage.high,
        "imageGCLowThresholdPercent": garbage.low,
        "imageMinimumGCAge": go_duration(garbage.image_age),
        "serviceReleaseTimeout": go_duration(settings.policy.let_go),
        "seccompDefault": settings.seccomp_default,
        "allowedUnsafeSysctls": list(settings.allowed_unsafe_sysctls),
    }


def shown(settings: Settings) -> dict[str, Any]:
    """Return the whole configuration that a kubelet works by."""
    return settable(settings) | {
        "port": settings.port,
        "clusterDomain": settings.cluster_domain,
        "clusterDNS": list(settings.cluster_dns),
        "cgroupRoot": settings.cgroup_root,
        "nodeStatusUpdateFrequency": go_duration(settings.status_period),
        "nodeStatusReportFrequency": go_duration(settings.report_period),
        "nodeLeaseDurationSeconds": settings.lease_duration,
        "registerWithTaints": [
            {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}
            for key, value, effect in settings.taints
        ],
    }


def _text(share: Share) -> str:
    return share.amount or f"{share.part * 100:g}%"
