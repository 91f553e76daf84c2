"""Coming and going: invitations, applications, joining, leaving, removal, lists."""

from __future__ import annotations

from collections.abc import Sequence

from frame.constants import GROUP_PREFIX, USER_PREFIX
from im_service.calls import Caller, Nothing, method
from im_service.consent import Consents
from im_service.errors import Code, ImError
from im_service.groups.context import GroupAndCaller, GroupContext
from im_service.groups.model import (
    ACCEPTED,
    ENDED,
    JOIN_CLOSED,
    JOIN_FREE,
    REFUSED,
    REQUEST_INVITE,
    REQUEST_JOIN,
    DecideArgs,
    GroupArgs,
    GroupRequests,
    InviteArgs,
    Invited,
    JoinArgs,
    Joined,
    MemberPage,
    MembersArgs,
    Removed,
    RequestsArgs,
    describe_member,
    describe_request,
)
from im_service.ids import check_id
from im_service.notices import rows
from im_service.pages import fit
from im_service.storage.errors import StoreFull
from im_service.storage.records import Applied, Ask, Request, Role


class GroupMembers:
    """Who is in a group."""

    def __init__(self, context: GroupContext, consents: Consents) -> None:
        self._c = context
        self._consents = consents

    async def _add(
        self, caller: Caller, place: GroupAndCaller, users: Sequence[str], event: str, request: int = 0
    ) -> list[str]:
        """Add, tell, let them hear; `request` is what this accepts. 801."""
        group = place.group.group
        states = await self._c.states(group, users)
        fresh = [user for user in users if user not in states]
        if not fresh and not request:
            return []
        return (await self._change(caller, place, users, fresh, event, request, None)).value

    async def _change(
        self,
        caller: Caller,
        place: GroupAndCaller,
        users: Sequence[str],
        fresh: Sequence[str],
        event: str,
        request: int,
        ask: Ask | None,
    ) -> Applied[list[str]]:
        group = place.group.group
        note = self._c.announcer.group(group, caller.user, event, {"users": fresh})
        try:
            done = await self._c.store.add_members(
                group,
                users,
                self._c.clock.now_ms(),
                history=place.info.history,
                rev=place.group.rev,
                request=request,
                notices=rows([note]),
                ask=ask,
            )
        except StoreFull:
            raise ImError(Code.GROUP_FULL) from None
        if done.value:
            await self._c.came(group, done.value)
            self._c.announcer.publish([note], done.notices)
        return done

    @method(
        "group.invite",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        Code.FORBIDDEN,
        Code.GROUP_FULL,
        result=Invited,
        alone=True,
    )
    async def invite(self, caller: Caller, args: InviteArgs) -> Invited:
        """Bring users in, all or none of those who do not refuse. Those are asked first whose consent is
        not free, and everybody in a group with `agree`; each decides alone (the server adds them at once)."""
        users = [check_id(user, "user") for user in dict.fromkeys(args.users)]

        async def step(place: GroupAndCaller) -> Invited:
            if not place.manages and place.info.invite != "all":
                raise ImError(Code.FORBIDDEN, "owner and managers invite")
            inside = await self._c.states(args.group, users)
            fresh = [user for user in users if user not in inside]
            free, asked, refused, unheard = await self._consents.guests(caller, fresh)
            if place.info.agree and not caller.server:
                free, asked = [], [user for user in fresh if user in free or user in asked]
            if not free and not asked:
                return Invited([], unheard, refused)
            ask = self._c.ask(asked, caller.user, args.text)
            done = await self._change(caller, place, free, free, "group.invite", 0, ask)
            told = self._c.invited(done.requests) | set(unheard)
            refused += [request.user for request in done.requests if request.state == REFUSED]
            return Invited(done.value, [user for user in fresh if user in told], refused)

        return await self._c.change(caller, args.group, step)

    @method("group.join", Code.GROUP_NOT_FOUND, Code.FORBIDDEN, Code.GROUP_FULL, result=Joined)
    async def join(self, caller: Caller, args: JoinArgs) -> Joined:
        """Come into a free group, or ask owner and managers of one with approval. id = the application's."""

        async def attempt() -> Joined:
            place = await self._c.place(caller, args.group)
            if place.me is not None:
                return Joined(True, 0)
            if place.info.join == JOIN_CLOSED:
                raise ImError(Code.FORBIDDEN, "nobody joins this group uninvited")
            if place.info.join != JOIN_FREE:
                return await self._apply(caller, place, args.text)
            await self._add(caller, place, [caller.user], "group.join")
            return Joined(True, 0)

        return await self._c.settled(args.group, attempt)

    async def _apply(self, caller: Caller, place: GroupAndCaller, text: str) -> Joined:
        group = place.group.group
        done = await self._c.store.open_requests(
            GROUP_PREFIX + group,
            REQUEST_JOIN,
            [caller.user],
            caller.user,
            text,
            self._c.clock.now_ms(),
            place.group.rev,
            pause_ms=self._c.settings.ask_again_ms,
        )
        (request,) = done.value
        if request.state == REFUSED:
            raise ImError(Code.FORBIDDEN, "this was asked and refused not long ago")
        for user in await self._c.store.managers(group) if request.news else ():
            self._c.announcer.event(USER_PREFIX + user, "group.applied", describe_request(request))
        return Joined(False, request.id)

    @method(
        "group.requests",
        Code.GROUP_NOT_FOUND,
        Code.FORBIDDEN,
        result=GroupRequests,
        alone=True,
    )
    async def requests(self, caller: Caller, args: RequestsArgs) -> GroupRequests:
        """Open applications to a group (owner and managers), or, without a group, my own invitations and
        applications."""
        if args.group:
            place = await self._c.inside(caller, args.group)
            if not place.manages:
                raise ImError(Code.FORBIDDEN, "owner and managers see applications")
            page = await self._c.store.requests(GROUP_PREFIX + args.group, 0, args.after, args.limit)
        else:
            page = await self._c.store.requests_of(caller.user, args.after, args.limit)
        kept, cut = fit(page.items, self._c.settings.reply_bytes)
        lines = [describe_request(r) for r in kept if r.scope.startswith(GROUP_PREFIX)]
        return GroupRequests(lines, kept[-1].id if kept else args.after, cut or page.more)

    @method("group.decide", Code.NOT_FOUND, Code.FORBIDDEN, Code.GROUP_FULL, Code.CONFLICT, alone=True)
    async def decide(self, caller: Caller, args: DecideArgs) -> Nothing:
        """Accept or refuse: owner and managers an application, the invited user an invitation."""
        scope = GROUP_PREFIX + args.group

        async def attempt() -> Request:
            request = await self._c.store.request(scope, args.id)
            if request.state:
                raise ImError(Code.CONFLICT, "this was decided already")
            place = await self._c.place(caller, args.group)
            if not caller.server:
                if request.kind == REQUEST_INVITE and request.user != caller.user:
                    raise ImError(Code.FORBIDDEN, "the invited user decides")
                if request.kind == REQUEST_JOIN and not place.manages:
                    raise ImError(Code.FORBIDDEN, "owner and managers decide")
            if args.accept and request.kind == REQUEST_INVITE:
                await self._stands(place, request)
            if args.accept:
                await self._add(caller, place, [request.user], "group.join", request.id)
            else:
                await self._c.store.decide_request(scope, args.id, REFUSED, self._c.clock.now_ms())
            return request

        request = await self._c.settled(args.group, attempt)
        state = ACCEPTED if args.accept else REFUSED
        told = describe_request(request._replace(state=state))
        for user in {request.user, request.by} - {caller.user}:
            self._c.announcer.event(USER_PREFIX + user, "group.decided", told)
        return {}

    async def _stands(self, place: GroupAndCaller, request: Request) -> None:
        """An invitation is as good as the right of who made it. 409, and it has ended."""
        group = place.group.group
        by = (await self._c.states(group, [request.by])).get(request.by)
        if by is None or (place.info.invite != "all" and by.role not in (Role.OWNER, Role.MANAGER)):
            await self._c.store.decide_request(
                GROUP_PREFIX + group, request.id, ENDED, self._c.clock.now_ms()
            )
            raise ImError(Code.CONFLICT, "who invited may not do so any more")

    @method("group.leave", Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER, Code.FORBIDDEN)
    async def leave(self, caller: Caller, args: GroupArgs) -> Nothing:
        """Go. The owner transfers or dismisses instead."""

        async def step(place: GroupAndCaller) -> Nothing:
            if place.me is None:
                raise ImError(Code.NOT_GROUP_MEMBER)
            if place.me.role == Role.OWNER:
                raise ImError(Code.FORBIDDEN, "the owner transfers or dismisses the group")
            await self._remove(caller, place, [caller.user], "group.leave")
            return {}

        return await self._c.change(caller, args.group, step)

    @method(
        "group.kick",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        Code.FORBIDDEN,
        result=Removed,
        alone=True,
    )
    async def kick(self, caller: Caller, args: InviteArgs) -> Removed:
        """Remove members. Managers remove members, the owner also managers; nobody removes the owner."""

        async def step(place: GroupAndCaller) -> Removed:
            if not place.manages:
                raise ImError(Code.FORBIDDEN, "owner and managers remove members")
            for member in (await self._c.states(args.group, args.users)).values():
                if member.role == Role.OWNER or (member.role == Role.MANAGER and not place.owns):
                    raise ImError(Code.FORBIDDEN, f"{member.user} ranks as high")
            return Removed(await self._remove(caller, place, args.users, "group.kick", args.text))

        return await self._c.change(caller, args.group, step)

    async def _remove(
        self, caller: Caller, place: GroupAndCaller, users: Sequence[str], event: str, text: str = ""
    ) -> list[str]:
        group = place.group.group
        states = await self._c.states(group, users)
        inside = [user for user in dict.fromkeys(users) if user in states and states[user].role != Role.OWNER]
        if not inside:
            return []
        data: dict[str, object] = {"users": inside}
        if text:
            data["text"] = text
        note = self._c.announcer.group(group, caller.user, event, data)
        done = await self._c.store.remove_members(
            group, inside, self._c.clock.now_ms(), place.group.rev, rows([note])
        )
        self._c.announcer.publish([note], done.notices)
        await self._c.went(group, done.value)
        return done.value

    @method(
        "group.members",
        Code.GROUP_NOT_FOUND,
        Code.NOT_GROUP_MEMBER,
        result=MemberPage,
        alone=True,
    )
    async def members(self, caller: Caller, args: MembersArgs) -> MemberPage:
        """The members in order of their ids; `after` = the last id of the page before."""
        await self._c.inside(caller, args.group)
        page = await self._c.store.members(args.group, args.after, args.limit)
        members, cut = fit(map(describe_member, page.items), self._c.settings.reply_bytes)
        return MemberPage(members, cut or page.more)
