"""The way from a gateway to the im processes, and what comes back.

Each conversation has one preferred im process (rendezvous hash over the live ones), so that batches form and
a room's messages pass one place in order. Correctness does not depend on it: any im process may serve any
conversation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from control.coordination.base import Coordination, NodeInfo
from control.gateway.downlink import LocalDownlink
from control.gateway.resync import Taker, Tellings, Told, UserTaker
from control.gateway.topics import Topics
from control.logs import get_logger
from control.rendezvous import choose
from control.streams.links import StreamLinks
from control.streams.operations import MAX_BATCH_BYTES, Batcher, Down, Up, encode
from frame.constants import FrameType, RequestCode
from im_service.ports import Session

log = get_logger("upstream")

UNAVAILABLE = encode(["no message service can be reached", {"retry_after_ms": 1000}])
# A CALL that names a room or a group goes where that room's messages go.
_PLACES = {"room": "r/", "group": "g/"}
TOPICS_AT_ONCE = 2048
_ROOT = msgspec.msgpack.Decoder(dict[str, Any]).decode


class BusUpstream:
    """Implements MessageService for a gateway node, over the streams to the im processes."""

    def __init__(
        self,
        links: StreamLinks,
        coordination: Coordination,
        downlink: LocalDownlink,
        topics: Topics,
        tellings: Tellings,
        lost: Callable[[], None],
        max_pending_logins: int = 65536,
    ) -> None:
        self._links = links
        self._coordination = coordination
        self._downlink = downlink
        self._batcher = Batcher(self._push)
        self._ims: dict[str, NodeInfo] = {}
        self._topics = topics
        self._tellings = tellings
        self._lost = lost
        self._pending: deque[tuple[str, bytes]] = deque()
        self._max_pending = max_pending_logins
        self.unavailable = 0

    # -- the message service's face

    def on_sends(self, batch: list[tuple[Session, int, str, bytes]]) -> None:
        if not self._ims:
            for session, request, _, _ in batch:
                self._refuse(session, FrameType.SEND_ACK, request)
            return
        parts: dict[str, list[tuple[int, str, str, int, str, bytes]]] = {}
        sizes: dict[str, int] = {}
        for session, request, target, payload in batch:
            im = self._im_for(conversation_key(session.user, target))
            parts.setdefault(im, []).append(
                (session.conn, session.user, session.device, request, target, payload)
            )
            sizes[im] = sizes.get(im, 0) + len(payload) + 128
            if sizes[im] >= MAX_BATCH_BYTES:
                self._add(im, encode([Up.SENDS, parts.pop(im)]))
                sizes[im] = 0
        for im, items in parts.items():
            self._add(im, encode([Up.SENDS, items]))

    def busy(self) -> bool:
        return False  # the im processes bound their queues themselves

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        if not self._ims:
            self._refuse(session, FrameType.RETURN, request)
            return
        im = self._im_for(call_key(session.user, method, payload))
        self._add(im, encode([Up.CALL, session.conn, session.user, session.device, request, method, payload]))

    def on_login(self, session: Session, platform: int, session_id: int) -> None:
        operation = encode([Up.LOGIN, session.conn, session.user, session.device, platform, session_id])
        self._deliver(session.user, operation)

    def on_logout(self, session: Session, code: int) -> None:
        self._deliver(session.user, encode([Up.LOGOUT, session.conn, session.user, session.device, code]))

    # -- topics and sessions of the core

    def on_topic(self, topic: str, loop: int, up: bool) -> None:
        """First or last member of a topic on one loop; announced when it is the first or last of all
        loops. Without a name: the loop has told everything.
        """
        if not topic:
            self._tellings.on_end(loop)
        elif self._topics.changed(topic, loop, up):
            operation = encode([Up.ANNOUNCE if up else Up.WITHDRAW, [topic]])
            for im in self._ims:
                self._add(im, operation)

    def on_session(self, told: Told) -> None:
        self._tellings.on_session(told)

    @property
    def topics(self) -> int:
        return len(self._topics)

    # -- membership

    def im_came(self, info: NodeInfo) -> None:
        """A (new epoch of an) im process: it learns all topics first, then what waited for one."""
        self._ims[str(info.node_id)] = info
        self._tellings.want(_ImTaker(self, info.node_id, asked=False))
        waiting, self._pending = self._pending, deque()
        for user, operation in waiting:
            self._deliver(user, operation)

    def im_gone(self, info: NodeInfo) -> None:
        known = self._ims.get(str(info.node_id))
        if known is not None and known.epoch == info.epoch:
            del self._ims[str(info.node_id)]

    # -- downlink

    def apply(self, peer_id: int, operations: list[list[Any]]) -> None:
        """One batch of an im process, in stream order."""
        down = self._downlink
        publications: list[tuple[str, int, bytes, int, int]] = []
        for operation in operations:
            kind = operation[0]
            if kind == Down.PUBLISH:
                _, topic, type_, body, priority, exclude = operation
                publications.append((topic, type_, body, priority, exclude))
                continue
            if publications:
                down.publish_many(0, publications)
                publications = []
            if kind == Down.TELL:
                self._tellings.want(_ImTaker(self, peer_id, asked=True))
            elif kind == Down.SYNC:
                self._lost()
            else:
                self._apply_one(kind, operation)
        if publications:
            down.publish_many(0, publications)

    def _apply_one(self, kind: int, operation: list[Any]) -> None:
        down = self._downlink
        if kind == Down.REPLIES:
            down.reply_many(0, [(c, t, r, code, payload) for c, t, r, code, payload in operation[1]])
        elif kind == Down.JOIN:
            down.join(Session(0, operation[1], "", ""), operation[2])
        elif kind == Down.LEAVE:
            down.leave(Session(0, operation[1], "", ""), operation[2])
        elif kind == Down.JOIN_USER:
            down.join_user(operation[1], operation[2])
        elif kind == Down.LEAVE_USER:
            down.leave_user(operation[1], operation[2])
        elif kind == Down.KICK:
            down.kick(*operation[1:])
        else:
            log.warning("operation not known", operation=kind)

    def tell_users(self, take: Callable[[list[str]], None]) -> None:
        """Call `take` with the topics of all users with a session here, soon."""
        self._tellings.want(UserTaker(take))

    def add(self, im_id: int, operation: bytes) -> None:
        """One operation to one im process."""
        self._batcher.add(im_id, operation)

    def serves(self, im_id: int, user: str) -> bool:
        """Is this the im process of the user's logins?"""
        return bool(self._ims) and self._im_for("u/" + user) == str(im_id)

    def _im_for(self, key: str) -> str:
        if len(self._ims) == 1:
            return next(iter(self._ims))
        return choose(key, self._ims) or ""

    def _deliver(self, user: str, operation: bytes) -> None:
        if self._ims:
            self._add(self._im_for("u/" + user), operation)
        elif len(self._pending) < self._max_pending:
            self._pending.append((user, operation))
        else:
            self.unavailable += 1

    def _add(self, im: str, operation: bytes) -> None:
        self.add(int(im), operation)

    def _push(self, im_id: int, batch: bytes) -> None:
        info = self._ims.get(str(im_id))
        if info is not None:
            self._links.sender(im_id, info.epoch).push(batch)

    def _refuse(self, session: Session, frame: FrameType, request: int) -> None:
        self.unavailable += 1
        self._downlink.reply(session, frame, request, RequestCode.UNAVAILABLE, UNAVAILABLE)


