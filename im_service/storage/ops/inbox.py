"""What one user holds of their conversations: changes, watermarks, unread counts, the conversation list."""

from collections.abc import Sequence

from im_service.storage.codec import unpack_target
from im_service.storage.errors import StoreMissing
from im_service.storage.ops.messages import latest, reader
from im_service.storage.ops.tx import (
    Horizon,
    Op,
    Row,
    account_id,
    conversation_id,
    find_account,
    find_conversation,
    first,
    next_change,
    rows,
    run,
)
from im_service.storage.records import (
    BADGE,
    FILTERED,
    RECALLED,
    RECEIVER_NO_SENSE,
    SENDER_NO_SENSE,
    SESSION,
    Change,
    ChangedPage,
    InboxRow,
    ListedConversation,
    ListedPage,
    Mark,
    SessionRow,
    UnreadPage,
    View,
    WalkPlace,
)

PART = 1000
"""Conversations of a user that one call looks at: others make them, by writing."""
UNREAD_MAX = 1000
"""Messages of a conversation, the newest, among which the unread ones are counted."""
UNREAD_ROWS = 50_000
"""Messages that one call counts, of all conversations together."""
LIFTS = 100
"""Messages of a conversation, the newest, among which its place in the list is looked for."""

# Change as this user is concerned: after they left, what others do is no news to them.
_CHANGE = "CASE WHEN i.active = 1 AND c.change > i.change THEN c.change ELSE i.change END"
_LAST = "CASE WHEN i.active = 1 THEN c.last_seq ELSE i.until_seq END"
_FLOOR = "(SELECT min(f.seq) FROM message f WHERE f.conv = c.id)"
_ROW = (
    f"SELECT c.name, {_LAST}, i.read_seq, i.min_seq, coalesce(k.acked_seq, 0), i.active, i.settings,"
    f" {_CHANGE}, coalesce({_FLOOR}, c.last_seq + 1), i.conv"
    " FROM inbox i JOIN conversation c ON c.id = i.conv"
    " LEFT JOIN device_mark k ON k.usr = i.usr AND k.conv = i.conv AND k.number ="
    " (SELECT d.number FROM device d WHERE d.usr = i.usr AND d.name = $2)"
    " WHERE i.usr = (SELECT id FROM account WHERE name = $1)"
)


def _inbox(row: Row) -> InboxRow:
    name, last, read, low, acked, active, settings, change, floor, _ = row
    return InboxRow(name, last, read, max(low, floor), acked, bool(active), settings, change)


def changed(
    user: str, device: str, cursor: int, limit: int, place: WalkPlace | None = None
) -> Op[ChangedPage]:
    """Changes below the horizon are final and make the pages; those above are told, and told again. Whoever
    has more conversations than a part gets them part by part, up to the horizon of the first one."""
    horizon: int = (yield Horizon())[0][0]
    if place is None and (yield from _end_of_part(user, 0)) is not None:
        place = WalkPlace(0, horizon)
    if place is not None:
        return (yield from _part(user, device, cursor, limit, place))
    found = yield from rows(
        f"{_ROW} AND {_CHANGE} > $3 AND {_CHANGE} < $4 ORDER BY {_CHANGE}, c.id LIMIT $5",
        user, device, cursor, horizon, limit + 1,
    )  # fmt: skip
    if len(found) > limit:
        return (yield from _page(user, device, found, limit))
    newest = yield from rows(f"{_ROW} AND {_CHANGE} >= $3 ORDER BY {_CHANGE}, c.id", user, device, horizon)
    return ChangedPage([_inbox(row) for row in found + newest], max(cursor, horizon - 1), False)


def _end_of_part(user: str, after: int) -> Op[int | None]:
    """The last of the next PART conversations; None: there are not more than those."""
    found = yield from rows(
        "SELECT conv FROM inbox WHERE usr = (SELECT id FROM account WHERE name = $1) AND conv > $2"
        " ORDER BY conv LIMIT 2 OFFSET $3",
        user, after, PART - 1,
    )  # fmt: skip
    return found[0][0] if len(found) == 2 else None


def _part(user: str, device: str, cursor: int, limit: int, place: WalkPlace) -> Op[ChangedPage]:
    """In order of the conversations; the cursor stands until the last of them."""
    end = yield from _end_of_part(user, place.conv)
    chosen, args = "", [place.conv, cursor, limit + 1]
    if end is not None:
        chosen = " AND i.conv <= $6"
        args.append(end)
    found = yield from rows(
        f"{_ROW} AND i.conv > $3{chosen} AND {_CHANGE} > $4 ORDER BY i.conv LIMIT $5", user, device, *args
    )
    lines = [_inbox(row) for row in found[:limit]]
    if len(found) > limit:
        return ChangedPage(lines, cursor, True, place._replace(conv=found[limit - 1][9]))
    if end is not None:
        return ChangedPage(lines, cursor, True, place._replace(conv=end))
    return ChangedPage(lines, max(cursor, place.ceiling - 1), False)


