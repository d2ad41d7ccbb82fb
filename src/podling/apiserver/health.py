"""`/version`, `/livez`, `/readyz`, `/healthz` and `/metrics`: what the server says of itself.

Owns the checks and their text form, which is upstream's.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import msgspec

import podling
from podling.api.errors import no_such_path
from podling.apiserver.messages import Request, Response
from podling.apiserver.paths import truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from podling.apiserver.metrics import Metrics
    from podling.apiserver.paths import ResourcePath

KUBERNETES = (1, 37)
"""The release whose API is served."""

_TEXT = "text/plain; charset=utf-8"


def version() -> dict[str, str]:
    """Return what `/version` answers: the release whose behaviour is served, and whose build it is."""
    major, minor = KUBERNETES
    return {
        "major": str(major),
        "minor": str(minor),
        "emulationMajor": str(major),
        "emulationMinor": str(minor),
        "minCompatibilityMajor": str(major),
        "minCompatibilityMinor": str(minor - 1),
        "gitVersion": f"v{major}.{minor}.0+podling-{podling.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }


class Health:
    """Serves the paths of this module; an `Extension` of the chain. A check returns what is wrong, or nothing."""

    def __init__(self, metrics: Metrics, live: Mapping[str, Callable[[], str]]) -> None:
        self._metrics = metrics
        self._version = msgspec.json.encode(version())
        self.live: dict[str, Callable[[], str]] = {"ping": lambda: "", **live}
        self.ready: dict[str, Callable[[], str]] = {}
        """Checks of readiness beside those of life."""

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None:
        if path is not None or request.method not in {"GET", "HEAD"}:
            return None
        first, *rest = request.path.strip("/").split("/")
        match first, rest:
            case "version", []:
                return Response(body=self._version)
            case "metrics", []:
                text = "text/plain; version=0.0.4; charset=utf-8"
                return Response(body=self._metrics.text().encode(), content_type=text)
            case (("livez" | "readyz" | "healthz"), []):
                return self._all(request, first)
            case (("livez" | "readyz" | "healthz"), _):
                return self._one(first, "/".join(rest))
        return None

    def paths(self) -> Iterable[str]:
        yield from ("/metrics", "/version")
        for kind in ("healthz", "livez", "readyz"):
            yield f"/{kind}"
            yield from (f"/{kind}/{name}" for name in self._checks(kind))

    def _checks(self, kind: str) -> dict[str, Callable[[], str]]:
        return {**self.live, **self.ready} if kind == "readyz" else self.live

    def _one(self, kind: str, name: str) -> Response:
        check = self._checks(kind).get(name)
        if check is None:
            raise no_such_path()
        wrong = check()
        if wrong:
            return Response(500, f"internal server error: {wrong}\n".encode(), _TEXT)
        return Response(body=b"ok", content_type=_TEXT)

    def _all(self, request: Request, kind: str) -> Response:
        asked = [(key, value) for key, value in request.query if key in {"verbose", "exclude"}]
        verbose = any(key == "verbose" and truth(value or "true") for key, value in asked)
        excluded = {value for key, value in asked if key == "exclude"}
        lines, failed = [], False
        for name, check in self._checks(kind).items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif check():
                failed = True
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if failed:
            return Response(500, "\n".join([*lines, f"{kind} check failed", ""]).encode(), _TEXT)
        if verbose:
            return Response(body="\n".join([*lines, f"{kind} check passed", ""]).encode(), content_type=_TEXT)
        return Response(body=b"ok", content_type=_TEXT)
