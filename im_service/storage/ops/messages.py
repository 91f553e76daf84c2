"""Reading the log: what of it one reader sees."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from im_service.storage.codec import people_of, unpack_target
from im_service.storage.errors import StoreMissing
from im_service.storage.ops.tx import Op, Row, find_conversation, first, rows
from im_service.storage.records import (
    FILTERED,
    HELD,
    HISTORY,
    PERSISTENT,
    RECALLED,
    RECEIVER_NO_SENSE,
    ROAM,
    SENDER_NO_SENSE,
    SENDER_SYNC,
    Aim,
    Audience,
    Page,
    StoredMessage,
    View,
)

COLUMNS = (
    "m.seq, m.server_id, m.time_ms, a.name, m.client_id, m.type, m.payload, m.bits, m.flags, m.expires_ms,"
    " m.sender, m.target"
)
FROM = "FROM message m JOIN account a ON a.id = m.sender"
_LIGHT = (
    "SELECT m.seq, m.server_id, m.time_ms, '', '', 0, '', m.bits, m.flags, m.expires_ms, m.sender, m.target"
    " FROM message m"
)
"""What `visible` judges, without what is said."""
_FLOOR = "(SELECT min(f.seq) FROM message f WHERE f.conv = c.id)"


class Reader(NamedTuple):
    """Who reads, and the part of the conversation that is theirs."""

    usr: int  # 0 = the server's eye
    conv: int
    lowest: int
    highest: int
    join_seq: int


def stored(conversation: str, row: Row) -> StoredMessage:
    return StoredMessage(conversation, *row[:10])


def placeholder(conversation: str, seq: int, row: Row | None) -> StoredMessage:
    server_id, time_ms = (row[1], row[2]) if row else (0, 0)
    return StoredMessage(conversation, seq, server_id, time_ms, "", "", 0, b"", 0, FILTERED, 0)


def reader(user: str | None, conversation: str) -> Op[Reader | None]:
    """None: there is no such conversation, or this user has none of it."""
    if user is None:
        found = yield from first(
            f"SELECT c.id, c.last_seq, {_FLOOR} FROM conversation c WHERE c.name = $1", conversation
        )
        if found is None:
            return None
        conv, last, floor = found
        return Reader(0, conv, last + 1 if floor is None else floor, last, 0)
    found = yield from first(
        f"SELECT i.usr, c.id, i.min_seq, i.join_seq, i.active, i.until_seq, c.last_seq, {_FLOOR}"
        " FROM inbox i JOIN conversation c ON c.id = i.conv"
        " WHERE i.usr = (SELECT id FROM account WHERE name = $2)"
        " AND i.conv = (SELECT id FROM conversation WHERE name = $1)",
        conversation,
        user,
    )
    if found is None:
        return None
    usr, conv, min_seq, join_seq, active, until, last, floor = found
    lowest = max(min_seq, last + 1 if floor is None else floor)
    return Reader(usr, conv, lowest, last if active else until, join_seq)


def visible(row: Row, who: Reader, view: View) -> bool:
    """Does this reader see this row? One-sided deletes are the caller's (they need the other table)."""
    bits, flags, expires_ms, sender, target = row[7], row[8], row[9], row[10], row[11]
    if flags & FILTERED or (expires_ms and expires_ms <= view.now_ms):
        return False
    time_ms = row[2]
    if not any(bits & bit and time_ms >= not_before for bit, not_before in view.classes):
        return False
    if not who.usr:
        return not bits & HELD
    if sender == who.usr:
        return not bits & SENDER_NO_SENSE and (not view.sync or bool(bits & SENDER_SYNC))
    if bits & RECEIVER_NO_SENSE:
        return False
    return target is None or unpack_target(target).shows_to(who.usr, who.join_seq, row[0], who.lowest)


def _hidden(who: Reader, low: int, high: int) -> Op[set[int]]:
    """What this reader deleted for themselves."""
    if not who.usr:
        return set()
    gone = yield from rows(
        "SELECT seq FROM hidden WHERE usr = $1 AND conv = $2 AND seq BETWEEN $3 AND $4",
        who.usr, who.conv, low, high,
    )  # fmt: skip
    return {row[0] for row in gone}


