"""The durable copy: rows beside the log, one order through both, cursors that are kept.

Rows are given numbers where they stand in the order: on PostgreSQL messages and events draw from one
sequence; on SQLite, whose one writer numbers each table, an event remembers the last message before it
(`pos`).
"""

from collections.abc import Sequence

from im_service.storage.codec import unpack_target
from im_service.storage.errors import StoreConflict, StoreFull
from im_service.storage.event_records import (
    Entry,
    EventRow,
    Events,
    EventState,
    GroupRow,
    Life,
    LogRow,
    NewEvent,
    Place,
    Volume,
)
from im_service.storage.ops.tx import Emit, Ends, Op, Row, first, rows, run
from im_service.storage.records import Aim

PAGE_BYTES = 1 << 20
"""Of one stretch: a page of the largest messages must not fill the memory."""
_STEP = 100
_WALK = 5_000
COUNTED = 10_000
"""Rows behind a cursor that are counted; more are told by their numbers."""
LOOKED_AT = 10_000
"""Numbers that are looked through for the first row of a time."""
DISORDER, DISORDER_MS = 2_000, 60_000
"""Times rise with the numbers, but for so many places and so long: several processes and clocks give them."""
_MESSAGES = (
    "SELECT m.id, c.name, m.seq, m.server_id, m.time_ms, a.name, m.client_id, m.type, m.payload, m.bits,"
    " m.flags, m.expires_ms, m.target FROM message m JOIN conversation c ON c.id = m.conv"
    " JOIN account a ON a.id = m.sender WHERE m.id > $1 AND m.id <= $2 ORDER BY m.id LIMIT $3"
)
RELEASED = "@released"
"""Kind of an event that stands for a message: it was passed over at its own place. `data` is its seq."""
_RELEASED = (
    "SELECT m.id, c.name, m.seq, m.server_id, m.time_ms, a.name, m.client_id, m.type, m.payload, m.bits,"
    " m.flags, m.expires_ms, m.target FROM message m JOIN conversation c ON c.id = m.conv"
    " JOIN account a ON a.id = m.sender WHERE m.seq = $2"
    " AND m.conv = (SELECT id FROM conversation WHERE name = $1)"
)
_EVENTS = (
    "SELECT id, server_id, time_ms, kind, subject, env, data, pos FROM event"
    " WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3"
)


def settled() -> Op[Place]:
    """On an engine whose reads see everything that was numbered."""
    return Place(*(yield Ends())[0])


def state() -> Op[EventState]:
    lives = yield from rows("SELECT id, message_end, event_end FROM incarnation ORDER BY number")
    gone: dict[str, int] = dict((
        yield from rows("SELECT key, value FROM meta WHERE key IN ('gone_message', 'gone_event')")
    ))  # fmt: skip
    ends = (yield Ends())[0]
    return EventState(
        [Life(row[0], Place(row[1], row[2])) for row in lives],
        Place(*ends),
        Place(gone.get("gone_message", 0), gone.get("gone_event", 0)),
    )


def stretch(after: Place, settled: Place, limit: int) -> Op[Events]:
    """What is committed behind `after`, in order, nothing beyond `settled`."""
    # In one snapshot: what expires meanwhile is either here or noted there.
    now = yield from state()
    entries: list[Entry] = []
    place, size = after, 0
    while len(entries) < limit and size < PAGE_BYTES:
        step = min(_STEP, limit - len(entries))
        found = yield from _step(place, settled, step)
        for entry in found:
            entries.append(entry)
            size += len(entry.row.payload if isinstance(entry.row, LogRow) else entry.row.data)
        if len(found) < step:
            place = Place(max(place.message, settled.message), max(place.event, settled.event))
            return Events(entries, place, False, now)
        place = found[-1].behind
    return Events(entries, place, True, now)


def _step(after: Place, settled: Place, limit: int) -> Op[list[Entry]]:
    messages = yield from rows(_MESSAGES, after.message, settled.message, limit)
    events = yield from rows(_EVENTS, after.event, settled.event, limit)
    names = yield from _names(messages)
    merged = sorted(
        [(row[0], 0, row) for row in messages] + [(row[7], row[0], row) for row in events],
        key=lambda entry: entry[:2],
    )
    entries: list[Entry] = []
    place = after
    for position, number, row in merged[:limit]:
        # An event stands behind all messages up to its position, so they were passed.
        place = Place(max(place.message, position), number or place.event)
        told: LogRow | EventRow = EventRow(*row[:7]) if number else _log_row(row, names)
        if isinstance(told, EventRow) and told.kind == RELEASED:
            found = yield from rows(_RELEASED, told.subject, int(told.data))
            if found:  # else it has expired
                told = _log_row(found[0], (yield from _names(found)))
        entries.append(Entry(told, place))
    return entries


def _names(messages: Sequence[Row]) -> Op[dict[int, str]]:
    numbers = {usr for row in messages if row[12] is not None for usr in unpack_target(row[12]).ids}
    if not numbers:
        return {}
    return dict((yield from rows("SELECT id, name FROM account WHERE id IN_INTS($1)", sorted(numbers))))


def _log_row(row: Row, names: dict[int, str]) -> LogRow:
    aim = None
    if row[12] is not None:
        packed = unpack_target(row[12])
        users = tuple(names[usr] for usr in sorted(packed.ids))
        aim = Aim(users, packed.inclusive, packed.new_joiners_see, packed.about)
    return LogRow._make((*row[:12], aim))


