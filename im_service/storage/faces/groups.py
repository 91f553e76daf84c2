"""Groups and Requests."""

from collections.abc import Iterable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import groups, requests
from im_service.storage.records import Applied, Group, GroupMember, Notices, Page, Request, Role


class GroupsFace(Engine):
    async def create_group(
        self, group: str, owner: str, info: bytes, members: Sequence[str], member_limit: int, now_ms: int,
        notices: Notices = (),
    ) -> Applied[Group]:  # fmt: skip
        return await self._write(
            partial(groups.create, group, owner, info, members, member_limit, now_ms, notices),
            1 + len(members),
        )

    async def groups(self, groups_: Sequence[str], /) -> list[Group]:
        return await self._read(groups.load(groups_))

    async def update_group(
        self, group: str, now_ms: int, *, info: bytes | None = None, mute_all: bool | None = None,
        member_limit: int | None = None, rev: int | None = None, notices: Notices = (),
    ) -> Applied[Group]:  # fmt: skip
        return await self._write(partial(groups.update, group, info, mute_all, member_limit, rev, notices))

    async def dismiss_group(
        self, group: str, now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        return await self._write(partial(groups.dismiss, group, now_ms, rev, notices))

    async def add_members(
        self, group: str, users: Sequence[str], now_ms: int, *, history: bool = False,
        rev: int | None = None, request: int = 0, notices: Notices = (),
    ) -> Applied[list[str]]:  # fmt: skip
        return await self._write(
            partial(groups.add_members, group, users, now_ms, history, rev, request, notices), 1 + len(users)
        )

    async def remove_members(
        self, group: str, users: Sequence[str], now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        return await self._write(partial(groups.remove_members, group, users, rev, notices), 1 + len(users))

    async def update_members(
        self, group: str, users: Sequence[str], now_ms: int, *, role: Role | None = None,
        nick: str | None = None, ext: bytes | None = None, muted_until_ms: int | None = None,
        rev: int | None = None, notices: Notices = (),
    ) -> Applied[list[GroupMember]]:  # fmt: skip
        return await self._write(
            partial(groups.update_members, group, users, role, nick, ext, muted_until_ms, rev, notices),
            len(users),
        )

    async def transfer_group(
        self, group: str, new_owner: str, leave: bool, now_ms: int, rev: int | None = None,
        notices: Notices = (),
    ) -> Applied[Group]:  # fmt: skip
        return await self._write(partial(groups.transfer, group, new_owner, leave, rev, notices))

    async def members(self, group: str, after: str = "", limit: int = 500) -> Page[GroupMember]:
        return await self._read(groups.members(group, after, limit))

    async def member_states(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], GroupMember]:
        return await self._read(groups.member_states(pairs))

    async def groups_of(self, user: str) -> list[Group]:
        return await self._read(groups.groups_of(user))

    async def open_requests(
        self, scope: str, kind: int, users: Sequence[str], by: str, text: str, now_ms: int,
        rev: int | None = None, notices: Notices = (),
    ) -> Applied[list[Request]]:  # fmt: skip
        return await self._write(
            partial(requests.open_requests, scope, kind, users, by, text, now_ms, rev, notices), len(users)
        )

    async def requests(
        self, scope: str, state: int | None, after: int = 0, limit: int = 100
    ) -> Page[Request]:
        return await self._read(requests.listing(scope, state, after, limit))

    async def requests_of(self, user: str, after: int = 0, limit: int = 100) -> Page[Request]:
        return await self._read(requests.of_user(user, after, limit))

    async def request(self, scope: str, id: int) -> Request:
        return await self._read(requests.load(scope, id))

    async def decide_request(
        self, scope: str, id: int, state: int, now_ms: int, notices: Notices = ()
    ) -> Applied[Request]:
        return await self._write(partial(requests.decide, scope, id, state, now_ms, notices))
