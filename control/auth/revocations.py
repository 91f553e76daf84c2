"""Tokens that are over before their time: a user's, or those of one device.

A revocation is a moment: unix seconds, and above every one that the user had, whatever the clocks of those
who write say. A token names the latest one that its signer knew of, and is over where there is a later one
for who uses it (docs/decisions/0048-tokens-are-revoked-by-a-moment.md). Moments are kept for as long as such
tokens could live, in one of BUCKETS documents by a hash of the user, so that a cluster with very many of
them still has few documents, and each gateway answers a login from memory.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from control.bus.base import Bus
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
BUCKETS = 4096
DEVICES = 32
"""With a moment of their own, of one user. Beyond: the moment is that of all devices of the user, as names of
devices are chosen by clients and room is for all users.
"""
LEGACY_BUCKETS = 256
LEGACY_DIGITS = 2
"""Of the names of an earlier version's documents. While one is there, processes of that version may be."""
PUT_BACK = 16
"""Documents that are put right in a tick."""
TRIES = 8
"""Of writes of several processes that meet: each but one of them has been made then."""
WRONG_S = 7 * 86_400
"""Kept for so much longer than a token can live: a clock that is wrong by days forgets none that matters."""

Bucket = dict[str, dict[str, int]]
"""user -> device, "" for all of them -> unix seconds"""
_decode = msgspec.json.Decoder(Bucket).decode
SUBJECT = "revoked"
"""Of the bus: what was just written, for processes that the documents do not reach."""


class _Wanted(NamedTuple):
    user: str
    device: str
    moment: asyncio.Future[int]


