"""Whatever the network does to messages, a conversation is shown in order, whole, and each message once."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from qianwan.delivery.inbox import Inbox, RecentIds
from qianwan.models import ConversationState, Message

ME = "alice"
CHAT = "s/alice:bob"


def message(
    seq: int, *, sender: str = "bob", client_id: str = "", flags: int = 0, chat: str = CHAT
) -> Message:
    return Message(
        chat, seq, 1000 + seq, 0, sender, client_id or f"c{seq}", 0, {"text": str(seq)}, flags=flags
    )


def state(last: int, acked: int = 0, lowest: int = 1) -> ConversationState:
    return ConversationState(CHAT, last, 0, lowest, acked)


def seqs(ready: list[Message]) -> list[int]:
    return [entry.seq for entry in ready]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 10))
def test_any_loss_repetition_and_order_is_repaired(seed: int, count: int, start: int) -> None:
    rng = random.Random(seed)
    log = [message(seq) for seq in range(1, count + 1)]
    inbox = Inbox({})
    shown = seqs(inbox.synced(state(0 if rng.random() < 0.5 else count, acked=min(start, count))))
    begin = min(start, count)
    arrivals = [m for m in log for _ in range(rng.randint(0, 3)) if m.seq > begin]
    rng.shuffle(arrivals)
    for entry in arrivals:
        shown += seqs(inbox.arrived(entry, ME))
        if rng.random() < 0.2:
            shown += pull(inbox, log, rng)
    inbox.hinted(CHAT, count)
    while inbox.gap(CHAT):
        shown += pull(inbox, log, rng)
    assert shown == list(range(begin + 1, count + 1)), f"seed {seed}"
    assert inbox.missing() == []


def pull(inbox: Inbox, log: list[Message], rng: random.Random) -> list[int]:
    """Answer the inbox's next pull, sometimes with a part of it only."""
    gap = inbox.gap(CHAT)
    if gap is None:
        return []
    found = [m for m in log if gap[0] <= m.seq <= gap[1]]
    part = found[: rng.randint(1, len(found))]
    return seqs(inbox.pulled(CHAT, part, part[-1].seq, ME))


def test_what_no_longer_exists_is_skipped() -> None:
    inbox = Inbox({})
    inbox.synced(state(6))
    assert inbox.gap(CHAT) == (1, 6)
    assert seqs(inbox.pulled(CHAT, [message(2), message(5)], 6, ME)) == [2, 5]
    assert inbox.gap(CHAT) is None
    assert seqs(inbox.arrived(message(7), ME)) == [7]


def test_placeholders_and_own_messages_fill_the_sequence_silently() -> None:
    inbox = Inbox({})
    inbox.sending("mine")
    assert inbox.sent(CHAT, 1) == []
    assert seqs(inbox.arrived(message(3), ME)) == []
    assert seqs(inbox.arrived(message(2, flags=4), ME)) == [3]
    assert inbox.arrived(message(4, sender=ME, client_id="mine"), ME) == []
    assert seqs(inbox.arrived(message(5, sender=ME, client_id="other device"), ME)) == [5]


def test_unknown_conversations_wait_for_sync() -> None:
    inbox = Inbox({})
    assert inbox.arrived(message(57), ME) == []
    assert inbox.unknown()
    assert inbox.synced(state(57, acked=55)) == []
    assert inbox.gap(CHAT) == (56, 56)
    assert seqs(inbox.pulled(CHAT, [message(56)], 56, ME)) == [56, 57]
    assert not inbox.unknown()
    other = message(9, chat="g/new")
    assert inbox.arrived(other, ME) == []
    assert inbox.settle_unknown(frozenset()) == []  # it came after the sync was asked
    assert inbox.settle_unknown(inbox.unknown()) == [other]


def test_cleared_conversations_jump_ahead() -> None:
    inbox = Inbox({CHAT: (3, 3)})
    assert inbox.arrived(message(9), ME) == []
    assert seqs(inbox.synced(state(10, lowest=9))) == [9]
    assert inbox.gap(CHAT) == (10, 10)


def test_positions_follow_the_application_not_the_network() -> None:
    inbox = Inbox({CHAT: (2, 2)})
    first, second = inbox.arrived(message(3), ME) + inbox.arrived(message(4), ME)
    assert inbox.settled(CHAT) == 2
    assert inbox.snapshot() == {CHAT: (2, 4)}
    inbox.consumed(first)
    assert inbox.settled(CHAT) == 3
    inbox.consumed(second)
    inbox.sent(CHAT, 5)
    assert inbox.snapshot() == {CHAT: (5, 5)}
    assert CHAT in inbox.moved


def test_unstored_messages_are_shown_once() -> None:
    inbox = Inbox({})
    flash = message(0)
    assert inbox.arrived(flash, ME) == [flash]
    assert inbox.arrived(flash, ME) == []
    assert inbox.duplicates == 1


def test_held_messages_are_bounded() -> None:
    inbox = Inbox({CHAT: (0, 0)})
    for seq in range(2, 3000):
        assert inbox.arrived(message(seq), ME) == []
    gap = inbox.gap(CHAT)
    assert gap == (1, 1)
    ready = seqs(inbox.pulled(CHAT, [message(1)], 1, ME))
    assert ready == list(range(1, ready[-1] + 1))
    assert ready[-1] < 600
    assert inbox.gap(CHAT) == (ready[-1] + 1, 2999)


def test_recent_ids_forget_the_oldest() -> None:
    recent = RecentIds(3)
    assert [recent.add(i) for i in (1, 2, 3, 1, 4, 1)] == [True, True, True, False, True, True]