def _page(user: str, device: str, found: list[Row], limit: int) -> Op[ChangedPage]:
    """A full page. All conversations changed by one transaction share a number and stay on one page."""
    last = found[limit - 1][7]
    if found[limit][7] != last:
        return ChangedPage([_inbox(row) for row in found[:limit]], last, True)
    whole = yield from rows(f"{_ROW} AND {_CHANGE} = $3 ORDER BY c.id", user, device, last)
    head = [row for row in found[:limit] if row[7] != last]
    return ChangedPage([_inbox(row) for row in head + whole], last, True)


def inbox(user: str, device: str, conversations: Sequence[str]) -> Op[list[InboxRow]]:
    chosen = "i.conv IN (SELECT id FROM conversation WHERE name IN_TEXTS($3))"
    found = yield from rows(f"{_ROW} AND {chosen}", user, device, list(conversations))
    return [_inbox(row) for row in found]


def _one(user: str, conversation: str) -> Op[InboxRow]:
    found = yield from inbox(user, "", [conversation])
    if not found:
        raise StoreMissing(f"{user} has no conversation {conversation}")
    return found[0]


_LATEST = (
    "coalesce((SELECT m.server_id FROM message m WHERE m.conv = c.id AND m.seq >="
    f" CASE WHEN i.min_seq > {_LAST} - {LIFTS} THEN i.min_seq ELSE {_LAST} - {LIFTS - 1} END"
    f" AND m.seq <= {_LAST} AND m.bits & {SESSION} <> 0 AND m.flags & {FILTERED} = 0"
    f" AND m.bits & CASE WHEN m.sender = i.usr THEN {SENDER_NO_SENSE} ELSE {RECEIVER_NO_SENSE} END = 0"
    " ORDER BY m.seq DESC LIMIT 1),"
    # none of these: before them, wherever
    f" (SELECT m.server_id FROM message m WHERE m.conv = c.id AND m.seq = {_LAST} - {LIFTS}"
    " AND m.seq >= i.min_seq), 0)"
)


def listed(user: str, below: int) -> Op[ListedPage]:
    """One part of the user's conversations, those that began last; `below`: where the part before ended."""
    found = yield from rows(
        f"SELECT c.name, CASE WHEN i.active = 1 THEN {_LATEST} ELSE 0 END, i.settings, i.active, i.conv"
        " FROM (SELECT * FROM inbox WHERE usr = (SELECT id FROM account WHERE name = $1)"
        " AND (conv < $2 OR $2 = 0) ORDER BY conv DESC LIMIT $3) i JOIN conversation c ON c.id = i.conv"
        " ORDER BY i.conv DESC",
        user, below, PART + 1,
    )  # fmt: skip
    part = found[:PART]
    return ListedPage(
        [ListedConversation(*row[:3]) for row in part if row[3]], part[-1][4] if len(found) > PART else 0
    )


def sessions(user: str, conversations: Sequence[str], view: View) -> Op[list[SessionRow]]:
    held = {row.conversation: row for row in (yield from inbox(user, "", conversations))}
    names = [name for name in conversations if name in held]
    counts = (yield from unread(user, names, view.now_ms)).counts
    lines: list[SessionRow] = []
    for name in names:
        who = yield from reader(user, name)
        last = None if who is None else (yield from latest(name, who, view, SESSION))
        lines.append(SessionRow(held[name], last, counts.get(name, 0)))
    return lines


_READ = (
    f"CASE WHEN i.read_seq >= i.min_seq AND i.read_seq > {_LAST} - {UNREAD_MAX} THEN i.read_seq"
    f" WHEN i.min_seq > {_LAST} - {UNREAD_MAX} THEN i.min_seq - 1 ELSE {_LAST} - {UNREAD_MAX} END"
)
_COUNTED = (
    f"FROM message m WHERE m.conv = i.conv AND m.seq > {_READ} AND m.seq <= {_LAST} AND m.sender <> $1"
    f" AND m.bits & {BADGE | RECEIVER_NO_SENSE} = {BADGE} AND m.flags & {RECALLED | FILTERED} = 0"
    " AND (m.expires_ms = 0 OR m.expires_ms > $2)"
    " AND NOT EXISTS (SELECT 1 FROM hidden h WHERE h.usr = i.usr AND h.conv = m.conv AND h.seq = m.seq)"
)
_SPANS = f"SELECT i.conv, c.name, CASE WHEN i.active = 1 THEN {_LAST} - {_READ} ELSE 0 END"


