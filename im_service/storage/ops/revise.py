"""Changing what was said: recall, erase, edit, one-sided deletion, quick comments."""

from collections.abc import Sequence

from frame.constants import SINGLE_PREFIX
from im_service.storage.errors import StoreFull, StoreMissing
from im_service.storage.ops.messages import alive, one
from im_service.storage.ops.tx import (
    Op,
    Row,
    account_id,
    append,
    conversation_id,
    first,
    next_change,
    rows,
    run,
    touch,
)
from im_service.storage.records import (
    BADGE,
    EDITED,
    FILTERED,
    RECALLED,
    RECEIPT,
    RECEIVER_NO_SENSE,
    Applied,
    Notices,
    Reaction,
    ReviewKind,
    Revised,
    Ruling,
    Version,
)


def strip(conv: int, seqs: Sequence[int]) -> Op[None]:
    """What was said about messages that are gone goes with them; receipts stay, they tell who read."""
    for table in ("message_version", "reaction"):
        yield from run(f"DELETE FROM {table} WHERE conv = $1 AND seq IN_INTS($2)", conv, list(seqs))


def _unheld(conv: int, seqs: Sequence[int]) -> Op[list[Row]]:
    """Nobody need decide about held messages that their receivers will never have. Before the message's own
    row is changed, as whoever decides does."""
    query = (
        f"UPDATE review SET state = {int(Ruling.GONE)} WHERE conv = $1 AND seq IN_INTS($2) AND state = 0"
        f" AND kind = {int(ReviewKind.HELD)} RETURNING seq"
    )
    return (yield from rows(query, conv, list(seqs)))


def recall(conversation: str, seq: int, tombstone: bytes, notices: Notices) -> Op[Applied[Revised]]:
    conv = yield from conversation_id(conversation)
    before = yield from one(conv, conversation, seq)
    if not alive(before):
        return Applied(Revised(before, False, 0))
    yield from _unheld(conv, [seq])
    yield from run(
        f"UPDATE message SET payload = $1, flags = (flags | {RECALLED}) & ~{EDITED}"
        " WHERE conv = $2 AND seq = $3",
        tombstone, conv, seq,
    )  # fmt: skip
    yield from strip(conv, [seq])
    yield from touch(conv)
    return Applied(Revised(before, True, 0), (yield from append(notices)))


def erase(conversation: str, seqs: Sequence[int], notices: Notices, left: bytes) -> Op[Applied[int]]:
    conv = yield from conversation_id(conversation)
    yield from _unheld(conv, seqs)
    done = yield from rows(
        "UPDATE message SET payload = $1, flags = flags | $2"
        " WHERE conv = $3 AND seq IN_INTS($4) AND flags & $2 = 0 RETURNING seq",
        left, FILTERED, conv, list(seqs),
    )  # fmt: skip
    if not done:
        return Applied(0)
    yield from strip(conv, [row[0] for row in done])
    yield from touch(conv)
    return Applied(len(done), (yield from append(notices)))


def edit(
    conversation: str, seq: int, editor: str, payload: bytes, now_ms: int, notices: Notices, max_versions: int
) -> Op[Applied[Revised]]:
    conv = yield from conversation_id(conversation)
    before = yield from one(conv, conversation, seq)
    if not alive(before):
        raise StoreMissing(f"message {seq} of {conversation} was taken back")
    counted = yield from first("SELECT count(*) FROM message_version WHERE conv = $1 AND seq = $2", conv, seq)
    kept: int = counted[0] if counted else 0
    if payload == before.payload:
        return Applied(Revised(before, False, kept))
    if max_versions and kept >= max_versions:
        raise StoreFull(f"message {seq} of {conversation} was edited {kept} times")
    usr = yield from account_id(editor)
    # A version is filed under who replaced it and when; the text as sent is version 0.
    yield from run(
        "INSERT INTO message_version (conv, seq, version, editor, time_ms, payload)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        conv, seq, kept, usr, now_ms, before.payload,
    )  # fmt: skip
    yield from run(
        "UPDATE message SET payload = $1, flags = flags | $2 WHERE conv = $3 AND seq = $4",
        payload, EDITED, conv, seq,
    )  # fmt: skip
    yield from touch(conv)
    return Applied(Revised(before, True, kept + 1), (yield from append(notices)))


