"""Chatrooms."""

from collections.abc import Sequence

from frame.constants import ROOM_PREFIX
from im_service.storage.errors import StoreConflict, StoreFull, StoreMissing
from im_service.storage.ops.requests import hold_accounts
from im_service.storage.ops.tx import (
    Op,
    Row,
    account_id,
    find_conversation,
    first,
    given,
    next_change,
    rows,
    run,
)
from im_service.storage.records import Page, QueueItem, Role, Room, RoomMember, TagMute

DAY_MS = 86_400_000
_ROOM = (
    "SELECT c.name, a.name, r.info, r.mute_all, r.closed, r.rev, r.created_ms"
    " FROM room r JOIN conversation c ON c.id = r.conv JOIN account a ON a.id = r.owner"
)
_MEMBER = (
    "SELECT c.name, a.name, m.role, m.named, m.black, m.muted_ms, m.info"
    " FROM room_member m JOIN account a ON a.id = m.usr JOIN conversation c ON c.id = m.conv"
)
_ITEM = "SELECT q.key, q.value, a.name, q.transient, q.pos FROM room_queue q JOIN account a ON a.id = q.owner"


def _room(row: Row) -> Room:
    name, owner, info, mute_all, closed, rev, created = row
    return Room(name[2:], owner, info, bool(mute_all), bool(closed), rev, created)


def _member(row: Row) -> RoomMember:
    name, user, role, named, black, muted, info = row
    return RoomMember(name[2:], user, Role(role), bool(named), bool(black), muted, info)


def _item(row: Row) -> QueueItem:
    key, value, owner, transient, pos = row
    return QueueItem(key, value, owner, bool(transient), pos)


def _conv(room: str) -> Op[int]:
    conv = yield from find_conversation(ROOM_PREFIX + room)
    found = yield from rows("SELECT 1 FROM room WHERE conv = $1", conv or 0)
    if conv is None or not found:
        raise StoreMissing(f"no room {room}")
    return conv


def _lock(room: str) -> Op[int]:
    """As `_conv`, and no other transaction changes this room's queue meanwhile."""
    conv = yield from _conv(room)
    yield from run("UPDATE room SET rev = rev WHERE conv = $1", conv)
    return conv


def create(room: str, owner: str, info: bytes, now_ms: int, limit: int) -> Op[Room]:
    usr = yield from account_id(owner)
    if limit:
        yield from hold_accounts([usr])
    # The conversation of a room that a former release made by joining it.
    yield from run(
        "INSERT INTO conversation (name, change) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        ROOM_PREFIX + room, (yield from next_change()),
    )  # fmt: skip
    conv = yield from find_conversation(ROOM_PREFIX + room)
    made = yield from rows(
        "INSERT INTO room (conv, owner, info, created_ms) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING RETURNING conv",
        conv, usr, info, now_ms,
    )  # fmt: skip
    if not made:
        raise StoreConflict(f"room id {room} is taken")
    if limit:
        held = yield from first(
            "SELECT (SELECT count(*) FROM room WHERE owner = $1 AND closed = 0)"
            " + (SELECT count(*) FROM room WHERE owner = $1 AND closed = 1 AND created_ms > $2)",
            usr, now_ms - DAY_MS,
        )  # fmt: skip
        if held and held[0] > limit:
            raise StoreFull(f"{owner} owns {limit} rooms already")
    return (yield from load([room]))[0]


def load(rooms: Sequence[str]) -> Op[list[Room]]:
    found = yield from rows(f"{_ROOM} WHERE c.name IN_TEXTS($1)", [ROOM_PREFIX + room for room in rooms])
    return [_room(row) for row in found]


def update(
    room: str, info: bytes | None, mute_all: bool | None, closed: bool | None, rev: int | None
) -> Op[Room]:
    conv = yield from _conv(room)
    found = yield from first("UPDATE room SET rev = rev + 1 WHERE conv = $1 RETURNING rev", conv)
    if found and rev is not None and found[0] != rev + 1:
        raise StoreConflict(f"room {room} is at rev {found[0] - 1}, not {rev}")
    for column, value in given(info=info, mute_all=mute_all, closed=closed).items():
        yield from run(f"UPDATE room SET {column} = $1 WHERE conv = $2", value, conv)
    return (yield from load([room]))[0]


def set_member(
    room: str, user: str, role: Role | None, named: bool | None, black: bool | None, muted_ms: int | None,
    info: bytes | None,
) -> Op[RoomMember]:  # fmt: skip
    conv = yield from _conv(room)
    usr = yield from account_id(user)
    yield from run("INSERT INTO room_member (conv, usr) VALUES ($1, $2) ON CONFLICT DO NOTHING", conv, usr)
    values = given(role=role, named=named, black=black, muted_ms=muted_ms, info=info)
    for column, value in values.items():
        yield from run(f"UPDATE room_member SET {column} = $1 WHERE conv = $2 AND usr = $3", value, conv, usr)
    state = (yield from member_states(room, [user]))[user]
    yield from run(
        "DELETE FROM room_member WHERE conv = $1 AND usr = $2"
        " AND role = 0 AND named = 0 AND black = 0 AND muted_ms = 0 AND length(info) = 0",
        conv, usr,
    )  # fmt: skip
    return state


