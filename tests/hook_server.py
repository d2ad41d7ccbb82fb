"""Admission webhooks in a test's hand: a real HTTPS server on loopback that answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any, Self

from podling.apiserver.identity.pki import Pki, server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

Answer = dict[str, Any] | bytes | None
"""A response, the whole of an HTTP answer, or nothing for ever."""

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


class HookServer:
    """Keeps what it was asked, by path, and answers with what `says` makes of it."""

    def __init__(self, directory: Path) -> None:
        self._pki = Pki(directory)
        self._pki.ensure(time.time(), ["hook.default.svc"])
        self.says: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        context = server_context(self._pki.authority, self._pki.server)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def bundle(self) -> str:
        return base64.b64encode(self._pki.authority.read_bytes()).decode()

    def hook(self, path: str = "/", name: str = "a.example.com", **more: Any) -> dict[str, Any]:
        """Return a webhook that leads here."""
        return {
            "name": name,
            "rules": [RULE],
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        } | more

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))
            review = json.loads(await reader.readexactly(length))
            path = head.split(" ")[1].partition("?")[0]
            self.asked.append((path, review["request"]))
            said = self.says.get(path, lambda _: allow())(review["request"])
            if said is None:
                await asyncio.Event().wait()
            writer.write(said if isinstance(said, bytes) else _http(_whole(review, said or {})))
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test has ended
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


def allow(*operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the response that lets a write pass, changed by these operations."""
    if operations:
        more |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
    return {"allowed": True, **more}


def deny(message: str = "", **status: Any) -> dict[str, Any]:
    return {"allowed": False, "status": ({"message": message} if message else {}) | status}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _http(tree: dict[str, Any]) -> bytes:
    return answer(json.dumps(tree).encode())


def _whole(review: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": review["apiVersion"],
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], **response},
    }
