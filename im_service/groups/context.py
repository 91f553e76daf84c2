"""What every group call needs: the group as it is now, the caller's place in it, and what follows a
change.

Checks hold until the commit: a change names the revision it was checked against, and is checked again when
the group moved on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

from frame.constants import GROUP_PREFIX, USER_PREFIX
from im_service.calls import Caller
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.groups.model import REQUEST_INVITE, GroupInfo, describe_request, info_of
from im_service.storage.errors import StoreConflict
from im_service.storage.records import Ask, Group, GroupMember, Request, Role
from im_service.turns import in_turns

T = TypeVar("T")
ATTEMPTS = 8
"""A group that changes this often under a call is answered 409."""


class GroupAndCaller(NamedTuple):
    """A group and the caller in it; `me` is None for the server and for outsiders."""

    group: Group
    info: GroupInfo
    me: GroupMember | None
    server: bool

    @property
    def manages(self) -> bool:
        return self.server or (self.me is not None and self.me.role in (Role.OWNER, Role.MANAGER))

    @property
    def owns(self) -> bool:
        return self.server or (self.me is not None and self.me.role == Role.OWNER)


class GroupContext:
    """What the group services share."""

    def __init__(self, context: ServiceContext) -> None:
        self.store = context.store
        self.clock = context.clock
        self.ids = context.ids
        self.announcer = context.announcer
        self.settings = context.settings
        self._downlink = context.downlink
        self._directory = context.directory
        self._peers = context.peers
        self._memberships = context.memberships
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def place(self, caller: Caller, group: str) -> GroupAndCaller:
        """The group now and the caller's membership. 803."""
        found = await self.store.groups([group])
        if not found:
            raise ImError(Code.GROUP_NOT_FOUND)
        me = None
        if caller.user:
            me = (await self.store.member_states([(group, caller.user)])).get((group, caller.user))
        return GroupAndCaller(found[0], info_of(found[0]), me, caller.server)

    async def inside(self, caller: Caller, group: str) -> GroupAndCaller:
        """As `place`; 802 for those who are not in it."""
        place = await self.place(caller, group)
        if place.me is None and not place.server:
            raise ImError(Code.NOT_GROUP_MEMBER)
        return place

    async def settled(self, group: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run check-and-change again while the group moves under it. Calls of this process that met another
        wait in line: however many come at once, each is done."""
        lock = self._locks.get(group)
        if lock is None:
            lock = self._locks[group] = asyncio.Lock()
        if not lock.locked():
            try:
                return await attempt()
            except StoreConflict:
                pass
        async with lock:
            for _ in range(ATTEMPTS):
                try:
                    return await attempt()
                except StoreConflict:
                    continue
        raise ImError(Code.CONFLICT, "the group changes too often")

    async def change(self, caller: Caller, group: str, step: Callable[[GroupAndCaller], Awaitable[T]]) -> T:
        """`settled`, for those who are inside."""

        async def attempt() -> T:
            return await step(await self.inside(caller, group))

        return await self.settled(group, attempt)

    async def states(self, group: str, users: Iterable[str]) -> dict[str, GroupMember]:
        """Those of the users who are members."""
        found = await self.store.member_states([(group, user) for user in users])
        return {user: member for (_, user), member in found.items()}

    async def refresh(self, group: str, users: Sequence[str] = ()) -> None:
        """After a commit: what senders remember of the group and these members is read again, here and
        elsewhere."""
        await self._directory.groups.refresh(group)
        self._peers.changed("group", group)
        async for user in in_turns(users):
            await self._directory.members.refresh((group, user))
            self._memberships.changed_here(group, user)
            self._peers.changed("member", f"{group} {user}")

    async def came(self, group: str, users: Sequence[str]) -> None:
        """New members: their connections hear the group from now on."""
        async for user in in_turns(users):
            self._downlink.join_user(user, GROUP_PREFIX + group)
        await self.refresh(group, users)

    def ask(self, users: Sequence[str], by: str, text: str = "") -> Ask:
        """Invitations, opened together with a change of the group."""
        return Ask(REQUEST_INVITE, users, by, text, self.settings.ask_again_ms)

    def invited(self, requests: Iterable[Request]) -> set[str]:
        """Tell those who are asked. -> who they are"""
        asked = {request.user: request for request in requests if not request.state}
        for user, request in asked.items():
            if request.news:
                self.announcer.event(USER_PREFIX + user, "group.invited", describe_request(request))
        return set(asked)

    async def went(self, group: str, users: Sequence[str]) -> None:
        """Gone members: their connections hear the group no more."""
        async for user in in_turns(users):
            self._downlink.leave_user(user, GROUP_PREFIX + group)
        await self.refresh(group, users)
