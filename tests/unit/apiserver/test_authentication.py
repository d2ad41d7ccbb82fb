"""Who calls: tokens of a file, ServiceAccount tokens, stand-ins, nobody."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.api import resources
from podling.api.encoded import Encoded
from podling.api.errors import StatusError
from podling.apiserver.identity.authentication import Authentication, TokenFile, impersonated
from podling.apiserver.identity.pki import Pki
from podling.apiserver.identity.tokens import ISSUER, SigningKey, TokenIssuer, TokenVerifier
from podling.apiserver.record import Attributes, Decision, User


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class World:
    """A signing key, a few objects, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        pki = Pki(directory / "pki")
        pki.ensure(self.clock.time())
        key = SigningKey(pki.signing_key, pki.signing_jwk)
        self.objects: dict[tuple[str, str, str], Encoded] = {}
        self.put(resources.SERVICE_ACCOUNTS, "ns", "sa", "u-sa")
        self.put(resources.PODS, "ns", "web", "u-pod", {"serviceAccountName": "sa", "nodeName": "n1", "containers": []})
        self.put(resources.NODES, "", "n1", "u-node")
        self.issuer = TokenIssuer(key, self.lookup, Chance(1))
        self.verifier = TokenVerifier(key, self.lookup)
        (directory / "tokens").write_text('s3cret,jane,7,"dev,ops"\n# none\nplain,joe,8\n')
        self.door = Authentication(self.clock, tokens=TokenFile.read(directory / "tokens"), accounts=self.verifier)

    def put(self, resource: Any, namespace: str, name: str, uid: str, spec: dict[str, Any] | None = None) -> None:
        meta = {"name": name, "namespace": namespace, "uid": uid}
        raw = msgspec.json.encode({"kind": resource.kind, "apiVersion": "v1", "metadata": meta, "spec": spec or {}})
        self.objects[resource.plural, namespace, name] = Encoded(
            raw, raw.index(b'"metadata":{') + 12, 1, name=name, namespace=namespace, uid=uid
        )

    def lookup(self, resource: Any, namespace: str, name: str) -> Encoded | None:
        return self.objects.get((resource.plural, namespace, name))

    def token(self, **spec: Any) -> str:
        made = self.issuer.request("ns", "sa", {"spec": spec}, self.clock.time())
        return str(made["status"]["token"])

    def who(self, headers: dict[str, str], certificate: dict[str, Any] | None = None) -> User:
        return asyncio.run(self.door.authenticate(headers, certificate))

    def refuses(self, token: str) -> bool:
        try:
            self.who(bearer(token))
        except StatusError as error:
            return error.code == 401
        return False


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "u-pod"}


def test_the_ways_in(world: World) -> None:
    """Certificate, file token, nothing: each its user; a wrong token is refused, not taken for none."""
    certificate = {"subject": ((("organizationName", "g"),), (("commonName", "eve"),))}
    assert world.who({}, certificate) == User("eve", ("g", "system:authenticated"))
    assert world.who(bearer("s3cret")) == User("jane", ("dev", "ops", "system:authenticated"), "7")
    assert world.who(bearer("plain")) == User("joe", ("system:authenticated",), "8")
    assert world.who({}) == User("system:anonymous", ("system:unauthenticated",))
    assert world.refuses("wrong")
    encoded = base64.urlsafe_b64encode(b"s3cret").rstrip(b"=").decode()
    protocols = f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}"
    assert world.who({"Sec-WebSocket-Protocol": protocols}).name == "jane"


def test_a_pods_token(world: World) -> None:
    """A bound token tells account, Pod and node, and is good for the API's audience."""
    user = world.who(bearer(world.token(boundObjectRef=BOUND)))
    assert user.name == "system:serviceaccount:ns:sa"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.uid == "u-sa"
    named = {key.removeprefix("authentication.kubernetes.io/"): value[0] for key, value in user.extra.items()}
    assert named.pop("credential-id").startswith("JTI=")
    assert named == {"pod-name": "web", "pod-uid": "u-pod", "node-name": "n1", "node-uid": "u-node"}


@pytest.mark.parametrize(
    ("resource", "name"), [(resources.SECRETS, "s"), (resources.NODES, "n1"), (resources.PODS, "web")]
)
def test_a_token_may_be_bound_to_each_of_three(world: World, resource: Any, name: str) -> None:
    """A Secret, a Node or a Pod: it holds while that one is there."""
    world.put(resources.SECRETS, "ns", "s", "u-secret")
    token = world.token(boundObjectRef={"kind": resource.kind, "apiVersion": "v1", "name": name})
    assert not world.refuses(token)
    del world.objects[resource.plural, "ns" if resource.namespaced else "", name]
    assert world.refuses(token)


