"""Presence: a snapshot at subscribe, then every change until the subscription ends.

Subscriptions live in the memory of this process. They outlive the subscriber's last session here by a grace;
after a SYNC of nil (words to the connection were lost, or this process is new) a client subscribes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from frame.constants import USER_PREFIX, FrameType
from im_service.calls import MAX_SECONDS, Args, Caller, Nothing, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.models import presence_event
from im_service.pages import fit
from im_service.ports import LiveDevices
from im_service.turns import SLICE

_log = logging.getLogger("qianwan.im")
EVENT = int(FrameType.EVENT)


class SubscribeArgs(Args):
    users: Annotated[list[str], Meta(min_length=1)]
    seconds: Annotated[int, Meta(ge=1, le=MAX_SECONDS)] = 3600


class UnsubscribeArgs(Args):
    users: Annotated[list[str], Meta(min_length=1)]


class LiveDevice(Struct):
    device: str
    platform: int


class PresenceState(Struct):
    user: str
    online: bool
    devices: list[LiveDevice]


class Subscribed(Struct):
    """`rest`: users this answer had no room for; they are not subscribed to."""

    states: list[PresenceState]
    until_ms: int
    rest: list[str]


class PresenceBook:
    """Who watches whom."""

    def __init__(self, context: ServiceContext) -> None:
        self._clock = context.clock
        self._downlink = context.downlink
        self._presence = context.presence
        self._sessions = context.sessions
        self._peers = context.peers
        settings = context.settings
        self._per_call = settings.presence_per_call
        self._most = settings.presence_subscriptions
        self._min_ms = settings.presence_min_ms
        self._max_ms = settings.presence_max_ms
        # watcher -> watched -> its end by elapsed_ms, oldest first
        self._watches: dict[str, OrderedDict[str, int]] = {}
        self._reply_bytes = settings.reply_bytes
        self._grace_ms = settings.presence_grace_ms
        self._left: OrderedDict[str, int] = OrderedDict()  # watchers without a session -> since, oldest first
        self._watchers: dict[str, set[str]] = {}  # watched -> watchers
        self._asking: dict[object, dict[str, LiveDevices]] = {}  # what is told while somebody asks
        # the last word of users whom very many watch
        self._due: OrderedDict[str, LiveDevices] = OrderedDict()
        self._now: str | None = None  # whose watchers hear it
        self._task: asyncio.Task[None] | None = None
        self._parted: set[tuple[str, str]] = set()  # (watcher, watched) who were parted meanwhile
        self._store = context.store

    @method("presence.subscribe", Code.INVALID, result=Subscribed)
    async def subscribe(self, caller: Caller, args: SubscribeArgs) -> Subscribed:
        """Hear when these users come and go, for a minute to 30 days; the answer says how they are now.
        At most 100 a call and 3000 in all: above it the oldest subscriptions end."""
        if len(args.users) > self._per_call:
            raise ImError(Code.INVALID, f"at most {self._per_call} users a call")
        lasts = min(max(args.seconds * 1000, self._min_ms), self._max_ms)
        until = self._clock.elapsed_ms() + lasts
        users = [check_id(user, "user") for user in dict.fromkeys(args.users)]
        known, parted = await self._ask(caller.user, users)
        if caller.session is not None and self._sessions.still(caller.session).over:
            raise ImError(Code.UNAVAILABLE, "the connection is gone")
        states, _ = fit(
            (self._state(user, [] if user in parted else known.get(user)) for user in users),
            self._reply_bytes,
        )
        rest = users[len(states) :]
        mine = self._watches.setdefault(caller.user, OrderedDict())
        for user in users[: len(states)]:
            if user in parted:
                continue
            mine.pop(user, None)
            mine[user] = until
            self._watchers.setdefault(user, set()).add(caller.user)
        while len(mine) > self._most:
            oldest, _ = mine.popitem(last=False)
            self._forget(caller.user, oldest)
        return Subscribed(states, self._clock.now_ms() + lasts, rest)

    async def _ask(self, watcher: str, users: Sequence[str]) -> tuple[Mapping[str, LiveDevices], set[str]]:
        """The devices of these users, without those whom nobody can be asked about; and who of them and the
        watcher has the other on the blacklist."""
        me, told = object(), dict[str, LiveDevices]()
        self._asking[me] = told
        try:
            parted = await self._black(watcher, users)
            answers = await self._presence.devices(users)
            parted |= {user for user in users if (watcher, user) in self._parted}
        finally:
            del self._asking[me]
            if not self._asking:
                self._parted.clear()
        return {**answers, **told}, parted

    async def _black(self, watcher: str, users: Sequence[str]) -> set[str]:
        pairs = [(watcher, user) for user in users] + [(user, watcher) for user in users]
        held = await self._store.relation_pairs(pairs)
        return {user for user in users if held[watcher, user].black or held[user, watcher].black}

    async def part(self, one: str, other: str) -> None:
        """Something changed between these two: if one has the other on the blacklist now, neither watches the
        other any more. To who did the other is gone."""
        watching = [(a, b) for a, b in ((one, other), (other, one)) if self._asking or a in self._watches]
        if watching and await self._black(one, [other]):
            self._end_watches(watching)

    async def part_all(self) -> None:
        """The same where words about some of them may be lost, in few trips to the store."""
        users = list(self._watches.keys() | self._watchers.keys())
        for start in range(0, len(users), SLICE):
            for one, other in await self._store.blacks(users[start : start + SLICE]):
                self._end_watches([(one, other), (other, one)])

    def _end_watches(self, pairs: Sequence[tuple[str, str]]) -> None:
        for watcher, user in pairs:
            if self._asking:
                self._parted.add((watcher, user))
            if self._watches.get(watcher, OrderedDict()).pop(user, None) is not None:
                self._forget(watcher, user)
                self._downlink.publish(USER_PREFIX + watcher, EVENT, presence_event(user, False, []))

    def _state(self, user: str, known: LiveDevices | None) -> PresenceState:
        online = self._is_online(user, known)
        devices = [LiveDevice(device, platform) for device, platform in known or ()]
        return PresenceState(user, online, fit(devices, self._reply_bytes)[0])

    @method("presence.unsubscribe")
    async def unsubscribe(self, caller: Caller, args: UnsubscribeArgs) -> Nothing:
        """Hear of these users no more."""
        mine = self._watches.get(caller.user, OrderedDict())
        for user in args.users:
            if mine.pop(user, None) is not None:
                self._forget(caller.user, user)
        return {}

    def _forget(self, watcher: str, user: str) -> None:
        watchers = self._watchers.get(user)
        if watchers is not None:
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[user]

    def came(self, user: str) -> None:
        """A session of this user began here, or ended: whoever watches hears it, at every process."""
        devices = self._sessions.devices_here(user)
        words = [word for device, platform in devices for word in (device, str(platform))]
        self._peers.changed("presence", " ".join([user, *words]))
        self._tell(user, devices)

    async def went(self, users: Sequence[str]) -> None:
        """Sessions of these users ended here; others may go on at the process that serves them now, which
        tells of those itself."""
        known = await self._presence.devices([user for user in users if not self._sessions.online(user)])
        for user in users:
            if self._sessions.online(user) or not self._is_online(user, known.get(user)):
                self.came(user)

    def _is_online(self, user: str, known: LiveDevices | None) -> bool:
        """Whoever has a device; where nobody can be asked for them, the gateways say who is."""
        return self._presence.online(user) if known is None else bool(known)

    def heard(self, user: str, words: Sequence[str]) -> None:
        """Another process told of the sessions there: it serves the user now, what is here is from before."""
        self._sessions.heard_away(user, not words)
        told = [(device, int(platform)) for device, platform in zip(words[::2], words[1::2], strict=True)]
        self._tell(user, told or self._sessions.devices_here(user))

    def _tell(self, user: str, devices: LiveDevices) -> None:
        for told in self._asking.values():
            told[user] = devices
        watchers = self._watchers.get(user, ())
        if len(watchers) <= SLICE and user not in self._due and user != self._now:
            self._say(user, devices, list(watchers))
            return
        self._due[user] = devices
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell_many())

    async def _tell_many(self) -> None:
        """One after the other, a slice of watchers a turn. Whoever comes and goes faster than that is told of
        once."""
        while self._due:
            self._now, devices = self._due.popitem(last=False)
            watchers = list(self._watchers.get(self._now, ()))
            for start in range(0, len(watchers), SLICE):
                try:
                    self._say(self._now, devices, watchers[start : start + SLICE])
                except Exception:
                    _log.exception("some who watch a user were not told")
                await asyncio.sleep(0)
        self._now = self._task = None

    def _say(self, user: str, devices: LiveDevices, watchers: Sequence[str]) -> None:
        if not watchers:
            return
        now = self._clock.elapsed_ms()
        state = self._state(user, devices)
        body = presence_event(user, state.online, state.devices)
        for watcher in watchers:
            mine = self._watches.get(watcher, OrderedDict())
            if mine.get(user, 0) <= now:
                mine.pop(user, None)
                self._forget(watcher, user)
                continue
            self._downlink.publish(USER_PREFIX + watcher, EVENT, body)

    async def close(self) -> None:
        """Wait until all is told."""
        while self._task is not None:
            await asyncio.shield(self._task)

    def gone(self, user: str) -> None:
        """The last session of this user ended: what they watch is forgotten if they are not back in time."""
        now, forgotten = self._clock.elapsed_ms(), 0
        if user in self._watches:
            self._left[user] = now
            self._left.move_to_end(user)
        # Where a gateway died very many have to be forgotten: each who goes later forgets some.
        while self._left and forgotten < SLICE and next(iter(self._left.values())) <= now - self._grace_ms:
            forgotten += self._end(self._left.popitem(last=False)[0])

    def back(self, user: str) -> None:
        """A session of this user began."""
        since = self._left.pop(user, None)
        if since is not None and since <= self._clock.elapsed_ms() - self._grace_ms:
            self._end(user)

    def _end(self, user: str) -> int:
        watches = self._watches.pop(user, OrderedDict())
        for watched in watches:
            self._forget(user, watched)
        return 1 + len(watches)
