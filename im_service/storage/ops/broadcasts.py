"""Broadcasts of the application's server: kept for those who come while they live."""

from im_service.storage.errors import StoreMissing
from im_service.storage.ops.tx import Op, first, rows
from im_service.storage.records import Broadcast


def add(payload: bytes, platforms: int, now_ms: int, expires_ms: int) -> Op[Broadcast]:
    made = yield from first(
        "INSERT INTO broadcast (payload, platforms, created_ms, expires_ms) VALUES ($1, $2, $3, $4)"
        " RETURNING id",
        payload, platforms, now_ms, expires_ms,
    )  # fmt: skip
    assert made is not None
    return Broadcast(made[0], payload, platforms, now_ms, expires_ms)


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