@pytest.mark.parametrize("what", ["pod", "account", "recreated"])
def test_a_token_dies_with_what_it_is_bound_to(world: World, what: str) -> None:
    """Once its Pod or ServiceAccount is gone, or is another of that name, a token that was good is refused."""
    token = world.token(boundObjectRef=BOUND)
    world.who(bearer(token))
    match what:
        case "pod":
            del world.objects["pods", "ns", "web"]
        case "account":
            del world.objects["serviceaccounts", "ns", "sa"]
        case _:
            world.put(resources.PODS, "ns", "web", "u-other")
    assert world.refuses(token)


def test_a_token_ends(world: World) -> None:
    """A token holds for the seconds asked for; the kubelet's usual one lives on for a year, though it says 3,607 s."""
    short, usual = world.token(expirationSeconds=600), world.token(expirationSeconds=3607)
    asyncio.run(world.clock.advance(599))
    assert not world.refuses(short)
    asyncio.run(world.clock.advance(1))
    assert world.refuses(short)
    asyncio.run(world.clock.advance(86_400))
    assert not world.refuses(usual)
    asked = world.issuer.request("ns", "sa", {"spec": {"expirationSeconds": 3607}}, 1_700_000_000)
    assert asked["status"]["expirationTimestamp"] == "2023-11-14T23:13:27Z"


def test_forged_tokens(world: World) -> None:
    """Another's claims under a good signature, no signature at all, another audience: all refused."""
    token = world.token()
    header, claims, signature = token.split(".")
    tree = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=="))
    assert tree["iss"] == ISSUER
    tree["kubernetes.io"]["serviceaccount"]["name"] = "admin"
    forged = base64.urlsafe_b64encode(msgspec.json.encode(tree)).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert world.refuses(f"{header}.{forged}.{signature}")
    assert world.refuses(f"{none}.{claims}.")
    assert world.refuses(f"{none}.{claims}.{signature}")
    assert world.refuses(world.token(audiences=["vault"]))
    assert world.refuses("a.b.c")
    assert not world.refuses(token)


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"expirationSeconds": 599}, 422, "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**32 + 1}, 422, "larger than 2\\^32 seconds"),
        ({"boundObjectRef": {**BOUND, "uid": "x"}}, 409, "does not match the UID in record"),
        ({"boundObjectRef": {**BOUND, "name": "gone"}}, 404, 'pods "gone" not found'),
        ({"boundObjectRef": {**BOUND, "kind": "Service"}}, 400, "cannot bind token to object of type"),
    ],
)  # fmt: skip
def test_token_requests_refused(world: World, spec: dict[str, Any], code: int, words: str) -> None:
    """A TokenRequest that cannot be met says why."""
    with pytest.raises(StatusError, match=words) as refused:
        world.token(**spec)
    assert refused.value.code == code


def test_anybody_can_verify(world: World) -> None:
    """The published key verifies what was signed, with another library's code path."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    key = msgspec.json.decode(world.issuer.jwks())["keys"][0]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key[axis] + "=="), "big") for axis in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    signed, _, signature = world.token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    assert msgspec.json.decode(world.issuer.openid_configuration())["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"


class Allows:
    def __init__(self, *names: str) -> None:
        self.names = names

    def authorize(self, attributes: Attributes) -> Decision:
        assert attributes.verb == "impersonate"
        return Decision(f"{attributes.resource}/{attributes.name}" in self.names)


def test_stand_ins() -> None:
    """Each part of an impersonation must be allowed; a ServiceAccount brings its groups."""
    root = User("root")
    headers = CIMultiDict(
        [
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Extra-Scopes", "x"),
        ]
    )
    allowed = Allows("users/jane", "groups/a", "groups/b", "userextras/x")
    assert impersonated(root, headers, allowed) == User(
        "jane", ("a", "b", "system:authenticated"), "", {"scopes": ("x",)}
    )
    with pytest.raises(StatusError, match='groups "b" is forbidden: User "root" cannot impersonate resource "groups"'):
        impersonated(root, headers, Allows("users/jane", "groups/a", "userextras/x"))
    account = impersonated(root, {"Impersonate-User": "system:serviceaccount:ns:sa"}, Allows("serviceaccounts/sa"))
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert impersonated(root, {}, Allows()) is root
    with pytest.raises(StatusError, match="no user"):
        impersonated(root, {"Impersonate-Group": "a"}, allowed)


@pytest.mark.parametrize(
    ("text", "words"), [("a,b\n", "expected token,user,uid"), (",u,1\n", "empty"), ("a,u,1\na,v,2\n", "twice")]
)
def test_token_file_refused(tmp_path: Path, text: str, words: str) -> None:
    """A token file that is wrong says on which line."""
    (tmp_path / "t").write_text(text)
    with pytest.raises(ValueError, match=words):
        TokenFile.read(tmp_path / "t")
