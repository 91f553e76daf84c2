"""Messages that people decide about: held ones, which nobody but their sender sees until then, and reported
ones."""

from collections.abc import Callable, Sequence

from frame.constants import MessageType
from im_service.storage.errors import StoreMissing
from im_service.storage.ops.events import released
from im_service.storage.ops.tx import (
    Op,
    Row,
    account_id,
    append,
    conversation_id,
    find_account,
    find_conversation,
    first,
    rows,
    run,
    touch,
)
from im_service.storage.records import (
    EDITED,
    FILTERED,
    RECALLED,
    RELEASED,
    Applied,
    Notices,
    Report,
    Review,
    ReviewKind,
    ReviewRows,
    RuleVerdict,
    Ruling,
    SaidPage,
)

_COLUMNS = (
    "r.id, c.name, r.seq, coalesce((SELECT a.name FROM message m JOIN account a ON a.id = m.sender"
    " WHERE m.conv = r.conv AND m.seq = r.seq), ''), r.kind, r.state, r.bits, r.rule, r.reports, r.time_ms,"
    " r.until_ms, r.lapse, r.decided_ms, r.decided_by, r.assignee, r.note"
)
_FROM = "FROM review r JOIN conversation c ON c.id = r.conv"
_STATES = {"open": "= 0", "decided": "> 0", "all": ">= 0"}
LOOKED_AT = 1_000
"""Reviews, or messages, that one page looks at, however many of them it is about."""
TALKS = 100
"""Conversations that one page of what somebody said looks into."""
NOTICE = int(MessageType.NOTIFICATION)


def _review(row: Row) -> Review:
    kind, state = ReviewKind(row[4]), Ruling(row[5])
    return Review._make((*row[:4], kind, state, *row[6:11], bool(row[11]), *row[12:]))


def get(number: int) -> Op[Review | None]:
    found = yield from first(f"SELECT {_COLUMNS} {_FROM} WHERE r.id = $1", number)
    return None if found is None else _review(found)


def about(conversation: str, seq: int) -> Op[Review | None]:
    found = yield from first(
        f"SELECT {_COLUMNS} {_FROM} WHERE r.seq = $2"
        " AND r.conv = (SELECT id FROM conversation WHERE name = $1)",
        conversation, seq,
    )  # fmt: skip
    return None if found is None else _review(found)


def listed(state: str, wanted: Callable[[Review], bool], after: int, limit: int) -> Op[ReviewRows]:
    found = yield from rows(
        f"SELECT {_COLUMNS} {_FROM} WHERE r.state {_STATES[state]} AND r.id > $1 ORDER BY r.id LIMIT $2",
        after, LOOKED_AT,
    )  # fmt: skip
    items: list[Review] = []
    for at, row in enumerate(found):
        if wanted(review := _review(row)):
            items.append(review)
        if len(items) == limit:
            return ReviewRows(items, review.id, at + 1 < len(found) or len(found) == LOOKED_AT)
    return ReviewRows(items, found[-1][0] if found else after, len(found) == LOOKED_AT)


def due(now_ms: int, limit: int) -> Op[list[Review]]:
    """Open ones whose verdict comes by itself now."""
    found = yield from rows(
        f"SELECT {_COLUMNS} {_FROM} WHERE r.state = 0 AND r.until_ms > 0 AND r.until_ms <= $1"
        " ORDER BY r.until_ms LIMIT $2",
        now_ms, limit,
    )  # fmt: skip
    return [_review(row) for row in found]


def decide(
    number: int, ruling: Ruling, by: str, note: str, now_ms: int, tombstone: bytes, notices: Notices
) -> Op[Applied[Ruling]]:
    """-> OPEN: it was decided before, and nothing is changed; else where it stands now."""
    found = yield from first(
        "SELECT r.conv, r.seq, r.kind, r.bits, r.rule, r.state FROM review r WHERE r.id = $1 HELD",
        number,
    )
    if found is None:
        raise StoreMissing(f"no review {number}")
    conv, seq, kind, bits, rule, state = found
    if state != Ruling.OPEN:
        return Applied(Ruling.OPEN)
    flags = yield from first("SELECT flags FROM message WHERE conv = $1 AND seq = $2", conv, seq)
    if flags is None or flags[0] & (RECALLED | FILTERED):
        ruling = Ruling.GONE
    yield from run(
        "UPDATE review SET state = $1, decided_ms = $2, decided_by = $3,"
        " note = CASE WHEN $4 = '' THEN note ELSE $4 END WHERE id = $5",
        int(ruling), now_ms, by, note, number,
    )  # fmt: skip
    if ruling == Ruling.GONE:
        return Applied(ruling)
    yield from _tally(rule if kind == ReviewKind.HELD else "@report", ruling, not by)
    if kind == ReviewKind.HELD and ruling == Ruling.PASSED:
        yield from run(
            "UPDATE message SET bits = $1 WHERE conv = $2 AND seq = $3", bits | RELEASED, conv, seq
        )
    elif kind == ReviewKind.REPORTED and ruling == Ruling.REFUSED:
        yield from run(
            f"UPDATE message SET payload = $1, flags = (flags | {RECALLED}) & ~{EDITED}"
            " WHERE conv = $2 AND seq = $3",
            tombstone, conv, seq,
        )  # fmt: skip
        for table in ("message_version", "reaction"):
            yield from run(f"DELETE FROM {table} WHERE conv = $1 AND seq = $2", conv, seq)
    yield from touch(conv)
    if kind == ReviewKind.HELD and ruling == Ruling.PASSED:
        yield from released(conv, seq, now_ms)
    return Applied(ruling, (yield from append(notices)))