def unread(user: str, conversations: Sequence[str] | None, now_ms: int, after: str = "") -> Op[UnreadPage]:
    """Counted over the range above the read watermark: no counter that could drift, no write per member."""
    usr = yield from find_account(user)
    if usr is None:
        return UnreadPage({}, after, False)
    start = (yield from find_conversation(after)) if after else 0
    if conversations is None:
        spans = yield from rows(
            f"{_SPANS} FROM (SELECT * FROM inbox WHERE usr = $1 AND conv > $2 ORDER BY conv LIMIT $3) i"
            " JOIN conversation c ON c.id = i.conv ORDER BY i.conv",
            usr, start or 0, PART + 1,
        )  # fmt: skip
    else:
        spans = yield from rows(
            f"{_SPANS} FROM inbox i JOIN conversation c ON c.id = i.conv WHERE i.usr = $1"
            " AND i.conv IN (SELECT id FROM conversation WHERE name IN_TEXTS($3)) AND i.conv > $2"
            " ORDER BY i.conv",
            usr, start or 0, list(conversations),
        )  # fmt: skip
    looked, budget = 0, UNREAD_ROWS
    for looked, (_, _, span) in enumerate(spans):
        budget -= max(span, 0)
        if budget < 0 or looked == PART:
            break
    else:
        looked = len(spans)
    names = {conv: name for conv, name, span in spans[:looked] if span > 0}
    counts = yield from _counts(usr, list(names), now_ms)
    page = {names[conv]: count for conv, count in sorted(counts.items())}
    return UnreadPage(page, spans[looked - 1][1] if looked else after, looked < len(spans))


def _counts(usr: int, convs: list[int], now_ms: int) -> Op[dict[int, int]]:
    """Counted conversation by conversation, so that no engine goes through all messages there are."""
    if not convs:
        return {}
    ours = "FROM inbox i JOIN conversation c ON c.id = i.conv WHERE i.usr = $1 AND i.conv IN_INTS($3)"
    found = yield from rows(
        f"SELECT i.conv, i.join_seq, (SELECT count(*) {_COUNTED} AND m.target IS NULL),"
        f" (SELECT count(*) {_COUNTED} AND m.target IS NOT NULL) {ours}",
        usr, now_ms, convs,
    )  # fmt: skip
    counts = {conv: count for conv, _, count, _ in found if count}
    for conv, join_seq, _, many in found:
        if many:
            aimed = yield from rows(
                f"SELECT m.target, m.seq FROM inbox i JOIN conversation c ON c.id = i.conv, message m"
                f" WHERE i.usr = $1 AND i.conv = $3 AND m.conv = $3 AND m.target IS NOT NULL AND m.seq IN"
                f" (SELECT m.seq {_COUNTED})",
                usr, now_ms, conv,
            )  # fmt: skip
            seen = sum(unpack_target(target).shows_to(usr, join_seq, seq) for target, seq in aimed)
            if seen:
                counts[conv] = counts.get(conv, 0) + seen
    return counts


def read(user: str, marks: Sequence[Mark]) -> Op[list[Mark]]:
    usr = yield from account_id(user)
    moved: list[Mark] = []
    for name, seq in marks:
        found = yield from first(
            f"SELECT i.conv, {_LAST}, i.read_seq FROM inbox i JOIN conversation c ON c.id = i.conv"
            " WHERE i.conv = (SELECT id FROM conversation WHERE name = $1) AND i.usr = $2",
            name,
            usr,
        )
        if found is None or min(seq, found[1]) <= found[2]:
            continue
        seq = min(seq, found[1])
        done = yield from rows(
            "UPDATE inbox SET read_seq = $1, change = $2 WHERE usr = $3 AND conv = $4 AND read_seq < $1"
            " RETURNING read_seq",
            seq, (yield from next_change()), usr, found[0],
        )  # fmt: skip
        if done:
            moved.append(Mark(name, seq))
    return moved


def clear(user: str, conversation: str, up_to_seq: int) -> Op[InboxRow]:
    usr = yield from account_id(user)
    conv = yield from conversation_id(conversation)
    before = yield from _one(user, conversation)
    seq = min(up_to_seq, before.last_seq)
    yield from run(
        "UPDATE inbox SET change = $1, min_seq = CASE WHEN min_seq <= $2 THEN $2 + 1 ELSE min_seq END,"
        " read_seq = CASE WHEN read_seq < $2 THEN $2 ELSE read_seq END WHERE usr = $3 AND conv = $4",
        (yield from next_change()), seq, usr, conv,
    )  # fmt: skip
    yield from run("DELETE FROM hidden WHERE usr = $1 AND conv = $2 AND seq <= $3", usr, conv, seq)
    return (yield from _one(user, conversation))


def set_inbox(user: str, conversation: str, change: Change) -> Op[InboxRow]:
    found = yield from first(
        "SELECT i.usr, i.conv, i.settings FROM inbox i WHERE i.usr = (SELECT id FROM account WHERE name = $1)"
        " AND i.conv = (SELECT id FROM conversation WHERE name = $2) HELD",
        user, conversation,
    )  # fmt: skip
    if found is None:
        raise StoreMissing(f"{user} has no conversation {conversation}")
    usr, conv, settings = found
    yield from run(
        "UPDATE inbox SET settings = $1, change = $2 WHERE usr = $3 AND conv = $4",
        change(settings), (yield from next_change()), usr, conv,
    )  # fmt: skip
    return (yield from _one(user, conversation))


def read_marks(conversation: str, users: Sequence[str]) -> Op[dict[str, int]]:
    found = yield from rows(
        "SELECT a.name, i.read_seq FROM account a JOIN inbox i ON i.usr = a.id"
        " WHERE i.conv = (SELECT id FROM conversation WHERE name = $1) AND a.name IN_TEXTS($2)",
        conversation,
        list(users),
    )
    return dict(found)
