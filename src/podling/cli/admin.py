"""A command's line to the running cluster: its administration socket, over the standard library's HTTP client.

Owns the connection and the words for "not running". The socket lies in the run folder, owner-only; whoever can open it
is the administrator.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from podling.cli.failure import Failure

if TYPE_CHECKING:
    from podling.cluster import DataDir


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("podling")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def ask(data_dir: DataDir, method: str, target: str, **query: str) -> Any:
    """Send one request to the running cluster and return its JSON answer; `Failure` with the next step otherwise."""
    connection = _UnixConnection(str(data_dir.run / "admin.sock"))
    if query:
        target += f"?{urlencode(query)}"
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    except (FileNotFoundError, ConnectionError) as error:
        raise Failure(
            f"no cluster is running on {data_dir.path}",
            "start it with: podling up --detach",
        ) from error
    finally:
        connection.close()
    answer = json.loads(body) if body else {}
    if response.status >= 300:
        raise Failure(str(answer.get("message", response.reason)))
    return answer
