"""Answers kept under a key, so that a request that is repeated is not done again."""

from im_service.storage.errors import StoreConflict
from im_service.storage.ops.tx import Op, first, rows, run
from im_service.storage.records import Replay

_KEPT = "SELECT digest, status, body FROM idempotency WHERE key = $1"


def begin(key: str, digest: bytes, now_ms: int, lease_ms: int, entries: int) -> Op[Replay]:
    found = yield from first(f"{_KEPT} AND expires_ms > $2", key, now_ms)
    if found is None:
        yield from run("DELETE FROM idempotency WHERE key = $1 AND expires_ms <= $2", key, now_ms)
        made = yield from first(
            "INSERT INTO idempotency (key, digest, expires_ms) VALUES ($1, $2, $3)"
            " ON CONFLICT (key) DO NOTHING RETURNING id",
            key, digest, now_ms + lease_ms,
        )  # fmt: skip
        if made is not None:
            ticket = int(made[0])
            yield from run("DELETE FROM idempotency WHERE id <= $1", ticket - entries)
            return Replay(ticket, 0, b"")
        found = yield from first(_KEPT, key)  # another process was first
        if found is None:
            return Replay(0, 0, b"")  # and dropped it this moment
    if found[0] != digest:
        raise StoreConflict("this key was used for another request")
    return Replay(0, found[1], found[2])


def finish(ticket: int, status: int, body: bytes, expires_ms: int) -> Op[bool]:
    done = yield from rows(
        "UPDATE idempotency SET status = $1, body = $2, expires_ms = $3 WHERE id = $4 AND status = 0"
        " RETURNING id",
        status, body, expires_ms, ticket,
    )  # fmt: skip
    return bool(done)


def drop(ticket: int) -> Op[None]:
    yield from run("DELETE FROM idempotency WHERE id = $1 AND status = 0", ticket)
