"""A batch of messages into the log, in a handful of round trips, beside other processes doing the same.

The rows of the conversations are locked in order of their number: that makes seq gapless and keeps two
batches from waiting for each other in a circle. Repeated sends are looked up after the locks are held; two
processes that race for one (sender, client_id) in different conversations meet at its unique key, and one
starts again.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence

import asyncpg

from frame.constants import GROUP_PREFIX
from im_service.storage.codec import HELD_COLUMNS, held_row, pack_target, people_of
from im_service.storage.dedupe import CACHED_NAMES, MISSING, Known, repeated
from im_service.storage.ops.tx import Value
from im_service.storage.records import AppendResult, AppendStatus, NewMessage

Head = list[int]  # conv, last_seq, last_time_ms

_LOCK = (
    "SELECT name, id, last_seq, last_time_ms FROM conversation WHERE name = ANY($1::text[])"
    " ORDER BY id FOR UPDATE"
)
_MAKE = (
    "WITH made AS (INSERT INTO conversation (name, change) SELECT n, $2 FROM unnest($1::text[]) n"
    " ORDER BY n ON CONFLICT (name) DO NOTHING RETURNING id, name)"
    " INSERT INTO inbox (usr, conv, change) SELECT p.usr, m.id, $2 FROM made m"
    " JOIN unnest($3::text[], $4::bigint[]) p (name, usr) ON p.name = m.name"
)
_UNMAKE = (  # whose first message was refused has not begun
    "WITH gone AS (DELETE FROM conversation WHERE id = ANY($1::bigint[]) RETURNING id)"
    " DELETE FROM inbox WHERE conv IN (SELECT id FROM gone)"
)
_ALIVE = "SELECT conv FROM chat_group WHERE conv = ANY($1::bigint[]) AND dismissed_ms = 0"
_KNOWN = (
    "SELECT k.sender, k.client_id, k.conv, k.digest, k.server_id, k.seq, k.time_ms"
    " FROM unnest($1::bigint[], $2::text[]) w (sender, client_id)"
    " JOIN send_key k ON k.sender = w.sender AND k.client_id = w.client_id"
)
_INSERT = (
    "INSERT INTO message (conv, seq, sender, client_id, digest, server_id, time_ms, type, bits, flags,"
    " expires_ms, target, payload) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],"
    " $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],"
    " $12::bytea[], $13::bytea[])"
)
_HELD = (
    f"INSERT INTO review (conv, seq, {HELD_COLUMNS}) SELECT * FROM unnest($1::bigint[], $2::bigint[],"
    " $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])"
)
_KEYS = (
    "INSERT INTO send_key (sender, client_id, conv, digest, server_id, seq, time_ms) SELECT * FROM"
    " unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[])"
)
_HEADS = (
    "UPDATE conversation c SET last_seq = n.seq, last_time_ms = n.time_ms, change = $4"
    " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) n (id, seq, time_ms) WHERE c.id = n.id"
)
_ACKS = (
    "INSERT INTO device_mark (usr, number, conv, acked_seq)"
    " SELECT d.usr, d.number, c.id, least(v.seq, c.last_seq)"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) v (person, device, talk, seq)"
    " JOIN account a ON a.name = v.person JOIN device d ON d.usr = a.id AND d.name = v.device"
    " JOIN conversation c ON c.name = v.talk JOIN inbox i ON i.usr = a.id AND i.conv = c.id ORDER BY 1, 2, 3"
    " ON CONFLICT (usr, number, conv) DO UPDATE SET acked_seq = excluded.acked_seq"
    " WHERE excluded.acked_seq > device_mark.acked_seq"
)


class Appender:
    def __init__(self) -> None:
        self._accounts: dict[str, int] = {}

    async def intern(self, conn: asyncpg.Connection, batch: Sequence[NewMessage]) -> None:
        """Number every user named, outside of the batch's transaction: committed, so safe to remember."""
        if len(self._accounts) > CACHED_NAMES:
            self._accounts.clear()
        self._accounts.update(await self._missing(conn, batch))

    async def _missing(self, conn: asyncpg.Connection, batch: Sequence[NewMessage]) -> dict[str, int]:
        """Numbers of those not remembered, made if need be."""
        names = {message.sender for message in batch}
        for message in batch:
            names.update(people_of(message.conversation))
            if message.target is not None:
                names.update(message.target.users)
        missing = sorted(names - self._accounts.keys())
        if not missing:
            return {}
        await conn.execute(
            "INSERT INTO account (name) SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS"
            " (SELECT 1 FROM account a WHERE a.name = n) ORDER BY n ON CONFLICT DO NOTHING",
            missing,
        )
        found = await conn.fetch("SELECT name, id FROM account WHERE name = ANY($1::text[])", missing)
        return {row[0]: row[1] for row in found}

    async def ack(self, conn: asyncpg.Connection, marks: Sequence[tuple[str, str, str, int]]) -> None:
        """Raise delivery watermarks: (user, device, conversation, seq), each key once. Those of conversations
        that the user does not have are passed over."""
        if marks:
            await conn.execute(_ACKS, *(list(column) for column in zip(*marks, strict=True)))

    async def append(
        self, conn: asyncpg.Connection, batch: Sequence[NewMessage], change: int
    ) -> list[AppendResult]:
        """Inside the caller's transaction."""
        # Users numbered by this very transaction are not remembered: it may still be undone.
        accounts = ChainMap(await self._missing(conn, batch), self._accounts)
        names = {message.conversation for message in batch}
        heads, made = await self._heads(conn, names, accounts, change)
        keys = [(accounts[message.sender], message.client_id) for message in batch]
        rows = await conn.fetch(_KNOWN, [key[0] for key in keys], [key[1] for key in keys])
        known: Known = {(row[0], row[1]): tuple(row)[2:] for row in rows}
        results: list[AppendResult] = []
        fresh: list[tuple[Value, ...]] = []
        moved: dict[int, Head] = {}
        held: list[tuple[Value, ...]] = []
        for key, message in zip(keys, batch, strict=True):
            head = heads.get(message.conversation)
            if head is None:
                results.append(MISSING)
                continue
            earlier = known.get(key)
            if earlier is not None:
                results.append(repeated(earlier, head[0], message.digest))
                continue
            head[1] += 1
            head[2] = max(head[2], message.time_ms)
            moved[head[0]] = head
            known[key] = (head[0], message.digest, message.server_id, head[1], head[2])
            target = _target(message, accounts)
            fresh.append((
                head[0], head[1], key[0], message.client_id, message.digest, message.server_id, head[2],
                message.type, message.bits, 0, message.expires_ms, target, message.payload,
            ))  # fmt: skip
            results.append(AppendResult(AppendStatus.NEW, message.server_id, head[1], head[2]))
            if message.hold is not None:
                held.append((head[0], head[1], *held_row(message.hold, head[2])))
        if fresh:
            await self._store(conn, fresh, list(moved.values()), change)
        if held:
            await conn.execute(_HELD, *(list(column) for column in zip(*held, strict=True)))
        if idle := [heads[name][0] for name in made if not heads[name][1]]:
            await conn.execute(_UNMAKE, idle)
        return results

    async def _store(
        self, conn: asyncpg.Connection, fresh: list[tuple[Value, ...]], moved: list[Head], change: int
    ) -> None:
        columns = [list(column) for column in zip(*fresh, strict=True)]
        conv, seq, sender, client_id, digest, server_id, time_ms = columns[:7]
        await conn.execute(_KEYS, sender, client_id, conv, digest, server_id, seq, time_ms)
        await conn.execute(_INSERT, *columns)
        ids, seqs, times = (list(column) for column in zip(*moved, strict=True))
        await conn.execute(_HEADS, ids, seqs, times, change)

    async def _heads(
        self, conn: asyncpg.Connection, names: set[str], accounts: Mapping[str, int], change: int
    ) -> tuple[dict[str, Head], list[str]]:
        """Locked ends of these conversations, and those that had to be made; groups that are gone are left
        out."""
        found = await conn.fetch(_LOCK, list(names))
        missing = sorted(
            name for name in names - {row[0] for row in found} if not name.startswith(GROUP_PREFIX)
        )
        if missing:
            people = [(name, user) for name in missing for user in people_of(name)]
            await conn.execute(
                _MAKE, missing, change,
                [name for name, _ in people], [accounts[user] for _, user in people],
            )  # fmt: skip
            found += await conn.fetch(_LOCK, missing)
        heads = {row[0]: [row[1], row[2], row[3]] for row in found}
        groups = [name for name in heads if name.startswith(GROUP_PREFIX)]
        if groups:
            alive = {row[0] for row in await conn.fetch(_ALIVE, [heads[name][0] for name in groups])}
            for name in groups:
                if heads[name][0] not in alive:
                    del heads[name]
        return heads, missing


def _target(message: NewMessage, accounts: Mapping[str, int]) -> bytes | None:
    if message.target is None:
        return None
    users, inclusive, later, about = message.target
    return pack_target([accounts[user] for user in users], inclusive, later, about)
