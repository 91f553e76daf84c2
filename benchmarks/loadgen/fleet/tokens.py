"""Logins of a whole swarm, minted before a run with the server's own token key.

The tokens are what `POST /v1/tokens` would give (JWT, Ed25519, claims iss, aud, sub, iat, exp), written
straight to bytes because a run needs up to a million of them: about 30 us each.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

SIGNATURE_BYTES = 64
LIFE_S = 86_400


def _b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


@dataclass(frozen=True, slots=True)
class TokenMint:
    """One token key with the issuer and audience that the server expects. `seed`: 32 bytes, hexadecimal."""

    kid: str
    seed: str = field(repr=False)
    issuer: str
    audience: str

    def mint(self, users: Iterable[str], now: int | None = None) -> tuple[bytes, list[int]]:
        """All tokens in one block and the offsets that divide it (one more than there are users)."""
        issued = int(time.time()) if now is None else now
        header = _b64(json.dumps({"alg": "Ed25519", "kid": self.kid, "typ": "JWT"}).encode())
        _, secret = crypto_sign_seed_keypair(bytes.fromhex(self.seed))
        tail = json.dumps({"iss": self.issuer, "aud": self.audience, "iat": issued, "exp": issued + LIFE_S})[
            1:
        ]
        block = bytearray()
        offsets = [0]
        for user in users:
            claims = f'{{"sub": {json.dumps(user)}, {tail}'.encode()
            signed = header + b"." + _b64(claims)
            block += signed + b"." + _b64(crypto_sign(signed, secret)[:SIGNATURE_BYTES])
            offsets.append(len(block))
        return bytes(block), offsets
