"""Asking webhooks about a write: the mutating ones in order, the validating ones at once.

Owns the order, and what becomes of an answer that does not come. Costs a write that no configuration is about one look
into a dictionary, and nothing at all where there are none.

    mutating:    each in turn ─▶ patch ─▶ shape, defaults ─▶ the next sees it
                 something changed ─▶ the house's own rules again ─▶ those that may be asked again, once
    validating:  all together; the first in order that refuses is heard

A failed call refuses the write, or is passed over where the webhook's policy is Ignore.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from podling.api.errors import StatusError, internal, not_found
from podling.api.patch import copied
from podling.api.resources import MUTATING_WEBHOOKS, NAMESPACES, SERVICES, VALIDATING_WEBHOOKS
from podling.api.validation.field import quoted
from podling.apiserver.admission.webhooks.configured import Configured, place_as
from podling.apiserver.admission.webhooks.destination import Destination, Unreachable
from podling.apiserver.admission.webhooks.forms import kind_of, patched, sent
from podling.apiserver.admission.webhooks.matching import Hook, Place, selects
from podling.apiserver.admission.webhooks.review import (
    Question,
    Unusable,
    Verdict,
    no_dry_run,
    review,
    verdict,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.admission.webhooks.destination import Caller
    from podling.apiserver.record import Record, User
    from podling.apiserver.registry import Registry

log = logging.getLogger("podling.apiserver.webhooks")

_LONGEST: Final = 30


class Failed(Exception):
    """A webhook could not be asked, or its answer is none; says why."""


class Webhooks:
    """All admission webhooks of a cluster."""

    def __init__(self, registry: Registry, own: User) -> None:
        """`own` is the server itself: what it writes is nobody's to refuse, or it might never start again."""
        self._registry = registry
        self._own = own
        self.caller: Caller | None = None
        """Carries what is said; over HTTPS unless another is set."""
        self._mutating = Configured(registry, MUTATING_WEBHOOKS)
        self._validating = Configured(registry, VALIDATING_WEBHOOKS)

    async def mutate(self, operation: Operation, again: Callable[[Operation], None]) -> bool:
        """Let webhooks change a write, in place; return whether one did.

        `again` is the house's own rules, which see what the webhooks have made of it.
        """
        chosen = self._chosen(self._mutating, operation)
        if not chosen:
            return False
        changed, invoked, wanted = False, set[int](), set[int]()
        for number, (hook, place) in enumerate(chosen):
            if self._selects(hook, operation):
                if await self._let_change(hook, place, operation):
                    changed, wanted, invoked = True, wanted | invoked, set()
                if hook.may_be_asked_again:
                    invoked.add(number)
        if not changed:
            return False
        before = copied(operation.tree)
        again(operation)
        if operation.tree != before:
            wanted, invoked = wanted | invoked, set()
        for number, (hook, place) in enumerate(chosen):
            if number in wanted and self._selects(hook, operation):
                if await self._let_change(hook, place, operation):
                    wanted, invoked = wanted | invoked, set()
                invoked.add(number)
        return True

    async def judge(self, operation: Operation) -> None:
        """Let webhooks refuse a write as it would be stored."""
        chosen = self._chosen(self._validating, operation)
        asked = [(hook, place) for hook, place in chosen if self._selects(hook, operation)]
        if not asked:
            return
        asking = (self._ask_or_pass(hook, place, operation, mutating=False) for hook, place in asked)
        said = await asyncio.gather(*asking, return_exceptions=True)
        for each in said:
            if isinstance(each, Verdict):
                operation.context.warnings.extend(each.warnings)
        for each in said:
            if isinstance(each, BaseException):
                raise each
            if each is not None and each.denial is not None:
                raise each.denial

    def _chosen(self, configured: Configured, operation: Operation) -> Sequence[tuple[Hook, Place]]:
        if not configured.hooks or operation.context.user is self._own:
            return ()
        return configured.chosen(operation)

    def _selects(self, hook: Hook, operation: Operation) -> bool:
        if hook.namespaces.empty and hook.objects.empty:
            return True
        objects = [it for it in (operation.tree, operation.old) if it and it.get("metadata") is not None]
        return selects(hook, self._labels_of_namespace(operation), map(_labels, objects))

    def _labels_of_namespace(self, operation: Operation) -> Mapping[str, str] | None:
        if operation.is_on("", NAMESPACES.plural) and operation.verb != "DELETE":
            return _labels(operation.tree)
        name = _namespace(operation)
        if not name:
            return None
        found = self._registry.find(NAMESPACES, "", name)
        if found is None:
            raise not_found("", "namespaces", name)
        return found.labels

    async def _let_change(self, hook: Hook, place: Place, operation: Operation) -> bool:
        said = await self._ask_or_pass(hook, place, operation, mutating=True)
        if said is None:
            return False
        operation.context.warnings.extend(said.warnings)
        if said.denial is not None:
            raise said.denial
        if not said.patch:
            return False
        by = f"admission webhook {quoted(hook.name)}"
        if operation.verb in {"DELETE", "CONNECT"}:
            raise internal(f"{by} attempted to modify the object, which is not supported for this operation")
        made = patched(self._shown_at(place, operation), operation, said.patch, by)
        if made == operation.tree:
            return False
        operation.tree.clear()
        operation.tree.update(made)
        return True

    async def _ask_or_pass(self, hook: Hook, place: Place, operation: Operation, *, mutating: bool) -> Verdict | None:
        """Return what a webhook says; nothing where it says nothing and that is to be passed over."""
        try:
            return await self._ask(hook, place, operation, mutating=mutating)
        except Failed as failure:
            why = f"failed calling webhook {quoted(hook.name)}: {failure}"
            if not hook.fails_open:
                raise internal(why) from failure
            log.warning("%s: passed over", why)
            return None

    async def _ask(self, hook: Hook, place: Place, operation: Operation, *, mutating: bool) -> Verdict:
        context = operation.context
        if context.dry_run and not hook.bears_dry_run:
            raise no_dry_run(hook.name)
        version = version_of(hook.webhook.admission_review_versions)
        if not version:
            raise Failed("could not create admission objects: webhook does not accept known AdmissionReview versions")
        seconds = min(hook.webhook.timeout_seconds or 10, _LONGEST)
        question = self._question(place, operation)
        body = review(question, version)
        path = ""
        try:
            url, path = _url(hook, seconds)
            async with self._registry.clock.timeout(seconds):
                answer = await self._caller().post(self._destination(hook, path), body)
        except Unreachable as error:
            raise Failed(f"failed to call webhook: Post {quoted(url)}: {error}") from error
        except TimeoutError as error:
            raise Failed(f"failed to call webhook: Post {quoted(url)}: context deadline exceeded") from error
        try:
            return verdict(hook.name, answer, question.uid, version, mutating=mutating)
        except Unusable as error:
            raise Failed(f"received invalid webhook response: {error}") from error

    def _question(self, place: Place, operation: Operation) -> Question:
        context = operation.context
        asked = operation.shown or operation.record
        seen = self._shown_at(place, operation)
        return Question(
            uid=self._registry.chance.uid(),
            verb=operation.verb,
            kind=kind_of(seen, operation),
            place=place,
            asked_kind=kind_of(asked, operation),
            asked_place=place_as(asked, operation.subresource),
            namespace=_namespace(operation),
            name=operation.name,
            user=context.user,
            new=sent(seen, operation, operation.tree) if operation.verb != "DELETE" else None,
            old=sent(seen, operation, operation.old),
            dry_run=context.dry_run,
        )

    def _shown_at(self, place: Place, operation: Operation) -> Record:
        """Return the record as which a webhook sees the object."""
        asked = operation.shown or operation.record
        if place[:3] == place_as(asked, "")[:3]:
            return asked
        return self._registry.routes.record(place.group, place.version, place.plural) or asked

    def _destination(self, hook: Hook, target: str) -> Destination:
        client = hook.webhook.client_config
        if client.service is None:
            from urllib.parse import urlsplit

            url = urlsplit(client.url or "")
            host, port = url.hostname or "", url.port or 443
            return Destination(host, port, host, client.ca_bundle, url.netloc, target)
        service = client.service
        name = f"{service.name}.{service.namespace}.svc"
        found = self._registry.find(SERVICES, service.namespace, service.name)
        if found is None:
            raise Unreachable(f"service {quoted(service.name)} not found")
        spec = found.view(SERVICES.type).spec
        if spec is not None and spec.type == "ExternalName":
            host, port = spec.external_name, service.port or 443
        else:
            from podling.apiserver.backends import endpoint_of

            try:
                host, port = endpoint_of(self._registry, found, str(service.port or 443))
            except StatusError as error:
                raise Unreachable(str(error)) from error
        return Destination(host, port, name, client.ca_bundle, name, target)

    def _caller(self) -> Caller:
        if self.caller is None:
            from podling.apiserver.admission.webhooks.calling import HttpsCaller

            self.caller = HttpsCaller()
        return self.caller


def _namespace(operation: Operation) -> str:
    return operation.name if operation.record.resource is NAMESPACES else operation.namespace


def _labels(tree: Mapping[str, Any]) -> Mapping[str, str]:
    return (tree.get("metadata") or {}).get("labels") or {}


def _url(hook: Hook, seconds: int) -> tuple[str, str]:
    """Return where a webhook is, for messages, and the target of the request."""
    client = hook.webhook.client_config
    query = f"?timeout={seconds}s"
    if client.service is None:
        from urllib.parse import urlsplit

        url = urlsplit(client.url or "")
        return f"{client.url}{query}", (url.path or "/") + query
    service = client.service
    path = "/" + (service.path or "").lstrip("/") + query
    return f"https://{service.name}.{service.namespace}.svc:{service.port or 443}{path}", path
