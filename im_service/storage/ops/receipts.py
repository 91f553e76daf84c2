"""Group receipts: one row per (message, reader) that reported, for messages that asked for it."""

from collections.abc import Sequence

from im_service.storage.codec import unpack_target
from im_service.storage.errors import StoreMissing
from im_service.storage.ops.tx import Op, account_id, find_conversation, rows
from im_service.storage.records import (
    FILTERED,
    RECALLED,
    RECEIPT,
    RECEIVER_NO_SENSE,
    ReceiptCount,
    ReceiptList,
)

# (seq, sender, target) of messages that ask for receipts, also of those that their sender alone sees
_ASKING = (
    "SELECT m.seq, m.sender, m.target FROM message m WHERE m.conv = $1 AND m.seq IN_INTS($2)"
    f" AND m.bits & {RECEIPT} <> 0 AND m.flags & {RECALLED | FILTERED} = 0 ORDER BY m.seq"
)
_HIDDEN = f"SELECT seq FROM message WHERE conv = $1 AND seq IN_INTS($2) AND bits & {RECEIVER_NO_SENSE} <> 0"

Expected = dict[int, dict[int, str]]  # seq -> account number -> name


def _expected(conv: int, seqs: Sequence[int]) -> Op[Expected]:
    """Who should read each: present members who had joined before it, are meant by it and did not send it."""
    asking = yield from rows(_ASKING, conv, list(seqs))
    if not asking:
        return {}
    members = yield from rows(
        "SELECT g.usr, a.name, g.joined_seq FROM group_member g JOIN account a ON a.id = g.usr"
        " WHERE g.conv = $1",
        conv,
    )
    wanted: Expected = {}
    for seq, sender, target in asking:
        aim = None if target is None else unpack_target(target)
        wanted[seq] = {
            usr: name
            for usr, name, joined in members
            if usr != sender and joined < seq and (aim is None or aim.shows_to(usr, joined, seq))
        }
    return wanted


def _readers(conv: int, seqs: Sequence[int]) -> Op[Expected]:
    found = yield from rows(
        "SELECT r.seq, r.usr, a.name FROM receipt r JOIN account a ON a.id = r.usr"
        " WHERE r.conv = $1 AND r.seq IN_INTS($2) ORDER BY r.time_ms, a.name",
        conv,
        list(seqs),
    )
    readers: Expected = {}
    for seq, usr, name in found:
        readers.setdefault(seq, {})[usr] = name
    return readers


def _counts(conv: int, seqs: Sequence[int]) -> Op[list[ReceiptCount]]:
    wanted = yield from _expected(conv, seqs)
    readers = yield from _readers(conv, list(wanted))
    return [
        ReceiptCount(seq, len(readers.get(seq, {})), len(people.keys() - readers.get(seq, {}).keys()))
        for seq, people in wanted.items()
    ]


def report(user: str, conversation: str, seqs: Sequence[int], now_ms: int) -> Op[list[ReceiptCount]]:
    conv = yield from find_conversation(conversation)
    if conv is None:
        return []
    usr = yield from account_id(user)
    wanted = yield from _expected(conv, seqs)
    for (seq,) in (yield from rows(_HIDDEN, conv, list(wanted))) if wanted else ():
        del wanted[seq]
    news: list[int] = []
    for seq, people in wanted.items():
        if usr in people:
            done = yield from rows(
                "INSERT INTO receipt (conv, seq, usr, time_ms) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT DO NOTHING RETURNING seq",
                conv, seq, usr, now_ms,
            )  # fmt: skip
            news += [seq] if done else []
    return (yield from _counts(conv, news)) if news else []


def counts(conversation: str, seqs: Sequence[int]) -> Op[list[ReceiptCount]]:
    conv = yield from find_conversation(conversation)
    return [] if conv is None else (yield from _counts(conv, seqs))


def lists(conversation: str, seq: int) -> Op[ReceiptList]:
    conv = yield from find_conversation(conversation)
    wanted = {} if conv is None else (yield from _expected(conv, [seq]))
    if conv is None or seq not in wanted:
        raise StoreMissing(f"message {seq} of {conversation} asked for no receipts")
    readers = (yield from _readers(conv, [seq])).get(seq, {})
    waiting = sorted(name for usr, name in wanted[seq].items() if usr not in readers)
    return ReceiptList(list(readers.values()), waiting)
