"""Which life of the store this is, and whether clients have a root key of it. A store that was put back from
a copy begins a new life."""

from typing import NamedTuple

from im_service.storage.ops.tx import Ends, Op, Row, first, rows, run


class Seen(NamedTuple):
    """What somebody remembers of a store from the last look at it."""

    incarnation: bytes = b""
    beat: int = 0


class Beat(NamedTuple):
    incarnation: bytes  # 16 random bytes
    beat: int  # one more at each look, whoever looks
    restored: str  # why a new incarnation was made, "" if none was


def beat(origin: str, seen: Seen, fresh: bytes, now_ms: int) -> Op[Beat]:
    counted = yield from first(
        "INSERT INTO meta VALUES ('beat', 1) ON CONFLICT (key) DO UPDATE SET value = meta.value + 1"
        " RETURNING value"
    )
    assert counted is not None
    number: int = counted[0]
    reached = yield from _reached()
    present = yield from first("SELECT id, origin FROM incarnation ORDER BY number DESC LIMIT 1")
    reason = ""
    if seen.incarnation and not (
        yield from first("SELECT 1 FROM incarnation WHERE id = $1", seen.incarnation)
    ):
        reason = "it does not know the incarnation that was seen last"
    elif number <= seen.beat:
        reason = "its numbers went back"
    elif present is not None and present[1] not in ("", origin):
        reason = "it is a copy, or was moved"
    if number <= seen.beat:
        number = seen.beat + 1
        yield from run("UPDATE meta SET value = $1 WHERE key = 'beat'", number)
    if present is None:
        yield from run("INSERT INTO meta VALUES ('pinned', 0) ON CONFLICT (key) DO NOTHING")
    if present is None or reason:
        yield from _begin(origin, fresh, now_ms, reached)
        return Beat(fresh, number, reason)
    if not present[1]:
        yield from run("UPDATE incarnation SET origin = $1 WHERE id = $2", origin, present[0])
    return Beat(present[0], number, "")


def _reached() -> Op[Row]:
    """How far the log and the events were at the last beat, which is noted anew. A copy that was put back was
    the same as the store it was made of up to there at least; later rows may be of another life already."""
    found = yield from rows("SELECT key, value FROM meta WHERE key IN ('message_end', 'event_end')")
    before: dict[str, int] = dict(found)
    message_end, event_end = ends = (yield Ends())[0]
    for key, value in (("message_end", message_end), ("event_end", event_end)):
        yield from run(
            "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key,
            value,
        )
    return (before["message_end"], before["event_end"]) if before else ends


def renew(origin: str, fresh: bytes, now_ms: int) -> Op[None]:
    yield from _begin(origin, fresh, now_ms, (yield from _reached()))


def _begin(origin: str, fresh: bytes, now_ms: int, reached: Row) -> Op[None]:
    message_end, event_end = reached
    yield from run(
        "INSERT INTO incarnation (id, origin, made_ms, message_end, event_end) VALUES ($1, $2, $3, $4, $5)",
        fresh, origin, now_ms, message_end, event_end,
    )  # fmt: skip


def pin(root: int) -> Op[int]:
    """The number noted before, 0: none, 1: of a root key that was not noted yet."""
    before = yield from first("SELECT value FROM meta WHERE key = 'pinned'")
    if before is None or before[0] != root:
        yield from run(
            "INSERT INTO meta VALUES ('pinned', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            root,
        )
    return int(before[0]) if before else 0


PINNED = (
    "SELECT coalesce((SELECT value FROM meta WHERE key = 'pinned'), (SELECT count(*) FROM incarnation))"
    " WHERE EXISTS (SELECT 1 FROM incarnation)"
)
"""One row, not 0, of a store that was pinned; stores made before this was noted count as such."""
