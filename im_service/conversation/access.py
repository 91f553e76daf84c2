"""Who may read and touch what: the one place that answers "is this conversation the caller's?"."""

from __future__ import annotations

from im_service import ids
from im_service.calls import Caller
from im_service.errors import Code, ImError
from im_service.sessions import Sessions
from im_service.state import Directory
from im_service.storage.records import GroupMember, Role


class Access:
    """Participation in conversations. The application's server may everything."""

    def __init__(self, directory: Directory, sessions: Sessions) -> None:
        self._directory = directory
        self._sessions = sessions

    async def member(self, group: str, user: str) -> GroupMember | None:
        return (await self._directory.members.get((group, user))).record

    async def participant(self, caller: Caller, conversation: str, rooms: bool = False) -> str:
        """The kind of the conversation if the caller takes part in it. 403, 414, 802, 803, 13001."""
        kind = ids.kind_of(conversation)
        if kind == ids.ROOM and not rooms:
            raise ImError(Code.INVALID, "chatrooms have no such thing")
        if caller.server:
            return kind
        if kind == ids.SINGLE:
            ids.peer_of(conversation, caller.user)
        elif kind == ids.GROUP:
            group = conversation[2:]
            if (await self._directory.groups.get(group)).record is None:
                raise ImError(Code.GROUP_NOT_FOUND)
            if await self.member(group, caller.user) is None:
                raise ImError(Code.NOT_GROUP_MEMBER)
        else:
            state = None if caller.session is None else self._sessions.get(caller.session)
            if state is None or conversation[2:] not in state.rooms:
                raise ImError(Code.NOT_IN_ROOM)
        return kind

    async def outranks(self, group: str, user: str, other: str) -> bool:
        """May `user` act on what `other` did? Owners over all, managers over members."""
        mine, his = await self.member(group, user), await self.member(group, other)
        if mine is None or mine.role not in (Role.OWNER, Role.MANAGER):
            return False
        return mine.role == Role.OWNER or his is None or his.role not in (Role.OWNER, Role.MANAGER)
