"""What the application's server has the store keep, and what keeps the store in order."""

from collections.abc import Mapping
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import broadcasts, incarnation, replays, upkeep
from im_service.storage.ops.incarnation import Beat, Seen
from im_service.storage.records import Broadcast, Limits, Replay


class Broadcasts(Engine):
    """Messages to everybody that live for a while."""

    async def add_broadcast(self, payload: bytes, platforms: int, now_ms: int, expires_ms: int) -> Broadcast:
        """For those on `platforms` (bit mask, 0 = all) who are here or come before expires_ms."""
        return await self._write(partial(broadcasts.add, payload, platforms, now_ms, expires_ms))

    async def broadcasts(self, after: int, now_ms: int, limit: int = 100) -> list[Broadcast]:
        """Living ones with id > after, oldest first."""
        return await self._read(broadcasts.living(after, now_ms, limit))

    async def end_broadcast(self, number: int) -> None:
        """It lives no more. StoreMissing when there is none with this id."""
        await self._write(partial(broadcasts.end, number))


class Replays(Engine):
    """Answers to requests that carried an Idempotency-Key, the same for every process and after a restart."""

    async def begin_request(
        self, key: str, digest: bytes, now_ms: int, lease_ms: int, entries: int
    ) -> Replay:
        """With a ticket: this caller is the first, does the request, and finishes or drops the ticket.
        Without: the earlier answer, or status 0 while the first still runs. StoreConflict: other digest.

        The key is free again after lease_ms unless finish_request came: its caller may have died. At most
        the latest `entries` keys are kept.
        """
        return await self._write(partial(replays.begin, key, digest, now_ms, lease_ms, entries))

    async def finish_request(self, ticket: int, status: int, body: bytes, expires_ms: int) -> bool:
        """Keep the answer until expires_ms. False: the ticket was over, the key may be somebody else's."""
        return await self._write(partial(replays.finish, ticket, status, body, expires_ms))

    async def drop_request(self, ticket: int) -> None:
        """The request had no effect: its key is free again, if the ticket is not over."""
        await self._write(partial(replays.drop, ticket))


class Housekeeping(Engine):
    async def expire(self, now_ms: int, limits: Limits, max_rows: int = 500) -> int:
        """Remove up to max_rows messages (and what hangs on them), broadcasts and keys that no view can show.

        -> work done; call again until 0 (nothing left for now). One call is one short item for the writer.
        """
        return await self._write(partial(upkeep.expire, now_ms, limits, max_rows))

    async def age_clock(self, now_ms: int, elapsed_ms: int, last_ms: int, slack_ms: int) -> int:
        """The time that deletion may go by: now_ms, unless that is more than slack_ms ahead of where this
        clock stood and the elapsed_ms since; then only those are added. Before its first move it stands at
        the newest message. last_ms: what the caller was told the last time, or 0."""
        return await self._write(partial(upkeep.age_clock, now_ms, elapsed_ms, last_ms, slack_ms))

    async def beat(self, seen: Seen, fresh: bytes, now_ms: int) -> Beat:
        """One small commit, and the store's incarnation. A new one, `fresh`, is made in a new store, and in
        one that was put back from a copy: it lies elsewhere, or knows less than what was `seen` of it."""
        return await self._write(partial(incarnation.beat, await self._origin(), seen, fresh, now_ms))

    async def renew(self, fresh: bytes, now_ms: int) -> None:
        """Begin a new incarnation, because the operator says that the store was put back."""
        await self._write(partial(incarnation.renew, await self._origin(), fresh, now_ms))

    async def pin(self, root: int) -> int:
        """Clients that use this store have pinned a root key, of which this is a number above 1: `pinned`
        tells that from now on. Returns the number that was noted before; 0: none, 1: that of a store that
        was used before numbers were noted."""
        return await self._write(partial(incarnation.pin, root))

    async def newest_server_id(self) -> int:
        """About the highest that is stored, 0 in an empty log."""
        return await self._read(upkeep.newest_server_id())

    def trouble(self) -> str | None:
        """Why the last transaction was refused as a whole; None when it was committed."""
        return self._open().trouble if self._queue is not None else "the store is closed"

    async def stats(self) -> Mapping[str, float]:
        """schema, queued, bytes; last_message, last_conversation and last_account: the highest number given
        to a row, which is about how many there ever were; commits_total and
        the commit_seconds_total they took, committed_messages_total, failed_commits_total, reads_total and
        rows_read_total of this process. Costs the same however much is stored."""
        queue = self._open()
        numbers = await self._read(upkeep.stats())
        counters, reads = queue.counters, self._done()
        return {
            **numbers,
            "queued": queue.queued,
            "commits_total": counters.commits,
            "commit_seconds_total": counters.commit_seconds,
            "committed_messages_total": counters.committed_messages,
            "failed_commits_total": counters.failed_commits,
            "reads_total": reads.operations,
            "rows_read_total": reads.rows,
            "bytes": await self._bytes(),
        }
