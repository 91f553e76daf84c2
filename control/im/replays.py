"""Answers of the HTTP API under their Idempotency-Key: kept by the store of the im processes, and asked for
the way a method of the message service is, so that a control process needs no store of its own."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from control.im.api import ImApi
from im_service.calls import Args
from im_service.errors import UNDECODABLE, Code, ImError
from im_service.ports import Clock
from im_service.storage.errors import StoreConflict, StoreError
from im_service.storage.faces.housekeeping import Replays
from im_service.storage.records import Replay

BEGIN: Final = "replay.begin"
FINISH: Final = "replay.finish"
DROP: Final = "replay.drop"


class BeginArgs(Args):
    key: str
    digest: bytes
    lease_ms: int
    entries: int


class FinishArgs(Args):
    ticket: int
    status: int
    body: bytes
    ttl_ms: int


class DropArgs(Args):
    ticket: int


async def begin(im: ImApi, key: str, digest: bytes, lease_ms: int, entries: int) -> Replay:
    """`Replays.begin_request` of the store. ImError CONFLICT: the key was used with another digest."""
    asked = BeginArgs(key=key, digest=digest, lease_ms=lease_ms, entries=entries)
    return Replay(*await im.call(BEGIN, asked))


async def finish(im: ImApi, ticket: int, status: int, body: bytes, ttl_ms: int) -> None:
    """Keep the answer for ttl_ms."""
    await im.call(FINISH, FinishArgs(ticket=ticket, status=status, body=body, ttl_ms=ttl_ms))


async def drop(im: ImApi, ticket: int) -> None:
    """The request had no effect: its key is free again."""
    await im.call(DROP, DropArgs(ticket=ticket))


A = TypeVar("A", bound=Args)


def _read(arguments: Args | msgspec.Raw, kind: type[A]) -> A:
    """As they are in this process, or as they came over the bus."""
    if isinstance(arguments, kind):
        return arguments
    assert isinstance(arguments, msgspec.Raw)
    return msgspec.msgpack.decode(arguments, type=kind)


class ReplayKeeper:
    """The side of the im process. `handles` names what is for it and not for the message service."""

    handles: Final = frozenset({BEGIN, FINISH, DROP})

    def __init__(self, store: Replays, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, name: str, arguments: Args | msgspec.Raw) -> object:
        try:
            return await self._call(name, arguments)
        except UNDECODABLE:
            raise ImError(Code.MALFORMED) from None
        except StoreConflict as error:
            raise ImError(Code.CONFLICT, str(error)) from None
        except StoreError as error:  # as /readyz says it
            raise ImError(Code.UNAVAILABLE, f"no Idempotency-Key can be kept: {error}") from None

    async def _call(self, name: str, arguments: Args | msgspec.Raw) -> object:
        now_ms = self._clock.now_ms()
        if name == BEGIN:
            new = _read(arguments, BeginArgs)
            return await self._store.begin_request(new.key, new.digest, now_ms, new.lease_ms, new.entries)
        if name == FINISH:
            done = _read(arguments, FinishArgs)
            expires_ms = now_ms + done.ttl_ms
            return await self._store.finish_request(done.ticket, done.status, done.body, expires_ms)
        await self._store.drop_request(_read(arguments, DropArgs).ticket)
        return None
