"""The protocols that Services, policies and calls speak of, by Kubernetes's name and by the kernel's number. Pure."""

from __future__ import annotations

from typing import Final

from podling.linux.conntrack import SCTP, TCP, UDP

PROTOCOLS: Final = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()}
