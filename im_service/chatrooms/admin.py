"""Making and changing chatrooms; roles, mutes, blacklist, removal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import msgspec

from frame.constants import ROOM_PREFIX, USER_PREFIX
from im_service.calls import Caller, Nothing, method, until_ms
from im_service.chatrooms.door import ALL_NODES, LATE, RoomDoor
from im_service.chatrooms.model import (
    ROLES,
    AttributesArgs,
    BlackArgs,
    CreateArgs,
    KickArgs,
    MuteAllArgs,
    MuteArgs,
    Online,
    PeopleArgs,
    PeoplePage,
    RoleArgs,
    RoomArgs,
    RoomAttributes,
    RoomMuted,
    RoomView,
    TagMuteArgs,
    UpdateArgs,
    changed,
    describe,
    describe_person,
    given,
)
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.live.room import RoomInfo, RoomState, encode_info
from im_service.notices import SYSTEM
from im_service.outbox.kinds import rooms as told
from im_service.pages import fit
from im_service.ports import DECISION
from im_service.storage.errors import StoreFull
from im_service.storage.records import Role


class RoomAdmin:
    """What owners and managers of a room decide; the server may everything."""

    def __init__(self, context: ServiceContext, door: RoomDoor) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._ids = context.ids
        self._table = context.rooms
        self._announcer = context.announcer
        self._downlink = context.downlink
        self._peers = context.peers
        self._by_clients = context.settings.rooms_by_clients
        self._per_user = context.settings.rooms_per_user
        self._muted_tags = context.settings.room_muted_tags
        self._attributes_bytes = context.settings.room_attributes_bytes
        self._reply_bytes = context.settings.reply_bytes
        self._door = door

    async def _room(self, caller: Caller, name: str, owner: bool = False) -> RoomState:
        """The room, if the caller may decide there. 13002, 403."""
        room = await self._table.get(name)
        if not room.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        if caller.server or room.role(caller.user) == Role.OWNER:
            return room
        if owner or not room.manages(caller.user):
            raise ImError(Code.FORBIDDEN, "the owner decides" if owner else "owner and managers decide")
        return room

    def _outranks(self, caller: Caller, room: RoomState, user: str) -> None:
        role = room.role(user)
        if role == Role.OWNER:
            raise ImError(Code.FORBIDDEN, "nobody acts on the owner")
        if role == Role.MANAGER and not caller.server and room.role(caller.user) != Role.OWNER:
            raise ImError(Code.FORBIDDEN, "this manager ranks as high")

    async def _known(self, caller: Caller, room: RoomState, user: str) -> None:
        """Clients decide about people that there are: nothing is kept, and nobody told, of a name that they
        made up. 404."""
        if caller.server or user in room.members or user in room.people:
            return
        if not await self._store.devices(user):
            raise ImError(Code.NOT_FOUND, "nobody of this name was ever here")

    def _told(self, change: told.RoomChange) -> AbstractContextManager[None]:
        return self._teller.change(ROOM_PREFIX + change.room, change)

    def _tell(self, room: RoomState, event: str, data: Mapping[str, object]) -> None:
        self._announcer.event(room.topic, event, {"room": room.room, **data}, priority=DECISION)

    async def _changed(self, room: RoomState) -> None:
        before = room.budget
        await self._table.refresh(room.room)
        if room.budget is not None or before is not None:
            self._downlink.budget(room.topic, room.budget)
        self._peers.changed("room", room.room)

    @method(
        "room.create",
        Code.CONFLICT,
        Code.FORBIDDEN,
        Code.INVALID,
        result=RoomView,
        alone=True,
    )
    async def create(self, caller: Caller, args: CreateArgs) -> RoomView:
        """Make a room, whose id nobody has or had. The server names an owner, or none; clients own what they
        make, where a setting lets them make rooms."""
        owner = args.owner or caller.user if caller.server else caller.user
        if owner:
            check_id(owner, "owner")
        name = check_id(args.room, "room") if args.room else f"{self._ids.next(self._clock.now_ms()):x}"
        if not caller.server and not self._by_clients:
            raise ImError(Code.FORBIDDEN, "rooms are made by the application's server")
        info, _ = changed(RoomInfo(), args)
        most = 0 if caller.server else self._per_user
        try:
            by = caller.user or SYSTEM
            made = told.RoomCreate(room=name, by=by, owner=owner or SYSTEM, name=info.name)
            with self._told(made):
                await self._store.create_room(
                    name, owner or SYSTEM, encode_info(info), self._clock.now_ms(), most
                )
        except StoreFull:
            raise ImError(Code.CONFLICT, f"at most {most} rooms a user") from None
        await self._changed(await self._table.get(name))
        return describe(await self._table.get(name))

    @method(
        "room.info",
        Code.ROOM_NOT_FOUND,
        Code.ROOM_BLACKLISTED,
        result=RoomView,
        alone=True,
    )
    async def info(self, caller: Caller, args: RoomArgs) -> RoomView:
        """What a room is, how many are in it, what was dropped."""
        room = await self._existing(caller, args.room)
        if not room.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        return describe(room)

    @method("room.update", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, result=RoomView, alone=True)
    async def update(self, caller: Caller, args: UpdateArgs) -> RoomView:
        """Change a room's name, announcement and settings."""
        room = await self._room(caller, args.room)
        info, differs = changed(room.info, args)
        if not given(args):  # equal values are written: what is remembered may be older than the store
            return describe(room)
        with self._told(told.RoomUpdate(room=args.room, by=caller.user or SYSTEM, changes=differs)):
            await self._store_info(room, info)
        if differs:
            self._tell(room, "room.update", {"changes": differs})
        return describe(room)

    async def _store_info(self, room: RoomState, info: RoomInfo) -> None:
        rev = None if room.record is None else room.record.rev
        await self._store.update_room(room.room, self._clock.now_ms(), info=encode_info(info), rev=rev)
        await self._changed(room)

    @method(
        "room.attributes",
        Code.ROOM_NOT_FOUND,
        Code.FORBIDDEN,
        Code.INVALID,
        result=RoomAttributes,
        alone=True,
    )
    async def attributes(self, caller: Caller, args: AttributesArgs) -> RoomAttributes:
        """Put and remove the room's attributes (texts by name), at most 4096 bytes in all."""
        room = await self._room(caller, args.room)
        attributes = {k: v for k, v in room.info.attributes.items() if k not in args.remove} | args.put
        if len(msgspec.msgpack.encode(attributes)) > self._attributes_bytes:
            raise ImError(Code.INVALID, f"attributes have at most {self._attributes_bytes} bytes")
        if not args.put and not args.remove:
            return RoomAttributes(attributes)
        before = room.info.attributes
        by = caller.user or SYSTEM
        with self._told(told.RoomAttributesPut(room=args.room, by=by, attributes=attributes)):
            await self._store_info(room, msgspec.structs.replace(room.info, attributes=attributes))
        put = {name: text for name, text in args.put.items() if before.get(name) != text}
        removed = [name for name in before if name not in attributes]
        if put or removed:
            self._tell(room, "room.attributes", {"put": put, "remove": removed})
        return RoomAttributes(attributes)

    @method("room.close", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def close(self, caller: Caller, args: RoomArgs) -> Nothing:
        """End a room: everybody is out, nobody comes in, its id stays taken."""
        room = await self._room(caller, args.room, owner=True)
        with self._told(told.RoomClose(room=args.room, by=caller.user or SYSTEM)):
            await self._store.update_room(args.room, self._clock.now_ms(), closed=True)
        await self._changed(room)
        self._tell(room, "room.close", {"by": caller.user})
        await self._door.empty(room)
        return {}

    @method("room.mute_all", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def mute_all(self, caller: Caller, args: MuteAllArgs) -> Nothing:
        """Only owner and managers speak while this is on."""
        room = await self._room(caller, args.room)
        before = room.record is not None and room.record.mute_all
        with self._told(told.RoomMuteAll(room=args.room, by=caller.user or SYSTEM, on=args.on)):
            await self._store.update_room(args.room, self._clock.now_ms(), mute_all=args.on)
        await self._changed(room)
        if args.on != before:
            self._tell(room, "room.mute_all", {"on": args.on, "by": caller.user})
        return {}

    @method("room.role", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.NOT_FOUND, alone=True)
    async def role(self, caller: Caller, args: RoleArgs) -> Nothing:
        """Name a member, a manager (the owner does) or a restricted one; guest takes the name away."""
        room = await self._room(caller, args.room, owner=args.role == "manager")
        self._outranks(caller, room, check_id(args.user, "user"))
        await self._known(caller, room, args.user)
        role, named = ROLES[args.role], args.role != "guest"
        person = room.people.get(args.user)
        before = (Role.MEMBER, False) if person is None else (person.role, person.named)
        now = self._clock.now_ms()
        by = caller.user or SYSTEM
        with self._told(told.RoomRole(room=args.room, by=by, user=args.user, role=args.role)):
            await self._store.set_room_member(args.room, args.user, now, role=role, named=named)
        await self._changed(room)
        if (role, named) != before:
            self._tell(room, "room.role", {"user": args.user, "role": args.role, "by": caller.user})
        return {}

    @method("room.mute", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.NOT_FOUND, result=RoomMuted, alone=True)
    async def mute(self, caller: Caller, args: MuteArgs) -> RoomMuted:
        """Mute somebody: seconds > 0 for that long, -1 until lifted, 0 lifts. They may be a guest, or not
        here at all."""
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        await self._known(caller, room, args.user)
        now = self._clock.now_ms()
        until = until_ms(now, args.seconds)
        person = room.people.get(args.user)
        before = 0 if person is None else person.muted_until_ms
        by = caller.user or SYSTEM
        with self._told(told.RoomMute(room=args.room, by=by, user=args.user, until_ms=until)):
            await self._store.set_room_member(args.room, args.user, now, muted_until_ms=until)
        await self._changed(room)
        if args.notify and until != before:
            self._tell(room, "room.mute", {"user": args.user, "until_ms": until, "by": caller.user})
        return RoomMuted(until)

    @method("room.mute_tag", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.CONFLICT, result=RoomMuted, alone=True)
    async def mute_tag(self, caller: Caller, args: TagMuteArgs) -> RoomMuted:
        """Mute everybody who came in under a tag; seconds as in room.mute. Owner and managers go on
        speaking."""
        room = await self._room(caller, args.room)
        now = self._clock.now_ms()
        until = until_ms(now, args.seconds)
        before = room.tag_mutes.get(check_id(args.tag, "tag"), 0)
        most = 0 if caller.server else self._muted_tags
        by = caller.user or SYSTEM
        with self._told(told.RoomMuteTag(room=args.room, by=by, tag=args.tag, until_ms=until)):
            await self._store.mute_tag(args.room, args.tag, until, now, most)
        await self._changed(room)
        if until != before:
            self._tell(room, "room.mute_tag", {"tag": args.tag, "until_ms": until, "by": caller.user})
        return RoomMuted(until)

    @method("room.black", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.NOT_FOUND, alone=True)
    async def black(self, caller: Caller, args: BlackArgs) -> Nothing:
        """Put somebody on the room's blacklist: they are out and stay out. Or take them off it."""
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        await self._known(caller, room, args.user)
        person = room.people.get(args.user)
        before = person is not None and person.black
        by = caller.user or SYSTEM
        with self._told(told.RoomBlack(room=args.room, by=by, user=args.user, on=args.on)):
            await self._store.set_room_member(args.room, args.user, self._clock.now_ms(), black=args.on)
        await self._changed(room)
        if args.on != before:
            self._tell(room, "room.black", {"user": args.user, "on": args.on, "by": caller.user})
        if args.on and args.user in room.members:
            await self._out(room, args.user, caller.user, "blacklisted")
        elif args.on:
            self._unknown_out(room, args.user)
        return {}

    @method("room.kick", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.NOT_IN_ROOM, alone=True)
    async def kick(self, caller: Caller, args: KickArgs) -> Nothing:
        """Put somebody out, with a reason they hear. They may come back."""
        before = self._door.gateways_back
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        if self._door.gateways_back != before:  # who is inside is told anew
            raise ImError(Code.UNAVAILABLE, LATE)
        if args.user not in room.members:
            self._unknown_out(room, args.user)
            raise ImError(Code.NOT_IN_ROOM, "not in the room")
        await self._out(room, args.user, caller.user, args.reason)
        return {}

    async def _out(self, room: RoomState, user: str, by: str, reason: str) -> None:
        data = {"room": room.room, "reason": reason, "by": by}
        self._announcer.event(USER_PREFIX + user, "room.kicked", data)
        self._unknown_out(room, user)
        self._door.note_out(user, room.room)
        await self._door.put_out(room, user, "room.kick", {"reason": reason, "by": by})

    def _unknown_out(self, room: RoomState, user: str) -> None:
        """Whom this process does not know inside may be there: an im process that died took its knowledge
        along, and not every client enters again."""
        self._downlink.leave_user(user, room.topic)
        self._door.note_left(ALL_NODES, user, room.room)

    @method(
        "room.people",
        Code.ROOM_NOT_FOUND,
        Code.ROOM_BLACKLISTED,
        result=PeoplePage,
        alone=True,
    )
    async def people(self, caller: Caller, args: PeopleArgs) -> PeoplePage:
        """Named, muted and blacklisted people of a room, in order of their ids."""
        await self._existing(caller, args.room)
        page = await self._store.room_members(args.room, args.after, args.limit)
        people, cut = fit(map(describe_person, page.items), self._reply_bytes)
        return PeoplePage(people, cut or page.more)

    @method("room.online", Code.ROOM_NOT_FOUND, Code.ROOM_BLACKLISTED, result=Online, alone=True)
    async def online(self, caller: Caller, args: PeopleArgs) -> Online:
        """Who is here, a page at a time."""
        room = await self._existing(caller, args.room)
        found = room.page(args.after, args.limit + 1)
        users, cut = fit(found[: args.limit], self._reply_bytes)
        return Online(users, room.online, cut or len(found) > args.limit)

    async def _existing(self, caller: Caller, name: str) -> RoomState:
        """A room, open or not, for those who may come in. 13002, 13003."""
        room = await self._table.get(name)
        if room.record is None:
            raise ImError(Code.ROOM_NOT_FOUND)
        person = room.people.get(caller.user)
        if person is not None and person.black and not caller.server:
            raise ImError(Code.ROOM_BLACKLISTED)
        return room
