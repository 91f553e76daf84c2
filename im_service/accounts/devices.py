"""Logins: device records, the same device replacing itself, login policies, kicks.

One file, longer than others: who is replaced, by a login or by a kick, is decided in one place.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import count
from typing import Annotated

from msgspec import Meta, Struct, field

from frame.constants import GROUP_PREFIX, USER_PREFIX, CloseCode, FrameType
from im_service.accounts.ended import ENDED, Ended, read_word
from im_service.accounts.known_since import known_since
from im_service.accounts.login_policy import must_go
from im_service.accounts.moments import Moments
from im_service.accounts.presence import PresenceBook
from im_service.accounts.profiles import ALL_SESSIONS
from im_service.calls import Args, Caller, Number, method
from im_service.chatrooms.door import RoomDoor
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.live.users import GONE, SessionState
from im_service.models import SYNC_BODY
from im_service.outbox.kinds.people import SessionLogin, SessionLogout
from im_service.pages import fit
from im_service.ports import HIGH, Session, Way
from im_service.storage.errors import StoreError
from im_service.storage.records import Login, Logout, Mark, NewLogin, WalkPlace
from im_service.turns import in_turns

_log = logging.getLogger("qianwan.im")

# Logins or logouts that the store takes at a time. A reconnect storm must not make one turn of the event
# loop so long that the bus takes this process for dead.
LOGINS_AT_ONCE = 256
EVENT = int(FrameType.EVENT)
MOVED_MS = 500
"""For the gateways' words to reach every im process, once or twice: batches take milliseconds."""
SESSION_MS_SHIFT = 20
"""Of a session id: above it are the milliseconds at which the gateway gave it."""
YOUNG_MS = 60_000
"""Of a session that nobody knows any more: for as long as the death of an im process takes to be known."""
AGAIN_S, AGAIN_MAX_S = 0.25, 4.0
"""Pauses before what the store did not take is tried again: the first, doubled up to the longest."""


def _begun(state: SessionState) -> None:
    """The store has the login, or the session is over: its calls and its logout go on."""
    ready, state.ready = state.ready, None
    if ready is not None and not ready.done():
        ready.set_result(None)


async def _told(work: Coroutine[None, None, None]) -> None:
    """What a task meets is in the log."""
    try:
        await work
    except Exception:
        _log.exception("work on sessions failed")


class KickArgs(Args):
    user: str = ""
    devices: Annotated[list[str], Meta(max_length=100)] = field(default_factory=list)
    platforms: Annotated[list[int], Meta(max_length=16)] = field(default_factory=list)
    reason: Number = 0
    ext: Annotated[str, Meta(max_length=512)] = ""


class DevicesArgs(Args):
    user: str = ""
    after: str = ""


class Kicked(Struct):
    """`more`: further devices were kicked that this answer has no room for."""

    kicked: list[str]
    more: bool


class DeviceLine(Struct):
    device: str
    platform: int
    online: bool
    last_login_ms: int
    last_logout_ms: int


class DeviceList(Struct):
    devices: list[DeviceLine]
    more: bool


