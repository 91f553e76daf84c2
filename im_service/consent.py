"""Who may make somebody a friend, or put them into a group, without asking them: the account's own word, else
the service's. Whoever is on somebody's blacklist may not even ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from frame.constants import USER_PREFIX
from im_service.calls import Args, Caller, NoArgs, method
from im_service.context import ServiceContext
from im_service.ids import check_id
from im_service.models import encode
from im_service.outbox.kinds.people import AccountConsent
from im_service.settings import FriendConsent, GroupConsent
from im_service.storage.records import Account

DEFAULT = "default"


class Wishes(Struct, omit_defaults=True):
    """Stored as msgpack with the account; None = as the service says."""

    friend: FriendConsent | None = None
    group: GroupConsent | None = None


_decode = msgspec.msgpack.Decoder(Wishes).decode


class ConsentArgs(Args):
    """`default`: as the service says, whatever it will say."""

    friend: FriendConsent | Literal["default"] | None = None
    group: GroupConsent | Literal["default"] | None = None


class ConsentView(Struct):
    """What holds for this account now."""

    friend: str
    group: str


class Guests(NamedTuple):
    """Users whom somebody would bring into a group, by what becomes of them."""

    free: list[str]
    """come in at once"""
    asked: list[str]
    refused: list[str]
    """take no invitation, or none from this one; they hear nothing"""
    unheard: list[str]
    """refuse as well, but the one who invites is not to know"""


def wishes_of(account: Account) -> Wishes:
    return _decode(account.info) if account.info else Wishes()


class Consents:
    """What accounts allow others."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._announcer = context.announcer
        settings = context.settings
        self._friend, self._group = settings.friend_consent, settings.group_consent
        self._told = bool(settings.blacklist_answer)

    @method("consent.get", result=ConsentView)
    async def get(self, caller: Caller, args: NoArgs) -> ConsentView:
        """Who may make me a friend, or put me into a group, without asking me."""
        return self._view(await self._wishes(caller.user))

    @method("consent.set", result=ConsentView)
    async def set(self, caller: Caller, args: ConsentArgs) -> ConsentView:
        """Say who may make me a friend (free, ask, nobody), or put me into a group (free, friends, ask,
        nobody), without asking me; default = as the service says, absent = as it is."""
        user = check_id(caller.user, "user")
        asked = {k: v for k, v in msgspec.structs.asdict(args).items() if v is not None}
        given = {k: None if v == DEFAULT else v for k, v in asked.items()}
        wishes = msgspec.structs.replace(await self._wishes(user), **given)
        with self._teller.change(USER_PREFIX + user, AccountConsent(user=user, **given)):
            await self._store.set_account(user, self._clock.now_ms(), info=encode(wishes))
        view = self._view(wishes)
        self._announcer.mine(user, "consent", view, caller.session)
        return view

    async def friend(self, user: str) -> FriendConsent:
        """May somebody become a friend of this user?"""
        return (await self._wishes(user)).friend or self._friend

    async def guests(self, caller: Caller, users: Sequence[str]) -> Guests:
        """What becomes of these users, none of whom is in the group. The server asks nobody."""
        guests = Guests([], [], [], [])
        if caller.server:
            guests.free.extend(users)
            return guests
        accounts = await self._store.accounts(users)
        pairs = await self._store.relation_pairs([(user, caller.user) for user in users])
        for user in users:
            pair = pairs[user, caller.user]
            wish = wishes_of(accounts[user]).group or self._group
            if pair.black:
                (guests.refused if self._told else guests.unheard).append(user)
            elif wish == "nobody":
                guests.refused.append(user)
            elif wish == "free" or (wish == "friends" and pair.friend):
                guests.free.append(user)
            else:
                guests.asked.append(user)
        return guests

    async def _wishes(self, user: str) -> Wishes:
        return wishes_of((await self._store.accounts([user]))[user])

    def _view(self, wishes: Wishes) -> ConsentView:
        return ConsentView(wishes.friend or self._friend, wishes.group or self._group)
