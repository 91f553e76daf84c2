"""What changes under a prefix: every event in order, none missing, none twice, whatever becomes of a member.

    stream      from the last revision that was told + 1; one counts as told when all its events are there
    silence     after SILENCE_S the member is asked for a sign of life; without one another member is
    compaction  history has gone: what is there is listed, and what differs is told
    listing     every relist_s all keys are compared with what was told: servers have lost events

Of the header's revision nothing is believed but in a listing: members before 3.4.25 say one in a sign of life
that is ahead of the events they have sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from control.coordination.etcd.calls import WATCH
from control.coordination.etcd.channels import Member, broken
from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.errors import (
    Compacted,
    Denied,
    EtcdError,
    EtcdUnavailable,
    error_of,
)
from control.coordination.etcd.messages import Found, KeyValue, end_of, messages
from control.logs import get_logger

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpc.aio import StreamStreamCall

log = get_logger("etcd")

SILENCE_S = 2.0
ANSWER_S = 1.5
"""For a sign of life."""
AGAIN_S = 1.0
"""Between two tries to open a stream, at most; the first is made at once."""
_DELETE = 1


class Event(NamedTuple):
    """`value` None: the key is gone."""

    key: bytes
    value: bytes | None
    revision: int


class Watch:
    """Iterate over `events`. `known`: keys that were there at `after`, with their revisions; None: who knows.
    Raises EtcdError where it is refused, not where nobody answers.
    """

    def __init__(
        self, client: EtcdClient, prefix: bytes, after: int, known: Mapping[bytes, int] | None = None
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._cluster = client.calls.cluster
        self._began = after
        self._done = after
        self._told = dict(known or {})  # key -> revision of what was told last
        self._whole: list[Event] = []  # of a revision whose last event may be still to come
        self._member: Member | None = None
        self._call: StreamStreamCall | None = None
        self._reading: asyncio.Task[Message] | None = None
        self._probed = False
        self._failures = 0
        self._denied = False
        self._listing: Found | None = None
        self._gone: set[bytes] = set()  # since that listing
        self._blind = known is None  # what was there before is not missed
        self._relist_at = self._next_listing()

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            while True:
                for event in await self._more():
                    yield event
        finally:
            self._hang_up()

    async def _more(self) -> list[Event]:
        try:
            if self._call is None:
                await self._open()
            answer = await self._heard()
            events = self._taken(answer)
            with contextlib.suppress(EtcdUnavailable):
                events += await self._compared(alive=not answer.events and not answer.created)
            return events
        except Compacted as error:
            self._hang_up()
            log.warning("a watch begins anew with a listing", prefix=self._prefix.decode(), reason=str(error))
            return await self._afresh()
        except EtcdUnavailable as error:
            await self._lost(error)
            return []

    # -- the stream

    async def _open(self) -> None:
        m, calls = messages(), self._client.calls
        self._member = calls.members.current
        self._call = await calls.open_stream(self._member, "Watch/Watch")
        create = m.WatchCreateRequest(
            key=self._prefix or b"\0",
            range_end=end_of(self._prefix),
            start_revision=self._done + 1,
            fragment=True,
        )
        await self._write(m.WatchRequest(create_request=create))

    async def _write(self, request: Message) -> None:
        assert self._call is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._call.write(request)
        except TimeoutError:
            raise EtcdUnavailable(f"{self._where}: takes no requests") from None
        except asyncio.InvalidStateError:
            raise EtcdUnavailable(f"{self._where}: the stream has ended") from None
        except (asyncio.CancelledError, EtcdError) as error:
            raise broken(error, self._where) from None
        except Exception as error:
            raise self._ended(error) from None

    async def _heard(self) -> Message:
        """The next answer. After a silence the member is probed, and given up when that changes nothing."""
        import grpc.aio

        assert self._call is not None
        while True:
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._call.read())
            await asyncio.wait({self._reading}, timeout=ANSWER_S if self._probed else SILENCE_S)
            if self._reading.done():
                break
            if self._probed:
                raise EtcdUnavailable(f"{self._where}: silent")
            await self._list_if_due()
            self._probed = True
            await self._write(messages().WatchRequest(progress_request=messages().WatchProgressRequest()))
        reading, self._reading, self._probed = self._reading, None, False
        try:
            answer = reading.result()
        except asyncio.CancelledError as error:
            raise broken(error, self._where) from None
        except Exception as error:
            raise self._ended(error) from None
        if answer is grpc.aio.EOF:
            raise error_of((await self._call.code()).name, await self._call.details() or "", self._where)
        return answer

    def _ended(self, error: Exception) -> EtcdError:
        import grpc.aio

        if isinstance(error, grpc.aio.AioRpcError):
            return error_of(error.code().name, error.details() or "", self._where)
        if isinstance(error, grpc.aio.UsageError):
            return EtcdUnavailable(f"{self._where}: the connection was closed")
        raise error

    @property
    def _where(self) -> str:
        return self._member.name if self._member is not None else "etcd"

    def _hang_up(self) -> None:
        call, self._call = self._call, None
        reading, self._reading = self._reading, None
        if call is not None:
            call.cancel()
        if reading is not None:
            reading.cancel()
            reading.add_done_callback(_seen)
        self._probed = False
        self._listing = None
        self._whole.clear()

    async def _lost(self, error: EtcdUnavailable) -> None:
        calls, member = self._client.calls, self._member
        self._hang_up()
        calls.counts.reconnects += 1
        if self._failures:
            calls.failed(error, WATCH)  # with the first one, only that member is away
        else:
            log.warning("a watch was cut off", prefix=self._prefix.decode(), reason=str(error))
        if member is not None:
            await calls.members.leave(member)
        await asyncio.sleep(AGAIN_S * random.random() * min(1.0, self._failures / 4))
        self._failures += 1

    # -- what it says

    def _taken(self, answer: Message) -> list[Event]:
        self._heard_of(answer)
        if answer.compact_revision:
            raise Compacted(f"{self._where}: compacted at {answer.compact_revision}")
        if answer.canceled:
            self._canceled(answer.cancel_reason)
        if answer.created:
            self._client.calls.well(WATCH)
            self._denied, self._failures = False, 0
            if answer.header.revision < self._done:
                raise Compacted(f"{self._where}: at revision {answer.header.revision}, not {self._done}")
        events: list[Event] = []
        for event in answer.events:
            kv = event.kv
            if self._whole and self._whole[-1].revision < kv.mod_revision:
                events += self._told_now()
            value = None if event.type == _DELETE else kv.value
            self._whole.append(Event(kv.key, value, kv.mod_revision))
        return events if answer.fragment else events + self._told_now()

    def _heard_of(self, answer: Message) -> None:
        """A snapshot that was put back goes on past what was told of the history that is lost with it."""
        assert self._member is not None
        if not answer.header.cluster_id:
            return
        self._client.calls.heard(self._member, answer)
        before, self._cluster = self._cluster, int(answer.header.cluster_id)
        if before not in (0, self._cluster):
            self._done = 0
            raise Compacted(f"{self._where}: another cluster than before")

    def _canceled(self, reason: str) -> None:
        """A member from before 3.5 says of an old token that the permission is denied."""
        denied = "permission denied" in reason or "auth" in reason or "user name" in reason
        if denied and (self._denied or not self._client.section.user):
            raise self._client.calls.failed(Denied(f"{self._where}: {reason}"), WATCH)
        if denied:
            self._denied = True
            self._client.calls.forget()
        raise EtcdUnavailable(f"{self._where}: {reason or 'the watch was cancelled'}")

    def _told_now(self) -> list[Event]:
        """The events of a whole revision, but for those that were told already."""
        found = [
            event
            for event in self._whole
            if event.revision > self._done and event.revision > self._told.get(event.key, 0)
        ]
        if self._whole:
            self._done = max(self._done, self._whole[-1].revision)
        self._whole.clear()
        for event in found:
            self._note(event)
        return found

    def _note(self, event: Event) -> None:
        if event.value is None:
            self._told.pop(event.key, None)
            self._gone.add(event.key)
        else:
            self._told[event.key] = event.revision
            self._gone.discard(event.key)

    # -- what is there

    async def _afresh(self) -> list[Event]:
        """What differs from what was told, where the events of it are lost or those of another store. Raises
        EtcdError."""
        try:
            found = await self._client.list(self._prefix)
        except EtcdUnavailable as error:
            await self._lost(error)
            return []
        since = self._done if found.revision >= self._done else 0
        there = {kv.key for kv in found.keys}
        changed = sorted((kv for kv in found.keys if kv.revision > since), key=lambda kv: kv.revision)
        events = [Event(kv.key, kv.value, kv.revision) for kv in changed]
        events += [Event(key, None, found.revision) for key in sorted(self._told.keys() - there)]
        self._told = {kv.key: kv.revision for kv in found.keys}
        self._began = self._done = found.revision
        self._relist_at = self._next_listing()
        return events

    async def _list_if_due(self) -> None:
        if asyncio.get_running_loop().time() < self._relist_at:
            return
        self._relist_at = self._next_listing()
        with contextlib.suppress(EtcdUnavailable):
            self._gone.clear()
            self._listing = await self._client.list(self._prefix, keys_only=True)

    async def _compared(self, *, alive: bool) -> list[Event]:
        """What a listing shows and no event told, once every event up to it must have come: a later one has,
        or the member said after it that there is nothing more."""
        if self._listing is None:
            await self._list_if_due()
            return []
        if not alive and self._done < self._listing.revision:
            return []
        listing, self._listing = self._listing, None
        there = {kv.key for kv in listing.keys}
        missed = [kv.key for kv in listing.keys if self._missed(kv, listing.revision)]
        self._blind = False
        stale = [key for key, told in self._told.items() if key not in there and told <= listing.revision]
        events = []
        for key in [*missed, *stale]:
            found = await self._client.get(key)
            if found is None and key in self._told:
                events.append(Event(key, None, max(listing.revision, self._done)))
            elif found is not None and found.revision != self._told.get(key, 0):
                events.append(Event(key, found.value, found.revision))
        for event in events:
            log.error("etcd had not told of a change", key=event.key.decode(errors="replace"))
            self._client.calls.counts.divergences += 1
            self._note(event)
        return events

    def _missed(self, kv: KeyValue, listed: int) -> bool:
        """Also of a lower revision than was told: of another history of the same cluster."""
        if kv.key in self._gone:
            return False
        told = self._told.get(kv.key, 0)
        if not told and self._blind and kv.revision <= self._began:
            self._told[kv.key] = kv.revision
            return False
        return kv.revision > told or kv.revision < told <= listed

    def _next_listing(self) -> float:
        """Spread, so that the watches of a cluster do not list together."""
        return asyncio.get_running_loop().time() + self._client.section.relist_s * random.uniform(0.75, 1.25)


def _seen(reading: asyncio.Task[Message]) -> None:
    if not reading.cancelled():
        reading.exception()