class Devices:
    """What happens when a session begins and ends."""

    def __init__(self, context: ServiceContext, rooms: RoomDoor, watches: PresenceBook) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._downlink = context.downlink
        self._sessions = context.sessions
        self._presence = context.presence
        self._announcer = context.announcer
        self._peers = context.peers
        self._policy = context.settings.login_policy
        self._keep = context.settings.devices_per_user
        self._roam_count = context.settings.retention.roam_count
        self._reply_bytes = context.settings.reply_bytes
        self._rooms = rooms
        self._watches = watches
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: deque[SessionState] = deque()
        self._beginning: asyncio.Task[None] | None = None
        self._over: deque[tuple[SessionState, int]] = deque()
        self._ending: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._moved: Moments[tuple[SessionState, bool]] = Moments(self._clock, MOVED_MS, self._look_again)
        moment_ms = context.settings.presence_moment_ms
        self._going: Moments[tuple[SessionState, int]] = Moments(self._clock, moment_ms, self._go_away)
        self._aways = count(1)
        self._leaving: Moments[str] = Moments(self._clock, moment_ms, self._tell_gone)
        self._ended = Ended(self._clock, context.latest_session)

    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None:
        """Synchronous part: the session is known from here on, and its older self is closed."""
        state = self._sessions.add(session, platform, session_id)
        self._ended.began(session, session_id)
        self._downlink.kick(
            session.user, session.device, session_id, CloseCode.SUPERSEDED, "the same device logged in anew"
        )
        state.ready = asyncio.get_running_loop().create_future()
        self._due.append(state)
        if moved:
            self._moved.add((state, False))
        if self._beginning is None or self._beginning.done():
            self._beginning = self._spawn(self._begin_due())

    def _live(self, user: str) -> None:
        """A session of an account that may act began: those who watch hear it."""
        self._watches.back(user)
        self._watches.came(user)

    async def _look_again(self, moved: list[tuple[SessionState, bool]]) -> None:
        """What was published before every process knew that a session is at another gateway now reached it at
        neither: its client looks into the store when they know, a moment after it has joined its groups."""
        for state, begun in moved:
            if state.over:
                continue
            if begun:
                self._downlink.publish(USER_PREFIX + state.session.user, EVENT, SYNC_BODY, HIGH)
            else:
                self._moved.add((state, state.ready is None))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(_told(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _begin_due(self) -> None:
        """All logins that wait, in one trip to the store; those that come meanwhile share the next one. A
        session whose login the store does not take is not ready: it is tried until it is known or over."""
        pause = AGAIN_S
        while self._due:
            states = [self._due.popleft() for _ in range(min(len(self._due), LOGINS_AT_ONCE))]
            now = self._clock.now_ms()
            new = [NewLogin(s.session.user, s.session.device, s.platform, s.session_id) for s in states]
            try:
                with self._told_login(new):
                    logins = await self._store.logins(new, now, self._keep)
            except StoreError as error:
                self._due.extendleft(reversed(self._still_there(states)))
                pause = await self._pause(f"{len(self._due)} logins wait", error, pause)
                continue
            except Exception:
                _log.exception("%d logins failed", len(states))
                for state in states:
                    _begun(state)
                    self._live(state.session.user)
                continue
            pause = AGAIN_S
            for state, login in zip(states, logins, strict=True):
                try:
                    self._begin(state, login, now)
                except Exception:
                    _log.exception("login of a session failed")
                    _begun(state)

    def _told_login(self, new: Sequence[NewLogin]) -> AbstractContextManager[None]:
        return self._teller.changes(
            (
                USER_PREFIX + each.user,
                SessionLogin(
                    user=each.user,
                    device=each.device,
                    session_id=str(each.session_id),
                    platform=each.platform,
                ),
            )
            for each in new
        )

    def _told_logout(self, gone: Sequence[Logout]) -> AbstractContextManager[None]:
        return self._teller.changes(
            (
                USER_PREFIX + each.user,
                SessionLogout(user=each.user, device=each.device, session_id=str(each.session_id)),
            )
            for each in gone
        )

    def _still_there(self, states: list[SessionState]) -> list[SessionState]:
        """Those that have not ended; the others need no login any more. None when the process ends."""
        left: list[SessionState] = []
        for state in states:
            if self._sessions.get(state.session) is state and not self._stopping.is_set():
                left.append(state)
            else:
                _begun(state)
        return left

    async def _pause(self, what: str, error: Exception, pause: float) -> float:
        """Wait before the next try, not beyond the end of the process. -> the next pause"""
        _log.warning("%s for the store: %s", what, error)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()
        return min(2 * pause, AGAIN_MAX_S)

    def _begin(self, state: SessionState, login: Login, now: int) -> None:
        """Groups, account, policy. A new device gets the last N messages of its conversations."""
        session = state.session
        if state.over:  # it joins nothing and ends no other device
            _begun(state)
            return
        if login.account.disabled_until_ms > now:
            self._downlink.kick(
                session.user, None, ALL_SESSIONS, CloseCode.ACCOUNT_DISABLED, "the account is disabled"
            )
            _begun(state)
            self.on_logout(session, CloseCode.ACCOUNT_DISABLED)
            return
        for group in login.groups:
            self._downlink.join(session, GROUP_PREFIX + group)
        self._live(session.user)
        if login.others:
            live = self._sessions.devices_kept(session.user)
            others = [d for d in login.others if d.device in live]
            for device in must_go(self._policy, (session.device, state.platform), others):
                self._end_device(session.user, device, "another device logged in", 0, "", state.session_id)
        state.known_since_ms = known_since(session.device, [login.device, *login.others])
        if login.is_new and state.known_since_ms:
            self._spawn(self._skip_old(state))
        else:
            _begun(state)

    async def _skip_old(self, state: SessionState) -> None:
        """A new device owes no acknowledgement of what lies before the roaming window."""
        keep = self._roam_count
        session, cursor, more = state.session, 0, True
        place: WalkPlace | None = None
        try:
            while more:
                page = await self._store.changed(session.user, session.device, cursor, 500, place)
                marks = [Mark(r.conversation, r.last_seq - keep) for r in page.rows if r.last_seq > keep]
                if marks:
                    await self._store.ack(session.user, session.device, marks)
                cursor, more, place = page.cursor, page.more, page.place
        except Exception:
            _log.exception("login of a session failed")
        finally:
            _begun(state)

    def on_session(self, session: Session, platform: int, session_id: int) -> bool:
        """A live session, maybe known: if not, it logs in now, unless its device logged in anew since, or it
        should be closed. Who knew it may have died before its groups were joined: a young one looks into the
        store once they are. -> whether it does"""
        if (end := self._ended.of(session, session_id)) is not None:
            self._downlink.kick(session.user, session.device, session_id + 1, end.code, end.text)
            return False
        known = self._sessions.get(session)
        if known is not None and known.session == session and not known.stray:
            self.on_back(session)  # if it is away, that is told next
            return False
        live = self._sessions.user(session.user).live
        newest = max((s.session_id for s in live if s.session.device == session.device), default=0)
        if newest < session_id:
            young = self._clock.now_ms() - (session_id >> SESSION_MS_SHIFT) < YOUNG_MS
            self.on_login(session, platform, session_id, moved=young)
            return True
        self._downlink.kick(
            session.user, session.device, newest, CloseCode.SUPERSEDED, "the same device logged in anew"
        )
        return False

    def on_logout(self, session: Session, code: int) -> None:
        """The session is over; a later session of the same device is not touched."""
        state = self._sessions.remove(session)
        if state is None:
            return
        self._peers.changed("session", " ".join(map(str, session)))
        if state.ready is None:
            self._end(state, code)
        else:
            self._spawn(self._end_when_begun(state, code, state.ready))

    def on_away(self, session: Session) -> None:
        """Its connection was lost, and its client may come back: it is offline and in no room meanwhile, and
        goes on hearing what its user and groups hear. Nothing is written."""
        state = self._sessions.get(session)
        if state is None or state.session != session or state.stray or state.away:
            return
        state.away = next(self._aways)
        alone = [] if self._sessions.online(session.user) else ["alone"]
        self._peers.changed("away", " ".join([*map(str, session), *alone]))
        if state.rooms:
            self._spawn(self._leave_rooms(state))
        self._going.add((state, state.away))

    async def _go_away(self, going: list[tuple[SessionState, int]]) -> None:
        """Those who watch hear it of whoever has not come back since."""
        users: dict[str, None] = {}
        for state, away in going:
            if state.away == away and not state.over:
                state.away = GONE
                users[state.session.user] = None
        if not users:
            return
        await self._tell_gone(list(users))

    def on_back(self, session: Session) -> None:
        """It has a connection again."""
        state = self._sessions.get(session)
        if state is None or state.session != session or not state.away:
            return
        told, state.away = state.away == GONE, 0
        if told:
            self._live(session.user)
        else:
            self._peers.changed("back", session.user)

    def on_stray_away(self, session: Session) -> None:
        """A session that logged in at another process is away: it leaves the rooms it is in here."""
        state = self._sessions.get(session)
        if state is not None and state.session == session and state.stray:
            self._spawn(self._leave_rooms(state))

    def on_stray_gone(self, session: Session) -> None:
        """A session that logged in at another process ended there: it leaves the rooms it is in here."""
        state = self._sessions.remove(session)
        if state is not None:
            self._spawn(self._rooms.logout(state))

    async def _end_when_begun(self, state: SessionState, code: int, ready: asyncio.Future[None]) -> None:
        await asyncio.shield(ready)
        self._end(state, code)

    def _end(self, state: SessionState, code: int) -> None:
        self._over.append((state, code))
        if self._ending is None or self._ending.done():
            self._ending = self._spawn(self._end_due())

    async def _end_due(self) -> None:
        """All logouts that wait, in one trip to the store, as with logins: a gateway may die with all of its
        sessions."""
        while self._over:
            over = [self._over.popleft() for _ in range(min(len(self._over), LOGINS_AT_ONCE))]
            await asyncio.gather(*(self._leave_rooms(state) for state, _ in over if state.rooms))
            gone = [Logout(s.session.user, s.session.device, s.session_id) for s, _ in over]
            await self._log_out(gone)
            users: dict[str, None] = {}
            for state, code in over:
                user = state.session.user
                if code == CloseCode.SUPERSEDED and not self._sessions.online(user):
                    self._leaving.add(user)  # it goes on elsewhere, and that is about to be told
                else:
                    users[user] = None
            await self._tell_gone(list(users))

    async def _tell_gone(self, users: list[str]) -> None:
        """Sessions of these users have ended."""
        users = list(dict.fromkeys(users))
        await self._watches.went(users)
        for user in users:
            if not self._sessions.online(user):
                self._watches.gone(user)

    async def _log_out(self, gone: list[Logout]) -> None:
        """Until the store has it: it says since when a device has been away."""
        now, pause = self._clock.now_ms(), AGAIN_S
        try:
            while True:
                try:
                    with self._told_logout(gone):
                        await self._store.logouts(gone, now)
                    return
                except StoreError as error:
                    if self._stopping.is_set():
                        _log.warning("%d logouts are not written: %s", len(gone), error)
                        return
                    pause = await self._pause(f"{len(gone)} logouts wait", error, pause)
        except Exception:
            _log.exception("%d logouts failed", len(gone))

    async def _leave_rooms(self, state: SessionState) -> None:
        try:
            await self._rooms.logout(state)
        except Exception:
            _log.exception("a session could not leave its rooms")

    def _end_device(
        self, user: str, device: str | None, text: str, reason: int, ext: str, before: int = ALL_SESSIONS
    ) -> None:
        """Say why, then close: the code tells the client not to come back by itself."""
        data = {"device": device, "reason": reason, "ext": ext, "text": text}
        self._announcer.event(USER_PREFIX + user, "kicked", data)
        self._close(user, device, before, CloseCode.KICKED, text if not ext else f"{text}: {ext}"[:200])

    def _close(self, user: str, device: str | None, before: int, code: int, text: str) -> None:
        self._downlink.kick(user, device, before, code, text)
        self._ended.note(user, device, before, code, text)

    def from_peer(self, word: str) -> None:
        """Another im process ended sessions while this one could not be told."""
        self._close(*read_word(word))

    async def hand_over(self, way: Way) -> None:
        """Orders about users whom other processes serve, some hundred between two turns of the loop."""
        async for user, word in in_turns(list(self._ended.words())):
            if (tell := way(USER_PREFIX + user)) is not None:
                tell(ENDED, word)

    @method("kick", Code.INVALID, Code.FORBIDDEN, result=Kicked, alone=True)
    async def kick(self, caller: Caller, args: KickArgs) -> Kicked:
        """End my sessions on these devices or platforms (never this one by platform); the server may end
        anybody's, all of them when neither is named. The device hears reason and ext first. `kicked`: the
        devices that were there."""
        user = check_id(args.user or caller.user, "user")
        if not caller.server and user != caller.user:
            raise ImError(Code.FORBIDDEN, "only the server ends other people's sessions")
        if not caller.server and not args.devices and not args.platforms:
            raise ImError(Code.INVALID, "name devices or platforms")
        if caller.server and not args.devices and not args.platforms:
            live = await self._live_devices(user)
            self._end_device(user, None, "kicked", args.reason, args.ext)
            return Kicked(*fit(live, self._reply_bytes))
        named = {check_id(device, "device") for device in args.devices}
        devices = await self._store.devices(user)
        told = (await self._presence.devices([user])).get(user)
        there = {device.device: device.platform for device in devices if device.online}
        if told is not None:  # else nobody can be asked
            there = dict(told)
        kicked: list[str] = []
        for name, platform in ({device.device: device.platform for device in devices} | there).items():
            if name in named or (platform in args.platforms and name != caller.device):
                self._end_device(user, name, "kicked", args.reason, args.ext)
                kicked += [name] if name in there else []
        return Kicked(*fit(kicked, self._reply_bytes))

    async def _live_devices(self, user: str) -> list[str]:
        return [device for device, _ in (await self._presence.devices([user])).get(user, [])]

    @method("devices", Code.FORBIDDEN, result=DeviceList, alone=True)
    async def devices(self, caller: Caller, args: DevicesArgs) -> DeviceList:
        """My devices in order of their ids; the server may ask for anybody's. `after` = the last id of the
        page before."""
        user = args.user or caller.user
        if user != caller.user and not caller.server:
            raise ImError(Code.FORBIDDEN)
        live = await self._live_devices(user)
        lines = [
            DeviceLine(d.device, d.platform, d.device in live, d.last_login_ms, d.last_logout_ms)
            for d in sorted(await self._store.devices(user), key=lambda d: d.device)
            if d.device > args.after
        ]
        return DeviceList(*fit(lines, self._reply_bytes))

    def stop(self) -> None:
        """The process ends: what the store does not take now is left."""
        self._stopping.set()
        self._moved.stop()
        self._going.stop()
        self._leaving.stop()

    async def close(self) -> None:
        """Wait until logins and logouts under way are done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