class _ImTaker(Taker):
    """An im process that has to know all topics; one that asked lost something, so it hears the sessions too.

    It hears all of them and which ones are its own, so that it can tell those that are gone from those that
    another im process serves.
    """

    def __init__(self, upstream: BusUpstream, im_id: int, *, asked: bool) -> None:
        self._upstream = upstream
        self._im_id = im_id
        self.sessions = asked

    def begin(self) -> None:
        if self.sessions:
            self._upstream.add(self._im_id, encode([Up.TELLING]))

    def session(self, told: Told) -> None:
        mine = self._upstream.serves(self._im_id, told[1])
        self._upstream.add(self._im_id, encode([Up.SESSION, *told, mine]))

    def end(self, topics: list[str]) -> None:
        add, im_id = self._upstream.add, self._im_id
        add(im_id, encode([Up.REPLACE, topics[:TOPICS_AT_ONCE]]))
        for start in range(TOPICS_AT_ONCE, len(topics), TOPICS_AT_ONCE):
            add(im_id, encode([Up.ANNOUNCE, topics[start : start + TOPICS_AT_ONCE]]))
        if self.sessions:
            add(im_id, encode([Up.TOLD]))


def conversation_key(user: str, target: str) -> str:
    """The same text for both sides of a single chat; the target itself for groups and rooms."""
    if not target.startswith("u/"):
        return target
    other = target[2:]
    first, second = (user, other) if user < other else (other, user)
    return f"s/{first}:{second}"


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
