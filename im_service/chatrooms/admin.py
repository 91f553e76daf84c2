"""Making and changing chatrooms; roles, mutes, blacklist, removal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from im_service.calls import Args, Caller, Seconds, method
from im_service.chatrooms.door import RoomArgs, RoomDoor
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.live.room import RoomInfo, RoomState, encode_info
from im_service.storage.records import FOREVER, Role, RoomMember

ROLE_NAMES = {
    Role.MEMBER: "member",
    Role.MANAGER: "manager",
    Role.OWNER: "owner",
    Role.RESTRICTED: "restricted",
}
ROLES = {"member": Role.MEMBER, "manager": Role.MANAGER, "guest": Role.MEMBER, "restricted": Role.RESTRICTED}


class RoomChanges(Args):
    """ImSettings in create and update; absent = as they are. A rate of 0 = no budget, -1 = the service's."""

    name: Annotated[str, Meta(max_length=128)] | None = None
    announcement: Annotated[str, Meta(max_length=4096)] | None = None
    history: bool | None = None
    ring: Annotated[int, Meta(ge=0, le=200)] | None = None
    notices: bool | None = None
    queue_by_managers: bool | None = None
    normal_per_s: Annotated[float, Meta(ge=-1)] | None = None
    high_per_s: Annotated[float, Meta(ge=-1)] | None = None


class CreateArgs(RoomChanges):
    room: str = ""
    owner: str = ""


class UpdateArgs(RoomChanges, kw_only=True):
    room: str


class AttributesArgs(Args):
    room: str
    put: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


class MuteAllArgs(Args):
    room: str
    on: bool


class PersonArgs(Args):
    room: str
    user: str


class RoleArgs(Args):
    room: str
    user: str
    role: Literal["member", "manager", "guest", "restricted"]


class MuteArgs(Args):
    room: str
    user: str
    seconds: Seconds = -1
    notify: bool = True


class TagMuteArgs(Args):
    room: str
    tag: str
    seconds: Seconds = -1


class BlackArgs(Args):
    room: str
    user: str
    on: bool = True


class KickArgs(Args):
    room: str
    user: str
    reason: Annotated[str, Meta(max_length=256)] = ""


