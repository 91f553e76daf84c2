"""Names and numbers: the id grammar, conversation ids, topics, and time-ordered server ids."""

from __future__ import annotations

import re
from typing import NewType

from frame.constants import GROUP_PREFIX, ID_PATTERN, ROOM_PREFIX, SINGLE_PREFIX
from im_service.errors import Code, ImError
from im_service.faults import meaning

ID = re.compile(ID_PATTERN + r"\Z")
"""Grammar of user, group, room and device ids, and of tags."""
MAX_TOPIC = 80
"""Bytes of a topic's name: what the core takes (TOPIC_MAX in gateway_core/types.pxd)."""

SINGLE, GROUP, ROOM = SINGLE_PREFIX[0], GROUP_PREFIX[0], ROOM_PREFIX[0]
"""Kinds of conversations."""
_CONVERSATIONS = (SINGLE_PREFIX, GROUP_PREFIX, ROOM_PREFIX)

RESERVED = "@"
"""First character of ids that are the server's own, `@system` among them (docs/PROTOCOL.md, 2)."""

ServerId = NewType("ServerId", int)

EPOCH_MS = 1_700_000_000_000
"""Zero of the server id clock (2023-11-14); 41 bits of milliseconds last until 2093."""
NODE_BITS, COUNTER_BITS = 10, 12


def reserved(name: str) -> bool:
    """No user, group, room or tag may be called so."""
    return name.startswith(RESERVED)


def check_id(value: str, what: str) -> str:
    """Return value if it follows the grammar and is not the server's own, else 414."""
    if reserved(check_sender(value, what)):
        raise ImError(Code.INVALID, f"{what}: ids that begin with {RESERVED} are the server's")
    return value


def check_sender(value: str, what: str = "sender") -> str:
    """Return value if it follows the grammar, else 414: the server sends under its own ids too."""
    if ID.match(value) is None:
        raise ImError(Code.INVALID, f"{what} must be {meaning(ID_PATTERN)}")
    return value


def tag_topic(room_topic: str, tag: str) -> str:
    """The topic of those who are in a room under a tag. 414 for a tag that is no id, or too long beside the
    room's own id."""
    topic = f"{room_topic}#{check_id(tag, 'tag')}"
    if len(topic) > MAX_TOPIC:
        raise ImError(Code.INVALID, f"room and tag have at most {MAX_TOPIC - 3} characters together")
    return topic


def single(a: str, b: str) -> str:
    """Conversation id of two users; the same for both orders (ids are ASCII, so str order is byte order)."""
    return f"{SINGLE_PREFIX}{a}:{b}" if a < b else f"{SINGLE_PREFIX}{b}:{a}"


def split_single(conversation: str) -> tuple[str, str]:
    """The two users of a single conversation; 414 if it is not one."""
    a, _, b = conversation[2:].partition(":")
    if not conversation.startswith(SINGLE_PREFIX) or ID.match(a) is None or ID.match(b) is None:
        raise ImError(Code.INVALID, "not a single conversation")
    return a, b


def peer_of(conversation: str, user: str) -> str:
    """The other user of a single conversation; 403 if `user` is not in it."""
    a, b = split_single(conversation)
    if user == a:
        return b
    if user == b:
        return a
    raise ImError(Code.FORBIDDEN, "not your conversation")


def check_order(conversation: str) -> None:
    """414 where the two of a single conversation stand in the other order: it would be nobody's."""
    a, b = split_single(conversation)
    if a >= b:
        raise ImError(Code.INVALID, f"the ids of a single chat stand in order: {SINGLE_PREFIX}{b}:{a}")


def kind_of(conversation: str) -> str:
    """`s`, `g` or `r`; 414 for what no conversation is called."""
    kind = conversation[:2]
    if kind == SINGLE_PREFIX:
        split_single(conversation)
    elif kind not in _CONVERSATIONS or ID.match(conversation[2:]) is None:
        raise ImError(Code.INVALID, "a conversation is s/<a>:<b>, g/<group> or r/<room>")
    return kind[0]


AHEAD_MS = 3_600_000
"""A clock that was set back by less than this refuses nobody a window; the window is longer by as much."""
NO_AGE_MS = 1 << 62


class ServerIds:
    """Time-ordered u63 ids: 41 bits of milliseconds, 10 bits of node, 12 bits of counter.

    Strictly increasing in one process, also when the clock steps back; unique between processes with
    different node numbers. More than 4096 ids in a millisecond borrow from the next one.
    """

    def __init__(self, node: int) -> None:
        if not 0 <= node < 1 << NODE_BITS:
            raise ValueError("node must fit in 10 bits")
        self._node = node << COUNTER_BITS
        self._ms = 0
        self._counter = 0
        self._floor = 0

    def go_on_from(self, server_id: int) -> None:
        """Make only ids above this one: the clock may have been set back since it was made."""
        self._floor = server_id
        ms = server_id >> (NODE_BITS + COUNTER_BITS)
        if ms >= self._ms:
            self._ms = ms
            self._counter = (1 << COUNTER_BITS) - 1

    def made(self, server_id: int) -> bool:
        """This object made it, not an earlier process of the same number, nor another one."""
        node = ((1 << NODE_BITS) - 1) << COUNTER_BITS
        return server_id > self._floor and server_id & node == self._node

    def next(self, now_ms: int) -> int:
        """A new id, larger than every earlier one of this object."""
        ms = now_ms - EPOCH_MS
        if ms > self._ms:
            self._ms = ms
            self._counter = 0
        else:
            self._counter += 1
            if self._counter >> COUNTER_BITS:
                self._ms += 1
                self._counter = 0
        return self._ms << (NODE_BITS + COUNTER_BITS) | self._node | self._counter


def time_of(server_id: int) -> int:
    """Unix milliseconds a server id was made at (the commit may be a little later)."""
    return (server_id >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS


def node_of(server_id: int) -> int:
    """Number of the im process that made it."""
    return server_id >> COUNTER_BITS & (1 << NODE_BITS) - 1


def age_ms(time_ms: int, server_id: int, now_ms: int) -> int:
    """How old a stored message is, for windows that end.

    The stamps of a conversation only rise, so after one of a clock that was ahead the next ones lie in the
    future, too: then the id says when a message was made. Where both are ahead of now by more than AHEAD_MS
    nobody knows its age, and no window holds any more.
    """
    made_ms = min(time_ms, time_of(server_id))
    return NO_AGE_MS if made_ms - now_ms > AHEAD_MS else now_ms - made_ms
