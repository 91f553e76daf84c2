"""What a store guarantees about groups, requests, relations, accounts and rooms; the head of `base` holds."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from im_service.storage.records import (
    Account,
    Applied,
    Device,
    Group,
    GroupMember,
    Login,
    Logout,
    NewLogin,
    Notices,
    Page,
    Profile,
    QueueItem,
    Relation,
    Request,
    Role,
    Room,
    RoomMember,
    TagMute,
)


class Groups(Protocol):
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
    ) -> Applied[Group]:
        """StoreConflict if the id is or was taken, StoreFull above member_limit (owner included)."""

    async def groups(self, groups_: Sequence[str], /) -> list[Group]: ...

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
    ) -> Applied[Group]: ...

    async def dismiss_group(
        self, group: str, now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        """Notices go in first. -> who were members; their inbox rows become inactive but stay readable."""

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
    ) -> Applied[list[str]]:
        """-> those newly added. history False: they see nothing from before. StoreFull: nobody is added.
        Open join requests and invitations of the users are closed with state 1. request: the one this
        accepts; nothing is changed if it is no longer open (StoreConflict)."""

    async def remove_members(
        self, group: str, users: Sequence[str], now_ms: int, rev: int | None = None, notices: Notices = ()
    ) -> Applied[list[str]]:
        """Notices go in first. -> those removed (they keep what they had). The owner is never removed."""

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

    async def members(self, group: str, after: str = "", limit: int = 500) -> Page[GroupMember]:
        """In order of user id."""

    async def member_states(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], GroupMember]:
        """(group, user) -> member; pairs that are none are left out."""

    async def groups_of(self, user: str) -> list[Group]: ...


class Requests(Protocol):
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
    ) -> Applied[list[Request]]:
        """One for each user, in order of user id; all or none. Who is in the group, or a friend, is left out.

        An open one with the same (scope, kind, user) gets the new text and keeps its id. rev: the group's.
        StoreMissing if there is no such group.
        """

    async def requests(
        self, scope: str, state: int | None, after: int = 0, limit: int = 100
    ) -> Page[Request]: ...

    async def requests_of(self, user: str, after: int = 0, limit: int = 100) -> Page[Request]: ...

    async def request(self, scope: str, id: int) -> Request: ...

    async def decide_request(
        self, scope: str, id: int, state: int, now_ms: int, notices: Notices = ()
    ) -> Applied[Request]:
        """Set the state of an open one. StoreMissing; StoreConflict when it is no longer open."""


class Relations(Protocol):
    """What users hold about each other; each row carries the owner's change number, for the other devices."""

    async def set_profile(self, user: str, info: bytes, now_ms: int) -> Profile: ...

    async def profiles(self, users: Sequence[str]) -> list[Profile]: ...

    async def befriend(
        self, a: str, b: str, now_ms: int, limit: int = 0, request: int = 0, notices: Notices = ()
    ) -> Applied[bool]:
        """Both sides at once; open requests between them get state 1. StoreFull above `limit` friends.
        request: the one to `a` that this accepts; StoreConflict if it is no longer open."""

    async def unfriend(self, a: str, b: str, now_ms: int, notices: Notices = ()) -> Applied[bool]:
        """Both sides at once; alias and ext of both go, blacklist and mute stay."""

    async def set_relation(
        self,
        owner: str,
        other: str,
        now_ms: int,
        *,
        black: bool | None = None,
        muted: bool | None = None,
        alias: str | None = None,
        ext: bytes | None = None,
    ) -> Relation: ...

    async def relation_pairs(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Relation]:
        """(owner, other) -> row, for many pairs at once; strangers get the zero row."""

    async def relations(self, owner: str, cursor: int = 0, limit: int = 500) -> Page[Relation]:
        """Rows changed after `cursor`, oldest change first; rows that became all zero come too."""


class Accounts(Protocol):
    async def accounts(self, users: Sequence[str]) -> dict[str, Account]:
        """Every user asked for has an entry; strangers have known=False."""

    async def set_account(
        self,
        user: str,
        now_ms: int,
        *,
        disabled_until_ms: int | None = None,
        mute_single_ms: int | None = None,
        mute_group_ms: int | None = None,
        mute_room_ms: int | None = None,
        info: bytes | None = None,
    ) -> Account: ...

    async def logins(self, logins: Sequence[NewLogin], now_ms: int) -> list[Login]:
        """Take them in this order, in one transaction and few statements however many there are. One row per
        (user, device); a later login of the same device replaces session_id."""

    async def login(
        self, user: str, device: str, platform: int, session_id: int, info: bytes, now_ms: int
    ) -> Login:
        """`logins` of one."""

    async def logouts(self, logouts: Sequence[Logout], now_ms: int) -> list[bool]:
        """In one transaction. Ignored (False) where session_id is not the device's latest."""

    async def logout(self, user: str, device: str, session_id: int, now_ms: int) -> bool:
        """`logouts` of one."""

    async def devices(self, user: str) -> list[Device]: ...

    async def forget_device(self, user: str, device: str) -> bool:
        """Its watermarks go too; its next login is new."""


class Rooms(Protocol):
    """Chatrooms: rows for the room, its named or restricted people and its queue; none for plain guests."""

    async def create_room(self, room: str, owner: str, info: bytes, now_ms: int) -> Room:
        """StoreConflict when taken (a closed one counts)."""

    async def rooms(self, rooms_: Sequence[str], /) -> list[Room]: ...

    async def update_room(
        self,
        room: str,
        now_ms: int,
        *,
        info: bytes | None = None,
        mute_all: bool | None = None,
        closed: bool | None = None,
        rev: int | None = None,
    ) -> Room: ...

    async def set_room_member(
        self,
        room: str,
        user: str,
        now_ms: int,
        *,
        role: Role | None = None,
        named: bool | None = None,
        black: bool | None = None,
        muted_until_ms: int | None = None,
        info: bytes | None = None,
    ) -> RoomMember:
        """A row that says nothing any more is removed. StoreMissing when there is no such room."""

    async def room_members(self, room: str, after: str = "", limit: int = 500) -> Page[RoomMember]: ...

    async def room_member_states(self, room: str, users: Sequence[str]) -> dict[str, RoomMember]: ...

    async def mute_tag(self, room: str, tag: str, until_ms: int) -> list[TagMute]:
        """0 lifts. -> all tag mutes of the room."""

    async def tag_mutes(self, room: str) -> list[TagMute]: ...

    async def queue_put(
        self, room: str, items: Sequence[QueueItem], limit: int, front: bool = False
    ) -> list[QueueItem]:
        """Add at the end (or front), or update in place where the key exists (position given is ignored).
        StoreFull above `limit` elements: none is put."""

    async def queue_poll(self, room: str, key: str | None) -> QueueItem | None:
        """Remove and return this key, or the first element."""

    async def queue(self, room: str) -> list[QueueItem]: ...

    async def queue_clear(self, room: str, transient_of: str | None = None) -> list[QueueItem]:
        """Drop all, or the transient elements of one owner. -> those dropped."""
