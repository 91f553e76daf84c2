"""The way from a gateway to the im processes.

Each conversation has one preferred im process (rendezvous hash over the live ones), so that batches form and
a room's messages pass one place in order. Correctness does not depend on it: any im process may serve any
conversation.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import cast

from control.coordination.base import NodeInfo
from control.gateway.fences import Fences
from control.gateway.held_requests import HeldRequests
from control.gateway.open_requests import UNKNOWN, OpenRequests, Request
from control.gateway.repeats import Repeats
from control.gateway.resync import HeldSession, Resync
from control.gateway.topics import BEGAN, HELD, Topics
from control.logs import get_logger
from control.rendezvous import choose
from control.request_keys import call_key, conversation_key
from control.streams.batches import MAX_BATCH_BYTES, SMALL, Batcher, carried, encode
from control.streams.links import StreamLinks
from control.streams.operations import (
    Afresh,
    Announce,
    Away,
    Back,
    Call,
    Dropped,
    Left,
    Login,
    Logout,
    Send,
    Sends,
    Up,
    UpOperation,
    Withdraw,
    up_halves,
)
from frame.constants import ROOM_PREFIX, USER_PREFIX, FrameType, RequestCode
from im_service.ports import Downlink, Reply, Session

log = get_logger("gateway")
TOO_LARGE = encode(["too large to be passed on to the message service", {}])
FULL = encode(["the message service does not answer, and too much waits for it", {"retry_after_ms": 1000}])
UNAVAILABLE = encode(["no message service can be reached", {"retry_after_ms": 1000}])
SETTLE_S, SETTLE_POLL_S = 2.0, 0.02
HELD_S = 10.0
"""Less than a client waits for its answer."""
TAKEN_OVER_S = 5.0
"""For who serves a room to be told who is inside."""


class BusUpstream:
    """Implements MessageService for a gateway, over the streams to the im processes.

    `node` is the key of this process (node_ids.node_key). Sends, logins and logouts that find no im process
    wait for one, `max_pending` of each and `max_pending_bytes` of sends at most; calls are refused through
    `downlink`, and so are sends that waited for HELD_S. As much may wait for answers; what is above is
    refused, too. What is about a room that changes hands waits until the new one was told who is inside: it
    would say that nobody is.
    """

    def __init__(
        self,
        node: int,
        links: StreamLinks,
        downlink: Downlink,
        topics: Topics,
        resync: Resync,
        max_pending: int = 65536,
        max_pending_bytes: int = 32 << 20,
    ) -> None:
        self._node = node
        self._links = links
        self._downlink = downlink
        self._batcher: Batcher[UpOperation] = Batcher(self._push)
        self._ims: dict[str, NodeInfo] = {}
        self._topics = topics
        self._repeats = Repeats(node, self._batcher, self._ims, topics)
        self._resync = resync
        self._pending: deque[tuple[str, UpOperation]] = deque()
        self._max_pending = max_pending
        self._open = OpenRequests(max_pending, max_pending_bytes, time.monotonic)
        self._held = HeldRequests(max_pending, max_pending_bytes, HELD_S, self._give_up)
        self._taken_over = HeldRequests(max_pending, max_pending_bytes, TAKEN_OVER_S, self._give_up)
        self._repeats.on_settled = self._on_settled
        self._ending = False
        self.fences = Fences()
        self.unavailable = 0
        self.unknown = 0

    # -- the message service's face

    def on_sends(self, batch: list[Send]) -> None:
        if self._ending:
            for send in batch:
                self._give_up(send, asked=False)
            return
        if not self._ims:
            self._held.hold(batch, asked=False)
            return
        if len(self._ims) == 1 and not self._repeats.taking_over:
            self._send(next(iter(self._ims)), batch)
            return
        parts: dict[str, list[Send]] = {}
        for send in batch:
            im = str(self._open.place(send[0].conn, send[2]))
            if im not in self._ims:
                key = conversation_key(send[0].user, send[2])
                if self._repeats.settling(key):
                    self._taken_over.hold([send], asked=False)
                    continue
                im = self._im_for(key)
            parts.setdefault(im, []).append(send)
        for im, sends in parts.items():
            self._send(im, sends)

    def busy(self) -> bool:
        return False  # the im processes bound their queues themselves

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        if not self._ims or self._ending:
            self._refuse(session, FrameType.RETURN, request)
            return
        im = next(iter(self._ims))
        call = Call(session, request, method, payload)
        if len(self._ims) > 1 or self._repeats.taking_over:
            key = call_key(session.user, method, payload)
            if self._repeats.settling(key):
                self._taken_over.hold([call], asked=False)
                return
            im = self._im_for(key)
        if self._open.called(int(im), call):
            self._add(im, call, len(payload) + SMALL)
        else:
            self._refuse(session, FrameType.RETURN, request, FULL)

    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None:
        self._repeats.sessions += 1
        self._deliver(session.user, Login(session, platform, session_id, moved))

    def on_logout(self, session: Session, code: int) -> None:
        self._repeats.sessions -= 1
        self._deliver(session.user, Logout(session, code))

    def on_away(self, session: Session) -> None:
        self._deliver(session.user, Away(session))

    def on_back(self, session: Session) -> None:
        self._deliver(session.user, Back(session))

    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None:
        """Told to the im process that serves the room; while there is none, nobody counts."""
        if self._ims:
            self._add(self._im_for(topic), Dropped(topic, normal, high, notices))

    async def settle(self) -> None:
        """The end: sends that are held are given up, open requests are waited for as long as SETTLE_S and the
        bus allow. Then nobody knows what became of them."""
        self._ending = True
        self._held.end()
        self._taken_over.end()
        for _ in range(round(SETTLE_S / SETTLE_POLL_S)):
            if not len(self._open) or not self._ims or not self._links.connected:
                break
            await asyncio.sleep(SETTLE_POLL_S)
        for each in self._open.end():
            self._give_up(each, asked=True)

    # -- topics and sessions of the core

    def on_topic(self, topic: str, loop: int, up: int) -> None:
        """First or last member of a topic on one loop; announced when it is the first or last of all
        loops. Or it is repeated; without a name: the loop has repeated everything.
        """
        if not topic:
            self._resync.on_loop_end(loop)
        elif up == HELD:
            self._resync.on_topic(topic)
        elif self._topics.changed(topic, loop, up == BEGAN):
            operation = Announce([topic]) if up == BEGAN else Withdraw([topic])
            for im in self._ims:
                self._add(im, operation)

    def on_session(self, held: HeldSession, room: str = "") -> None:
        self._resync.on_session(held, room)

    @property
    def topics(self) -> int:
        return len(self._topics)

    @property
    def sum_of_topics(self) -> tuple[int, int]:
        return self._topics.sum.count, self._topics.sum.digest

    def tell_all(self, open_sessions: Callable[[], int]) -> None:
        """How many topics and sessions there are, to the im processes that know all of them."""
        self._repeats.open = open_sessions
        self._repeats.tell_all()

    # -- membership

    def im_came(self, info: NodeInfo) -> None:
        """A (new epoch of an) im process: it learns all topics first, then what waited for one. The first one
        after a time without hears the sessions too: their logins may have gone to one that is dead. One that
        comes beside others hears of the sessions whose users it serves from now on: their logouts go there.
        So it is with who is in the rooms that it serves.
        """
        first = not self._ims
        self._open.changed()
        self._ims[str(info.node_id)] = info
        self._ask_afresh(info)
        self._resync.request(self._repeats.to(info, sessions=first, rooms=first))
        if not first:
            self._resync.request(self._repeats.moved(info, list(self._ims), gone=False))
        waiting, self._pending = self._pending, deque()
        for user, operation in waiting:
            self._deliver(user, operation)
        self._ask(self._held.take())

    def im_gone(self, info: NodeInfo) -> None:
        known = self._ims.get(str(info.node_id))
        if known is None or known.epoch != info.epoch:
            return
        del self._ims[str(info.node_id)]
        self.fences.gone((info.node_id, info.epoch))
        self._batcher.drop(info.node_id)
        if self._ims:
            self._resync.request(self._repeats.moved(info, [*self._ims, str(info.node_id)], gone=True))
        self._ask_again(self._open.taken_from(info.node_id))
        if not self._ims:
            self._on_settled()  # what comes now waits behind them

    def answered(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        """An im process has answered these. -> what their senders hear."""
        return self._open.answered(replies)

    def resync(self, im_id: int) -> None:
        """This im process missed words of ours: it shall hear all sessions and topics. One that was taken for
        dead before may have missed who is in rooms, too."""
        info = self._ims.get(str(im_id))
        if info is not None:
            rooms = self._ask_afresh(info)
            self._resync.request(self._repeats.to(info, sessions=True, rooms=rooms))

    def left(self, im_id: int, conn: int, topic: str) -> None:
        """An im process took this connection out of a room. The one that serves the room may have heard of it
        from us a moment ago as of one inside."""
        if self._ims and topic.startswith(ROOM_PREFIX) and "#" not in topic:
            im = self._im_for(topic)
            if int(im) != im_id:
                self._add(im, Left(conn, topic))

    def _ask_afresh(self, info: NodeInfo) -> bool:
        """Before anything else is said to it. True when it was taken for dead once."""
        number = self.fences.ask((info.node_id, info.epoch))
        if number is not None and not self.fences.heeds((info.node_id, info.epoch)):
            self._batcher.add(info.node_id, Afresh(number))
        return number is not None

    # -- inside

    def _ask_again(self, asked: list[Request]) -> None:
        """The im process that was asked is gone. A send may be sent again, the store knows it by its
        client_id; what became of a call nobody knows.
        """
        sends = []
        for each in asked:
            if isinstance(each, Call):
                self._unknown(each.session, FrameType.RETURN, each.request)
            else:
                sends.append(each)
        if self._ims:
            self._open.changed()
            self.on_sends(sends)
        elif sends:
            self._held.hold(sends, asked=True)

    def _on_settled(self) -> None:
        self._ask(self._taken_over.take())

    def _ask(self, held: list[Request]) -> None:
        """In order, as though they came now."""
        for calls, some in groupby(held, lambda each: isinstance(each, Call)):
            if calls:
                for call in cast(Iterator[Call], some):
                    self.on_call(call.session, call.request, call.method, call.payload)
            else:
                self.on_sends(cast(list[Send], list(some)))

    def _give_up(self, request: Request, asked: bool) -> None:
        """It could not be asked in time: its sender hears that nobody knows, or that nothing happened."""
        tell = self._unknown if asked else self._refuse
        if isinstance(request, Call):
            tell(request.session, FrameType.RETURN, request.request)
        else:
            tell(request[0], FrameType.SEND_ACK, request[1])

    def _unknown(self, session: Session, frame: FrameType, request: int) -> None:
        self.unknown += 1
        self._answer(session, frame, request, RequestCode.TIMEOUT, UNKNOWN)

    def _im_for(self, key: str) -> str:
        if len(self._ims) == 1:
            return next(iter(self._ims))
        return choose(key, self._ims) or ""

    def _send(self, im: str, sends: list[Send]) -> None:
        taken = self._open.sent(int(im), sends)
        if len(taken) < len(sends):
            known = {(send[0].conn, send[1]) for send in taken}
            for send in sends:
                if (send[0].conn, send[1]) not in known:
                    self._refuse(send[0], FrameType.SEND_ACK, send[1], FULL)
        part: list[Send] = []
        size = 0
        for send in taken:
            part.append(send)
            size += len(send[3]) + SMALL
            if size >= MAX_BATCH_BYTES:
                self._add(im, Sends(part), size)
                part, size = [], 0
        if part:
            self._add(im, Sends(part), size)

    def _deliver(self, user: str, operation: UpOperation) -> None:
        if self._ims:
            self._add(self._im_for(USER_PREFIX + user), operation)
        elif len(self._pending) < self._max_pending:
            self._pending.append((user, operation))
        else:
            self.unavailable += 1

    def _add(self, im: str, operation: UpOperation, size: int = SMALL) -> None:
        self._batcher.add(int(im), operation, size)

    def _push(self, im_id: int, operations: list[UpOperation]) -> None:
        info = self._ims.get(str(im_id))
        if info is None:
            return
        sender = self._links.sender(im_id, info.epoch)
        for batch in carried(Up, operations, self._links.max_batch(), up_halves, self._too_large):
            sender.push(batch)

    def _too_large(self, operation: UpOperation) -> None:
        """More than the bus carries: its sender hears so, and nobody else is held up."""
        match operation:
            case Sends([(session, request, _, _)]):
                self._answer(session, FrameType.SEND_ACK, request, RequestCode.INVALID, TOO_LARGE)
            case Call(session, request, _, _):
                self._answer(session, FrameType.RETURN, request, RequestCode.INVALID, TOO_LARGE)
            case _:
                log.error("an operation is too large for the bus", operation=type(operation).__name__)

    def _refuse(self, session: Session, frame: FrameType, request: int, text: bytes = UNAVAILABLE) -> None:
        self.unavailable += 1
        self._answer(session, frame, request, RequestCode.UNAVAILABLE, text)

    def _answer(
        self, session: Session, frame: FrameType, request: int, code: RequestCode, payload: bytes
    ) -> None:
        for reply in self._open.answered([(session.conn, frame, request, code, payload)]):
            self._downlink.reply(session, *reply[1:])
