"""Sound objects for the validation tests to spoil, and how they read what was found."""

from __future__ import annotations

import copy
from typing import Any

from podling.api import defaults, validation
from podling.api.resources import PODS, SERVICES, Resource


def pod(containers: list[dict] | None = None, metadata: dict | None = None, **spec: Any) -> dict:
    """A defaulted Pod; `containers` replaces its only container, `container` changes it."""
    change = spec.pop("container", {})
    own = containers if containers is not None else [{"name": "c", "image": "i:1", **change}]
    tree = {
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "1", **(metadata or {})},
        "spec": {"containers": own, **spec},
    }
    tree = copy.deepcopy(tree)
    defaults.apply(PODS, tree)
    return tree


def service(metadata: dict | None = None, **spec: Any) -> dict:
    """A defaulted Service with a cluster address."""
    tree = {
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": "1", **(metadata or {})},
        "spec": {
            "ports": [{"port": 80}],
            "clusterIP": "10.96.0.10",
            "clusterIPs": ["10.96.0.10"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            **spec,
        },
    }
    tree = copy.deepcopy(tree)
    defaults.apply(SERVICES, tree)
    return tree


def found(resource: Resource[Any], tree: dict) -> list[str]:
    """What speaks against creating, a line each."""
    return [f"{cause.field}: {cause.message}" for cause in validation.create(resource, tree)]


def found_in_update(resource: Resource[Any], new: dict, old: dict) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validation.update(resource, new, old)]