def members(room: str, after: str, limit: int) -> Op[Page[RoomMember]]:
    found = yield from rows(
        f"{_MEMBER} WHERE c.name = $1 AND a.name > $2 ORDER BY a.name LIMIT $3",
        ROOM_PREFIX + room,
        after,
        limit + 1,
    )
    return Page([_member(row) for row in found[:limit]], len(found) > limit)


def member_states(room: str, users: Sequence[str]) -> Op[dict[str, RoomMember]]:
    found = yield from rows(
        f"{_MEMBER} WHERE m.conv = (SELECT id FROM conversation WHERE name = $1)"
        " AND m.usr IN (SELECT id FROM account WHERE name IN_TEXTS($2))",
        ROOM_PREFIX + room,
        list(users),
    )
    return {row[1]: _member(row) for row in found}


def mute_tag(room: str, tag: str, until_ms: int, now_ms: int, most: int) -> Op[list[TagMute]]:
    conv = yield from _lock(room)
    yield from run("DELETE FROM room_tag_mute WHERE conv = $1 AND until_ms <= $2", conv, now_ms)
    if until_ms:
        yield from run(
            "INSERT INTO room_tag_mute (conv, tag, until_ms) VALUES ($1, $2, $3)"
            " ON CONFLICT (conv, tag) DO UPDATE SET until_ms = excluded.until_ms",
            conv, tag, until_ms,
        )  # fmt: skip
    else:
        yield from run("DELETE FROM room_tag_mute WHERE conv = $1 AND tag = $2", conv, tag)
    mutes = yield from tag_mutes(room)
    if most and until_ms and len(mutes) > most:
        raise StoreFull(f"at most {most} muted tags a room")
    return mutes


def tag_mutes(room: str) -> Op[list[TagMute]]:
    found = yield from rows(
        "SELECT tag, until_ms FROM room_tag_mute"
        " WHERE conv = (SELECT id FROM conversation WHERE name = $1) ORDER BY tag",
        ROOM_PREFIX + room,
    )
    return [TagMute(*row) for row in found]


def queue_put(
    room: str, items: Sequence[QueueItem], limit: int, front: bool, over: Sequence[QueueItem] | None
) -> Op[list[QueueItem]]:
    conv = yield from _lock(room)
    if over is not None:
        owners = {item.key: item.owner for item in items}
        for item in (yield from _keys(conv, list(owners))):
            if item.owner != owners[item.key] and item not in over:
                raise StoreConflict(f"{item.key} is {item.owner}'s")
    step = "coalesce(min(pos), 0) - 1" if front else "coalesce(max(pos), 0) + 1"
    for item in items:
        yield from run(
            "INSERT INTO room_queue (conv, key, pos, value, owner, transient)"
            f" VALUES ($1, $2, (SELECT {step} FROM room_queue WHERE conv = $1), $3, $4, $5)"
            " ON CONFLICT (conv, key) DO UPDATE SET value = excluded.value, owner = excluded.owner,"
            " transient = excluded.transient",
            conv, item.key, item.value, (yield from account_id(item.owner)), int(item.transient),
        )  # fmt: skip
    held = yield from first("SELECT count(*) FROM room_queue WHERE conv = $1", conv)
    if held and held[0] > limit:
        raise StoreFull(f"the queue of room {room} holds {limit} elements at most")
    return (yield from _keys(conv, [item.key for item in items]))


def _keys(conv: int, keys: list[str]) -> Op[list[QueueItem]]:
    found = yield from rows(f"{_ITEM} WHERE q.conv = $1 AND q.key IN_TEXTS($2) ORDER BY q.pos", conv, keys)
    return [_item(row) for row in found]


def queue_poll(room: str, key: str | None, owner: str | None) -> Op[QueueItem | None]:
    conv = yield from _lock(room)
    if key is None:
        found = yield from first(f"{_ITEM} WHERE q.conv = $1 ORDER BY q.pos LIMIT 1", conv)
    else:
        found = yield from first(f"{_ITEM} WHERE q.conv = $1 AND q.key = $2", conv, key)
    if found is None:
        return None
    item = _item(found)
    if owner is not None and item.owner != owner:
        raise StoreConflict(f"{item.key} is {item.owner}'s")
    yield from run("DELETE FROM room_queue WHERE conv = $1 AND key = $2", conv, item.key)
    return item


def queue(room: str) -> Op[list[QueueItem]]:
    found = yield from rows(
        f"{_ITEM} WHERE q.conv = (SELECT id FROM conversation WHERE name = $1) ORDER BY q.pos",
        ROOM_PREFIX + room,
    )
    return [_item(row) for row in found]


def queue_clear(room: str, transient_of: str | None) -> Op[list[QueueItem]]:
    conv = yield from _lock(room)
    held = yield from queue(room)
    gone = [item for item in held if transient_of is None or (item.transient and item.owner == transient_of)]
    yield from run(
        "DELETE FROM room_queue WHERE conv = $1 AND key IN_TEXTS($2)", conv, [item.key for item in gone]
    )
    return gone
