"""Tokens of ServiceAccounts where nobody outside has to believe them.

Owns a key that signs in microseconds without a library: Pods of a simulation get tokens, and the simulation's own
server believes them. It is no ES256 key, and nobody else should.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from podling.apiserver.identity.tokens import SigningKey

if TYPE_CHECKING:
    from podling.aio.chance import Chance


class SimulatedKey(SigningKey):
    """A keyed hash in the place of a signature."""

    def __init__(self, chance: Chance) -> None:
        self._secret = bytes.fromhex(chance.hex(64))
        self.jwk = {"kid": "simulated"}

    def warm(self) -> None:
        """There is nothing to load."""

    def sign(self, message: bytes) -> bytes:
        return hmac.digest(self._secret, message, hashlib.sha512)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(message), signature)
