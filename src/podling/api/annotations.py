"""Annotations that several rooms read or write, named once. Pure."""

from __future__ import annotations

from typing import Final

MIRROR: Final = "kubernetes.io/config.mirror"
"""On the API's image of a static Pod: its hash. Such a Pod is its kubelet's alone."""

SOURCE: Final = "kubernetes.io/config.source"
"""Where a kubelet has a Pod from: `file`, or `api`, which is also what its absence means."""

DEFAULT_INGRESS_CLASS: Final = "ingressclass.kubernetes.io/is-default-class"
"""`true` on the IngressClass of the Ingresses that name none."""

DEFAULT_STORAGE_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
"""Either is `true` on the StorageClass of the claims that name none."""

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
"""On a DaemonSet: how many templates it has had, as the API server counts."""
