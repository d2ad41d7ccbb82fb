"""Secrets that hold an account's token: what they lack, and when they go."""

from __future__ import annotations

import base64

import pytest

from podling.api.types.core_v1 import Secret, ServiceAccount
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.account_tokens import NAME, TYPE, UID, Delete, Fill, plan

ACCOUNT = ServiceAccount(metadata=ObjectMeta(name="sa", namespace="n", uid="u"))
WHOLE = {"ca.crt": base64.b64encode(b"PEM").decode(), "namespace": "bg==", "token": "dA=="}


def secret(data: dict[str, str], uid: str = "", kind: str = TYPE, deleted: str | None = None) -> Secret:
    notes = {NAME: "sa", **({UID: uid} if uid else {})}
    metadata = ObjectMeta(name="s", namespace="n", annotations=notes, deletion_timestamp=deleted)
    return Secret(metadata=metadata, data=data, type=kind)


@pytest.mark.parametrize(
    ("held", "account", "todo"),
    [
        (secret({}), ACCOUNT, Fill({key: WHOLE[key] for key in ("ca.crt", "namespace")}, "u", needs_token=True)),
        (secret(WHOLE), ACCOUNT, Fill(WHOLE, "u", needs_token=False)),
        (secret(WHOLE, "u"), ACCOUNT, None),
        (secret({**WHOLE, "mine": "eA=="}, "u"), ACCOUNT, None),
        (secret({**WHOLE, "ca.crt": "b2xk"}, "u"), ACCOUNT, Fill(WHOLE, "u", needs_token=False)),
        (secret({**WHOLE, "token": ""}, "u"), ACCOUNT, Fill({**WHOLE, "token": ""}, "u", needs_token=True)),
        (secret(WHOLE, "u"), None, Delete()),
        (secret({}), None, Delete()),
        (secret(WHOLE, "another"), ACCOUNT, Delete()),
        (secret(WHOLE, kind="Opaque"), None, None),
        (secret(WHOLE, "another", deleted="2026-01-01T00:00:00Z"), None, None),
    ],
)
def test_a_secret_gets_what_it_lacks_and_goes_with_its_account(held, account, todo):
    """Nothing is written twice; what users add stays; an account of the same name is not the same account."""
    assert plan(held, account, "PEM") == todo