class PeopleArgs(Args):
    room: str
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class RoomAdmin:
    """What owners and managers of a room decide; the server may everything."""

    def __init__(self, context: ServiceContext, door: RoomDoor) -> None:
        self._store = context.store
        self._clock = context.clock
        self._ids = context.ids
        self._table = context.rooms
        self._announcer = context.announcer
        self._peers = context.peers
        self._attributes_bytes = context.settings.room_attributes_bytes
        self._door = door

    async def _room(self, caller: Caller, name: str, owner: bool = False) -> RoomState:
        """The room, if the caller may decide there. 13002, 403."""
        room = await self._table.get(name)
        if room.record is None or room.record.closed:
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

    def _tell(self, room: RoomState, event: str, data: dict[str, Any]) -> None:
        self._announcer.event(room.topic, event, {"room": room.room, **data})

    async def _changed(self, room: RoomState) -> None:
        await self._table.refresh(room.room)
        self._peers.changed("room", room.room)

    def _describe(self, room: RoomState) -> dict[str, Any]:
        record = room.record
        info = msgspec.structs.asdict(room.info)
        return {
            "room": room.room,
            "owner": "" if record is None else record.owner,
            "online": room.online,
            "mute_all": record is not None and record.mute_all,
            "closed": not room.open,
            "dropped_normal": room.dropped_normal,
            "dropped_high": room.dropped_high,
            **info,
        }

    @method(
        "room.create",
        Code.CONFLICT,
        Code.INVALID,
        result="{room, owner, online, name, attributes, ...}",
        alone=True,
    )
    async def create(self, caller: Caller, args: CreateArgs) -> dict[str, Any]:
        """Make a room with me as owner (the server names one, or none)."""
        owner = args.owner if caller.server else caller.user
        name = check_id(args.room, "room") if args.room else f"{self._ids.next(self._clock.now_ms()):x}"
        info = RoomInfo(**_given(args))
        await self._store.create_room(name, owner or "@system", encode_info(info), self._clock.now_ms())
        await self._changed(await self._table.get(name))
        return self._describe(await self._table.get(name))

    @method(
        "room.info",
        Code.ROOM_NOT_FOUND,
        result="{room, owner, online, dropped_normal, dropped_high, ...}",
        alone=True,
    )
    async def info(self, caller: Caller, args: RoomArgs) -> dict[str, Any]:
        """What a room is, how many are in it, what was dropped."""
        room = await self._table.get(args.room)
        if not room.open or (room.record is None and not room.members):
            raise ImError(Code.ROOM_NOT_FOUND)
        return self._describe(room)

    @method("room.update", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, result="{room, ...}", alone=True)
    async def update(self, caller: Caller, args: UpdateArgs) -> dict[str, Any]:
        """Change a room's name, announcement and settings."""
        room = await self._room(caller, args.room)
        given = _given(args)
        await self._store_info(room, msgspec.structs.replace(room.info, **given))
        self._tell(room, "room.update", {"changes": given})
        return self._describe(room)

    async def _store_info(self, room: RoomState, info: RoomInfo) -> None:
        rev = None if room.record is None else room.record.rev
        await self._store.update_room(room.room, self._clock.now_ms(), info=encode_info(info), rev=rev)
        await self._changed(room)

    @method(
        "room.attributes",
        Code.ROOM_NOT_FOUND,
        Code.FORBIDDEN,
        Code.INVALID,
        result="{attributes}",
        alone=True,
    )
    async def attributes(self, caller: Caller, args: AttributesArgs) -> dict[str, Any]:
        """Put and remove the room's attributes (texts by name), at most 4096 bytes in all."""
        room = await self._room(caller, args.room)
        attributes = {k: v for k, v in room.info.attributes.items() if k not in args.remove} | args.put
        if len(msgspec.msgpack.encode(attributes)) > self._attributes_bytes:
            raise ImError(Code.INVALID, f"attributes have at most {self._attributes_bytes} bytes")
        await self._store_info(room, msgspec.structs.replace(room.info, attributes=attributes))
        self._tell(room, "room.attributes", {"put": args.put, "remove": args.remove})
        return {"attributes": attributes}

    @method("room.close", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def close(self, caller: Caller, args: RoomArgs) -> dict[str, Any]:
        """End a room: everybody is out, nobody comes in, its id stays taken."""
        room = await self._room(caller, args.room, owner=True)
        await self._store.update_room(args.room, self._clock.now_ms(), closed=True)
        await self._changed(room)
        self._tell(room, "room.close", {"by": caller.user})
        for user in list(room.members):
            await self._door.put_out(room, user, "room.exit")
        return {}

    @method("room.mute_all", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def mute_all(self, caller: Caller, args: MuteAllArgs) -> dict[str, Any]:
        """Only owner and managers speak while this is on."""
        room = await self._room(caller, args.room)
        await self._store.update_room(args.room, self._clock.now_ms(), mute_all=args.on)
        await self._changed(room)
        self._tell(room, "room.mute_all", {"on": args.on, "by": caller.user})
        return {}

    @method("room.role", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def role(self, caller: Caller, args: RoleArgs) -> dict[str, Any]:
        """Name a member, a manager (the owner does) or a restricted one; guest takes the name away."""
        room = await self._room(caller, args.room, owner=args.role == "manager")
        self._outranks(caller, room, check_id(args.user, "user"))
        await self._store.set_room_member(
            args.room, args.user, self._clock.now_ms(), role=ROLES[args.role], named=args.role != "guest"
        )
        await self._changed(room)
        self._tell(room, "room.role", {"user": args.user, "role": args.role, "by": caller.user})
        return {}

    @method("room.mute", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, result="{until_ms}", alone=True)
    async def mute(self, caller: Caller, args: MuteArgs) -> dict[str, Any]:
        """Mute somebody: seconds > 0 for that long, -1 until lifted, 0 lifts. They may be a guest, or not
        here at all."""
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        now = self._clock.now_ms()
        until = FOREVER if args.seconds < 0 else now + args.seconds * 1000 if args.seconds else 0
        await self._store.set_room_member(args.room, args.user, now, muted_until_ms=until)
        await self._changed(room)
        if args.notify:
            self._tell(room, "room.mute", {"user": args.user, "until_ms": until, "by": caller.user})
        return {"until_ms": until}

    @method("room.mute_tag", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, result="{until_ms}", alone=True)
    async def mute_tag(self, caller: Caller, args: TagMuteArgs) -> dict[str, Any]:
        """Mute everybody who came in under a tag; seconds as in room.mute. Owner and managers go on
        speaking."""
        room = await self._room(caller, args.room)
        now = self._clock.now_ms()
        until = FOREVER if args.seconds < 0 else now + args.seconds * 1000 if args.seconds else 0
        await self._store.mute_tag(args.room, check_id(args.tag, "tag"), until)
        await self._changed(room)
        self._tell(room, "room.mute_tag", {"tag": args.tag, "until_ms": until, "by": caller.user})
        return {"until_ms": until}

    @method("room.black", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, alone=True)
    async def black(self, caller: Caller, args: BlackArgs) -> dict[str, Any]:
        """Put somebody on the room's blacklist: they are out and stay out. Or take them off it."""
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        await self._store.set_room_member(args.room, args.user, self._clock.now_ms(), black=args.on)
        await self._changed(room)
        self._tell(room, "room.black", {"user": args.user, "on": args.on, "by": caller.user})
        if args.on:
            await self._out(room, args.user, caller.user, "blacklisted")
        return {}

    @method("room.kick", Code.ROOM_NOT_FOUND, Code.FORBIDDEN, Code.NOT_IN_ROOM, alone=True)
    async def kick(self, caller: Caller, args: KickArgs) -> dict[str, Any]:
        """Put somebody out, with a reason they hear. They may come back."""
        room = await self._room(caller, args.room)
        self._outranks(caller, room, check_id(args.user, "user"))
        if args.user not in room.members:
            raise ImError(Code.NOT_IN_ROOM, "not in the room")
        await self._out(room, args.user, caller.user, args.reason)
        return {}

    async def _out(self, room: RoomState, user: str, by: str, reason: str) -> None:
        data = {"room": room.room, "reason": reason, "by": by}
        self._announcer.event("u/" + user, "room.kicked", data)
        await self._door.put_out(room, user, "room.kick", {"reason": reason, "by": by})

    @method(
        "room.people",
        Code.ROOM_NOT_FOUND,
        result="{people: [{user, role, named, black, muted_until_ms}], more}",
        alone=True,
    )
    async def people(self, caller: Caller, args: PeopleArgs) -> dict[str, Any]:
        """Named, muted and blacklisted people of a room, in order of their ids."""
        await self._existing(args.room)
        page = await self._store.room_members(args.room, args.after, args.limit)
        return {"people": [_person(p) for p in page.items], "more": page.more}

    @method("room.online", Code.ROOM_NOT_FOUND, result="{users: [user], online}", alone=True)
    async def online(self, caller: Caller, args: PeopleArgs) -> dict[str, Any]:
        """Who is here, a page at a time."""
        room = await self._table.get(args.room)
        users = sorted(user for user in room.members if user > args.after)[: args.limit]
        return {"users": users, "online": room.online}

    async def _existing(self, name: str) -> RoomState:
        room = await self._table.get(name)
        if room.record is None:
            raise ImError(Code.ROOM_NOT_FOUND)
        return room


def _given(args: RoomChanges) -> dict[str, Any]:
    names = RoomChanges.__struct_fields__
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _person(person: RoomMember) -> dict[str, Any]:
    return {
        "user": person.user,
        "role": ROLE_NAMES[person.role],
        "named": person.named,
        "black": person.black,
        "muted_until_ms": person.muted_until_ms,
    }
