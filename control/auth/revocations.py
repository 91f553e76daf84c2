"""Tokens that are over before their time: a user's, or those of one device, up to a moment.

A revocation says "not before": whoever logs in needs a token that was signed later. It is kept for as long
as such a token could live, in one of BUCKETS documents by a hash of the user, so that a cluster with very
many of them still has few documents, and each gateway answers a login from memory.

A second is the grain of a token's `iat`, so a token signed in the second of the revocation is over too, and
the next one is dated a second later (`signing_time`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from control.coordination.documents import (
    Conflict,
    Document,
    Documents,
    DocumentsUnavailable,
    DocumentTooLarge,
)
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Part

log = get_logger("auth")

PREFIX = "revoked/"
BUCKETS = 256
TRIES = 8
"""Of writes that meet others: each but one of them has been made then."""

Bucket = dict[str, dict[str, int]]
"""user -> device, "" for all of them -> unix seconds"""
_decode = msgspec.json.Decoder(Bucket).decode


class Revocations(Part):
    """`lifetime_s`: the longest life of a token. `skew_s`: how far clocks may differ.
    `on_revoked(user, device)` is called for each that is heard of, so that those who are logged in are sent
    to get another token; device None: all of them.
    """

    def __init__(
        self,
        documents: Documents,
        lifetime_s: int,
        skew_s: int,
        on_revoked: Callable[[str, str | None], None] = lambda user, device: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._lifetime_s = lifetime_s
        self._skew_s = skew_s
        self._on_revoked = on_revoked
        self._clock = clock
        self._replica = Replica(documents, PREFIX)
        self._buckets: dict[str, Bucket] = {}

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._take)

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop()

    @property
    def known(self) -> bool:
        """False while it was never read: nobody can say then which tokens hold."""
        return self._replica.complete

    def not_before(self, user: str, device: str | None) -> int:
        """Unix seconds; tokens signed then or earlier are over. 0: none is. `device` None: of any device."""
        found = self._buckets.get(key_of(user), {}).get(user)
        if found is None:
            return 0
        revoked = max(found.get("", 0), 0 if device is None else found.get(device, 0))
        now = int(self._clock())
        # Said by a clock that was ahead: what is signed from now on is good.
        return revoked if revoked <= now + self._skew_s else now - 1

    def signing_time(self, user: str, device: str | None) -> int:
        """`iat` of a token that is signed now, and holds."""
        now = int(self._clock())
        return max(now, min(self.not_before(user, device) + 1, now + self._skew_s))

    async def revoke(self, user: str, device: str | None = None) -> int:
        """Tokens of the user (for this device, and those for none in particular when used there) that were
        signed up to now are over, everywhere as soon as it is heard. The moment, unix seconds. Raises
        DocumentsUnavailable.
        """
        key, now = key_of(user), int(self._clock())
        for _ in range(TRIES):
            document = await self._documents.get(key)
            bucket = _decode(document.value) if document else {}
            bucket = _pruned(bucket, now - self._lifetime_s - self._skew_s)
            bucket.setdefault(user, {})[device or ""] = now
            try:
                await self._documents.put(
                    key, msgspec.json.encode(bucket), document.revision if document else 0
                )
            except Conflict:
                continue
            except DocumentTooLarge as error:
                raise DocumentsUnavailable(f"no more revocations can be kept: {error}") from None
            return now
        raise DocumentsUnavailable(f"{key} is written by others all the time")

    def count(self) -> int:
        return sum(len(devices) for bucket in self._buckets.values() for devices in bucket.values())

    def _take(self, key: str, document: Document | None) -> None:
        try:
            bucket = _decode(document.value) if document else {}
        except msgspec.MsgspecError as error:
            log.error("revocations cannot be read; those known before go on", key=key, reason=str(error))
            return
        before = self._buckets.get(key, {})
        self._buckets[key] = bucket
        for user, devices in bucket.items():
            known = before.get(user, {})
            for device, moment in devices.items():
                if moment > known.get(device, 0):
                    self._on_revoked(user, device or None)


def key_of(user: str) -> str:
    """The document in which a user's revocations stand."""
    return f"{PREFIX}{int.from_bytes(blake2b(user.encode(), digest_size=2).digest()) % BUCKETS:02x}"


def _pruned(bucket: Bucket, oldest: int) -> Bucket:
    kept = {
        user: {device: moment for device, moment in devices.items() if moment > oldest}
        for user, devices in bucket.items()
    }
    return {user: devices for user, devices in kept.items() if devices}