def released(conv: int, seq: int, now_ms: int) -> Op[None]:
    """A message that readers passed over, because it was hidden, comes now."""
    name = yield from first("SELECT name FROM conversation WHERE id = $1", conv)
    assert name is not None
    yield Emit([NewEvent(0, now_ms, RELEASED, name[0], b"%d" % seq)])


def behind(after: Place, settled: Place) -> Op[tuple[int, int]]:
    """How many rows lie behind, and the time of the first of them (0: there is none)."""
    count, oldest = 0, 0
    for table, low, high in (
        ("message", after.message, settled.message),
        ("event", after.event, settled.event),
    ):
        found = yield from first(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE id > $1 AND id <= $2 LIMIT $3) s",
            low, high, COUNTED + 1,
        )  # fmt: skip
        some: int = found[0] if found else 0
        count += high - low if some > COUNTED else some
        row = yield from first(
            f"SELECT time_ms FROM {table} WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1", low, high
        )
        if row is not None:
            oldest = min(oldest or row[0], row[0])
    return count, oldest


def at_time(time_ms: int, settled: Place) -> Op[Place]:
    """Before everything of this time or later, and behind what is older as far as it is looked at."""
    message = yield from _seek("message", time_ms, settled.message)
    event = yield from _seek("event", time_ms, settled.event)
    return Place(message, event)


def _seek(table: str, time_ms: int, settled: int) -> Op[int]:
    before = yield from _surely_before(table, time_ms - DISORDER_MS, settled)
    until = min(before + LOOKED_AT, settled)
    found = yield from first(
        f"SELECT id FROM {table} WHERE id > $1 AND id <= $2 AND time_ms >= $3 ORDER BY id LIMIT 1",
        before, until, time_ms,
    )  # fmt: skip
    return until if found is None else int(found[0]) - 1


def _surely_before(table: str, time_ms: int, high: int) -> Op[int]:
    """A number below which all are older, whatever the disorder."""
    low = 0
    while high - low > DISORDER:
        middle = (low + high) // 2
        row = yield from first(
            f"SELECT time_ms FROM {table} WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT 1", middle, high
        )
        if row is None or row[0] >= time_ms:
            high = middle
        else:
            low = middle
    return max(0, low - DISORDER)


def groups(name: str | None) -> Op[list[GroupRow]]:
    """All of them, without their notes, or the one of this name."""
    columns = "name, cursor, revision, committed_ms"
    if name is None:
        found = yield from rows(f"SELECT {columns} FROM event_group ORDER BY name")
    else:
        found = yield from rows(f"SELECT {columns}, note FROM event_group WHERE name = $1", name)
    return [GroupRow(*row) for row in found]


def commit(
    name: str, cursor: str, revision: int | None, now_ms: int, most: int, note: bytes | None
) -> Op[GroupRow]:
    present = yield from first("SELECT revision, note FROM event_group WHERE name = $1 HELD", name)
    before: int = 0 if present is None else present[0]
    if note is None:
        note = b"" if present is None else bytes(present[1])
    if revision is not None and revision != before:
        raise StoreConflict(f"the revision of group {name} is {before}")
    if present is None:
        counted = yield from first("SELECT count(*) FROM event_group WHERE name NOT LIKE '@%'")
        if counted is not None and counted[0] >= most:
            raise StoreFull(f"there are {most} consumer groups already")
        yield from run(
            "INSERT INTO event_group (name, cursor, revision, committed_ms, note)"
            " VALUES ($1, $2, 1, $3, $4)",
            name, cursor, now_ms, note,
        )  # fmt: skip
    else:
        yield from run(
            "UPDATE event_group SET cursor = $2, revision = revision + 1, committed_ms = $3, note = $4"
            " WHERE name = $1",
            name, cursor, now_ms, note,
        )  # fmt: skip
    return GroupRow(name, cursor, before + 1, now_ms, note)


def drop(name: str) -> Op[bool]:
    return bool((yield from rows("DELETE FROM event_group WHERE name = $1 RETURNING name", name)))


def volume(keep_bytes: int) -> Op[Volume]:
    """Walks from the newest row to the bound."""
    count, size, below = 0, 0, 1 << 62
    while True:
        found = yield from rows(
            "SELECT id, length(data) + length(subject) + 64 FROM event"
            " WHERE id < $1 ORDER BY id DESC LIMIT $2",
            below, _WALK,
        )  # fmt: skip
        for number, length in found:
            if keep_bytes and size + length > keep_bytes:
                return Volume(count, size, number)
            count, size = count + 1, size + length
        if len(found) < _WALK:
            return Volume(count, size, 0)
        below = found[-1][0]


def expire(before_ms: int, cut: int, max_rows: int) -> Op[int]:
    """Remove the oldest rows: those of a time before, and those up to the cut. -> how many; not more than
    max_rows."""
    old = yield from first(
        "SELECT max(id) FROM (SELECT id, time_ms FROM event ORDER BY id LIMIT $1) s"
        " WHERE s.time_ms < $2 OR s.id <= $3",
        max_rows, before_ms, cut,
    )  # fmt: skip
    if old is None or old[0] is None:
        return 0
    gone = yield from rows("DELETE FROM event WHERE id <= $1 RETURNING id", old[0])
    yield from note_gone("gone_event", [row[0] for row in gone])
    return len(gone)


def note_gone(key: str, ids: Sequence[int]) -> Op[None]:
    """Readers who were not there yet are told that they missed something."""
    if ids:
        yield from run("UPDATE meta SET value = $1 WHERE key = $2 AND value < $1", max(ids), key)
