"""What gateways and im processes say to each other, and im processes among themselves.

A batch is one message of a stream: [direction, [operation...]], each operation an array that begins with its
number. Numbers are never used again for something else: processes of two versions may meet.
"""

from __future__ import annotations

import msgspec

from im_service.ports import Budget, Publication, Reply, Session

Send = tuple[Session, int, str, bytes]
"""(session, request, target, payload)"""


class _Operation(msgspec.Struct, array_like=True, gc=False):
    """Plain data; whoever makes one gives it away."""


# -- gateway to im process


class Sends(_Operation, tag=1):
    sends: list[Send]


class Call(_Operation, tag=2):
    session: Session
    request: int
    method: str
    payload: bytes


class Login(_Operation, tag=3):
    """`moved`: it goes on here with what another gateway had kept, and its client asks for no sync."""

    session: Session
    platform: int
    session_id: int
    moved: bool = False


class Logout(_Operation, tag=4):
    session: Session
    code: int


class Announce(_Operation, tag=5):
    """Topics with a first local member."""

    topics: list[str]


class Withdraw(_Operation, tag=6):
    """Topics whose last local member left."""

    topics: list[str]


class ResyncBegin(_Operation, tag=8):
    """All sessions follow."""


class ResyncSession(_Operation, tag=9):
    """A session that lives. `mine`: logins of its user go to the im process that hears this. Outside of a
    resync: the user was served by another one until now."""

    session: Session
    platform: int
    session_id: int
    mine: bool


class ResyncEnd(_Operation, tag=10):
    """Exactly those named, and logged in, since ResyncBegin are live."""


class Dropped(_Operation, tag=11):
    """What the members of a room missed here, since the last word of it."""

    topic: str
    normal: int
    high: int
    notices: int


class Inside(_Operation, tag=12):
    """This session is in a room that is served by the im process that hears this: its topic, and behind it
    `#tag` for each tag there."""

    session: Session
    topic: str


class Left(_Operation, tag=13):
    """Another im process took this connection out of a room that is served by the one that hears this."""

    conn: int
    topic: str


class Afresh(_Operation, tag=14):
    """The im process that hears this was taken for dead: what it did in rooms for this gateway is not heeded
    until it answers Heeded. Who is in them follows, and nobody else is."""

    number: int


class TopicsBegin(_Operation, tag=15):
    """All topics that have members follow, in Announce, between what changes meanwhile."""


class TopicsEnd(_Operation, tag=16):
    """Exactly what was announced, and not withdrawn, since TopicsBegin has members."""


class Away(_Operation, tag=18):
    """This session has no connection any more and waits for its client; it is out of its rooms."""

    session: Session


class Back(_Operation, tag=19):
    """It has one again."""

    session: Session


class Tally(_Operation, tag=17):
    """What a gateway has. Those of one number were said to all im processes at once."""

    number: int
    topics: int
    digest: int
    """of the topics, added up (routing.base.TopicSum)"""
    open: int
    """sessions in its core"""
    sessions: int
    """of them: those that im processes were told of"""


class Moved(_Operation, tag=20):
    """Who is in the rooms that changed hands because this im process came or is `gone` has been said."""

    im: int
    epoch: int
    gone: bool


UpOperation = (
    Sends
    | Call
    | Login
    | Logout
    | Announce
    | Withdraw
    | ResyncBegin
    | ResyncSession
    | ResyncEnd
    | Dropped
    | Inside
    | Left
    | Afresh
    | TopicsBegin
    | TopicsEnd
    | Tally
    | Away
    | Back
    | Moved
)


class Up(msgspec.Struct, array_like=True, tag=1):
    """A batch from a gateway to an im process."""

    operations: list[UpOperation]


def up_halves(operation: UpOperation) -> tuple[UpOperation, UpOperation] | None:
    """The same in two operations, None when it says one thing only."""
    match operation:
        case Sends(sends) if len(sends) > 1:
            half = len(sends) // 2
            return Sends(sends[:half]), Sends(sends[half:])
        case Announce(topics) if len(topics) > 1:
            half = len(topics) // 2
            return Announce(topics[:half]), Announce(topics[half:])
    return None


# -- im process to gateway


class Replies(_Operation, tag=1):
    replies: list[Reply]


class Publish(_Operation, tag=2):
    publication: Publication


class Join(_Operation, tag=3):
    conn: int
    topic: str
    budget: Budget | None = None


class Leave(_Operation, tag=4):
    conn: int
    topic: str


class JoinUser(_Operation, tag=5):
    user: str
    topic: str


class LeaveUser(_Operation, tag=6):
    user: str
    topic: str


class Kick(_Operation, tag=7):
    user: str
    device: str | None
    before_session: int
    code: int
    text: str


class Resync(_Operation, tag=8):
    """Something was lost on the way up: all sessions and topics shall come."""


class Sync(_Operation, tag=9):
    """ResyncEnd has arrived: what was published meanwhile may be missing, so the sessions shall look."""


class SetBudget(_Operation, tag=10):
    """Of one topic; None: that of all rooms again."""

    topic: str
    budget: Budget | None


class Heeded(_Operation, tag=11):
    """To Afresh: what follows was said after it."""

    number: int


DownOperation = (
    Replies | Publish | Join | Leave | JoinUser | LeaveUser | Kick | Resync | Sync | SetBudget | Heeded
)


class Down(msgspec.Struct, array_like=True, tag=2):
    """A batch from an im process to a gateway."""

    operations: list[DownOperation]


# -- im process to im process


class Changed(_Operation, tag=1):
    """As in im_service.ports.PeersPort, or kind "all": anything may have changed."""

    kind: str
    key: str


class Between(msgspec.Struct, array_like=True, tag=3):
    """A batch from an im process to another."""

    operations: list[Changed]


def down_halves(operation: DownOperation) -> tuple[DownOperation, DownOperation] | None:
    """The same in two operations, None when it says one thing only."""
    match operation:
        case Replies(replies) if len(replies) > 1:
            half = len(replies) // 2
            return Replies(replies[:half]), Replies(replies[half:])
    return None
