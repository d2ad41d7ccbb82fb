"""Simulated clusters for people who test Kubernetes software from Python.

Owns `SimulatedCluster` and what goes with it: scripts of containers and images, faults, conditions to wait for, the
canonical log. Importing this package loads none of it; a name loads at its first use.

>>> from podling.testing import SimulatedCluster
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podling.api.resources import CONFIG_MAPS as CONFIG_MAPS
    from podling.api.resources import EVENTS as EVENTS
    from podling.api.resources import NAMESPACES as NAMESPACES
    from podling.api.resources import NODES as NODES
    from podling.api.resources import PODS as PODS
    from podling.api.resources import SECRETS as SECRETS
    from podling.api.resources import SERVICES as SERVICES
    from podling.client.wait import Condition as Condition
    from podling.client.wait import condition as condition
    from podling.client.wait import exists as exists
    from podling.client.wait import gone as gone
    from podling.client.wait import phase as phase
    from podling.client.wait import ready as ready
    from podling.client.wait import satisfies as satisfies
    from podling.client.wait import scheduled as scheduled
    from podling.kubelet.settings import Settings as Settings
    from podling.runtime.sim import SCRIPT_ANNOTATION as SCRIPT_ANNOTATION
    from podling.runtime.sim import ImageScript as ImageScript
    from podling.runtime.sim import Run as Run
    from podling.runtime.sim import Script as Script
    from podling.runtime.sim.runtime import Fault as Fault
    from podling.testing.blocking import BlockingCluster as BlockingCluster
    from podling.testing.cluster import SimulatedCluster as SimulatedCluster
    from podling.testing.faults import Faults as Faults
    from podling.testing.log import first_difference as first_difference

_HOMES = {
    "podling.api.resources": ("CONFIG_MAPS", "EVENTS", "NAMESPACES", "NODES", "PODS", "SECRETS", "SERVICES"),
    "podling.client.wait": (
        "Condition", "condition", "exists", "gone", "phase", "ready", "satisfies", "scheduled",
    ),
    "podling.kubelet.settings": ("Settings",),
    "podling.runtime.sim": ("SCRIPT_ANNOTATION", "ImageScript", "Run", "Script"),
    "podling.runtime.sim.runtime": ("Fault",),
    "podling.testing.blocking": ("BlockingCluster",),
    "podling.testing.cluster": ("SimulatedCluster",),
    "podling.testing.faults": ("Faults",),
    "podling.testing.log": ("first_difference",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # the one table of names


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
