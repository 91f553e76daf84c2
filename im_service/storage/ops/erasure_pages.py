"""What one page of each step of an erasure removes. A page that found less than it may is the step's last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, USER_PREFIX, MessageType
from im_service.storage.ops.erasure_steps import Erasure
from im_service.storage.ops.revise import strip
from im_service.storage.ops.tx import DropKeys, Op, account_id, append, first, next_change, rows, run, touch
from im_service.storage.records import FILTERED, AppendResult, NewMessage, ReviewKind, Ruling

ROWS = 200
"""Of a page: sends of others wait no longer for it than for each other."""
WALK = 1000
NOTICE = int(MessageType.NOTIFICATION)


class Tools(NamedTuple):
    """What the service knows and a store does not."""

    left: Callable[[int, bytes], bytes]
    """(bits, payload) of a message that goes -> what is kept of its payload"""
    notice: Callable[[str, str, Sequence[int], bytes], NewMessage]
    """(conversation, sender, seqs that are gone, what is kept of each) -> the row that says so"""
    stripped: Callable[[bytes], bytes]
    """payload of a notice -> the same without free text"""
    event: Callable[[str, str, bytes], bytes | None]
    """(user, subject, data) -> data without what is theirs; None: nothing is"""


class Done(NamedTuple):
    """`place` None: the step is done."""

    counts: dict[str, int]
    place: str | None = None
    names: list[str] = []  # noqa: RUF012
    notices: list[NewMessage] = []  # noqa: RUF012
    results: list[AppendResult] = []  # noqa: RUF012
    gone: list[tuple[str, int, int]] = []  # noqa: RUF012


Page = Callable[[int, Erasure, int, Tools], Op[Done]]


def _again(count: int) -> str | None:
    """Rows that went are met no more: the next page begins where this one did."""
    return "" if count >= ROWS else None


def _names(usrs: Sequence[int]) -> Op[list[str]]:
    found = yield from rows("SELECT name FROM account WHERE id IN_INTS($1) ORDER BY name", list(usrs))
    return [name for (name,) in found]


def _relations(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """What they had of others."""
    gone = yield from rows(
        "DELETE FROM relation WHERE owner = $1 AND other IN"
        f" (SELECT other FROM relation WHERE owner = $1 ORDER BY other LIMIT {ROWS}) RETURNING other, friend",
        usr,
    )
    names = yield from _names([other for other, _ in gone])
    friends = sum(friend for _, friend in gone)
    return Done({"friends": friends, "relations": len(gone) - friends}, _again(len(gone)), names)


def _related(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """What others had of them: an empty row, which the others' devices find behind their cursors."""
    found = yield from rows(
        "SELECT owner FROM relation WHERE other = $1 AND (friend <> 0 OR black <> 0 OR muted <> 0"
        f" OR alias <> '' OR length(ext) > 0) ORDER BY owner LIMIT {ROWS}",
        usr,
    )
    owners = [owner for (owner,) in found]
    if owners:
        yield from run(
            "UPDATE relation SET friend = 0, black = 0, muted = 0, alias = '', ext = $1, time_ms = $2,"
            " change = $3 WHERE other = $4 AND owner IN_INTS($5)",
            b"", now_ms, (yield from next_change()), usr, owners,
        )  # fmt: skip
    return Done({"relations_of_others": len(owners)}, _again(len(owners)), (yield from _names(owners)))