def _tally(rule: str, ruling: Ruling, lapsed: bool) -> Op[None]:
    yield from run(
        "INSERT INTO rule_verdict (rule, state, lapsed, decisions) VALUES ($1, $2, $3, 1)"
        " ON CONFLICT (rule, state, lapsed) DO UPDATE SET decisions = rule_verdict.decisions + 1",
        rule, int(ruling), int(lapsed),
    )  # fmt: skip


def tallies(limit: int) -> Op[list[RuleVerdict]]:
    found = yield from rows(
        "SELECT rule, state, lapsed, decisions FROM rule_verdict ORDER BY rule, state, lapsed LIMIT $1", limit
    )
    return [RuleVerdict(row[0], Ruling(row[1]), bool(row[2]), row[3]) for row in found]


def assign(number: int, assignee: str | None, note: str | None) -> Op[Review]:
    """None = as it is."""
    found = yield from first(f"SELECT {_COLUMNS} {_FROM} WHERE r.id = $1", number)
    if found is None:
        raise StoreMissing(f"no review {number}")
    before = _review(found)
    after = before._replace(
        assignee=before.assignee if assignee is None else assignee,
        note=before.note if note is None else note,
    )
    yield from run(
        "UPDATE review SET assignee = $1, note = $2 WHERE id = $3", after.assignee, after.note, number
    )
    return after


def report(
    user: str, conversation: str, seq: int, category: str, text: str, bits: int, now_ms: int
) -> Op[bool]:
    """-> was it news. What was decided before is open again, unless it is gone."""
    conv = yield from conversation_id(conversation)
    usr = yield from account_id(user)
    done = yield from rows(
        "INSERT INTO report (conv, seq, usr, category, text, time_ms) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT DO NOTHING RETURNING seq",
        conv, seq, usr, category, text, now_ms,
    )  # fmt: skip
    if not done:
        return False
    yield from run(
        "INSERT INTO review (conv, seq, kind, bits, rule, reports, time_ms, until_ms, lapse)"
        " VALUES ($1, $2, $3, $4, '', 1, $5, 0, 0) ON CONFLICT (conv, seq) DO UPDATE SET"
        " reports = review.reports + 1, state = CASE WHEN review.state = 3 THEN 3 ELSE 0 END, kind = $3,"
        " until_ms = 0",
        conv, seq, int(ReviewKind.REPORTED), bits, now_ms,
    )  # fmt: skip
    return True


def reports(conversation: str, seq: int, limit: int) -> Op[list[Report]]:
    """Oldest first."""
    found = yield from rows(
        "SELECT a.name, p.category, p.text, p.time_ms FROM report p JOIN account a ON a.id = p.usr"
        " WHERE p.conv = (SELECT id FROM conversation WHERE name = $1) AND p.seq = $2"
        " ORDER BY p.time_ms, p.usr LIMIT $3",
        conversation, seq, limit,
    )  # fmt: skip
    return [Report(*row) for row in found]


def around(conversation: str, seq: int, before: int, after: int) -> Op[Sequence[int]]:
    """Seqs that there are, beside a message."""
    conv = yield from find_conversation(conversation)
    if conv is None:
        return []
    lower = yield from rows(
        "SELECT seq FROM message WHERE conv = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3", conv, seq, before
    )
    higher = yield from rows(
        "SELECT seq FROM message WHERE conv = $1 AND seq > $2 ORDER BY seq LIMIT $3", conv, seq, after
    )
    return [row[0] for row in reversed(lower)] + [row[0] for row in higher]


def said_by(
    sender: str, conversation: str, since_ms: int, place: tuple[int, int], limit: int
) -> Op[SaidPage]:
    """In order of their conversations' numbers, and of seq there."""
    conv, seq = place
    usr = yield from find_account(sender)
    if conversation:
        found = yield from find_conversation(conversation)
        talks: list[Row] = [] if found is None else [(found, conversation)]
    else:
        talks = yield from rows(
            "SELECT i.conv, c.name FROM inbox i JOIN conversation c ON c.id = i.conv"
            " WHERE i.usr = $1 AND i.conv >= $2 ORDER BY i.conv LIMIT $3",
            usr, conv, TALKS,
        )  # fmt: skip
    items: list[tuple[str, int, int]] = []
    budget = LOOKED_AT
    for number, name in talks if usr is not None else ():
        conv, seq = number, seq if number == conv else 0
        there = yield from rows(
            "SELECT seq, server_id, sender, flags, type, time_ms FROM message WHERE conv = $1 AND seq > $2"
            " ORDER BY seq LIMIT $3",
            conv, seq, budget,
        )  # fmt: skip
        for seq, server_id, author, flags, type, time_ms in there:
            if author == usr and not flags & (RECALLED | FILTERED) and type != NOTICE and time_ms >= since_ms:
                items.append((name, seq, server_id))
                if len(items) == limit:
                    return SaidPage(items, conv, seq, True)
        if len(there) == budget:
            return SaidPage(items, conv, seq, True)
        budget -= len(there)
        conv, seq = conv + 1, 0
    return SaidPage(items, conv, seq, not conversation and len(talks) == TALKS)
