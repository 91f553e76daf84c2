"""What the gateways say over the bus, done at the message service of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from control.coordination.base import NodeInfo
from control.im.route_check import RouteCheck
from control.logs import get_logger
from control.node_ids import NODE_BITS, Peer, node_key, peer_of
from control.routing.base import Routes
from control.streams.operations import (
    Afresh,
    Announce,
    Away,
    Back,
    Call,
    Dropped,
    Inside,
    Left,
    Login,
    Logout,
    Moved,
    ResyncBegin,
    ResyncEnd,
    ResyncSession,
    Send,
    Sends,
    Tally,
    TopicsBegin,
    TopicsEnd,
    Up,
    UpOperation,
    Withdraw,
)
from frame.constants import USER_PREFIX, CloseCode
from im_service.ports import Session
from im_service.turns import SLICE, in_turns

log = get_logger("im")
VANISHED = 0
"""No close code: how the session ended is not known. The core says the same of a peer that vanished."""


class SessionService(Protocol):
    """What of the message service the gateways speak to, and what it knows of their sessions."""

    def on_sends(self, batch: list[Send]) -> None: ...
    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None: ...
    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None: ...
    def on_logout(self, session: Session, code: int) -> None: ...
    def on_session(self, session: Session, platform: int, session_id: int) -> None: ...
    def on_repeated(self, session: Session) -> None: ...
    def on_away(self, session: Session) -> None: ...
    def on_back(self, session: Session) -> None: ...
    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None: ...
    def sessions_at(self, node: int) -> list[Session]: ...
    def strays_at(self, node: int) -> list[Session]: ...
    def registered_at(self, node: int) -> int: ...
    def on_stray_gone(self, session: Session) -> None: ...
    def on_inside(self, session: Session, room: str) -> None: ...
    def on_left(self, node: int, conn: int, topic: str) -> None: ...
    def on_afresh(self, node: int) -> None: ...


class UpBatches:
    """Applies Up batches to the service, and keeps the routes; `control.gateway.upstream` writes them.

    `check` hears what gateways say of their topics. `settled(gateway)` says that a gateway that was asked has
    repeated all its topics and sessions; not where only `who_is_there` was asked. `heeded(gateway, number)`
    answers one that took this process for dead. `moved(gateway, im, gone)`: it has said who is in the rooms
    that changed hands because that im process came or is gone.
    """

    def __init__(
        self,
        service: SessionService,
        routes: Routes,
        check: RouteCheck,
        settled: Callable[[int], None],
        heeded: Callable[[int, int], None] = lambda gateway, number: None,
        moved: Callable[[Peer, Peer, bool], None] = lambda gateway, im, gone: None,
    ) -> None:
        self._service = service
        self._routes = routes
        self._check = check
        self._settled = settled
        self._heeded = heeded
        self._moved = moved
        self._afresh: dict[int, int] = {}  # node -> the number that was answered last
        self._repeated: dict[int, set[int]] = {}  # node -> connections of a resync under way
        self._naming: set[Peer] = set()  # gateways that repeat their topics, none of which is lost so far
        self._quietly: set[int] = set()  # gateways of which no word was lost
        self._ending: dict[int, asyncio.Task[None]] = {}  # node -> its sessions, of which there were many
        self.latest_login = 0
        """of those heard here (gateway/session_ids.py)"""

    def apply(self, peer: Peer, batch: Up) -> None:
        """One batch of one gateway epoch, in stream order."""
        for operation in batch.operations:
            self._apply(peer, operation)

    def gateway_came(self, info: NodeInfo) -> bool:
        """A gateway epoch lives. True when it was taken for dead: it only stood still, and has to be asked
        for what it holds."""
        back = self._routes.live(info.node_id, info.epoch)
        if back and (ending := self._ending.pop(node_key(info.node_id, info.epoch), None)):
            ending.cancel()  # who is not over yet may go on
        return back

    def gateway_gone(self, info: NodeInfo) -> None:
        """A gateway epoch is dead: nothing is routed there, its sessions are logged out."""
        node = node_key(info.node_id, info.epoch)
        self._routes.expire(info.node_id, info.epoch)
        self._check.gone((info.node_id, info.epoch))
        self._naming.discard((info.node_id, info.epoch))
        self._repeated.pop(node, None)
        self._afresh.pop(node, None)
        self._quietly.discard(info.node_id)
        self._end(node, CloseCode.INTERNAL, set())

    def _end(self, node: int, code: int, but: set[int]) -> None:
        """All sessions of this node but these connections are over: a slice now, then a slice a turn."""
        ours, strays = self._service.sessions_at(node), self._service.strays_at(node)
        over = [partial(self._service.on_logout, each, code) for each in ours if each.conn not in but]
        over += [partial(self._service.on_stray_gone, each) for each in strays if each.conn not in but]
        for end in over[:SLICE]:
            end()
        if len(over) > SLICE:
            task = asyncio.get_running_loop().create_task(self._end_rest(over[SLICE:]))
            self._ending[node] = task
            task.add_done_callback(partial(self._ended, node))

    async def _end_rest(self, over: Sequence[Callable[[], None]]) -> None:
        await asyncio.sleep(0)
        async for end in in_turns(over):
            end()

    def _ended(self, node: int, task: asyncio.Task[None]) -> None:
        if self._ending.get(node) is task:
            del self._ending[node]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sessions of a gateway that died are not ended", error=repr(error))

    def who_is_there(self, gateway: int) -> None:
        """This gateway is asked to repeat what it holds, for sessions that other im processes serve."""
        self._quietly.add(gateway)

    def lost(self, gateway: int) -> None:
        """Batches of this gateway are lost. A resync with a hole in it is no truth: the next one counts."""
        self._quietly.discard(gateway)
        self._naming = {peer for peer in self._naming if peer[0] != gateway}
        self._repeated = {
            node: repeated for node, repeated in self._repeated.items() if peer_of(node)[0] != gateway
        }

    def _apply(self, peer: Peer, operation: UpOperation) -> None:
        service, routes = self._service, self._routes
        match operation:
            case Sends():
                self._there(peer, [send[0].conn for send in operation.sends])
                service.on_sends(operation.sends)
            case Call():
                self._there(peer, [operation.session.conn])
                service.on_call(operation.session, operation.request, operation.method, operation.payload)
            case Login():
                self._login(peer, operation)
            case Logout():
                service.on_logout(operation.session, operation.code)
            case Away(session):
                service.on_away(session)
            case Back(session):
                service.on_back(session)
            case Announce():
                routes.announce(*peer, operation.topics)
            case Withdraw():
                routes.withdraw(*peer, operation.topics)
            case TopicsBegin():
                self._naming.add(peer)
                routes.begin(*peer)
            case TopicsEnd():
                self._topics_end(peer)
            case Tally():
                self._check.told(peer, operation)
            case Dropped(topic, normal, high, notices):
                service.on_dropped(topic, normal, high, notices)
            case ResyncSession():
                self._session(peer, operation)
            case ResyncBegin():
                self._repeated[node_key(*peer)] = set()
            case ResyncEnd():
                self._resync_end(peer)
            case Inside(session, room):
                service.on_inside(session, room)
            case Left(conn, topic):
                service.on_left(node_key(*peer), conn, topic)
            case Moved(im, epoch, gone):
                self._moved(peer, (im, epoch), gone)
            case Afresh(number):
                self._begin_afresh(peer, number)

    def _topics_end(self, peer: Peer) -> None:
        """With a hole in it, it ends nothing: what was known before counts on, and the next one is whole."""
        if peer in self._naming:
            self._naming.discard(peer)
            self._routes.end(*peer)
            self._check.repeated(peer[0])

    def _begin_afresh(self, peer: Peer, number: int) -> None:
        """Asked twice with one number, it is done once: what came in between holds."""
        node = node_key(*peer)
        if self._afresh.get(node) != number:
            self._afresh[node] = number
            self._service.on_afresh(node)
        self._heeded(peer[0], number)

    def _there(self, peer: Peer, conns: list[int]) -> None:
        """Whoever speaks during a resync may have come behind its back."""
        if self._repeated and (repeated := self._repeated.get(node_key(*peer))) is not None:
            repeated.update(conns)

    def _login(self, peer: Peer, login: Login) -> None:
        self.latest_login = max(self.latest_login, login.session_id >> NODE_BITS)
        repeated = self._repeated.get(node_key(*peer))
        if repeated is not None:
            repeated.add(login.session.conn)
        # The announcement follows, but a kick or a message may come before it.
        self._routes.expect(*peer, USER_PREFIX + login.session.user)
        self._service.on_login(login.session, login.platform, login.session_id, login.moved)

    def _session(self, peer: Peer, held: ResyncSession) -> None:
        repeated = self._repeated.get(node_key(*peer))
        if repeated is not None:
            repeated.add(held.session.conn)
        self._service.on_repeated(held.session)
        if held.mine:
            self._routes.expect(*peer, USER_PREFIX + held.session.user)
            self._service.on_session(held.session, held.platform, held.session_id)

    def _resync_end(self, peer: Peer) -> None:
        node = node_key(*peer)
        repeated = self._repeated.pop(node, None)
        if repeated is None:
            return
        self._end(node, VANISHED, repeated)
        if peer[0] in self._quietly:
            self._quietly.discard(peer[0])
        else:
            self._settled(peer[0])
