"""Owns ServiceAccount tokens: JSON Web Tokens (ES256) bound to their account and to a Pod, Secret or Node.

`TokenIssuer` makes them (the `serviceaccounts/token` subresource), `TokenVerifier` believes them, and both publish the
key that anybody may verify them with. Invariant: a token dies with what it is bound to, at once, though its signature
is checked only the first time it is seen.

`cryptography` is loaded by the first signature or verification; `warm` loads it beforehand, off the loop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from podling.api import resources
from podling.api.errors import Cause, StatusError, bad_request, conflict, invalid, not_found, unauthorized
from podling.api.times import to_wire
from podling.apiserver.identity.pki import base64url
from podling.apiserver.record import User

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from podling.aio.chance import Chance
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource

ISSUER: Final = "https://kubernetes.default.svc.cluster.local"

_SHORTEST: Final = 600
_LONGEST: Final = 1 << 32
_DEFAULT: Final = 3600
_WARN_ONLY: Final = 3607
"""What kubelets ask for by default; such tokens live a year, for clients that never read the renewed file."""
_EXTENDED: Final = 365 * 86_400
_CACHED: Final = 8192
_ACCOUNTS: Final = "system:serviceaccounts"


class Lookup(Protocol):
    """Reads one object from the API server's cache; `None` where it is not."""

    def __call__(self, resource: Resource[Any], namespace: str, name: str) -> Encoded | None: ...