class Revocations(Part):
    """`lifetime_s`: the longest life of a token. `on_revoked(user, device)` is called for each that is heard
    of, so that those who are logged in are sent to get another token; device None: all of them. `bus`: a
    process that is cut off from the engine of the documents hears there of what is revoked; the documents are
    the truth.
    """

    def __init__(
        self,
        documents: Documents,
        lifetime_s: int,
        on_revoked: Callable[[str, str | None], None] = lambda user, device: None,
        clock: Callable[[], float] = time.time,
        bus: Bus | None = None,
    ) -> None:
        self._documents = documents
        self._bus = bus
        self._kept_s = lifetime_s + WRONG_S
        self._on_revoked = on_revoked
        self._clock = clock
        self._replica = Replica(documents, PREFIX)
        self._buckets: dict[str, Bucket] = {}
        self._made: dict[str, int] = {}  # user -> moment written here and not heard yet
        self._behind: set[str] = set()  # documents that lack something of what was heard
        self._legacy: set[str] = set()  # documents of an earlier version
        self._waiting: dict[str, list[_Wanted]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        await self._replica.start()
        self._replica.on_change(self._take)
        if self._bus is not None:
            await self._bus.subscribe(SUBJECT, self._heard)

    async def stop(self, grace_s: float) -> None:
        await asyncio.gather(*self._writing.values(), return_exceptions=True)
        await self._replica.stop()

    async def tick(self) -> None:
        """Where the engine was emptied, or put back from a snapshot, those who heard of a revocation write it
        there again: a process that starts now would not know it."""
        for key in random.sample(sorted(self._behind), min(PUT_BACK, len(self._behind))):
            if key not in self._writing:
                self._writing[key] = asyncio.create_task(self._write_all(key), name=f"write {key}")

    @property
    def known(self) -> bool:
        """False while it was never read: nobody can say then which tokens hold."""
        return self._replica.complete

    def ended(self, user: str, device: str) -> int:
        """The latest moment that concerns who uses this device, 0: none does. Tokens that name an earlier
        one, or none, are over.
        """
        found = self._buckets.get(key_of(user), {}).get(user, {})
        return max(found.get("", 0), found.get(device, 0))

    def latest(self, user: str) -> int:
        """What a token names that is signed now, and holds on every device; 0: nothing was revoked."""
        found = self._buckets.get(key_of(user), {}).get(user, {})
        return max(self._made.get(user, 0), *found.values(), 0)

    async def revoke(self, user: str, device: str | None = None) -> int:
        """Tokens of the user (for this device, and those for none in particular when used there) that are
        signed already are over, everywhere as soon as it is heard. The moment. Those that come while a write
        of their document is on its way are written together by the next. Raises DocumentsUnavailable.
        """
        key, wanted = key_of(user), _Wanted(user, device or "", asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key, []).append(wanted)
        if key not in self._writing:
            self._writing[key] = asyncio.create_task(self._write_all(key), name=f"write {key}")
        return await wanted.moment

    def count(self) -> int:
        return sum(len(devices) for bucket in self._buckets.values() for devices in bucket.values())

    async def _write_all(self, key: str) -> None:
        try:
            while (batch := self._waiting.pop(key, [])) or key in self._behind:
                behind = key in self._behind
                self._behind.discard(key)
                try:
                    moments = await self._write(key, batch)
                except Exception as error:
                    if behind:
                        self._behind.add(key)
                    if not batch:
                        return
                    for wanted in batch:
                        if not wanted.moment.done():
                            wanted.moment.set_exception(error)
                    continue
                for wanted, moment in zip(batch, moments, strict=True):
                    if not wanted.moment.done():
                        wanted.moment.set_result(moment)
        finally:
            del self._writing[key]

    async def _write(self, key: str, batch: list[_Wanted]) -> list[int]:
        for _ in range(TRIES):
            document = await self._documents.get(key)
            try:
                stored = _decode(document.value) if document else {}
            except msgspec.MsgspecError as error:
                raise DocumentsUnavailable(f"{key} cannot be read: {error}") from None
            # What was heard is put back where the document lost it.
            bucket = _merged(dict(stored), self._buckets.get(key, {}))
            if not batch and bucket == stored:
                return []
            bucket = _pruned(bucket, int(self._clock()) - self._kept_s)
            moments = [self._add(bucket, wanted) for wanted in batch]
            try:
                await self._documents.put(
                    key, msgspec.json.encode(bucket), document.revision if document else 0
                )
            except Conflict:
                continue
            except DocumentTooLarge as error:
                raise DocumentsUnavailable(f"no more revocations can be kept: {error}") from None
            self._remember(batch, moments)
            self._tell({wanted.user: bucket[wanted.user] for wanted in batch})
            if self._legacy:
                await self._tell_earlier(batch, moments)
            return moments
        raise DocumentsUnavailable(f"{key} is written by other processes all the time")

    def _tell(self, written: Bucket) -> None:
        if self._bus is not None:
            for user, devices in written.items():
                self._bus.publish(SUBJECT, msgspec.json.encode({user: devices}))

    def _heard(self, payload: bytes) -> None:
        """The document may have told of it, or does later. Moments only rise: whatever comes first holds."""
        try:
            told = _decode(payload)
        except msgspec.MsgspecError as error:
            log.error("a revocation on the bus cannot be read", reason=str(error))
            return
        for user, devices in told.items():
            self._merge_known(user, devices)

    async def _tell_earlier(self, batch: list[_Wanted], moments: list[int]) -> None:
        """In an update that goes on, gateways of before read their documents alone."""
        told: dict[str, Bucket] = {}
        for wanted, moment in zip(batch, moments, strict=True):
            bucket = told.setdefault(_key_of(wanted.user, LEGACY_BUCKETS, LEGACY_DIGITS), {})
            _merged(bucket, {wanted.user: {wanted.device: moment}})
        for key, bucket in told.items():
            await self._merge_in(key, bucket)

    async def _merge_in(self, key: str, told: Bucket) -> None:
        for _ in range(TRIES):
            document = await self._documents.get(key)
            try:
                stored = _decode(document.value) if document else {}
                bucket = _merged(_pruned(stored, int(self._clock()) - self._kept_s), told)
                await self._documents.put(
                    key, msgspec.json.encode(bucket), document.revision if document else 0
                )
            except Conflict:
                continue
            except (msgspec.MsgspecError, DocumentTooLarge) as error:
                log.error("gateways of an earlier version do not hear of a revocation", reason=str(error))
            return
        raise DocumentsUnavailable(f"{key} is written by other processes all the time")

    def _add(self, bucket: Bucket, wanted: _Wanted) -> int:
        """A moment above all that tokens of the user can name."""
        devices = bucket.get(wanted.user, {})
        latest = max(self.latest(wanted.user), *devices.values(), 0)
        moment = max(int(self._clock()), latest + 1)
        if not wanted.device or (len(devices) >= DEVICES and wanted.device not in devices):
            bucket[wanted.user] = {"": moment}
        else:
            bucket[wanted.user] = {**devices, wanted.device: moment}
        return moment

    def _remember(self, batch: list[_Wanted], moments: list[int]) -> None:
        """Until they are heard: a token that is signed next names them."""
        for wanted, moment in zip(batch, moments, strict=True):
            if moment > self.latest(wanted.user):
                self._made[wanted.user] = moment

    def _take(self, key: str, document: Document | None) -> None:
        """What was heard of is over, also where the document goes back or goes away."""
        try:
            bucket = _decode(document.value) if document else {}
        except msgspec.MsgspecError as error:
            log.error("revocations cannot be read; those known before go on", key=key, reason=str(error))
            return
        if len(key) == len(PREFIX) + LEGACY_DIGITS:
            (self._legacy.add if document else self._legacy.discard)(key)
            self._take_over(bucket)
            return
        before, oldest = self._buckets.get(key, {}), int(self._clock()) - self._kept_s
        there = _pruned(bucket, oldest)
        bucket = _pruned(_merged(dict(bucket), before), oldest)
        (self._behind.discard if bucket == there else self._behind.add)(key)
        self._learn(key, bucket)

    def _take_over(self, legacy: Bucket) -> None:
        """What an earlier version keeps in fewer documents goes into those of now."""
        for user, devices in legacy.items():
            if self._merge_known(user, devices):
                self._behind.add(key_of(user))

    def _merge_known(self, user: str, devices: dict[str, int]) -> bool:
        """Whether something of it is new."""
        key = key_of(user)
        known = self._buckets.get(key, {})
        bucket = _merged({user: devices}, known)
        if bucket == known:
            return False
        self._learn(key, bucket)
        return True

    def _learn(self, key: str, bucket: Bucket) -> None:
        before, self._buckets[key] = self._buckets.get(key, {}), bucket
        for user, devices in bucket.items():
            known = before.get(user, {})
            if devices == known:
                continue
            if 0 < self._made.get(user, 0) <= max(devices.values()):
                del self._made[user]
            for device, moment in devices.items():
                if moment > known.get(device, 0):
                    self._on_revoked(user, device or None)


def key_of(user: str) -> str:
    """The document in which a user's revocations stand."""
    return _key_of(user, BUCKETS, 3)


def _key_of(user: str, buckets: int, digits: int) -> str:
    hashed = int.from_bytes(blake2b(user.encode(), digest_size=2).digest())
    return f"{PREFIX}{hashed % buckets:0{digits}x}"


def _merged(bucket: Bucket, other: Bucket) -> Bucket:
    """The later moment of each, and none of a device that its user's covers."""
    for user, devices in other.items():
        mine = bucket.get(user)
        if mine == devices:
            continue
        both = dict(mine or {})
        for device, moment in devices.items():
            both[device] = max(moment, both.get(device, 0))
        every = both.get("", 0)
        bucket[user] = {device: moment for device, moment in both.items() if not device or moment > every}
    return bucket


def _pruned(bucket: Bucket, oldest: int) -> Bucket:
    """Without users of whom nothing matters any more."""
    return {user: devices for user, devices in bucket.items() if max(devices.values(), default=0) > oldest}
