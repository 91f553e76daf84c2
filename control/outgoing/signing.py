"""Standard Webhooks: who got a request can tell that it is ours, unchanged and new.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: three headers;
signed are the bytes `id.timestamp.body`. A secret is a text: `whsec_` and base64 of 24 to 64 bytes for
HMAC-SHA256 (v1), `whsk_` and base64 of an Ed25519 key (its 32-byte seed, or seed and public key) for v1a,
whose receiver needs the public key alone (`whpk_`). With two secrets every request has a signature of each,
so that receivers change over when they like.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence

from nacl.signing import SigningKey
from nacl.utils import random as random_bytes

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MOST_SECRETS = 2

Sign = Callable[[bytes], str]


class Signer:
    """Signs by every one of these secrets. Raises ValueError for what is no secret; the text shows nothing of
    it."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not 1 <= len(secrets) <= MOST_SECRETS:
            raise ValueError(f"one secret, or {MOST_SECRETS} while they are changed")
        self._signs: tuple[Sign, ...] = tuple(_signs(secret) for secret in secrets)

    def headers(self, id: str, time_s: int, body: bytes) -> dict[str, str]:
        """The three headers. `id` without a dot stays the same when the same thing is sent again; `time_s`
        seconds since 1970."""
        signed = b".".join((id.encode(), b"%d" % time_s, body))
        signatures = " ".join(sign(signed) for sign in self._signs)
        return {ID: id, TIMESTAMP: str(time_s), SIGNATURE: signatures}


def check_secret(secret: str) -> None:
    """Raises ValueError for what is no secret."""
    _signs(secret)


def make_secret(asymmetric: bool = False) -> str:
    if asymmetric:
        key = SigningKey.generate()
        return PRIVATE + b64encode(bytes(key) + bytes(key.verify_key)).decode()
    return SHARED + b64encode(random_bytes(32)).decode()


def public_key(secret: str) -> str | None:
    """What the receiver verifies by: the `whpk_` of a `whsk_`; None where both sides hold the same secret."""
    if not secret.startswith(PRIVATE):
        return None
    return PUBLIC + b64encode(bytes(_signing_key(secret).verify_key)).decode()


def _signs(secret: str) -> Sign:
    if secret.startswith(PRIVATE):
        key = _signing_key(secret)
        return lambda signed: "v1a," + b64encode(key.sign(signed).signature).decode()
    shared = _decoded(secret, SHARED)
    if not 24 <= len(shared) <= 64:
        raise ValueError(f"{SHARED}... has {len(shared)} bytes, not 24 to 64")
    return lambda signed: "v1," + b64encode(hmac.digest(shared, signed, "sha256")).decode()


def _signing_key(secret: str) -> SigningKey:
    raw = _decoded(secret, PRIVATE)
    key = SigningKey(raw[:32]) if len(raw) in (32, 64) else None
    if key is None or (len(raw) == 64 and bytes(key.verify_key) != raw[32:]):
        raise ValueError(f"{PRIVATE}... is no Ed25519 key")
    return key


def _decoded(secret: str, prefix: str) -> bytes:
    if not secret.startswith(prefix):
        raise ValueError(f"a secret begins with {SHARED} or {PRIVATE}")
    text = secret.removeprefix(prefix)
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{prefix}... is not base64") from None
