"""Owns the answer to "who calls": client certificates, tokens of a file, ServiceAccount tokens, nobody, and stand-ins.

    certificate → token file → ServiceAccount token → anonymous      then: Impersonate-… headers

Credentials that are wrong are refused (401), never taken for none; a caller without any is `system:anonymous`, which
RBAC lets see health and version. Invariant: whoever is known is of the group `system:authenticated`.
"""

from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING, Any, Final

from podling.api.errors import bad_request, unauthorized
from podling.apiserver.identity.rbac import refusal
from podling.apiserver.identity.tokens import account_user
from podling.apiserver.record import Attributes, User

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.apiserver.identity.tokens import TokenVerifier
    from podling.apiserver.record import Authorizer

AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
ANONYMOUS: Final = User("system:anonymous", (UNAUTHENTICATED,))

_ACCOUNT: Final = "system:serviceaccount:"
_IMPERSONATE: Final = "impersonate-"
_EXTRA: Final = "impersonate-extra-"


class Authentication:
    """The union of all ways to say who one is. An `Authenticator` that always knows an answer."""

    def __init__(
        self,
        clock: Clock,
        *,
        tokens: TokenFile | None = None,
        accounts: TokenVerifier | None = None,
        anonymous: bool = True,
    ) -> None:
        self._clock = clock
        self._tokens = tokens
        self._accounts = accounts
        self._anonymous = anonymous

    async def authenticate(self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None) -> User:
        """Return who calls; `StatusError` 401 for wrong credentials."""
        return self.authenticate_now(headers, peer_certificate)

    def authenticate_now(self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None) -> User:
        """Do what `authenticate` does; nothing in it waits."""
        user = certificate_user(peer_certificate)
        if user is not None:
            return _known(user)
        token = bearer_token(headers)
        if token:
            found = self.of_token(token)
            if found is None:
                raise unauthorized()
            return found[0]
        if not self._anonymous:
            raise unauthorized()
        return ANONYMOUS

    def of_token(self, token: str, audiences: tuple[str, ...] = ()) -> tuple[User, tuple[str, ...]] | None:
        """Return a token's user and audiences, `None` for an unknown token; what a TokenReview asks."""
        user = self._tokens.user(token) if self._tokens is not None else None
        if user is not None:
            return _known(user), audiences
        found = self._accounts.verify(token, self._clock.time(), audiences) if self._accounts is not None else None
        return (_known(found[0]), found[1]) if found is not None else None


class TokenFile:
    """Static tokens, in upstream's form: lines of `token,user,uid,"group1,group2"`."""

    def __init__(self, users: Mapping[str, User]) -> None:
        # By digest, so that neither a search nor a comparison tells how much of a guess was right.
        self._users = {hashlib.sha256(token.encode()).digest(): user for token, user in users.items()}

    @classmethod
    def read(cls, path: Path) -> TokenFile:
        """Read a token file; `ValueError` says which line is wrong, and why."""
        users: dict[str, User] = {}
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3:
                    raise ValueError(f"{path}:{number}: expected token,user,uid[,groups], found {len(row)} columns")
                if not row[0]:
                    raise ValueError(f"{path}:{number}: the token is empty")
                if row[0] in users:
                    raise ValueError(f"{path}:{number}: the token stands there twice")
                groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
                users[row[0]] = User(row[1], groups, row[2])
        return cls(users)

    def user(self, token: str) -> User | None:
        return self._users.get(hashlib.sha256(token.encode()).digest())


def certificate_user(certificate: Mapping[str, Any] | None) -> User | None:
    """Return whom a verified client certificate names: CN is the user, each O a group; `None` without a CN.

    `certificate` is what `SSLSocket.getpeercert` returns.
    """
    name = ""
    groups: list[str] = []
    for relative in (certificate or {}).get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, tuple(groups)) if name else None


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of the Authorization header, or of a WebSocket's subprotocol; "" where there is none."""
    value = headers.get("Authorization", "")
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("Sec-WebSocket-Protocol", "").split(","):
        encoded = protocol.strip()
        prefix = "base64url.bearer.authorization.k8s.io."
        if encoded.startswith(prefix):
            import base64

            text = encoded.removeprefix(prefix)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except ValueError as error:
                raise unauthorized() from error
    return ""


def asks_to_impersonate(headers: Mapping[str, str]) -> bool:
    """Return whether any Impersonate-… header is there: one alone must be refused, never passed over."""
    return any(key[:12].lower() == _IMPERSONATE for key in headers)


def impersonated(user: User, headers: Mapping[str, str], authorizer: Authorizer) -> User:
    """Return whom the Impersonate-… headers ask `user` to stand in for: `user` where there are none.

    Every part (user, each group, uid, each extra value) must be allowed by the verb `impersonate`; else `StatusError`
    403. `headers` is case-insensitive; repeated headers are read if it has `getall`.
    """
    names = _all(headers, "Impersonate-User")
    groups = tuple(_all(headers, "Impersonate-Group"))
    uids = _all(headers, "Impersonate-Uid")
    extra = _extra(headers)
    if not (names and names[0]):
        if groups or uids or extra:
            raise bad_request("groups, uid or extra are to be impersonated, but no user: set Impersonate-User as well")
        return user
    name, uid = names[0], uids[0] if uids else ""

    asked: list[Attributes] = []
    account: list[str] = []
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        account = name.removeprefix(_ACCOUNT).split(":")
        asked.append(Attributes(user, "impersonate", "", "v1", "serviceaccounts", "", account[0], account[1]))
    else:
        asked.append(Attributes(user, "impersonate", "", "v1", "users", name=name))
    asked += [Attributes(user, "impersonate", "", "v1", "groups", name=group) for group in groups]
    if uid:
        asked.append(Attributes(user, "impersonate", "authentication.k8s.io", "v1", "uids", name=uid))
    for key, values in extra.items():
        asked += [
            Attributes(user, "impersonate", "authentication.k8s.io", "v1", "userextras", key, name=value)
            for value in values
        ]
    for attributes in asked:
        decision = authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    if account and not groups:
        groups = account_user(account[0], account[1]).groups
    if name == ANONYMOUS.name:
        groups = tuple(dict.fromkeys((*groups, UNAUTHENTICATED)))
        return User(name, groups, uid, extra)
    return _known(User(name, groups, uid, extra))


def _known(user: User) -> User:
    if AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    every = getattr(headers, "getall", None)
    if every is not None:
        return list(every(name, ()))
    value = headers.get(name)
    return [] if value is None else [value]


def _extra(headers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    from urllib.parse import unquote

    found: dict[str, list[str]] = {}
    for key, value in _items(headers):
        if key.lower().startswith(_EXTRA):
            found.setdefault(unquote(key[len(_EXTRA) :]).lower(), []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def _items(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from headers.items()
