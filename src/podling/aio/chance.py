"""The one source of chance: uids, name suffixes and jitter, from a seed where a run must repeat.

Invariant: with a seed, the same calls in the same order give the same answers in every process; without one the
system's entropy is used and nothing repeats.
"""

from __future__ import annotations

import random

# Upstream's alphabet for generated names: no vowels and no look-alikes, so that no word and no confusion arises.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Chance:
    """Everything random in a process."""

    def __init__(self, seed: int | None = None) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)

    def uid(self) -> str:
        """Return a version 4 UUID in its canonical form."""
        bits = self._random.getrandbits(128)
        bits = bits & ~(0xF << 76) | (4 << 76)
        bits = bits & ~(0x3 << 62) | (0x2 << 62)
        digits = f"{bits:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def suffix(self, length: int = 5) -> str:
        """Return what `generateName` appends: five characters, as upstream does."""
        return "".join(self._random.choices(_SUFFIX_ALPHABET, k=length))

    def hex(self, length: int) -> str:
        """Return `length` hexadecimal digits."""
        return f"{self._random.getrandbits(4 * length):0{length}x}"

    def jitter(self, seconds: float, factor: float = 0.1) -> float:
        """Return `seconds` lengthened by up to `factor` of itself, so that many waiters do not wake as one."""
        return seconds * (1.0 + factor * self._random.random())

    def below(self, bound: int) -> int:
        """Return a whole number from 0 to `bound` - 1."""
        return self._random.randrange(bound)
