"""Order out of what arrives: per conversation gapless and without duplicates, whatever the network did. No
I/O.

For each conversation the inbox knows `next` (the sequence number to show next) and `high` (the highest
known to
exist). A message at `next` is ready; one above it is held while the missing range is pulled; one below was
shown.

    +-------- shown --------+-- missing --+-- held --+
    1 ...              next-1  next           high
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from qianwan.models import ConversationState, Message

MAX_HELD = 512
RECENT_IDS = 4096


class _Conversation:
    __slots__ = ("consumed", "held", "high", "newest", "next", "waiting")

    def __init__(self, following: int, high: int) -> None:
        self.next = following
        self.high = high
        self.held: dict[int, Message | None] = {}
        self.waiting = 0  # made ready, not yet consumed by the application
        self.consumed = following - 1
        self.newest = 0  # greatest server id seen

    @property
    def settled(self) -> int:
        """The application is done with everything up to here."""
        return self.consumed if self.waiting else self.next - 1


class RecentIds:
    """The last few thousand ids seen, to tell repetitions apart."""

    def __init__(self, size: int = RECENT_IDS) -> None:
        self._size = size
        self._ids: OrderedDict[int | str, None] = OrderedDict()

    def add(self, value: int | str) -> bool:
        """Remember `value`; False when it was there already."""
        if value in self._ids:
            return False
        self._ids[value] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True

    def __contains__(self, value: object) -> bool:
        return value in self._ids


class Inbox:
    """Sorts messages of all conversations; the methods return what has become ready, in order."""

    def __init__(self, known: dict[str, tuple[int, int]], mine: RecentIds | None = None) -> None:
        self._conversations = {
            name: _Conversation(shown + 1, max(high, shown)) for name, (shown, high) in known.items()
        }
        self._unstored = RecentIds()
        self.mine = RecentIds() if mine is None else mine
        """client ids of this client's messages"""
        self._unknown: dict[str, dict[int, Message | None]] = {}
        self.moved: set[str] = set()
        """conversations whose position may have changed since someone cleared this"""
        self.suspects: set[str] = set()
        """conversations in which something new came under an old number"""
        self.duplicates = 0

    # what the application did

    def sending(self, client_id: str) -> None:
        """A message of this client is on its way: its own copy is not shown again."""
        self.mine.add(client_id)

    def sent(self, conversation: str, seq: int) -> list[Message]:
        """The server stored a message of this client at `seq`."""
        return self._place(conversation, seq, None) if seq else []

    def consumed(self, message: Message) -> None:
        """The application is done with a message it was shown."""
        state = self._conversations.get(message.conversation)
        if state is not None and message.seq:
            state.waiting -= 1
            state.consumed = message.seq
            self.moved.add(message.conversation)

    def settled(self, conversation: str) -> int:
        """The application is done with everything up to this number."""
        state = self._conversations.get(conversation)
        return state.settled if state else 0

    def reached(self) -> dict[str, int]:
        """The number each conversation has been shown up to: the server must know it too."""
        return {name: state.next - 1 for name, state in self._conversations.items()}

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """[done up to, known to exist] of every conversation, for the cursor store."""
        return {name: (state.settled, state.high) for name, state in self._conversations.items()}

    # what the server told

    def arrived(self, message: Message, me: str) -> list[Message]:
        """A live message; what it makes ready (possibly nothing, possibly held ones behind it)."""
        if message.seq == 0:
            if message.sender == me and message.client_id in self.mine:
                return []
            if self._unstored.add(message.server_id):
                return [message]
            self.duplicates += 1
            return []
        self._suspect(message)
        return self._place(message.conversation, message.seq, self._shown(message, me))

    def _suspect(self, message: Message) -> None:
        """A repetition has a server id of long ago. A new one under a number that was shown means that the
        server counts anew."""
        state = self._conversations.get(message.conversation)
        if state is None:
            return
        if message.seq < state.next and 0 < state.newest < message.server_id:
            self.suspects.add(message.conversation)
        state.newest = max(state.newest, message.server_id)

    def pulled(self, conversation: str, messages: Iterable[Message], up_to: int, me: str) -> list[Message]:
        """The answer to a pull that is complete up to `up_to`: what is not in it no longer exists."""
        state = self._conversations[conversation]
        ready: list[Message] = []
        for message in messages:
            state.newest = max(state.newest, message.server_id)
            if message.seq >= state.next:
                state.held.setdefault(message.seq, self._shown(message, me))
        state.high = max(state.high, up_to)
        self._skip_to(conversation, state, up_to + 1, ready)
        return ready

    def synced(self, row: ConversationState) -> list[Message]:
        """One row of `sync`. For a conversation not known yet it says where this device starts."""
        state = self._conversations.get(row.conversation)
        ready: list[Message] = []
        if state is None:
            state = _Conversation(max(row.acked_seq, row.min_seq - 1, 0) + 1, row.last_seq)
            self._conversations[row.conversation] = state
            waiting = self._unknown.pop(row.conversation, {})
            state.held = {seq: message for seq, message in waiting.items() if seq >= state.next}
            state.high = max([row.last_seq, *state.held])
        else:
            state.high = max(state.high, row.last_seq)
        self._skip_to(row.conversation, state, row.min_seq, ready)
        return ready

    def hinted(self, conversation: str, last_seq: int) -> None:
        """The server says messages up to `last_seq` exist."""
        state = self._conversations.get(conversation)
        if state is not None:
            state.high = max(state.high, last_seq)
        else:
            self._unknown.setdefault(conversation, {})

    # what is left to do

    def missing(self) -> list[tuple[str, int, int]]:
        """(conversation, first, last) of every range that must be pulled."""
        ranges = []
        for name, state in self._conversations.items():
            if state.next <= state.high:
                last = min(state.held, default=state.high + 1) - 1
                ranges.append((name, state.next, last))
        return ranges

    def gap(self, conversation: str) -> tuple[int, int] | None:
        """The range of one conversation that must be pulled next."""
        state = self._conversations.get(conversation)
        if state is None or state.next > state.high:
            return None
        return state.next, min(state.held, default=state.high + 1) - 1

    def unknown(self) -> frozenset[str]:
        """Conversations whose messages wait for a `sync` to say where they start."""
        return frozenset(self._unknown)

    def settle_unknown(self, asked: frozenset[str]) -> list[Message]:
        """After a `sync` that did not name them though they were `unknown` before it was asked: show what
        waits from its lowest number on."""
        ready: list[Message] = []
        for name in asked & self._unknown.keys():
            waiting = self._unknown.pop(name)
            if waiting:
                state = self._conversations[name] = _Conversation(min(waiting), max(waiting))
                state.held = waiting
                self._drain(name, state, ready)
        return ready

    def _shown(self, message: Message, me: str) -> Message | None:
        mine = message.sender == me and message.client_id in self.mine
        return None if mine or message.hidden else message

    def _place(self, conversation: str, seq: int, message: Message | None) -> list[Message]:
        state = self._conversations.get(conversation)
        ready: list[Message] = []
        if state is None:
            if seq > 1:
                waiting = self._unknown.setdefault(conversation, {})
                self.duplicates += seq in waiting
                waiting[seq] = message
                return []
            state = self._conversations[conversation] = _Conversation(1, 0)
        if seq < state.next or seq in state.held:
            self.duplicates += message is not None
            return []
        state.high = max(state.high, seq)
        if seq == state.next or len(state.held) < MAX_HELD:
            state.held[seq] = message
        self._drain(conversation, state, ready)
        return ready

    def _skip_to(self, name: str, state: _Conversation, seq: int, ready: list[Message]) -> None:
        """Nothing below `seq` is missing any more: show what is held there, leave the rest out."""
        for position in sorted(held for held in state.held if held < seq):
            self._release(state, position, ready)
        state.next = max(state.next, seq)
        self._drain(name, state, ready)

    def _drain(self, name: str, state: _Conversation, ready: list[Message]) -> None:
        while state.next in state.held:
            self._release(state, state.next, ready)
            state.next += 1
        state.high = max(state.high, state.next - 1)
        self.moved.add(name)

    def _release(self, state: _Conversation, seq: int, ready: list[Message]) -> None:
        message = state.held.pop(seq)
        if message is not None:
            ready.append(message)
            state.waiting += 1
