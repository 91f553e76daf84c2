"""Friends, blacklist, mute list: what one user holds about another. Every change reaches the owner's other
devices.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

from msgspec import Meta, Struct

from frame.constants import USER_PREFIX
from im_service.accounts.presence import PresenceBook
from im_service.calls import Args, Caller, Nothing, Number, method
from im_service.consent import Consents
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.outbox.kinds.people import (
    RelationAlias,
    RelationBlack,
    RelationChange,
    RelationFriend,
    RelationMute,
    RelationRefuse,
    RelationRequest,
    RelationUnfriend,
)
from im_service.pages import Cursor, fit, fit_changes
from im_service.settings import FriendConsent
from im_service.storage.errors import StoreConflict, StoreFull
from im_service.storage.records import Relation, Request

REQUEST_FRIEND = 3
REFUSED = 2
Text = Annotated[str, Meta(max_length=500)]


class UserArgs(Args):
    user: str


class FriendArgs(Args):
    user: str
    text: Text = ""


class DecideArgs(Args):
    id: Number
    accept: bool


class AliasArgs(Args):
    user: str
    alias: Annotated[str, Meta(max_length=64)] | None = None
    ext: Annotated[str, Meta(max_length=1024)] | None = None


class SetArgs(Args):
    user: str
    on: bool = True


class ListArgs(Args):
    """`after`: as the page before said, with its cursor."""

    cursor: Number = 0
    after: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 200


class RequestsArgs(Args):
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class Changed(Struct):
    changed: bool


class Added(Struct):
    """`changed`: they are friends now and were not before. `id`: of the request that was opened instead."""

    changed: bool
    id: int = 0


class Asked(Struct):
    id: int


class FriendRequest(Struct):
    id: int
    user: str
    text: str
    state: int
    time_ms: int


class FriendRequests(Struct):
    requests: list[FriendRequest]
    more: bool


class RelationView(Struct):
    user: str
    friend: bool
    black: bool
    muted: bool
    alias: str
    ext: str
    time_ms: int


class RelationPage(Struct):
    relations: list[RelationView]
    cursor: int
    more: bool
    after: str = ""


def describe(row: Relation) -> RelationView:
    return RelationView(row.other, row.friend, row.black, row.muted, row.alias, row.ext.decode(), row.time_ms)


def describe_request(request: Request) -> FriendRequest:
    return FriendRequest(request.id, request.by, request.text, request.state, request.time_ms)


class Relations:
    """Relations between users."""

    def __init__(self, context: ServiceContext, consents: Consents, presence: PresenceBook) -> None:
        self._presence = presence
        self._consents = consents
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._directory = context.directory
        self._announcer = context.announcer
        self._peers = context.peers
        self._limit = context.settings.friends_max
        self._pause_ms = context.settings.ask_again_ms
        self._keep = context.settings.relations_per_user
        self._reply_bytes = context.settings.reply_bytes

    def _other(self, caller: Caller, user: str) -> str:
        check_id(caller.user, "user")
        if user == caller.user:
            raise ImError(Code.INVALID, "this takes somebody else")
        return check_id(user, "user")

    async def _changed(self, caller: Caller, *pairs: tuple[str, str]) -> None:
        """Senders must see it, and so must the devices of the owners."""
        for owner, other in pairs:
            await self._directory.pairs.refresh((owner, other))
            self._peers.changed("pair", f"{owner} {other}")
        for (owner, _), row in (await self._store.relation_pairs(pairs)).items():
            skip = caller.session if owner == caller.user else None
            self._announcer.mine(owner, "relation", describe(row), skip)

    def _told(self, change: RelationChange) -> AbstractContextManager[None]:
        """The event of a change of what `user` has of somebody."""
        return self._teller.change(USER_PREFIX + change.user, change)

    async def _befriend(self, caller: Caller, a: str, b: str, request: int = 0) -> bool:
        try:
            with self._told(RelationFriend(user=a, other=b)):
                done = await self._store.befriend(a, b, self._clock.now_ms(), self._limit, request)
        except StoreFull:
            raise ImError(Code.CONFLICT, f"at most {self._limit} friends") from None
        await self._changed(caller, (a, b), (b, a))
        return done.value

    @method("friend.add", Code.CONFLICT, Code.FORBIDDEN, result=Added)
    async def add(self, caller: Caller, args: FriendArgs) -> Added:
        """Become friends, both ways: at once, where the other's consent is free, or the other has asked
        me. Else the other is asked, as by friend.request. The server asks nobody."""
        other = self._other(caller, args.user)
        pairs = await self._store.relation_pairs([(other, caller.user), (caller.user, other)])
        if caller.server or all(pair.friend for pair in pairs.values()):
            return Added(await self._befriend(caller, caller.user, other))
        scope = USER_PREFIX + caller.user
        asked = await self._store.standing_request(scope, REQUEST_FRIEND, other)
        if asked is not None:
            done = await self._befriend(caller, caller.user, other, asked.id)
            self._tell_decided(caller.user, other, True)
            return Added(done)
        if await self._consent(pairs[other, caller.user], pairs[caller.user, other]) == "free":
            return Added(await self._befriend(caller, caller.user, other))
        return Added(False, await self._ask(caller, other, args.text))

    @method("friend.request", Code.FORBIDDEN, Code.CONFLICT, result=Asked)
    async def request(self, caller: Caller, args: FriendArgs) -> Asked:
        """Ask to become friends; the other accepts or refuses (id 0: friends already)."""
        other = self._other(caller, args.user)
        pairs = await self._store.relation_pairs([(other, caller.user), (caller.user, other)])
        if not caller.server and not all(pair.friend for pair in pairs.values()):
            await self._consent(pairs[other, caller.user], pairs[caller.user, other])
        return Asked(await self._ask(caller, other, args.text))

    async def _consent(self, pair: Relation, mine: Relation) -> FriendConsent:
        """What the owner of the pair wants. 403 for somebody on their blacklist as for everybody, so that
        nobody learns which it is; 409 while the caller has them on the own one."""
        if mine.black:
            raise ImError(Code.CONFLICT, "on your blacklist")
        wish = await self._consents.friend(pair.owner)
        if pair.black or wish == "nobody":
            raise ImError(Code.FORBIDDEN, "not allowed")
        return wish

    async def _ask(self, caller: Caller, other: str, text: str) -> int:
        with self._told(RelationRequest(user=other, other=caller.user, text=text)):
            done = await self._store.open_requests(
                USER_PREFIX + other,
                REQUEST_FRIEND,
                [caller.user],
                caller.user,
                text,
                self._clock.now_ms(),
                pause_ms=0 if caller.server else self._pause_ms,
            )
        for request in done.value:
            if request.state == REFUSED:
                raise ImError(Code.FORBIDDEN, "this was asked and refused not long ago")
            if request.news:
                self._announcer.mine(other, "friend.request", describe_request(request))
            return request.id
        return 0

    def _tell_decided(self, user: str, by: str, accepted: bool) -> None:
        self._announcer.mine(by, "friend.decided", {"user": user, "accepted": accepted})

    @method("friend.decide", Code.NOT_FOUND, Code.CONFLICT)
    async def decide(self, caller: Caller, args: DecideArgs) -> Nothing:
        """Accept or refuse a friend request made to me."""
        scope = USER_PREFIX + caller.user
        request = await self._store.request(scope, args.id)
        try:
            if request.state:
                raise StoreConflict("it was not open")
            if args.accept:
                await self._befriend(caller, caller.user, request.by, args.id)
            else:
                with self._told(RelationRefuse(user=caller.user, other=request.by)):
                    await self._store.decide_request(scope, args.id, REFUSED, self._clock.now_ms())
        except StoreConflict:
            raise ImError(Code.CONFLICT, "this was decided already") from None
        self._tell_decided(caller.user, request.by, args.accept)
        return {}

    @method("friend.requests", result=FriendRequests)
    async def requests(self, caller: Caller, args: RequestsArgs) -> FriendRequests:
        """Friend requests made to me that are open."""
        page = await self._store.requests(USER_PREFIX + caller.user, 0, args.after, args.limit)
        requests, cut = fit(map(describe_request, page.items), self._reply_bytes)
        return FriendRequests(requests, cut or page.more)

    @method("friend.remove", result=Changed)
    async def remove(self, caller: Caller, args: UserArgs) -> Changed:
        """Be friends no more, both ways."""
        other = self._other(caller, args.user)
        with self._told(RelationUnfriend(user=caller.user, other=other)):
            done = await self._store.unfriend(caller.user, other, self._clock.now_ms(), keep=self._keep)
        if done.value:
            await self._changed(caller, (caller.user, other), (other, caller.user))
        return Changed(done.value)

    @method("friend.alias", Code.CONFLICT, result=RelationView)
    async def alias(self, caller: Caller, args: AliasArgs) -> RelationView:
        """My name for somebody, and the application's own text about them."""
        other = self._other(caller, args.user)
        ext = None if args.ext is None else args.ext.encode()
        told = RelationAlias(user=caller.user, other=other, alias=args.alias, ext=args.ext)
        with self._told(told):
            row = await self._store.set_relation(
                caller.user, other, self._clock.now_ms(), alias=args.alias, ext=ext, keep=self._keep
            )
        await self._changed(caller, (caller.user, other))
        return describe(row)

    @method("relation.black", Code.CONFLICT)
    async def black(self, caller: Caller, args: SetArgs) -> Nothing:
        """Put somebody on my blacklist: their messages do not reach me any more, friendship and friend
        requests between us end, and neither sees when the other is there or has read. Or take them off it."""
        other = self._other(caller, args.user)
        pairs = [(caller.user, other)]
        if args.on and (await self._store.relation_pairs(pairs))[pairs[0]].friend:
            pairs.append((other, caller.user))
        with self._told(RelationBlack(user=caller.user, other=other, on=args.on)):
            await self._store.set_relation(
                caller.user, other, self._clock.now_ms(), black=args.on, keep=self._keep
            )
        await self._changed(caller, *pairs)
        if args.on:
            await self._presence.part(caller.user, other)
        return {}

    @method("relation.mute", Code.CONFLICT)
    async def mute(self, caller: Caller, args: SetArgs) -> Nothing:
        """Mute list: their messages reach me, but are not pushed."""
        other = self._other(caller, args.user)
        with self._told(RelationMute(user=caller.user, other=other, on=args.on)):
            await self._store.set_relation(
                caller.user, other, self._clock.now_ms(), muted=args.on, keep=self._keep
            )
        await self._changed(caller, (caller.user, other))
        return {}

    @method("relations", result=RelationPage)
    async def relations(self, caller: Caller, args: ListArgs) -> RelationPage:
        """Relations changed since the cursor (0 = all); one that ended comes with everything off."""
        page = await self._store.relations(caller.user, args.cursor, args.limit)
        cursor = page.items[-1].change if page.items else args.cursor
        rows, end = fit_changes(
            page.items,
            lambda row: (row.change, row.other),
            describe,
            self._reply_bytes,
            Cursor(args.cursor, args.after, True),
            Cursor(cursor, "", page.more),
        )
        return RelationPage([describe(row) for row in rows], end.cursor, end.more, end.after)