def window(conversation: str, who: Reader, low: int, high: int, view: View) -> Op[list[StoredMessage]]:
    """Every seq from low to high, ascending, hidden ones as placeholders."""
    if low > high:
        return []
    found = yield from rows(
        f"SELECT {COLUMNS} {FROM} WHERE m.conv = $1 AND m.seq BETWEEN $2 AND $3", who.conv, low, high
    )
    by_seq = {row[0]: row for row in found}
    hidden = yield from _hidden(who, low, high)
    page: list[StoredMessage] = []
    for seq in range(low, high + 1):
        row = by_seq.get(seq)
        if row is None or seq in hidden or not visible(row, who, view):
            page.append(placeholder(conversation, seq, row))
        else:
            page.append(stored(conversation, row))
    return page


def pull(
    user: str | None,
    conversation: str,
    from_seq: int,
    to_seq: int | None,
    limit: int,
    view: View,
    reverse: bool,
) -> Op[Page[StoredMessage]]:
    who = yield from reader(user, conversation)
    if who is None:
        return Page([], False)
    low = max(from_seq, who.lowest)
    high = who.highest if to_seq is None else min(to_seq, who.highest)
    if reverse:
        start = max(low, high - limit + 1)
        page = yield from window(conversation, who, start, high, view)
        page.reverse()
        return Page(page, start > low)
    end = min(high, low + limit - 1)
    page = yield from window(conversation, who, low, end, view)
    return Page(page, end < high)


_BETWEEN = "m.conv = $1 AND m.seq BETWEEN $2 AND $3 ORDER BY m.seq DESC"
LOOK_BACK = 1000
"""Messages of a conversation among which its line in the list is looked for."""


def latest(conversation: str, who: Reader, view: View, bit: int) -> Op[StoredMessage | None]:
    """The newest message with this option bit that this reader sees; looks back in growing steps."""
    lowest, high, step = max(who.lowest, who.highest - LOOK_BACK + 1), who.highest, 8
    while high >= lowest:
        low = max(lowest, high - step + 1)
        gone = yield from _hidden(who, low, high)
        for row in (yield from rows(f"{_LIGHT} WHERE {_BETWEEN}", who.conv, low, high)):
            if row[7] & bit and row[0] not in gone and visible(row, who, view):
                return (yield from one(who.conv, conversation, row[0]))
        high, step = low - 1, min(step * 4, 512)
    return None


def is_conversation(name: str) -> Op[bool]:
    return (yield from find_conversation(name)) is not None


def find(conversation: str, seqs: Iterable[int]) -> Op[list[StoredMessage]]:
    """Rows as the server sees them."""
    found = yield from rows(
        f"SELECT {COLUMNS} {FROM} WHERE m.conv = (SELECT id FROM conversation WHERE name = $1)"
        " AND m.seq IN_INTS($2) ORDER BY m.seq",
        conversation,
        list(seqs),
    )
    return (yield from _with_targets(conversation, found))


DISORDER = 2000
"""Ids are given before the commit and by several processes: in a conversation they rise, but for so many
places."""


def find_server_ids(conversation: str, server_ids: Iterable[int]) -> Op[list[StoredMessage]]:
    """`find`, by server ids: no index has them, so each is looked for where it should stand."""
    ends = yield from first(
        f"SELECT c.id, {_FLOOR}, c.last_seq FROM conversation c WHERE c.name = $1", conversation
    )
    seqs: list[int] = []
    if ends is not None and ends[1] is not None:
        conv, low, high = ends
        for server_id in server_ids:
            seqs += yield from _seek(conv, low, high, server_id)
    return (yield from find(conversation, seqs)) if seqs else []


def _seek(conv: int, low: int, high: int, server_id: int) -> Op[list[int]]:
    while high - low > DISORDER:
        middle = (low + high) // 2
        row = yield from first(
            "SELECT server_id FROM message WHERE conv = $1 AND seq >= $2 ORDER BY seq LIMIT 1", conv, middle
        )
        if row is None or row[0] > server_id:
            high = middle
        else:
            low = middle
    found = yield from rows(
        "SELECT seq FROM message WHERE conv = $1 AND seq BETWEEN $2 AND $3 AND server_id = $4",
        conv, low - DISORDER, high + DISORDER, server_id,
    )  # fmt: skip
    return [seq for (seq,) in found]


def _with_targets(conversation: str, found: Sequence[Row]) -> Op[list[StoredMessage]]:
    """Rows with their target lists by name."""
    aims = {row[0]: unpack_target(row[11]) for row in found if row[11] is not None}
    numbers = sorted({usr for aim in aims.values() for usr in aim.ids})
    names: dict[int, str] = {}
    if numbers:
        names = dict((yield from rows("SELECT id, name FROM account WHERE id IN_INTS($1)", numbers)))
    shown = []
    for row in found:
        message, aim = stored(conversation, row), aims.get(row[0])
        if aim is not None:
            users = tuple(names[usr] for usr in sorted(aim.ids))
            message = message._replace(target=Aim(users, aim.inclusive, aim.new_joiners_see, aim.about))
        shown.append(message)
    return shown


