"""What other people hear and that is no message: one admission for all of it.

Whoever may not send says nothing by a reaction, a name, an id or a queue either. `SPOKEN` has every call by
which others hear something that its caller chose; `NOTICED` those that tell them only what the service knows
already. Of a call that is in neither nobody else hears (tests/integration/im_service/test_words.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, SINGLE_PREFIX, USER_PREFIX
from im_service.calls import Args
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import GROUP, ROOM, SINGLE, peer_of
from im_service.live.directory import PairState
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.options import DEFAULT
from im_service.rates import Bucket
from im_service.sending.admission import SILENTLY_BLOCKED, Admission
from im_service.sending.hooks import Moderator
from im_service.sending.resolve import RouteResolver

MODULES = "modules:"
Destination = str | None
"""Where a text goes. A conversation: as a send there. `u/` or `r/` and an id: by the account's and the room's
mutes and all rates, whoever may make the call. MODULES and kinds: by the account's mutes and rates. None: no
text."""


def _to(prefix: str, member: str, *texts: str) -> Callable[[Args], Destination]:
    """The place that a member names, behind a prefix; with `texts`, if any of these is given."""

    def place(args: Args) -> Destination:
        if texts and not any(getattr(args, text) for text in texts):
            return None
        return prefix + (str(getattr(args, member)) if member else "")

    return place


SPOKEN: Mapping[str, Callable[[Args], Destination]] = {
    "react": _to("", "conversation", "on"),
    "recall": _to("", "conversation", "text", "attach"),
    "group.create": _to(MODULES + GROUP, ""),
    "group.update": _to(GROUP_PREFIX, "group"),
    "group.nick": _to(GROUP_PREFIX, "group", "nick"),
    "group.kick": _to(GROUP_PREFIX, "group", "text"),
    "group.invite": _to(GROUP_PREFIX, "group"),
    "group.join": _to(MODULES + GROUP, ""),
    "friend.add": _to(USER_PREFIX, "user"),
    "friend.request": _to(USER_PREFIX, "user"),
    "profile.set": _to(MODULES + SINGLE + GROUP + ROOM, "", "nick", "icon", "sign", "birth", "ext"),
    "room.create": _to(MODULES + ROOM, "", "name", "announcement"),
    "room.update": _to(ROOM_PREFIX, "room"),
    "room.attributes": _to(ROOM_PREFIX, "room", "put"),
    "room.mute_tag": _to(ROOM_PREFIX, "room"),
    "room.kick": _to(ROOM_PREFIX, "room", "reason"),
    "room.recall": _to(ROOM_PREFIX, "room", "text"),
    "room.queue.put": _to(ROOM_PREFIX, "room"),
}

NOTICED = frozenset({
    "friend.decide", "friend.remove", "group.decide", "group.dismiss", "group.kick", "group.leave",
    "group.mute", "group.mute_all", "group.nick", "group.role", "group.transfer", "room.attributes",
    "room.black", "room.close", "room.kick", "room.mute", "room.mute_all", "room.queue.drop",
    "room.queue.poll", "room.recall", "room.role",
})  # fmt: skip
"""Others hear of these calls, and nothing in them that is the caller's own choice: names of people, elements
and attributes are of those that are there, and what changes nothing is not told. No mute refuses them; each
costs the account and the device one send."""
TO_STRANGERS = frozenset({"group.join"})
"""Calls that people hear of whom the caller may not know: by the rate of strangers too."""
GUESTS = {"group.create": "members", "group.invite": "users"}
"""Calls that bring or ask people: each of them hears of it, and may be a stranger."""


class Words:
    """Asked before a user's call runs; the server's calls are not asked about."""

    def __init__(self, context: ServiceContext, moderation: Moderator | None = None) -> None:
        self._moderation = moderation
        self._clock = context.clock
        self._store = context.store
        self._spread = context.spread
        self._routes = RouteResolver(context)
        self.admission = Admission(context.settings)

    async def admit(self, state: SessionState, name: str, args: Args) -> object:
        """The arguments to go on with, or the answer to a sender who is not to know that nobody sees it.
        Raises as a send does."""
        heard = await self._admitted(state, name, args)
        if self._moderation is None or name not in SPOKEN or not isinstance(heard, type(args)):
            return heard
        return self._moderation.say(state.session.user, name, heard)

    async def _admitted(self, state: SessionState, name: str, args: Args) -> object:
        rule = SPOKEN.get(name)
        place = None if rule is None else rule(args)
        if place is None:
            if name in NOTICED:
                self.admission.spend(state, self._nowhere(state), self._clock.elapsed_ms())
            return args
        heard = await self._speak(state, name, args, place)
        users = set(getattr(args, GUESTS[name])) - {state.session.user} if name in GUESTS else None
        if users:
            await self._ask(state, users)
        return heard

    def _nowhere(self, state: SessionState) -> Route:
        """To no conversation in particular: the account and the device pay."""
        return Route(GROUP, "", "", state.session.user, state.account, Bucket())

    async def _ask(self, state: SessionState, users: set[str]) -> None:
        """It costs a token of strangers for each who is none of the caller's friends, and each is served one
        by one."""
        me, account = state.session.user, state.account
        assert account is not None
        self._spread.ask(me)
        pairs = await self._store.relation_pairs([(user, me) for user in users])
        tick = self._clock.elapsed_ms()
        self.admission.strangers(account, sum(not pair.friend for pair in pairs.values()), tick)
        self._spread.charge(me, len(users))

    async def _speak(self, state: SessionState, name: str, args: Args, place: str) -> object:
        now, tick = self._clock.now_ms(), self._clock.elapsed_ms()
        if place.startswith(MODULES):
            for kind in place.removeprefix(MODULES):
                self.admission.account(state.account, kind, now)
            route = self._nowhere(state)
            if name in TO_STRANGERS:
                route.pair = PairState(("", state.session.user))
            self.admission.spend(state, route, tick)
            return args
        if place.startswith((USER_PREFIX, ROOM_PREFIX)):
            if place == USER_PREFIX + state.session.user:
                return args
            self.admission.word(state, await self._routes.resolve(state, place), now, tick)
            return args
        if place.startswith(SINGLE_PREFIX):
            place = USER_PREFIX + peer_of(place, state.session.user)
        route = await self._routes.resolve(state, place, back=True)
        verdict = self.admission.check(state, route, DEFAULT, now, tick)
        if verdict > SILENTLY_BLOCKED:
            raise ImError(Code(verdict))
        return _unheard(name, args) if verdict else args


def _unheard(name: str, args: Args) -> object:
    """What becomes of a call of somebody who is on the blacklist or shadowed: a reaction is answered as if it
    were done, a recall is done without its texts, and changes of a group are as those of everybody."""
    if name == "react":
        return {"changed": True}
    return msgspec.structs.replace(args, text="", attach="") if name == "recall" else args