def versions(conversation: str, seq: int) -> Op[list[Version]]:
    found = yield from rows(
        "SELECT v.version, a.name, v.time_ms, v.payload"
        " FROM message_version v JOIN account a ON a.id = v.editor"
        " WHERE v.conv = (SELECT id FROM conversation WHERE name = $1) AND v.seq = $2 ORDER BY v.version",
        conversation,
        seq,
    )
    return [Version(*row) for row in found]


def hide(user: str, conversation: str, seqs: Sequence[int], notices: Notices) -> Op[Applied[int]]:
    conv = yield from conversation_id(conversation)
    usr = yield from account_id(user)
    done = yield from rows(
        "INSERT INTO hidden (usr, conv, seq) SELECT CAST($1 AS BIGINT), m.conv, m.seq FROM message m"
        " WHERE m.conv = $2 AND m.seq IN_INTS($3) ON CONFLICT DO NOTHING RETURNING seq",
        usr, conv, list(seqs),
    )  # fmt: skip
    if not done:
        return Applied(0)
    if conversation.startswith(SINGLE_PREFIX):
        theirs = yield from rows(
            "SELECT seq FROM message WHERE conv = $1 AND seq IN_INTS($2) AND sender <> $3",
            conv, [row[0] for row in done], usr,
        )  # fmt: skip
        yield from _unheld(conv, [row[0] for row in theirs])
    told = yield from append(
        notices
    )  # before the inbox row, like the operations of groups: no circle of locks
    yield from run(
        "UPDATE inbox SET change = $1 WHERE usr = $2 AND conv = $3", (yield from next_change()), usr, conv
    )
    return Applied(len(done), told)


def withdraw(conversation: str, seq: int, notices: Notices) -> Op[Applied[bool]]:
    conv = yield from conversation_id(conversation)
    done = yield from _unheld(conv, [seq])
    done += yield from rows(
        f"UPDATE message SET bits = (bits | {RECEIVER_NO_SENSE}) & ~{BADGE | RECEIPT}"
        f" WHERE conv = $1 AND seq = $2 AND bits & {RECEIVER_NO_SENSE} = 0 RETURNING seq",
        conv, seq,
    )  # fmt: skip
    if not done:
        return Applied(False)
    yield from touch(conv)
    return Applied(True, (yield from append(notices)))


def react(
    conversation: str,
    seq: int,
    user: str,
    kind: str,
    ext: str,
    add: bool,
    now_ms: int,
    notices: Notices,
    per_user: int,
    per_message: int,
) -> Op[Applied[bool]]:
    conv = yield from conversation_id(conversation)
    if not alive((yield from one(conv, conversation, seq))):
        raise StoreMissing(f"message {seq} of {conversation} was taken back")
    usr = yield from account_id(user)
    if add:
        done = yield from rows(
            "INSERT INTO reaction (conv, seq, usr, kind, ext, time_ms) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT DO NOTHING RETURNING seq",
            conv, seq, usr, kind, ext, now_ms,
        )  # fmt: skip
    else:
        done = yield from rows(
            "DELETE FROM reaction WHERE conv = $1 AND seq = $2 AND usr = $3 AND kind = $4 RETURNING seq",
            conv, seq, usr, kind,
        )  # fmt: skip
    if not done:
        return Applied(False)
    if add:
        yield from _bounded(conv, seq, usr, per_user, per_message)
    yield from touch(conv)
    return Applied(True, (yield from append(notices)))


def _bounded(conv: int, seq: int, usr: int, per_user: int, per_message: int) -> Op[None]:
    """StoreFull takes back what was just added above a limit."""
    whole = "SELECT count(*) FROM reaction WHERE conv = $1 AND seq = $2"
    if per_user and (yield from rows(f"{whole} AND usr = $3", conv, seq, usr))[0][0] > per_user:
        raise StoreFull(f"a user has {per_user} reactions to a message at most")
    if per_message and (yield from rows(whole, conv, seq))[0][0] > per_message:
        raise StoreFull(f"a message has {per_message} reactions at most")


def reactions(conversation: str, seqs: Sequence[int]) -> Op[list[Reaction]]:
    found = yield from rows(
        "SELECT r.seq, a.name, r.kind, r.time_ms, r.ext FROM reaction r JOIN account a ON a.id = r.usr"
        " WHERE r.conv = (SELECT id FROM conversation WHERE name = $1) AND r.seq IN_INTS($2)"
        " ORDER BY r.seq, r.time_ms, a.name, r.kind",
        conversation,
        list(seqs),
    )
    return [Reaction(*row) for row in found]
