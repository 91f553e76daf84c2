"""Making, changing and ending groups; owner, managers, mutes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from im_service.calls import Caller, Nothing, method, until_ms
from im_service.consent import Consents
from im_service.errors import Code, ImError
from im_service.groups.context import GroupAndCaller, GroupContext
from im_service.groups.model import (
    MODES,
    CreateArgs,
    GroupArgs,
    GroupCreated,
    GroupInfo,
    GroupList,
    GroupMuted,
    GroupView,
    MineArgs,
    MuteAllArgs,
    MuteArgs,
    NickArgs,
    RoleArgs,
    TransferArgs,
    UpdateArgs,
    changed,
    describe,
    encode_info,
)
from im_service.ids import check_id
from im_service.models import encode
from im_service.notices import Note, rows
from im_service.pages import fit
from im_service.storage.errors import StoreFull
from im_service.storage.records import Role


class GroupAdmin:
    """What owners and managers decide."""

    def __init__(self, context: GroupContext, consents: Consents) -> None:
        self._c = context
        self._consents = consents

    def _note(self, caller: Caller, group: str, event: str, **data: object) -> Note:
        return self._c.announcer.group(group, caller.user, event, data)

    @method(
        "group.create",
        Code.CONFLICT,
        Code.GROUP_FULL,
        Code.INVALID,
        result=GroupCreated,
        alone=True,
    )
    async def create(self, caller: Caller, args: CreateArgs) -> GroupCreated:
        """Make a group with me as owner (the server names one) and these first members, of whom those are
        asked whose consent is not free (the server adds all); an id is made if none is given."""
        now = self._c.clock.now_ms()
        if caller.server and not args.owner and not caller.user:
            raise ImError(Code.INVALID, "owner is required: the server itself owns no group")
        owner = check_id(args.owner if caller.server and args.owner else caller.user, "owner")
        group = check_id(args.group, "group") if args.group else f"{self._c.ids.next(now):x}"
        settings = self._c.settings
        limit = args.limit or settings.group_members
        if limit > settings.group_members_max:
            raise ImError(Code.INVALID, f"a group has at most {settings.group_members_max} members")
        most = 0 if caller.server else settings.groups_per_user
        members = [check_id(user, "member") for user in dict.fromkeys(args.members) if user != owner]
        info, _ = changed(GroupInfo(), args)
        free, asked, refused, unheard = await self._consents.guests(caller, members)
        note = self._note(caller, group, "group.create", owner=owner, members=free, name=info.name)
        try:
            done = await self._c.store.create_group(
                group,
                owner,
                encode_info(info),
                free,
                limit,
                now,
                rows([note]),
                self._c.ask(asked, owner),
                most,
            )
        except StoreFull:
            raise ImError(Code.GROUP_FULL) from None
        await self._c.came(group, [owner, *free])
        self._c.announcer.publish([note], done.notices)
        self._c.invited(done.requests)
        made = msgspec.structs.asdict(describe(done.value))
        most = settings.reply_bytes - len(encode(made))
        told, _ = fit(refused, most)
        most -= len(encode(told))
        return GroupCreated(**made, invited=fit([*asked, *unheard], most)[0], refused=told)

    @method(
        "group.info",
        Code.GROUP_NOT_FOUND,
        result=GroupView,
        alone=True,
    )
    async def info(self, caller: Caller, args: GroupArgs) -> GroupView:
        """What a group is; anybody may ask who knows its id."""
        return describe((await self._c.place(caller, args.group)).group)

    @method("group.mine", result=GroupList)
    async def mine(self, caller: Caller, args: MineArgs) -> GroupList:
        """The groups I am in, in order of their ids; `after` = the last id of the page before."""
        found = [group for group in await self._c.store.groups_of(caller.user) if group.group > args.after]
        page = (describe(group) for group in found[: args.limit])
        groups, cut = fit(page, self._c.settings.reply_bytes)
        return GroupList(groups, cut or len(found) > args.limit)

    @method(
        "group.update",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        Code.FORBIDDEN,
        result=GroupView,
        alone=True,
    )
    async def update(self, caller: Caller, args: UpdateArgs) -> GroupView:
        """Change name, texts and modes. Modes and limit are the owner's and managers'."""
        limit = args.limit

        async def step(place: GroupAndCaller) -> GroupView:
            info, changes = changed(place.info, args)
            sensitive = limit is not None or any(name in MODES for name in changes)
            if not place.manages and (sensitive or place.info.update != "all"):
                raise ImError(Code.FORBIDDEN, "owner and managers change this")
            if limit is not None and limit > self._c.settings.group_members_max:
                raise ImError(
                    Code.INVALID, f"a group has at most {self._c.settings.group_members_max} members"
                )
            if info == place.info and limit in (None, place.group.member_limit):
                return describe(place.group)
            note = self._note(caller, args.group, "group.update", changes=changes)
            done = await self._c.store.update_group(
                args.group,
                self._c.clock.now_ms(),
                info=encode_info(info),
                member_limit=limit,
                rev=place.group.rev,
                notices=rows([note]),
            )
            await self._c.refresh(args.group)
            self._c.announcer.publish([note], done.notices)
            return describe(done.value)

        return await self._c.change(caller, args.group, step)

    @method("group.dismiss", Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER, Code.FORBIDDEN, alone=True)
    async def dismiss(self, caller: Caller, args: GroupArgs) -> Nothing:
        """End the group. The owner's to decide; what was said stays readable for those who were in it."""

        async def step(place: GroupAndCaller) -> Nothing:
            if not place.owns:
                raise ImError(Code.FORBIDDEN, "the owner dismisses a group")
            note = self._note(caller, args.group, "group.dismiss")
            done = await self._c.store.dismiss_group(
                args.group, self._c.clock.now_ms(), place.group.rev, rows([note])
            )
            self._c.announcer.publish([note], done.notices)
            await self._c.went(args.group, done.value)
            return {}

        return await self._c.change(caller, args.group, step)

    @method(
        "group.transfer",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        Code.FORBIDDEN,
        result=GroupView,
        alone=True,
    )
    async def transfer(self, caller: Caller, args: TransferArgs) -> GroupView:
        """Make another member the owner; the old one stays a member, or leaves."""

        async def step(place: GroupAndCaller) -> GroupView:
            if not place.owns:
                raise ImError(Code.FORBIDDEN, "the owner transfers a group")
            if args.user == place.group.owner:
                raise ImError(Code.INVALID, "this user owns the group already")
            if args.user not in await self._c.states(args.group, [args.user]):
                raise ImError(Code.NOT_GROUP_MEMBER, "the new owner must be a member")
            before = place.group.owner
            note = self._note(caller, args.group, "group.transfer", user=args.user, left=args.leave)
            done = await self._c.store.transfer_group(
                args.group, args.user, args.leave, self._c.clock.now_ms(), place.group.rev, rows([note])
            )
            self._c.announcer.publish([note], done.notices)
            if args.leave:
                await self._c.went(args.group, [before])
            await self._c.refresh(args.group, [before, args.user])
            return describe(done.value)

        return await self._c.change(caller, args.group, step)

    @method("group.role", Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER, Code.FORBIDDEN, alone=True)
    async def role(self, caller: Caller, args: RoleArgs) -> Nothing:
        """Make members managers, or managers members, all or none. The owner's to decide."""
        role = Role.MANAGER if args.role == "manager" else Role.MEMBER
        users = list(dict.fromkeys(args.users))
        data = {"users": users, "role": args.role}

        async def step(place: GroupAndCaller) -> Nothing:
            if not place.owns:
                raise ImError(Code.FORBIDDEN, "the owner names managers")
            await self._change_members(caller, place, users, "group.role", data, role=role)
            return {}

        return await self._c.change(caller, args.group, step)

    @method("group.nick", Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER, Code.FORBIDDEN, alone=True)
    async def nick(self, caller: Caller, args: NickArgs) -> Nothing:
        """My name in this group; owner and managers may name members too."""
        user = args.user or caller.user
        if not user:
            raise ImError(Code.INVALID, "user is required: the server itself is no member")

        async def step(place: GroupAndCaller) -> Nothing:
            if user != caller.user:
                await self._outranks(place, user)
            data = {"user": user, "nick": args.nick}
            await self._change_members(caller, place, [user], "group.nick", data, nick=args.nick)
            return {}

        return await self._c.change(caller, args.group, step)

    @method(
        "group.mute",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        Code.FORBIDDEN,
        result=GroupMuted,
        alone=True,
    )
    async def mute(self, caller: Caller, args: MuteArgs) -> GroupMuted:
        """Mute one member: seconds > 0 for that long, -1 until lifted, 0 lifts. Managers mute members
        only."""
        until = until_ms(self._c.clock.now_ms(), args.seconds)

        async def step(place: GroupAndCaller) -> GroupMuted:
            await self._outranks(place, args.user)
            data = {"user": args.user, "until_ms": until}
            await self._change_members(caller, place, [args.user], "group.mute", data, muted_until_ms=until)
            return GroupMuted(until)

        return await self._c.change(caller, args.group, step)

    @method("group.mute_all", Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER, Code.FORBIDDEN, alone=True)
    async def mute_all(self, caller: Caller, args: MuteAllArgs) -> Nothing:
        """Only owner and managers speak while this is on."""

        async def step(place: GroupAndCaller) -> Nothing:
            if not place.manages:
                raise ImError(Code.FORBIDDEN, "owner and managers mute a group")
            if args.on == place.group.mute_all:
                return {}
            note = self._note(caller, args.group, "group.mute_all", on=args.on)
            done = await self._c.store.update_group(
                args.group,
                self._c.clock.now_ms(),
                mute_all=args.on,
                rev=place.group.rev,
                notices=rows([note]),
            )
            await self._c.refresh(args.group)
            self._c.announcer.publish([note], done.notices)
            return {}

        return await self._c.change(caller, args.group, step)

    async def _outranks(self, place: GroupAndCaller, user: str) -> None:
        """The caller must stand above this member. 403, 802."""
        if not place.manages:
            raise ImError(Code.FORBIDDEN, "owner and managers do this")
        other = (await self._c.states(place.group.group, [user])).get(user)
        if other is None:
            raise ImError(Code.NOT_GROUP_MEMBER, "not a member")
        if other.role == Role.OWNER or (other.role == Role.MANAGER and not place.owns):
            raise ImError(Code.FORBIDDEN, "this member ranks as high")

    async def _change_members(
        self,
        caller: Caller,
        place: GroupAndCaller,
        users: list[str],
        event: str,
        data: Mapping[str, object],
        *,
        role: Role | None = None,
        nick: str | None = None,
        muted_until_ms: int | None = None,
    ) -> None:
        """One change with one notice, for all of them or none; who is so already is not told of. 802, 403."""
        group = place.group.group
        members = await self._c.states(group, users)
        for user in users:
            if user not in members:
                raise ImError(Code.NOT_GROUP_MEMBER, f"{user} is not a member")
            if role is not None and members[user].role == Role.OWNER:
                raise ImError(Code.FORBIDDEN, "the owner's role moves by transfer")
        wanted = {"role": role, "nick": nick, "muted_until_ms": muted_until_ms}
        moved = [
            user
            for user in users
            if any(value not in (None, getattr(members[user], name)) for name, value in wanted.items())
        ]
        if not moved:
            return
        told = {**data, "users": moved} if "users" in data else data
        note = self._note(caller, group, event, **told)
        done = await self._c.store.update_members(
            group,
            moved,
            self._c.clock.now_ms(),
            role=role,
            nick=nick,
            muted_until_ms=muted_until_ms,
            rev=place.group.rev,
            notices=rows([note]),
        )
        await self._c.refresh(group, moved)
        self._c.announcer.publish([note], done.notices)
