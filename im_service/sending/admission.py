"""May this be sent? The synchronous checks, in their fixed order, on what is remembered.

account, module mute, membership, group or room mute, blacklist, friend, rate. The hooks come after
(messages.py).
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from im_service.errors import Code, Detail, ImError, rate_limited
from im_service.ids import ROOM, SINGLE
from im_service.live.directory import AccountState
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.options import Resolved
from im_service.rates import Limiter
from im_service.settings import ImSettings

PASSED = 0
SILENTLY_BLOCKED = 1
"""Stored for the sender only, acknowledged as if it were delivered."""
WAITING = -1
"""Stored for the sender only until it is decided, acknowledged as if it were delivered."""


MAX_PACED = 100_000
"""People of slow groups and rooms who spoke and have to wait; who spoke longest ago goes first."""


class OfNew(ImError):
    """A refusal of what is new. A repeat of what is stored is answered as the first time."""


class Admission:
    """The checks of one process; buckets are per process."""

    def __init__(self, settings: ImSettings) -> None:
        self._friend_only = settings.friend_only
        self._account = Limiter(settings.account_rate)
        self._device = Limiter(settings.device_rate)
        self._conversation = Limiter(settings.conversation_rate)
        self._speaker = Limiter(settings.room_sender_rate)
        self._stranger = Limiter(settings.stranger_rate)
        self._spoke: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._blocked = settings.blacklist_answer or SILENTLY_BLOCKED

    def set_rates(self, settings: ImSettings) -> None:
        """From now on."""
        self._account.set(settings.account_rate)
        self._device.set(settings.device_rate)
        self._conversation.set(settings.conversation_rate)
        self._speaker.set(settings.room_sender_rate)
        self._stranger.set(settings.stranger_rate)

    def send(self, state: SessionState, route: Route, options: Resolved, now: int, tick: int) -> int:
        """`check` of a message: in slow mode its sender has to wait for the next one."""
        verdict = self.check(state, route, options, now, tick)
        if route.pair is None and (pace := route.pace_ms):
            key = (route.conversation, route.sender)
            if (wait := self._spoke.get(key, 0) - tick) > 0:
                detail: Detail = {"retry_after_ms": wait, "limit": "slow"}
                raise OfNew(Code.RATE_LIMITED, f"slow mode: the next one in {ceil(wait / 1000)} s", detail)
            self._spoke[key] = tick + pace
            self._spoke.move_to_end(key)
            if len(self._spoke) > MAX_PACED:
                self._spoke.popitem(last=False)
        return verdict

    def check(self, state: SessionState, route: Route, options: Resolved, now: int, tick: int) -> int:
        """PASSED; or the code to tell a blacklisted sender (7101, or 1 = none). Raises ImError otherwise.
        `now` by the clock of mutes, `tick` by that of rates (Clock.elapsed_ms)."""
        self.account(route.account, route.kind, now)
        self.receiver(route)
        pair = route.pair
        if pair is None:
            self._place(state, route, now)
        elif pair.black:
            wait = self._rate(state, route, tick)
            if wait is not None and self._blocked == SILENTLY_BLOCKED:
                raise wait
            if wait is not None:
                raise ImError(Code.BLACKLISTED)
            return self._blocked
        elif not pair.friend and (
            self._friend_only or (not options.plain and options.options.checkFriend is True)
        ):
            raise ImError(Code.FORBIDDEN, "friends only")
        self.spend(state, route, tick)
        shadowed = route.account is not None and route.account.shadow_ms > now
        return SILENTLY_BLOCKED if shadowed else PASSED

    def again(self, state: SessionState, route: Route, now: int) -> int:
        """What `check` says, as far as it may have changed while a hook was asked."""
        self.account(route.account, route.kind, now)
        self.receiver(route)
        if route.pair is None:
            self._place(state, route, now)
        elif route.pair.black:
            return self._blocked
        return PASSED

    def account(self, account: AccountState | None, kind: str, now: int) -> None:
        """Disabled, or muted in this kind of conversation? None = the server speaks."""
        if account is None:
            return
        if account.disabled_ms > now:
            raise ImError(Code.ACCOUNT_DISABLED, None, {"until_ms": account.disabled_ms})
        muted = account.single_ms if kind == SINGLE else account.room_ms if kind == ROOM else account.group_ms
        if muted > now:
            raise ImError(Code.MUTED, "the account may not send here", {"until_ms": muted})

    def receiver(self, route: Route) -> None:
        """Who was deleted gets nothing any more: 404. What is said to a disabled account waits for it."""
        if route.their_account is not None and route.their_account.gone:
            raise ImError(Code.NOT_FOUND, "no such user")

    def word(self, state: SessionState, route: Route, now: int, tick: int) -> None:
        """A text that is no message: mutes and rates; who may make the call is the call's to say."""
        self.account(route.account, route.kind, now)
        if route.room is not None:
            route.room.hush(state, now)
        self.spend(state, route, tick)

    def spend(self, state: SessionState, route: Route, tick: int) -> None:
        """Take one token everywhere. Raises 416."""
        wait = self._rate(state, route, tick)
        if wait is not None:
            raise wait

    def strangers(self, account: AccountState, count: int, tick: int) -> None:
        """Take a token for each of so many strangers asked at once: what is more than the burst is owed."""
        limit = self._stranger
        if limit.off or not count:
            return
        if wait := limit.take(account.stranger, tick):
            raise rate_limited(wait, "stranger")
        limit.charge(account.stranger, tick, count - 1)

    def _place(self, state: SessionState, route: Route, now: int) -> None:
        """Membership and mute of a group or room."""
        group = route.group
        if group is None:
            if route.room is not None:
                route.room.admit(state, now)
            return
        if group.record is None:
            raise ImError(Code.GROUP_NOT_FOUND)
        member = route.member
        if member is None or member.record is None:
            raise ImError(Code.NOT_GROUP_MEMBER)
        if member.muted_ms > now:
            raise ImError(Code.MUTED, "muted in the group", {"until_ms": member.muted_ms})
        if group.mute_all and not member.manager:
            raise ImError(Code.MUTED, "the group is muted")

    def _rate(self, state: SessionState, route: Route, now: int) -> ImError | None:
        """Take one token everywhere, or say where there was none."""
        account = route.account
        if account is not None:
            limit = self._account
            if not limit.off and (wait := limit.take(account.bucket, now)):
                return rate_limited(wait, "account")
        limit = self._device
        if not limit.off and (wait := limit.take(state.bucket, now)):
            return rate_limited(wait, "device")
        limit = self._conversation
        if not limit.off and (wait := limit.take(route.bucket, now)):
            return rate_limited(wait, "conversation")
        limit, room = self._speaker, route.room
        if room is not None and not (limit.off or room.manages(route.sender)):
            wait = limit.take(room.speaker(route.sender), now)
            if wait:
                return rate_limited(wait, "room")
        limit = self._stranger
        if not limit.off and account is not None and route.pair is not None and not route.pair.friend:
            wait = limit.take(account.stranger, now)
            if wait:
                return rate_limited(wait, "stranger")
        return None