def _requests(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """What they asked of others, or were invited to, and what others asked of them."""
    count = 0
    for where, by in (("usr = $1", usr), ("asker = $1", usr), ("scope = $1", USER_PREFIX + at.user)):
        found = yield from rows(f"SELECT scope, id FROM request WHERE {where} LIMIT {ROWS}", by)
        for scope in sorted({scope for scope, _ in found}):
            gone = yield from rows(
                "DELETE FROM request WHERE scope = $1 AND id IN_INTS($2) RETURNING id",
                scope, [number for each, number in found if each == scope],
            )  # fmt: skip
            count += len(gone)
    return Done({"requests": count}, "" if count else None)


def _push(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    tokens = yield from rows("DELETE FROM push_token WHERE usr = $1 RETURNING device", usr)
    said = yield from rows("DELETE FROM push_rules WHERE usr = $1 RETURNING usr", usr)
    return Done({"push_tokens": len(tokens), "push_rules": len(said)})


def _devices(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    gone = yield from rows(
        "DELETE FROM device WHERE usr = $1 AND name IN"
        f" (SELECT name FROM device WHERE usr = $1 LIMIT {ROWS}) RETURNING name",
        usr,
    )
    return Done({"devices": len(gone)}, _again(len(gone)))


def _marks(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """Device by device, some conversations at a time."""
    one = yield from first("SELECT number FROM device_mark WHERE usr = $1 LIMIT 1", usr)
    if one is None:
        return Done({})
    yield from run(
        "DELETE FROM device_mark WHERE usr = $1 AND number = $2 AND conv IN"
        f" (SELECT conv FROM device_mark WHERE usr = $1 AND number = $2 ORDER BY conv LIMIT {WALK})",
        usr, one[0],
    )  # fmt: skip
    return Done({}, "")


def _messages(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """What they said, wherever: placeholders in its place, and a notice in each conversation."""
    keys = yield from rows(
        "SELECT client_id, conv, seq FROM send_key WHERE sender = $1 AND client_id > $2"
        f" ORDER BY client_id LIMIT {ROWS}",
        usr, at.place,
    )  # fmt: skip
    talks: dict[int, list[int]] = {}
    for _, conv, seq in keys:
        talks.setdefault(conv, []).append(seq)
    counts = {"messages": 0, "notices": 0}
    notices: list[NewMessage] = []
    gone: list[tuple[str, int, int]] = []
    for conv in sorted(talks):
        name, seqs, in_rooms = yield from _silence(conv, sorted(talks[conv]), tools, counts)
        gone += in_rooms
        if seqs and not name.startswith(ROOM_PREFIX) and (yield from _goes_on(conv, name)):
            notices += [tools.notice(name, at.user, each, left) for left, each in seqs.items()]
    told = yield from append(notices)
    place = keys[-1][0] if len(keys) == ROWS else None
    return Done(counts, place, [], notices, told, gone)


def _goes_on(conv: int, name: str) -> Op[bool]:
    """Nothing is said in a group that was dismissed."""
    if not name.startswith(GROUP_PREFIX):
        return True
    return (
        yield from first("SELECT 1 FROM chat_group WHERE conv = $1 AND dismissed_ms = 0", conv)
    ) is not None


def _silence(
    conv: int, seqs: list[int], tools: Tools, counts: dict[str, int]
) -> Op[tuple[str, dict[bytes, list[int]], list[tuple[str, int, int]]]]:
    """-> the conversation, which seqs are gone by what is kept of them, and what those in a room are told."""
    # The conversation first, as whoever appends to it does.
    named = yield from first("SELECT name FROM conversation WHERE id = $1 HELD", conv)
    name: str = "" if named is None else named[0]
    found = yield from rows(
        "SELECT seq, server_id, time_ms, type, flags, client_id, payload, sender, bits FROM message"
        " WHERE conv = $1 AND seq IN_INTS($2) ORDER BY seq",
        conv, seqs,
    )  # fmt: skip
    gone: list[tuple[int, int, int, str, int, bytes]] = []
    kept: dict[bytes, list[int]] = {}
    for seq, server_id, time_ms, type, flags, client_id, payload, sender, bits in found:
        if type == NOTICE and client_id == f"n{server_id}":
            if (stripped := tools.stripped(payload)) != payload:
                yield from run(
                    "UPDATE message SET payload = $1 WHERE conv = $2 AND seq = $3", stripped, conv, seq
                )
                counts["notices"] += 1
            continue
        left = tools.left(bits, payload)
        if not flags & FILTERED or payload != left or client_id != f"e{server_id}":
            kept.setdefault(left, []).append(seq)
            gone.append((seq, server_id, time_ms, client_id, sender, left))
    for seq, server_id, *_, left in gone:
        yield from run(
            "UPDATE message SET payload = $6, digest = $1, client_id = $2, flags = flags | $3"
            " WHERE conv = $4 AND seq = $5",
            b"", f"e{server_id}", FILTERED, conv, seq, left,
        )  # fmt: skip
    if gone:
        where = [seq for seq, *_ in gone]
        yield DropKeys([(sender, client_id) for *_, client_id, sender, _ in gone])
        yield from strip(conv, where)
        yield from run("DELETE FROM report WHERE conv = $1 AND seq IN_INTS($2)", conv, where)
        yield from run("UPDATE review SET note = '' WHERE conv = $1 AND seq IN_INTS($2)", conv, where)
        yield from run(
            f"UPDATE review SET state = {int(Ruling.GONE)} WHERE conv = $1 AND seq IN_INTS($2) AND state = 0"
            f" AND kind IN ({int(ReviewKind.HELD)}, {int(ReviewKind.REPORTED)})",
            conv, where,
        )  # fmt: skip
        yield from touch(conv)
        counts["messages"] += len(gone)
    in_rooms = [(name, server_id, time_ms) for _, server_id, time_ms, *_ in gone]
    return name, kept, in_rooms if name.startswith(ROOM_PREFIX) else []


def _said_of_messages(table: str, kind: str) -> Page:
    """Quick comments or reports of others' messages."""

    def page(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
        found = yield from rows(f"SELECT DISTINCT conv, seq FROM {table} WHERE usr = $1 LIMIT {ROWS}", usr)
        count = 0
        for conv in sorted({conv for conv, _ in found}):
            yield from run("SELECT id FROM conversation WHERE id = $1 HELD", conv)
            gone = yield from rows(
                f"DELETE FROM {table} WHERE conv = $1 AND seq IN_INTS($2) AND usr = $3 RETURNING seq",
                conv, [seq for number, seq in found if number == conv], usr,
            )  # fmt: skip
            count += len(gone)
            yield from touch(conv)
        return Done({kind: count}, _again(len(found)))

    return page


def _receipts(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """What they have read, conversation by conversation, some messages at a time."""
    conv, seq = (int(part) for part in (at.place or "0:0").split(":"))
    found = yield from first(
        "SELECT conv FROM inbox WHERE usr = $1 AND conv >= $2 ORDER BY conv LIMIT 1", usr, conv
    )
    if found is None:
        return Done({})
    seq = seq if found[0] == conv else 0
    last = yield from first(
        f"SELECT max(seq), count(*) FROM (SELECT seq FROM receipt WHERE conv = $1 AND seq > $2"
        f" ORDER BY seq LIMIT {WALK}) s",
        found[0], seq,
    )  # fmt: skip
    if last is None or last[0] is None:
        return Done({}, f"{found[0] + 1}:0")
    gone = yield from rows(
        "DELETE FROM receipt WHERE conv = $1 AND seq > $2 AND seq <= $3 AND usr = $4 RETURNING seq",
        found[0], seq, last[0], usr,
    )  # fmt: skip
    return Done({"receipts": len(gone)}, f"{found[0]}:{last[0]}")


def _conversations(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """They hold none of it any more. How far they had read stays: their peers saw that."""
    found = yield from rows(
        "SELECT i.conv, c.last_seq FROM inbox i JOIN conversation c ON c.id = i.conv"
        " WHERE i.usr = $1 AND i.conv > $2 AND (length(i.settings) > 0"
        " OR i.min_seq <= CASE WHEN i.active = 1 THEN c.last_seq ELSE i.until_seq END)"
        f" ORDER BY i.conv LIMIT {ROWS}",
        usr, int(at.place or 0),
    )  # fmt: skip
    for conv, last_seq in found:
        yield from run(
            "UPDATE inbox SET min_seq = $1, settings = $2, change = $3 WHERE usr = $4 AND conv = $5",
            last_seq + 1, b"", (yield from next_change()), usr, conv,
        )  # fmt: skip
    hidden = yield from rows(
        "DELETE FROM hidden WHERE usr = $1 AND conv IN_INTS($2) RETURNING seq", usr, [row[0] for row in found]
    )
    counts = {"conversations": len(found), "deletions": len(hidden)}
    return Done(counts, str(found[-1][0]) if len(found) == ROWS else None)


def _of_rooms(table: str, column: str, kind: str) -> Page:
    """A room at a time."""

    def page(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
        found = yield from rows(
            f"SELECT DISTINCT x.conv, c.name FROM {table} x JOIN conversation c ON c.id = x.conv"
            f" WHERE x.{column} = $1 ORDER BY x.conv LIMIT {ROWS}",
            usr,
        )
        count = 0
        for conv, _ in found:
            yield from run("UPDATE room SET rev = rev WHERE conv = $1", conv)
            gone = yield from rows(
                f"DELETE FROM {table} WHERE conv = $1 AND {column} = $2 RETURNING conv", conv, usr
            )
            count += len(gone)
        return Done({kind: count}, _again(len(found)), [name[2:] for _, name in found])

    return page


def _owned_rooms(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """They go on without an owner."""
    found = yield from rows(
        "SELECT r.conv, c.name FROM room r JOIN conversation c ON c.id = r.conv WHERE r.owner = $1"
        f" LIMIT {ROWS}",
        usr,
    )
    if found:
        yield from run(
            "UPDATE room SET owner = $1, rev = rev + 1 WHERE conv IN_INTS($2)",
            (yield from account_id("@system")), [conv for conv, _ in found],
        )  # fmt: skip
    return Done({"owned_rooms": len(found)}, _again(len(found)), [name[2:] for _, name in found])


def _profile(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    gone = yield from rows("DELETE FROM profile WHERE usr = $1 RETURNING usr", usr)
    yield from run(
        "UPDATE account_state SET info = $1, mute_single_ms = 0, mute_group_ms = 0, mute_room_ms = 0,"
        " shadow_ms = 0, updated_ms = $2 WHERE usr = $3",
        b"", now_ms, usr,
    )  # fmt: skip
    return Done({"profiles": len(gone)})


def _events(usr: int, at: Erasure, now_ms: int, tools: Tools) -> Op[Done]:
    """Of the durable copy: what is theirs says who and when, and no more."""
    found = yield from rows(
        f"SELECT id, subject, data FROM event WHERE id > $1 AND kind NOT LIKE '@%' ORDER BY id LIMIT {WALK}",
        int(at.place or 0),
    )
    count = 0
    for number, subject, data in found:
        if (left := tools.event(at.user, subject, data)) is not None:
            yield from run("UPDATE event SET data = $1 WHERE id = $2", left, number)
            count += 1
    return Done({"events": count}, str(found[-1][0]) if len(found) == WALK else None)


PAGES: dict[str, Page] = {
    "relations": _relations,
    "related": _related,
    "requests": _requests,
    "push": _push,
    "devices": _devices,
    "marks": _marks,
    "messages": _messages,
    "reactions": _said_of_messages("reaction", "reactions"),
    "reports": _said_of_messages("report", "reports"),
    "receipts": _receipts,
    "conversations": _conversations,
    "rooms": _of_rooms("room_member", "usr", "room_roles"),
    "queues": _of_rooms("room_queue", "owner", "queue_entries"),
    "owned_rooms": _owned_rooms,
    "profile": _profile,
    "events": _events,
}
"""But for `groups`, which the service leaves itself: others are told."""
