"""Who may read and touch what: the one place that answers "is this conversation the caller's?"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from frame.constants import GROUP_PREFIX, USER_PREFIX
from im_service import ids
from im_service.calls import Caller
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.storage.records import SENDER_SYNC, GroupMember, Role, StoredMessage


class Access:
    """Participation in conversations. The application's server may everything; for a user it may what that
    user may."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._clock = context.clock
        self._directory = context.directory
        self._sessions = context.sessions
        self._spread = context.spread
        self._announcer = context.announcer

    async def member(self, group: str, user: str) -> GroupMember | None:
        return (await self._directory.members.get((group, user))).record

    async def participant(self, caller: Caller, conversation: str, rooms: bool = False) -> str:
        """The kind of the conversation if the caller takes part in it. 403, 414, 802, 803, 13001; for the
        server 404."""
        kind = ids.kind_of(conversation)
        if kind == ids.ROOM and not rooms:
            raise ImError(Code.INVALID, "chatrooms have no such thing")
        if kind == ids.SINGLE:
            ids.check_order(conversation)
        if caller.server and not await self._store.is_conversation(conversation):
            raise ImError(Code.NOT_FOUND, "no such conversation")
        if caller.sees_all:
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

    async def parted(self, user: str, others: Iterable[str]) -> set[str]:
        """Those who have this user on their blacklist or are on this user's: neither hears what the other has
        read."""
        others = list(others)
        pairs = [(user, other) for other in others] + [(other, user) for other in others]
        held = await self._store.relation_pairs(pairs)
        return {other for other in others if held[user, other].black or held[other, user].black}

    async def tell_read(self, user: str, conversation: str, seq: int) -> None:
        """The peer of a single chat learns how far its other side has read."""
        peer = ids.peer_of(conversation, user)
        if not await self.parted(user, [peer]):
            data = {"conversation": conversation, "user": user, "seq": seq}
            self._announcer.event(USER_PREFIX + peer, "receipt", data)

    async def sees(self, caller: Caller, conversation: str, seqs: Sequence[int]) -> set[int]:
        """Which of these messages the caller may know of: target, noSense, deletion, expiry, time of
        joining."""
        if caller.sees_all:
            return set(seqs)
        return await self._store.sees(caller.user, conversation, seqs, self._clock.now_ms())

    async def topics(self, caller: Caller, message: StoredMessage, content: bool = False) -> tuple[str, ...]:
        """Topics of those who may see a stored message: the group's if that is everybody, else theirs, which
        the caller pays for (416).

        `content`: what is published says what the message says, so the sender's devices hear it only if
        they have the message (`sendersync`).
        """
        sync = content and not message.bits & SENDER_SYNC
        found = await self._store.audience(message.conversation, message.seq, self._clock.now_ms(), sync)
        if found.everybody and message.conversation.startswith(GROUP_PREFIX):
            return (message.conversation,)
        if not caller.server:
            self._spread.ask(caller.user)
            self._spread.charge(caller.user, len(found.users))
        return tuple(USER_PREFIX + user for user in found.users)

    async def outranks(self, group: str, user: str, other: str) -> bool:
        """May `user` act on what `other` did? Owners over all, managers over members."""
        mine, theirs = await self.member(group, user), await self.member(group, other)
        if mine is None or mine.role not in (Role.OWNER, Role.MANAGER):
            return False
        return mine.role == Role.OWNER or theirs is None or theirs.role not in (Role.OWNER, Role.MANAGER)
