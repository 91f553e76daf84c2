"""The way from a gateway to the im processes.

Each conversation has one preferred im process (rendezvous hash over the live ones), so that batches form and
a room's messages pass one place in order. Correctness does not depend on it: any im process may serve any
conversation.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from control.coordination.base import NodeInfo
from control.gateway.resync import HeldSession, Resync, ResyncListener
from control.gateway.topics import Topics
from control.rendezvous import choose
from control.streams.batches import MAX_BATCH_BYTES, SMALL, Batcher, encode
from control.streams.links import StreamLinks
from control.streams.operations import (
    Announce,
    Call,
    Login,
    Logout,
    Replace,
    ResyncBegin,
    ResyncEnd,
    ResyncSession,
    Send,
    Sends,
    Up,
    UpOperation,
    Withdraw,
)
from frame.constants import NAME_MAX, FrameType, RequestCode
from im_service.ids import single
from im_service.ports import Downlink, Session

UNAVAILABLE = encode(["no message service can be reached", {"retry_after_ms": 1000}])
# A CALL that names a room or a group goes where that room's messages go.
_PLACES = {"room": "r/", "group": "g/"}
TOPICS_AT_ONCE = 2048
_ROOT = msgspec.msgpack.Decoder(dict[str, Any]).decode


class BusUpstream:
    """Implements MessageService for a gateway, over the streams to the im processes.

    `node` is the key of this process (node_ids.node_key). Requests that find no im process are refused
    through `downlink`; logins and logouts wait for one, `max_pending` at most.
    """

    def __init__(
        self,
        node: int,
        links: StreamLinks,
        downlink: Downlink,
        topics: Topics,
        resync: Resync,
        max_pending: int = 65536,
    ) -> None:
        self._node = node
        self._links = links
        self._downlink = downlink
        self._batcher: Batcher[UpOperation] = Batcher(self._push)
        self._ims: dict[str, NodeInfo] = {}
        self._topics = topics
        self._resync = resync
        self._pending: deque[tuple[str, UpOperation]] = deque()
        self._max_pending = max_pending
        self.unavailable = 0

    # -- the message service's face

    def on_sends(self, batch: list[Send]) -> None:
        if not self._ims:
            for session, request, _, _ in batch:
                self._refuse(session, FrameType.SEND_ACK, request)
            return
        if len(self._ims) == 1:
            self._send(next(iter(self._ims)), batch)
            return
        parts: dict[str, list[Send]] = {}
        for send in batch:
            im = self._im_for(conversation_key(send[0].user, send[2]))
            parts.setdefault(im, []).append(send)
        for im, sends in parts.items():
            self._send(im, sends)

    def busy(self) -> bool:
        return False  # the im processes bound their queues themselves

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        if not self._ims:
            self._refuse(session, FrameType.RETURN, request)
            return
        im = self._im_for(call_key(session.user, method, payload))
        self._add(im, Call(session, request, method, payload), len(payload) + SMALL)

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        self._deliver(session.user, Login(session, platform, session_id))

    def on_logout(self, session: Session, code: int) -> None:
        self._deliver(session.user, Logout(session, code))

    # -- topics and sessions of the core

    def on_topic(self, topic: str, loop: int, up: bool) -> None:
        """First or last member of a topic on one loop; announced when it is the first or last of all
        loops. Without a name: the loop has repeated everything.
        """
        if not topic:
            self._resync.on_loop_end(loop)
        elif self._topics.changed(topic, loop, up):
            operation = Announce([topic]) if up else Withdraw([topic])
            for im in self._ims:
                self._add(im, operation)

    def on_session(self, held: HeldSession) -> None:
        self._resync.on_session(held)

    @property
    def topics(self) -> int:
        return len(self._topics)

    # -- membership

    def im_came(self, info: NodeInfo) -> None:
        """A (new epoch of an) im process: it learns all topics first, then what waited for one. The first one
        after a time without hears the sessions too: their logins may have gone to one that is dead.
        """
        first = not self._ims
        self._ims[str(info.node_id)] = info
        self._resync.request(_ImListener(self, info.node_id, sessions=first))
        waiting, self._pending = self._pending, deque()
        for user, operation in waiting:
            self._deliver(user, operation)

    def im_gone(self, info: NodeInfo) -> None:
        known = self._ims.get(str(info.node_id))
        if known is None or known.epoch != info.epoch:
            return
        del self._ims[str(info.node_id)]
        self._batcher.drop(info.node_id)
        if self._ims:
            self._resync.request(_Heirs(self, str(info.node_id), list(self._ims)))

    def resync(self, im_id: int) -> None:
        """This im process missed words of ours: it shall hear all sessions and topics."""
        self._resync.request(_ImListener(self, im_id, sessions=True))

    # -- what a resync says

    def repeat_begin(self, im_id: int) -> None:
        self._batcher.add(im_id, ResyncBegin())

    def repeat_session(self, im_id: int, held: HeldSession) -> None:
        """`mine` in it tells sessions that are gone from those that another im process serves."""
        conn, user, device, platform, session_id = held
        mine = bool(self._ims) and self._im_for("u/" + user) == str(im_id)
        session = Session(self._node, conn, user, device)
        self._batcher.add(im_id, ResyncSession(session, platform, session_id, mine))

    def inherit(self, dead: str, others: list[str], held: HeldSession) -> None:
        """A session whose user an im process served that is gone goes to the one that does so now."""
        conn, user, device, platform, session_id = held
        key = "u/" + user
        if self._ims and choose(key, [*others, dead]) == dead:
            session = Session(self._node, conn, user, device)
            self._add(self._im_for(key), ResyncSession(session, platform, session_id, True))

    def repeat_topics(self, im_id: int, topics: list[str]) -> None:
        add, size = self._batcher.add, TOPICS_AT_ONCE * NAME_MAX
        add(im_id, Replace(topics[:TOPICS_AT_ONCE]), size)
        for start in range(TOPICS_AT_ONCE, len(topics), TOPICS_AT_ONCE):
            add(im_id, Announce(topics[start : start + TOPICS_AT_ONCE]), size)

    def repeat_end(self, im_id: int) -> None:
        self._batcher.add(im_id, ResyncEnd())

    # -- inside

    def _im_for(self, key: str) -> str:
        if len(self._ims) == 1:
            return next(iter(self._ims))
        return choose(key, self._ims) or ""

    def _send(self, im: str, sends: list[Send]) -> None:
        part: list[Send] = []
        size = 0
        for send in sends:
            part.append(send)
            size += len(send[3]) + SMALL
            if size >= MAX_BATCH_BYTES:
                self._add(im, Sends(part), size)
                part, size = [], 0
        if part:
            self._add(im, Sends(part), size)

    def _deliver(self, user: str, operation: UpOperation) -> None:
        if self._ims:
            self._add(self._im_for("u/" + user), operation)
        elif len(self._pending) < self._max_pending:
            self._pending.append((user, operation))
        else:
            self.unavailable += 1

    def _add(self, im: str, operation: UpOperation, size: int = SMALL) -> None:
        self._batcher.add(int(im), operation, size)

    def _push(self, im_id: int, operations: list[UpOperation]) -> None:
        info = self._ims.get(str(im_id))
        if info is not None:
            self._links.sender(im_id, info.epoch).push(encode(Up(operations)))

    def _refuse(self, session: Session, frame: FrameType, request: int) -> None:
        self.unavailable += 1
        self._downlink.reply(session, frame, request, RequestCode.UNAVAILABLE, UNAVAILABLE)


class _ImListener(ResyncListener):
    """An im process that has to know all topics; one that missed something hears the sessions too."""

    def __init__(self, upstream: BusUpstream, im_id: int, *, sessions: bool) -> None:
        self._upstream = upstream
        self._im_id = im_id
        self.sessions = sessions

    def begin(self) -> None:
        if self.sessions:
            self._upstream.repeat_begin(self._im_id)

    def session(self, held: HeldSession) -> None:
        self._upstream.repeat_session(self._im_id, held)

    def end(self, topics: list[str]) -> None:
        self._upstream.repeat_topics(self._im_id, topics)
        if self.sessions:
            self._upstream.repeat_end(self._im_id)


class _Heirs(ResyncListener):
    """What an im process that is gone knew of its users' sessions is told to those that serve them now."""

    sessions = True

    def __init__(self, upstream: BusUpstream, dead: str, others: list[str]) -> None:
        self._upstream = upstream
        self._dead = dead
        self._others = others

    def begin(self) -> None: ...

    def session(self, held: HeldSession) -> None:
        self._upstream.inherit(self._dead, self._others, held)

    def end(self, topics: list[str]) -> None: ...


def conversation_key(user: str, target: str) -> str:
    """The same text for both sides of a single chat; the target itself for groups and rooms."""
    if not target.startswith("u/"):
        return target
    return single(user, target[2:])


def call_key(user: str, method: str, payload: bytes) -> str:
    """Where a CALL goes: to its room or group if it names one, else to the user's own process."""
    place = method.partition(".")[0]
    if place in _PLACES:
        try:
            named = _ROOT(payload).get(place)
        except msgspec.MsgspecError:
            named = None
        if isinstance(named, str):
            return _PLACES[place] + named
    return "u/" + user