def _anywhere(now_ms: int, sync: bool = False) -> View:
    """Shows what any view keeps, however old."""
    return View(((HISTORY | ROAM | PERSISTENT, 0),), now_ms, sync)


def sent_before(
    sender: str, client_id: str, conversation: str, digest: bytes
) -> Op[tuple[int, int, int] | None]:
    """What the same message was answered with."""
    found = yield from first(
        "SELECT server_id, seq, time_ms, digest FROM send_key WHERE client_id = $2"
        " AND sender = (SELECT id FROM account WHERE name = $1)"
        " AND conv = (SELECT id FROM conversation WHERE name = $3)",
        sender, client_id, conversation,
    )  # fmt: skip
    return None if found is None or found[3] != digest else (found[0], found[1], found[2])


def sees(user: str, conversation: str, seqs: Sequence[int], now_ms: int) -> Op[set[int]]:
    """Which of these the user may see."""
    who = yield from reader(user, conversation)
    if who is None:
        return set()
    wanted = [seq for seq in seqs if who.lowest <= seq <= who.highest]
    found = yield from rows(f"{_LIGHT} WHERE m.conv = $1 AND m.seq IN_INTS($2)", who.conv, wanted)
    gone = yield from rows(
        "SELECT seq FROM hidden WHERE usr = $1 AND conv = $2 AND seq IN_INTS($3)", who.usr, who.conv, wanted
    )
    view = _anywhere(now_ms)
    return {row[0] for row in found if visible(row, who, view)} - {row[0] for row in gone}


_MEMBERS = "group_member g JOIN inbox i ON i.usr = g.usr AND i.conv = g.conv JOIN account a ON a.id = g.usr"
_PAIR = "inbox i JOIN account a ON a.id = i.usr AND a.name IN_TEXTS($3)"


def audience(conversation: str, seq: int, now_ms: int, sync: bool) -> Op[Audience]:
    """Who sees this message now. `sync`: its sender does not, unless it goes to their other devices."""
    pair = people_of(conversation)
    row = yield from first(
        f"SELECT {COLUMNS}, m.conv {FROM} WHERE m.conv = (SELECT id FROM conversation WHERE name = $1)"
        " AND m.seq = $2",
        conversation, seq,
    )  # fmt: skip
    if row is None:
        return Audience([], False)
    conv = row[-1]
    gone = "EXISTS (SELECT 1 FROM hidden h WHERE h.usr = i.usr AND h.conv = i.conv AND h.seq = $2)"
    view = _anywhere(now_ms, sync)
    anybody = Reader(-1, conv, seq, seq, 0)
    if (
        not pair
        and row[11] is None
        and visible(row, anybody, view)
        and visible(row, anybody._replace(usr=row[10]), view)
    ):
        # A message for all: one look whether somebody came too late or deleted it saves judging thousands.
        left_out = yield from first(
            f"SELECT 1 FROM {_MEMBERS} WHERE i.conv = $1 AND i.active = 1 AND (i.min_seq > $2 OR {gone})"
            " LIMIT 1",
            conv, seq,
        )  # fmt: skip
        if left_out is None:
            return Audience([], True)
    found = yield from rows(
        f"SELECT i.usr, a.name, i.min_seq, i.join_seq, CASE WHEN {gone} THEN 1 ELSE 0 END"
        f" FROM {_PAIR if pair else _MEMBERS} WHERE i.conv = $1 AND i.active = 1 ORDER BY a.name",
        *((conv, seq, pair) if pair else (conv, seq)),
    )
    users = [
        name
        for usr, name, lowest, joined, hidden in found
        if not hidden and lowest <= seq and visible(row, Reader(usr, conv, lowest, seq, joined), view)
    ]
    return Audience(users, len(users) == len(found))


def one(conv: int, conversation: str, seq: int) -> Op[StoredMessage]:
    found = yield from first(f"SELECT {COLUMNS} {FROM} WHERE m.conv = $1 AND m.seq = $2", conv, seq)
    if found is None:
        raise StoreMissing(f"no message {seq} in {conversation}")
    return stored(conversation, found)


def alive(message: StoredMessage) -> bool:
    return not message.flags & (RECALLED | FILTERED)
