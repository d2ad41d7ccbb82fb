"""What somebody may do who has rights to one object alone, which lists name by a field selector."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.served import Served

from podling.api.errors import StatusError
from podling.apiserver.record import User
from podling.client.transport import Call

ALICE = User("alice", ("system:authenticated",))
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
MAPS = "/api/v1/namespaces/default/configmaps"
NAMED = ("fieldSelector", "metadata.name=mine")
ALL = ("fieldSelector", "")


async def _with_one_right(api: Served, *verbs: str) -> None:
    for name in ("mine", "yours"):
        await api.post(MAPS, {"metadata": {"name": name}})
    rule = {"verbs": verbs, "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"]}
    await api.post(f"{RBAC}/roles", {"metadata": {"name": "one"}, "rules": [rule]})
    to = {"kind": "Role", "name": "one", "apiGroup": "rbac.authorization.k8s.io"}
    who = {"kind": "User", "name": ALICE.name, "apiGroup": "rbac.authorization.k8s.io"}
    await api.post(f"{RBAC}/rolebindings", {"metadata": {"name": "one"}, "roleRef": to, "subjects": [who]})


def test_whoever_may_list_one_object_lists_it(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """A selector that names the object is enough, as upstream has it."""

    async def main() -> None:
        async with Served() as api:
            await _with_one_right(api, "list")
            answer = await api.server.transport(ALICE).call(Call("GET", MAPS, (NAMED,)))
            assert b'"mine"' in answer.body
            assert b'"yours"' not in answer.body

    run(main())


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("GET", (ALL, NAMED), b""),
        ("GET", (("fieldSelector", "metadata.namespace=default"), NAMED), b""),
        ("GET", (("watch", "false"), ("watch", "true"), ALL, NAMED), b""),
        ("DELETE", (ALL, NAMED), b""),
        ("POST", (NAMED,), b'{"metadata":{"name":"another"}}'),
    ],
    ids=["list", "list-in-namespace", "watch", "deletecollection", "create"],
)
def test_a_name_that_selects_nothing_gives_no_right(
    run: Callable[[Coroutine[Any, Any, None]], None],
    method: str,
    query: tuple[tuple[str, str], ...],
    body: bytes,
) -> None:
    """A selector given twice, or to a verb that selects nothing, does not turn the right to one object into more."""

    async def main() -> None:
        async with Served() as api:
            await _with_one_right(api, "list", "watch", "deletecollection", "create")
            with pytest.raises(StatusError) as refused:
                await api.server.transport(ALICE).call(Call(method, MAPS, query, body))
            assert refused.value.code == 403
            assert len((await api.get(MAPS))["items"]) == 2

    run(main())


def test_the_right_to_watch_is_none_to_list(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """Of two `watch` parameters the first counts, for what is judged as for what is done."""

    async def main() -> None:
        async with Served() as api:
            await _with_one_right(api, "watch")
            with pytest.raises(StatusError) as refused:
                await api.server.transport(ALICE).call(
                    Call("GET", MAPS, (NAMED, ("watch", "false"), ("watch", "true")))
                )
            assert refused.value.code == 403

    run(main())
