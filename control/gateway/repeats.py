"""What im processes are told in a resync: all topics, and who is here, to those whom it concerns.

    TopicsBegin, ResyncBegin  Announce [1024 topics] ...  ResyncSession ...  TopicsEnd, Tally, ResyncEnd

It goes out as the core tells it, a slice at a time, between what changes meanwhile and in the same order; no
list of all topics is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from control.coordination.base import NodeInfo
from control.gateway.resync import HeldSession, ResyncListener
from control.gateway.topics import Topics
from control.rendezvous import choose
from control.streams.batches import Batcher
from control.streams.operations import (
    Announce,
    Inside,
    Moved,
    ResyncBegin,
    ResyncEnd,
    ResyncSession,
    Tally,
    TopicsBegin,
    TopicsEnd,
    UpOperation,
)
from frame.constants import ROOM_PREFIX, USER_PREFIX
from im_service.ports import Session

TOPICS_AT_ONCE = 1024
"""In one operation."""
TOPIC_COST = 192
"""Bytes that a repeated topic counts for beside its name, so that a batch of them is a short turn of the im
process: about a thousand."""


class Repeats:
    """`ims` are the live im processes, by node id, as they are when something is said."""

    def __init__(
        self, node: int, batcher: Batcher[UpOperation], ims: Mapping[str, NodeInfo], topics: Topics
    ) -> None:
        self.node = node
        self.batcher = batcher
        self.ims = ims
        self._topics = topics
        self.open: Callable[[], int] = lambda: 0  # sessions in the core
        self.sessions = 0  # logins told, and not their ends
        self._number = 0
        self._told: dict[int, int] = {}  # im process -> the epoch that knows all topics
        self.taking_over: list[_ImListener | _Moved] = []
        self.on_settled: Callable[[], None] = lambda: None
        """Somebody who took rooms over has been told who is inside."""

    def to(self, info: NodeInfo, *, sessions: bool, rooms: bool) -> ResyncListener:
        """This im process has to know all topics; one that missed something hears the sessions too, and one
        that does not know it who is in rooms."""
        self._told.pop(info.node_id, None)
        listener = _ImListener(self, info, sessions=sessions, rooms=rooms)
        if rooms:
            self.taking_over.append(listener)
        return listener

    def moved(self, info: NodeInfo, among: list[str], *, gone: bool) -> ResyncListener:
        """What this one of these im processes serves changes hands, for it came or is gone."""
        listener = _Moved(self, info, among, gone)
        self.taking_over.append(listener)
        return listener

    def settling(self, key: str) -> bool:
        """This is a room, and who serves it has not been told yet who is inside."""
        return key.startswith(ROOM_PREFIX) and any(each.covers(key) for each in self.taking_over)

    def settled(self, listener: ResyncListener, because: NodeInfo | None, *, gone: bool = False) -> None:
        """All that it had to say is on its way: who is inside of the rooms that changed hands because of an
        im process, which everybody hears whom it may have concerned."""
        if because is not None:
            for im_id in self.ims:
                self.batcher.add(int(im_id), Moved(because.node_id, because.epoch, gone))
        before = len(self.taking_over)
        self.taking_over = [each for each in self.taking_over if each is not listener]
        if len(self.taking_over) < before:
            self.on_settled()

    def tell_all(self) -> None:
        """To whoever knows all topics: what they must be, and how many sessions there are."""
        self._number += 1
        tally = self._tally()
        for im_id, epoch in list(self._told.items()):
            if self.lives(im_id, epoch):
                self.batcher.add(im_id, tally)
            else:
                del self._told[im_id]

    def knows_all(self, info: NodeInfo) -> None:
        """From now on every topic that begins or ends has been told to this im process."""
        if self.lives(info.node_id, info.epoch):
            self._told[info.node_id] = info.epoch
            self._number += 1
            self.batcher.add(info.node_id, self._tally())

    def lives(self, im_id: int, epoch: int) -> bool:
        info = self.ims.get(str(im_id))
        return info is not None and info.epoch == epoch

    def im_for(self, key: str) -> str:
        if len(self.ims) == 1:
            return next(iter(self.ims))
        return choose(key, self.ims) or ""

    def _tally(self) -> Tally:
        own = self._topics.sum
        return Tally(self._number, own.count, own.digest, self.open(), self.sessions)


class _ImListener(ResyncListener):
    """To one im process. Sessions are `mine` when it serves their user: that tells those that are gone from
    those that another one serves."""

    def __init__(self, repeats: Repeats, info: NodeInfo, *, sessions: bool, rooms: bool) -> None:
        self._repeats = repeats
        self._info = info
        self.sessions = sessions
        self._rooms = rooms
        self._begun: Announce | None = None

    def begin(self) -> None:
        self._say(TopicsBegin())
        if self.sessions:
            self._say(ResyncBegin())

    def topic(self, topic: str) -> None:
        """Into the operation before, while that is the last word and not full."""
        batcher, im_id, begun = self._repeats.batcher, self._info.node_id, self._begun
        if begun is not None and batcher.last(im_id) is begun and len(begun.topics) < TOPICS_AT_ONCE:
            begun.topics.append(topic)
            batcher.grown(im_id, len(topic) + TOPIC_COST)
        else:
            self._begun = Announce([topic])
            self._say(self._begun)

    def session(self, held: HeldSession) -> None:
        conn, user, device, platform, session_id = held
        mine = self._serves(USER_PREFIX + user)
        self._say(ResyncSession(Session(self._repeats.node, conn, user, device), platform, session_id, mine))

    def inside(self, held: HeldSession, room: str) -> None:
        """When it serves the room."""
        if self._rooms and self._serves(room.partition("#")[0]):
            conn, user, device, _, _ = held
            self._say(Inside(Session(self._repeats.node, conn, user, device), room))

    def end(self) -> None:
        self._say(TopicsEnd())
        self._repeats.knows_all(self._info)
        if self.sessions:
            self._say(ResyncEnd())
        self._repeats.settled(self, self._info if self._rooms else None)

    def covers(self, room: str) -> bool:
        return self._serves(room)

    def _serves(self, key: str) -> bool:
        return bool(self._repeats.ims) and self._repeats.im_for(key) == str(self._info.node_id)

    def _say(self, operation: UpOperation) -> None:
        """Another life of it asks for itself."""
        if self._repeats.lives(self._info.node_id, self._info.epoch):
            self._repeats.batcher.add(self._info.node_id, operation)


class _Moved(ResyncListener):
    """Sessions and guests of rooms change hands: those of an im process that is gone, and those that a new
    one takes over. They are told to whoever serves them now."""

    sessions = True

    def __init__(self, repeats: Repeats, info: NodeInfo, among: list[str], gone: bool) -> None:
        self._repeats = repeats
        self._info = info
        self._im = str(info.node_id)
        self._among = among
        self._gone = gone

    def begin(self) -> None: ...

    def topic(self, topic: str) -> None: ...

    def session(self, held: HeldSession) -> None:
        conn, user, device, platform, session_id = held
        session = Session(self._repeats.node, conn, user, device)
        self._say(USER_PREFIX + user, ResyncSession(session, platform, session_id, True))

    def inside(self, held: HeldSession, room: str) -> None:
        conn, user, device, _, _ = held
        self._say(room.partition("#")[0], Inside(Session(self._repeats.node, conn, user, device), room))

    def end(self) -> None:
        self._repeats.settled(self, self._info, gone=self._gone)

    def covers(self, room: str) -> bool:
        return choose(room, self._among) == self._im

    def _say(self, key: str, operation: UpOperation) -> None:
        if self._repeats.ims and self.covers(key):
            self._repeats.batcher.add(int(self._repeats.im_for(key)), operation)
