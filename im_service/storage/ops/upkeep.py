"""Expiry in small bites, and what there is to count."""

from im_service.storage.ops.events import note_gone
from im_service.storage.ops.tx import DropKeys, Op, Row, first, rows, run
from im_service.storage.records import HISTORY, Limits

_HANGING = ("message_version", "reaction", "receipt", "review", "report")


def _drop(found: list[Row]) -> Op[None]:
    """What hangs on removed messages (conv, seq, sender, client_id, id)."""
    if found:
        yield from note_gone("gone_message", [row[4] for row in found])
        yield DropKeys([(row[2], row[3]) for row in found])
    for conv, seq, *_ in found:
        for table in _HANGING:
            yield from run(f"DELETE FROM {table} WHERE conv = $1 AND seq = $2", conv, seq)


def _sweep(key: str, history: bool, before_ms: int, keep_ms: int, max_rows: int) -> Op[tuple[list[Row], int]]:
    """Walk the log once, oldest row first, and remove one class of rows older than before_ms.

    Where the walk stopped is kept in `meta`; a row is looked at once per class, then never again. A row that
    is passed because its stamp is younger than those behind it (a clock was ahead, or two processes met) is
    given an end of its own: that of its class.
    -> (conv, seq, sender, client_id) of those removed, and 1 if it got any further.
    """
    position = yield from first("SELECT value FROM meta WHERE key = $1", key)
    start: int = position[0] if position else 0
    step = yield from first(
        "SELECT max(id) FROM (SELECT id, time_ms FROM message WHERE id > $1 ORDER BY id LIMIT $2) s"
        " WHERE s.time_ms < $3",
        start, max_rows, before_ms,
    )  # fmt: skip
    if step is None or step[0] is None:
        return [], 0
    end: int = step[0]
    passed = "id > $1 AND id <= $2"
    kept = f"bits & {HISTORY} {'<>' if history else '='} 0 AND expires_ms = 0"
    gone = yield from rows(
        f"DELETE FROM message WHERE {passed} AND time_ms < $3 AND {kept}"
        " RETURNING conv, seq, sender, client_id, id",
        start, end, before_ms,
    )  # fmt: skip
    yield from run(
        f"UPDATE message SET expires_ms = time_ms + $4 WHERE {passed} AND time_ms >= $3 AND {kept}",
        start, end, before_ms, keep_ms,
    )  # fmt: skip
    yield from run("UPDATE meta SET value = $1 WHERE key = $2", end, key)
    return gone, 1


def expire(now_ms: int, limits: Limits, max_rows: int) -> Op[int]:
    short_ms = 0 if 0 in (limits.offline_ms, limits.roam_ms) else max(limits.offline_ms, limits.roam_ms)
    gone = yield from rows(
        "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE expires_ms > 0 AND expires_ms <= $1"
        " AND time_ms < $2 LIMIT $3) RETURNING conv, seq, sender, client_id, id",
        now_ms, now_ms - limits.dedupe_ms, max_rows,
    )  # fmt: skip
    went_on = 0
    for key, history, keep_ms in (
        ("swept_short", False, short_ms),
        ("swept_long", True, limits.history_ms and max(limits.history_ms, short_ms)),
    ):
        if keep_ms:
            keep_ms = max(keep_ms, limits.dedupe_ms)
            more, step = yield from _sweep(key, history, now_ms - keep_ms, keep_ms, max_rows)
            gone += more
            went_on |= step
    yield from _drop(gone)
    keys = yield from rows(
        "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_ms <= $1 LIMIT $2)"
        " RETURNING key",
        now_ms, max_rows,
    )  # fmt: skip
    ended = yield from rows("DELETE FROM broadcast WHERE expires_ms <= $1 RETURNING id", now_ms)
    return len(gone) + len(keys) + len(ended) + went_on


def age_clock(now_ms: int, elapsed_ms: int, last_ms: int, slack_ms: int) -> Op[int]:
    kept = yield from first("SELECT value FROM meta WHERE key = 'age_clock'")
    if kept is None:
        kept = yield from first("SELECT time_ms FROM message ORDER BY id DESC LIMIT 1")
    before: int = now_ms if kept is None else kept[0]
    if last_ms in (0, before):  # else another process moved it, and its word counts
        before += elapsed_ms
    age_ms = now_ms if now_ms <= before + slack_ms else before
    yield from run(
        "INSERT INTO meta VALUES ('age_clock', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        age_ms,
    )
    return age_ms


_NEWEST_ROWS = 1000
"""Ids are given before the commit and by several processes: the highest is among the last rows."""


def newest_server_id() -> Op[int]:
    found = yield from first(
        "SELECT max(server_id) FROM (SELECT server_id FROM message ORDER BY id DESC LIMIT $1) s", _NEWEST_ROWS
    )
    return 0 if found is None or found[0] is None else int(found[0])


def stats() -> Op[dict[str, int]]:
    """Asked for once a second, so it counts nothing: the ends of indexes, however long the tables are."""
    return _numbers(
        ("last_message", "max(id) FROM message"),
        ("last_conversation", "max(id) FROM conversation"),
        ("last_account", "max(id) FROM account"),
        ("schema", "max(version) FROM schema_migration"),
    )


def _numbers(*sources: tuple[str, str]) -> Op[dict[str, int]]:
    numbers: dict[str, int] = {}
    for name, source in sources:
        found = yield from first(f"SELECT {source}")
        numbers[name] = int(found[0] or 0) if found else 0
    return numbers
