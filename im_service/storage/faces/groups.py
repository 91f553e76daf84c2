"""Groups with their members, and the requests that lead to a membership or a friendship."""

from collections.abc import Iterable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import groups, requests
from im_service.storage.records import Applied, Ask, Group, GroupMember, Notices, Page, Request, Role


class Groups(Engine):
    """`rev`: when given and not the group's present rev, StoreConflict and nothing happens (checks stay true
    until commit). StoreMissing when the group does not exist. Each change makes the group's rev grow by 1."""

    async def create_group(
        self,
        group: str,
        owner: str,
        info: bytes,
        members: Sequence[str],
        member_limit: int,
        now_ms: int,
        notices: Notices = (),
        ask: Ask | None = None,
        most: int = 0,
    ) -> Applied[Group]:
        """StoreConflict if the id is or was taken, or where the owner is in `most` groups (0: any number),
        the own ones that ended within a day included; StoreFull above member_limit (owner included)."""
        return await self._write(
            partial(groups.create, group, owner, info, members, member_limit, now_ms, notices, ask, most),
            1 + len(members) + (len(ask.users) if ask else 0),
        )

    async def groups(self, groups_: Sequence[str], /) -> list[Group]:
        """Those of them that exist."""
        return await self._read(groups.load(groups_))

    async def update_group(
        self,
        group: str,
        now_ms: int,
        *,
        info: bytes | None = None,
        mute_all: bool | None = None,
        member_limit: int | None = None,
        rev: int | None = None,
        notices: Notices = (),
    ) -> Applied[Group]:
        """None leaves as it is. -> the group as it is now."""
        return await self._write(partial(groups.update, group, info, mute_all, member_limit, rev, notices))

    async def dismiss_group(
        self, group: str, now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        """Notices go in first. -> who were members; their inbox rows become inactive but stay readable."""
        return await self._write(partial(groups.dismiss, group, now_ms, rev, notices))

    async def add_members(
        self,
        group: str,
        users: Sequence[str],
        now_ms: int,
        *,
        history: bool = False,
        rev: int | None = None,
        request: int = 0,
        notices: Notices = (),
        ask: Ask | None = None,
    ) -> Applied[list[str]]:
        """-> those newly added. history False: they see nothing from before. StoreFull: nobody is added.
        Open join requests and invitations of the users are closed with state 1. request: the one this
        accepts; nothing is changed if it is no longer open (StoreConflict). ask: opened with it, or not."""
        return await self._write(
            partial(groups.add_members, group, users, now_ms, history, rev, request, notices, ask),
            1 + len(users) + (len(ask.users) if ask else 0),
        )

    async def remove_members(
        self, group: str, users: Sequence[str], now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        """Notices go in first. -> those removed (they keep what they had). The owner is never removed."""
        return await self._write(partial(groups.remove_members, group, users, rev, notices), 1 + len(users))

    async def update_members(
        self,
        group: str,
        users: Sequence[str],
        now_ms: int,
        *,
        role: Role | None = None,
        nick: str | None = None,
        ext: bytes | None = None,
        muted_until_ms: int | None = None,
        rev: int | None = None,
        notices: Notices = (),
    ) -> Applied[list[GroupMember]]:
        """The same for all of them, or nothing. -> as they are now, in order of user id.

        StoreMissing if one is no member; StoreConflict for role OWNER (see transfer) or the owner's role.
        """
        return await self._write(
            partial(groups.update_members, group, users, role, nick, ext, muted_until_ms, rev, notices),
            len(users),
        )

    async def transfer_group(
        self,
        group: str,
        new_owner: str,
        leave: bool,
        now_ms: int,
        rev: int | None = None,
        notices: Notices = (),
    ) -> Applied[Group]:
        """The old owner becomes a member, or leaves. StoreMissing if new_owner is no member."""
        return await self._write(partial(groups.transfer, group, new_owner, leave, rev, notices))

    async def managers(self, group: str) -> list[str]:
        """Its owner and managers."""
        return await self._read(groups.managers(group))

    async def members(self, group: str, after: str = "", limit: int = 500) -> Page[GroupMember]:
        """In order of user id."""
        return await self._read(groups.members(group, after, limit))

    async def member_states(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], GroupMember]:
        """(group, user) -> member; pairs that are none are left out."""
        return await self._read(groups.member_states(pairs))

    async def groups_of(self, user: str) -> list[Group]:
        """Groups the user is in, in order of id."""
        return await self._read(groups.groups_of(user))


class Requests(Engine):
    """Join requests and invitations (scope g/<group>) and friend requests (scope u/<user>)."""

    async def open_requests(
        self,
        scope: str,
        kind: int,
        users: Sequence[str],
        by: str,
        text: str,
        now_ms: int,
        rev: int | None = None,
        notices: Notices = (),
        pause_ms: int = 0,
    ) -> Applied[list[Request]]:
        """One for each user, in order of user id; all or none. Who is in the group, or a friend, is left out,
        and who has the other on the blacklist.

        An open one with the same (scope, kind, user) gets the new text and asker, keeps its id, and is no
        `news`. One that was refused less than `pause_ms` ago stays refused (state 2). rev: the group's.
        StoreMissing if there is no such group.
        """
        return await self._write(
            partial(requests.open_requests, scope, kind, users, by, text, now_ms, rev, notices, pause_ms),
            len(users),
        )

    async def requests(
        self, scope: str, state: int | None, after: int = 0, limit: int = 100
    ) -> Page[Request]:
        """Of one scope, oldest first; state None = all of them."""
        return await self._read(requests.listing(scope, state, after, limit))

    async def requests_of(self, user: str, after: int = 0, limit: int = 100) -> Page[Request]:
        """Those a user made or was invited by, oldest first."""
        return await self._read(requests.of_user(user, after, limit))

    async def request(self, scope: str, id: int) -> Request:
        """StoreMissing."""
        return await self._read(requests.load(scope, id))

    async def standing_request(self, scope: str, kind: int, user: str) -> Request | None:
        """The open one of this user, if there is one."""
        return await self._read(requests.standing(scope, kind, user))

    async def decide_request(
        self, scope: str, id: int, state: int, now_ms: int, notices: Notices = ()
    ) -> Applied[Request]:
        """Set the state of an open one. StoreMissing; StoreConflict when it is no longer open."""
        return await self._write(partial(requests.decide, scope, id, state, now_ms, notices))
