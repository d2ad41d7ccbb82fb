"""Answers CertificateSigningRequests of Kubernetes's own signers, and clears away those that are past.

Signing needs the cluster's authority at hand; without it, as in a simulated cluster, requests stay approved and
unanswered, as upstream's do whose controller manager was given no key. Nobody approves by itself: that is people's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.certificates import decoded, parse_request, requested
from podling.api.errors import StatusError
from podling.api.resources import CERTIFICATE_SIGNING_REQUESTS
from podling.api.times import to_wire
from podling.api.types.certificates_v1 import CertificateSigningRequestCondition
from podling.api.validation.certificates import FAILED
from podling.client.cache import key_of
from podling.controllers.signing import awaits_signing, complaint, is_past, lifetime

if TYPE_CHECKING:
    from collections.abc import Collection

    from podling.api.encoded import Encoded
    from podling.api.types.certificates_v1 import CertificateSigningRequest
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_CLEANING: Final = 3600.0


class Authority(Protocol):
    """Whoever holds the cluster's key."""

    def sign(self, request: bytes, usages: Collection[str], seconds: int) -> str:
        """Return the certificate for a request, both PEM, the former in base64; may block."""
        ...


class CertificateSigner:
    """Keys are requests."""

    account = "certificate-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._authority = context.authority
        self._requests: Informer[CertificateSigningRequest] = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._requests.on_change(self._on_change)
        self._supervisor.workers("certificate-signer", self._queue, self._sync)
        self._supervisor.component("certificate-cleaner", self._clean)

    def _on_change(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None and self._authority is not None and awaits_signing(self._requests.view(new)):
            self._queue.add(key_of(new))

    async def _sync(self, name: str) -> None:
        csr = self._requests.get(name)
        if csr is None or self._authority is None or not awaits_signing(csr):
            return
        pem = decoded(csr.spec.request)
        try:
            wrong = complaint(csr.spec.signer_name, requested(parse_request(pem)), csr.spec.usages)
        except ValueError as error:
            # Stored by a server that read it otherwise; it will not become readable.
            wrong = str(error)
        if wrong:
            now = to_wire(self._clock.time())
            failed = CertificateSigningRequestCondition(
                type=FAILED, status="True", reason="SignerValidationFailure", message=wrong, last_update_time=now
            )
            status = msgspec.structs.replace(csr.status, conditions=(*csr.status.conditions, failed))
        else:
            seconds = lifetime(csr.spec.expiration_seconds)
            with self._clock.external():
                made = await asyncio.to_thread(self._authority.sign, pem, csr.spec.usages, seconds)
            status = msgspec.structs.replace(csr.status, certificate=made)
        try:
            await self._client.update_status(CERTIFICATE_SIGNING_REQUESTS, msgspec.structs.replace(csr, status=status))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def _clean(self) -> None:
        while True:
            await self._clock.sleep(_CLEANING)
            for csr in self._requests.list():
                if not is_past(csr, self._clock.time()):
                    continue
                try:
                    await self._client.delete(CERTIFICATE_SIGNING_REQUESTS, csr.metadata.name, uid=csr.metadata.uid)
                except StatusError as refusal:
                    if not refusal.is_not_found:
                        raise
