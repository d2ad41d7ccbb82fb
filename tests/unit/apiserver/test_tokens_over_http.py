"""ServiceAccount tokens at the front door: good ones open it, spoilt ones are 401 and nothing more is said."""

from __future__ import annotations

import base64

import aiohttp
import pytest
from tests.served import PODS, Served, pod

from podling.aio.chance import Chance
from podling.apiserver.identity.authentication import Authentication
from podling.apiserver.identity.pki import Pki
from podling.apiserver.identity.tokens import SigningKey, TokenIssuer, TokenVerifier


def _forged(token: str) -> str:
    """Return the token with another account in it, under the old signature."""
    head, claims, signature = token.split(".")
    said = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(b":default:default", b":kube-system:x")
    return f"{head}.{base64.urlsafe_b64encode(said).rstrip(b'=').decode()}.{signature}"


def _unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize("spoil", ["audience", "expired", "deleted", "forged", "unsigned", "cut"])
def test_a_spoilt_token_is_refused(run, tmp_path, spoil):
    """Of another audience, past its time, of a Pod that is gone, changed, unsigned, cut off: each was good before."""
    pki = Pki(tmp_path / "pki")

    async def main():
        async with Served() as api:
            pki.ensure(api.clock.time())
            key, find = SigningKey(pki.signing_key, pki.signing_jwk), api.server.registry.find
            http = api.server.http(Authentication(api.clock, accounts=TokenVerifier(key, find)))
            port = await http.listen()
            await api.post(PODS, pod("web"))
            bound = {"apiVersion": "v1", "kind": "Pod", "name": "web"}
            spec = {"boundObjectRef": bound, "expirationSeconds": 600}
            issuer = TokenIssuer(key, find, Chance(1))

            def token(**more: object) -> str:
                made = issuer.request("default", "default", {"spec": {**spec, **more}}, api.clock.time())
                return made["status"]["token"]

            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

                async def says(told: str) -> tuple[int, str]:
                    async with session.get(PODS, headers={"Authorization": f"Bearer {told}"}) as answer:
                        return answer.status, (await answer.json()).get("message", "")

                good = token()
                known, said = await says(good)
                assert known == 403, "an account has no rights of its own"
                assert 'User "system:serviceaccount:default:default" cannot list' in said
                match spoil:
                    case "audience":
                        good = token(audiences=["vault"])
                    case "expired":
                        await api.clock.advance(601)
                    case "deleted":
                        await api.ask("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
                    case "forged":
                        good = _forged(good)
                    case "unsigned":
                        good = _unsigned(good)
                    case _:
                        good = good[:-3]
                assert await says(good) == (401, "Unauthorized")
            await http.close()

    run(main())
