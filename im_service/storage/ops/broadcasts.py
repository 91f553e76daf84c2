"""Broadcasts of the application's server: kept for those who come while they live."""

from im_service.storage.errors import StoreMissing
from im_service.storage.ops.tx import Op, first, rows, run
from im_service.storage.records import Broadcast


def add(payload: bytes, platforms: int, now_ms: int, expires_ms: int) -> Op[Broadcast]:
    # Cursors of clients go by this number: never given twice, and in the order of commits, because the row
    # is held until then.
    last = yield from first("UPDATE meta SET value = value + 1 WHERE key = 'last_broadcast' RETURNING value")
    assert last is not None
    made = Broadcast(last[0], payload, platforms, now_ms, expires_ms)
    yield from run(
        "INSERT INTO broadcast (id, payload, platforms, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)",
        *made,
    )
    return made


def living(after: int, now_ms: int, limit: int) -> Op[list[Broadcast]]:
    found = yield from rows(
        "SELECT id, payload, platforms, created_ms, expires_ms FROM broadcast"
        " WHERE id > $1 AND expires_ms > $2 ORDER BY id LIMIT $3",
        after, now_ms, limit,
    )  # fmt: skip
    return [Broadcast(*row) for row in found]


def end(number: int) -> Op[None]:
    if not (yield from rows("DELETE FROM broadcast WHERE id = $1 RETURNING id", number)):
        raise StoreMissing(f"no broadcast {number}")
