"""pods/binding: what the scheduler writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api import times, validation
from podling.api.body import decode_body
from podling.api.errors import bad_request, conflict, invalid, not_found
from podling.apiserver.admission.operation import Operation
from podling.apiserver.verbs import writing
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.paths import Target
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry


async def bind(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> None:
    """Give a Pod its node, once."""
    binding = decode_body(body, content_type, "Binding", strict=False).tree
    if binding.get("kind") not in {None, "", "Binding"}:
        raise bad_request(f"{binding.get('kind')} is not a Binding")
    node = _node(binding, target.name)
    metadata = binding.get("metadata") or {}
    if metadata.get("name", target.name) != target.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
        )
    record = target.record
    key = record.key(target.namespace, target.name)
    context = writing.new_context(registry, user, warnings, dry_run=options.dry_run)
    for _ in range(writing.ATTEMPTS):
        current = registry.shelf(record).get(key)
        if current is None:
            raise not_found("", "pods", target.name)
        operation = Operation("CREATE", record, "binding", target.namespace, target.name, binding, None, context)
        writing.admit(registry, operation)
        if await writing.mutate(registry, operation):
            node, metadata = _node(binding, target.name), binding.get("metadata") or {}
        await writing.ask(registry, operation)
        tree: dict[str, Any] = msgspec.json.decode(current.raw)
        _check(tree, metadata, target.name, current)
        _assign(tree, node, metadata.get("annotations") or {}, metadata.get("labels") or {}, context.now)
        if options.dry_run:
            return
        try:
            await registry.put(record, key, tree, current.revision)
        except Mismatch as mismatch:
            if mismatch.current is not None:
                await registry.cache.reached(mismatch.current.revision)
        else:
            return
    raise conflict("", "pods/binding", target.name)


def _node(binding: dict[str, Any], name: str) -> str:
    causes = validation.binding(binding)
    if causes:
        raise invalid("", "Binding", name, causes)
    node: str = binding["target"]["name"]
    return node


def _check(tree: dict[str, Any], metadata: dict[str, Any], name: str, current: Encoded) -> None:
    why = ""
    spec = tree["spec"]
    if metadata.get("uid") and metadata["uid"] != current.uid:
        why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {current.uid}"
    elif metadata.get("resourceVersion") and metadata["resourceVersion"] != str(current.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {metadata['resourceVersion']}, "
            f"ResourceVersion in object meta: {current.revision}"
        )
    elif tree["metadata"].get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise conflict("", "pods/binding", name, why)


def _assign(tree: dict[str, Any], node: str, annotations: dict[str, str], labels: dict[str, str], now: float) -> None:
    tree["spec"]["nodeName"] = node
    for key, values in (("annotations", annotations), ("labels", labels)):
        if values:
            tree["metadata"][key] = {**(tree["metadata"].get(key) or {}), **values}
    status = tree.setdefault("status", {})
    status.pop("nominatedNodeName", None)
    conditions = [it for it in status.get("conditions") or () if it.get("type") != "PodScheduled"]
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True"}
    if tree["metadata"].get("generation"):
        scheduled["observedGeneration"] = tree["metadata"]["generation"]
    scheduled["lastProbeTime"] = None
    scheduled["lastTransitionTime"] = times.to_wire(now)
    status["conditions"] = [*conditions, scheduled]