class SigningKey:
    """The key of the tokens: a PEM file, and its public half as a JSON Web Key."""

    def __init__(self, path: Path, jwk: Mapping[str, str]) -> None:
        self._path = path
        self.jwk = dict(jwk)
        self._key: EllipticCurvePrivateKey | None = None

    def warm(self) -> None:
        """Load the key and the library behind it (120 ms the first time); safe in a thread."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._path.read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        self._key = key

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of an ES256 signature."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        r, s = decode_dss_signature(self._loaded().sign(message, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        if len(signature) != 64:
            return False
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            self._loaded().public_key().verify(der, message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def _loaded(self) -> EllipticCurvePrivateKey:
        if self._key is None:
            self.warm()
        assert self._key is not None
        return self._key


class TokenIssuer:
    """Answers TokenRequests, and publishes what they can be verified with."""

    def __init__(
        self, key: SigningKey, lookup: Lookup, chance: Chance, *, issuer: str = ISSUER, audiences: tuple[str, ...] = ()
    ) -> None:
        self._key = key
        self._lookup = lookup
        self._chance = chance
        self._issuer = issuer
        self._audiences = audiences or (issuer,)

    def request(self, namespace: str, name: str, tree: dict[str, Any], now: float) -> dict[str, Any]:
        """Return the TokenRequest `tree` completed, with the token in its status.

        `StatusError` 404 where the ServiceAccount or what the token is to be bound to is not, 409 where a uid differs,
        422 for lifetimes out of bounds.
        """
        account = self._lookup(resources.SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise not_found("", "serviceaccounts", name)
        metadata = tree.get("metadata") or {}
        for key, here in (("name", name), ("namespace", namespace)):
            if metadata.get(key) and metadata[key] != here:
                raise bad_request(f"metadata.{key} must match the {key} of the service account in the request URL")
        spec = dict(tree.get("spec") or {})
        seconds = spec.get("expirationSeconds")
        seconds = _DEFAULT if seconds is None else seconds
        _check_lifetime(seconds)
        audiences = list(spec.get("audiences") or self._audiences)
        bound = spec.get("boundObjectRef")

        claims: dict[str, Any] = {"namespace": namespace}
        claims |= self._binding(namespace, name, bound)
        claims["serviceaccount"] = {"name": name, "uid": account.uid}
        issued = int(now)
        life = seconds
        if seconds == _WARN_ONLY and set(audiences) & set(self._audiences):
            claims["warnafter"] = issued + seconds
            life = _EXTENDED
        token = self._sign(
            {
                "aud": audiences,
                "exp": issued + life,
                "iat": issued,
                "iss": self._issuer,
                "jti": self._chance.uid(),
                "kubernetes.io": claims,
                "nbf": issued,
                "sub": f"system:serviceaccount:{namespace}:{name}",
            }
        )
        spec |= {"audiences": audiences, "expirationSeconds": seconds}
        spec.setdefault("boundObjectRef", None)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {**metadata, "name": name, "namespace": namespace, "creationTimestamp": to_wire(now)},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": to_wire(issued + seconds)},
        }

    def openid_configuration(self) -> bytes:
        """Return what `/.well-known/openid-configuration` answers."""
        return msgspec.json.encode(
            {
                "issuer": self._issuer,
                "jwks_uri": f"{self._issuer}/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    def jwks(self) -> bytes:
        """Return what `/openid/v1/jwks` answers (`application/jwk-set+json`)."""
        return msgspec.json.encode({"keys": [self._key.jwk]})

    def _binding(self, namespace: str, account: str, bound: Mapping[str, Any] | None) -> dict[str, Any]:
        if not bound:
            return {}
        kind, name, uid = (str(bound.get(word) or "") for word in ("kind", "name", "uid"))
        of = _BINDABLE.get(kind)
        if of is None or bound.get("apiVersion") != "v1":
            raise bad_request(f"cannot bind token to object of type {bound.get('apiVersion', '')}, Kind={kind}")
        found = self._lookup(of, namespace if of.namespaced else "", name)
        if found is None:
            raise not_found("", of.plural, name)
        if uid and uid != found.uid:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise conflict("", of.plural, name, why)
        claims: dict[str, Any] = {kind.lower(): {"name": name, "uid": found.uid}}
        if kind == "Pod":
            spec = found.view(resources.PODS.type).spec
            if spec.service_account_name != account:  # a mirror Pod has none, and gets no token
                why = "to pod running with different serviceaccount name."
                raise bad_request(f'cannot bind token for serviceaccount "{account}" {why}')
            node = self._lookup(resources.NODES, "", spec.node_name) if spec.node_name else None
            if node is not None:
                claims["node"] = {"name": node.name, "uid": node.uid}
            elif spec.node_name:
                claims["node"] = {"name": spec.node_name}
        return claims

    def _sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "ES256", "kid": self._key.jwk["kid"]}
        signed = f"{base64url(msgspec.json.encode(header))}.{base64url(msgspec.json.encode(claims))}"
        return f"{signed}.{base64url(self._key.sign(signed.encode()))}"


_BINDABLE: Final[dict[str, Resource[Any]]] = {
    "Pod": resources.PODS,
    "Secret": resources.SECRETS,
    "Node": resources.NODES,
}


class _Verified(msgspec.Struct, frozen=True, gc=False):
    """What a good signature said; kept for as long as the token holds."""

    user: User
    audiences: tuple[str, ...]
    not_before: float
    expires: float
    bound: tuple[tuple[str, str, str, str], ...]
    """What must still exist: plural, namespace, name, uid."""


_BOUND: Final = {r.plural: r for r in (resources.SERVICE_ACCOUNTS, resources.PODS, resources.SECRETS, resources.NODES)}


class TokenVerifier:
    """Believes tokens that this cluster signed, for as long as they hold."""

    def __init__(
        self, key: SigningKey, lookup: Lookup, *, issuer: str = ISSUER, audiences: tuple[str, ...] = ()
    ) -> None:
        self._key = key
        self._lookup = lookup
        self._issuer = issuer
        self._audiences = audiences or (issuer,)
        self._seen: dict[bytes, _Verified] = {}

    def verify(self, token: str, now: float, audiences: tuple[str, ...] = ()) -> tuple[User, tuple[str, ...]] | None:
        """Return the user and those of `audiences` (the API server's by default) that the token is for.

        `None`: no token of this issuer; `StatusError` 401: one, but not good, or no longer.
        """
        # Tokens are sought by digest: how long a search takes says nothing about the tokens that are there.
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._seen.get(digest)
        if verified is None:
            verified = self._read(token)
            if verified is None:
                return None
            if len(self._seen) >= _CACHED:
                self._seen.clear()
            self._seen[digest] = verified
        if not verified.not_before <= now < verified.expires:
            raise unauthorized()
        for plural, namespace, name, uid in verified.bound:
            found = self._lookup(_BOUND[plural], namespace, name)
            if found is None or (uid and found.uid != uid):
                raise unauthorized()
            if plural == "secrets" and not _still_holds(found, token):
                raise unauthorized()
        wanted = audiences or self._audiences
        shared = tuple(audience for audience in wanted if audience in verified.audiences)
        if not shared:
            raise unauthorized()
        return verified.user, shared

    def _read(self, token: str) -> _Verified | None:
        parts = token.split(".")
        if len(parts) != 3:
            return None
        try:
            header, claims = (msgspec.json.decode(_from_base64url(part), type=dict[str, Any]) for part in parts[:2])
            signature = _from_base64url(parts[2])
        except (ValueError, msgspec.DecodeError):
            return None
        if claims.get("iss") != self._issuer:
            return None
        if header.get("alg") != "ES256" or not self._key.verifies(f"{parts[0]}.{parts[1]}".encode(), signature):
            raise unauthorized()
        return _verified(claims)


def _still_holds(encoded: Encoded, token: str) -> bool:
    """Whether a Secret that is there to hold a token holds this one: who takes it out of there takes it back."""
    secret = encoded.view(resources.SECRETS.type)
    if secret.type != "kubernetes.io/service-account-token":
        return True
    held = base64.b64encode(token.encode()).decode()
    return hmac.compare_digest(secret.data.get("token", ""), held)


def account_user(namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None) -> User:
    """Return who a ServiceAccount is as a user."""
    groups = (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


def _verified(claims: Mapping[str, Any]) -> _Verified:
    ours = claims["kubernetes.io"]
    namespace, account = ours["namespace"], ours["serviceaccount"]
    bound = [("serviceaccounts", namespace, account["name"], account["uid"])]
    extra: dict[str, tuple[str, ...]] = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
    for kind, plural in (("pod", "pods"), ("secret", "secrets"), ("node", "nodes")):
        named = ours.get(kind)
        if named is None:
            continue
        # A Pod's token tells its node, but lives on the Pod alone.
        if kind != "node" or "pod" not in ours:
            bound.append((plural, "" if kind == "node" else namespace, named["name"], named.get("uid", "")))
        if kind != "secret":
            extra[f"authentication.kubernetes.io/{kind}-name"] = (named["name"],)
            if named.get("uid"):
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (named["uid"],)
    user = account_user(namespace, account["name"], account["uid"], extra)
    return _Verified(user, tuple(claims["aud"]), float(claims["nbf"]), float(claims["exp"]), tuple(bound))


def _check_lifetime(seconds: Any) -> None:
    path = "spec.expirationSeconds"
    if not isinstance(seconds, int) or seconds < _SHORTEST:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST:
        why = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    raise _invalid_request(Cause("FieldValueInvalid", f"Invalid value: {seconds}: {why}", path))


def _invalid_request(cause: Cause) -> StatusError:
    return invalid("authentication.k8s.io", "TokenRequest", "", [cause])


def _from_base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
