"""What is accepted and not carried out is said, and the table of it names real leaves only."""

from __future__ import annotations

import pytest

from podling.api.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    FLOW_SCHEMAS,
    JOBS,
    MUTATING_WEBHOOKS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_LEVELS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    VALIDATING_WEBHOOKS,
)
from podling.api.schema import Schema
from podling.apiserver.gaps import UNENFORCED, unenforced

RESOURCES = {
    resource.kind: resource
    for resource in (
        CRON_JOBS,
        FLOW_SCHEMAS,
        JOBS,
        PRIORITY_LEVELS,
        NETWORK_POLICIES,
        PERSISTENT_VOLUMES,
        PERSISTENT_VOLUME_CLAIMS,
        PODS,
        REPLICATION_CONTROLLERS,
        REPLICA_SETS,
        DEPLOYMENTS,
        DAEMON_SETS,
        STATEFUL_SETS,
        SERVICES,
        STORAGE_CLASSES,
        MUTATING_WEBHOOKS,
        VALIDATING_WEBHOOKS,
    )
}


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, table in UNENFORCED.items() for path in table])
def test_every_line_names_a_leaf_of_the_schema(kind: str, path: str) -> None:
    """A line whose leaf no longer exists would never warn anybody."""
    schema = Schema.of(RESOURCES[kind].schema_name)
    for step in path.partition("=")[0].split("."):
        child = schema.child(step.removesuffix("[]"))
        assert child is not None, step
        schema = child.item if step.endswith("[]") else child


def test_each_use_is_named_with_its_path() -> None:
    """The warning says where; another value of the same leaf does not warn."""
    tree = {
        "spec": {
            "containers": [
                {"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 2, "hostPort": 2}]},
                {"name": "b", "resources": {"claims": [{"name": "c"}]}},
            ]
        }
    }
    warned = [sentence.partition(": ")[0] for sentence in unenforced(PODS, tree)]
    assert warned == [
        "spec.containers[1].resources.claims[0]",
    ]
    block, files = ({"spec": {"volumeMode": mode}} for mode in ("Block", "Filesystem"))
    assert [sentence.partition(": ")[0] for sentence in unenforced(PERSISTENT_VOLUMES, block)] == ["spec.volumeMode"]
    assert unenforced(PERSISTENT_VOLUMES, files) == []


def test_a_plain_pod_warns_of_nothing() -> None:
    """Warnings that everybody gets, nobody reads."""
    assert unenforced(PODS, {"spec": {"containers": [{"name": "a", "image": "b"}], "restartPolicy": "Always"}}) == []


def test_apparmor_is_no_gap_where_the_machine_has_it() -> None:
    """A profile of the node's own is applied there; that there is no default one is said everywhere."""
    own = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
    default = {"appArmorProfile": {"type": "RuntimeDefault"}}
    tree = {"spec": {"securityContext": own, "containers": [{"name": "a", "securityContext": default}]}}
    whole, container = unenforced(PODS, tree)
    assert whole.startswith("spec.securityContext.appArmorProfile.type: AppArmor is not enabled")
    assert unenforced(PODS, tree, apparmor=True) == [container]
    assert unenforced(PODS, {"spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}}) == []
