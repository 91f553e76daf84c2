"""What users hold about each other, and their accounts and devices."""

from collections.abc import Iterable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import people, relations
from im_service.storage.records import (
    Account,
    Applied,
    Change,
    Device,
    Hearing,
    Login,
    Logout,
    NewLogin,
    Notices,
    Page,
    Profile,
    Relation,
)


class RelationStore(Engine):
    """What users hold about each other; each row carries the owner's change number, for the other devices."""

    async def set_profile(self, user: str, change: Change, now_ms: int) -> Profile:
        """From what it is to what `change` makes of it, whoever else changes it. Its rev grows by 1."""
        return await self._write(partial(people.set_profile, user, change, now_ms))

    async def profiles(self, users: Sequence[str]) -> list[Profile]:
        """Of those users who have one, in order of user id."""
        return await self._read(people.profiles(users))

    async def befriend(
        self, a: str, b: str, now_ms: int, limit: int = 0, request: int = 0, notices: Notices = ()
    ) -> Applied[bool]:
        """Both sides at once; open requests between them get state 1. StoreFull above `limit` friends;
        StoreConflict where one has the other on the blacklist.
        request: the one to `a` that this accepts; StoreConflict if it is no longer open."""
        return await self._write(partial(relations.befriend, a, b, now_ms, limit, request, notices))

    async def unfriend(
        self, a: str, b: str, now_ms: int, notices: Notices = (), keep: int = 0
    ) -> Applied[bool]:
        """Both sides at once; alias and ext of both go, mute stays. `keep`: as in set_relation."""
        return await self._write(partial(relations.unfriend, a, b, now_ms, notices, keep))

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
        keep: int = 0,
    ) -> Relation:
        """None leaves as it is. -> the row as it is now. `black` ends friendship and open requests between
        the two. Above `keep` rows of people who are no friends (0: any number) the one that is empty for
        longest goes; StoreFull where none is."""
        return await self._write(
            partial(relations.set_relation, owner, other, now_ms, black, muted, alias, ext, keep)
        )

    async def relation_pairs(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Relation]:
        """(owner, other) -> row, for many pairs at once; strangers get the zero row."""
        return await self._read(relations.relation_pairs(pairs))

    async def blacks(self, owners: Sequence[str]) -> list[tuple[str, str]]:
        """(owner, other) for everybody on the blacklists of these."""
        return await self._read(relations.blacks(owners))

    async def relations(self, owner: str, cursor: int = 0, limit: int = 500) -> Page[Relation]:
        """Rows changed after `cursor`, oldest change first; rows that became all zero come too."""
        return await self._read(relations.relations(owner, cursor, limit))


class Accounts(Engine):
    """Users as the application's server sees them, and the devices they log in with."""

    async def accounts(self, users: Sequence[str]) -> dict[str, Account]:
        """Every user asked for has an entry; strangers have known=False."""
        return await self._read(people.accounts(users))

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
        shadow_until_ms: int | None = None,
    ) -> Account:
        """None leaves as it is. -> the account as it is now."""
        return await self._write(
            partial(
                people.set_account,
                user,
                now_ms,
                disabled_until_ms,
                mute_single_ms,
                mute_group_ms,
                mute_room_ms,
                info,
                shadow_until_ms,
            )
        )

    async def logins(self, logins: Sequence[NewLogin], now_ms: int, keep: int = 0) -> list[Login]:
        """Take them in this order, in one transaction and few statements however many there are. One row per
        (user, device); a later login of the same device replaces session_id. A user has `keep` devices
        (0: any number): those that logged in longest ago are forgotten with their marks."""
        return await self._write(partial(people.logins, logins, now_ms, keep), len(logins))

    async def hearings(self, users: Sequence[str]) -> dict[str, Hearing]:
        """Of these users, in few statements however many there are; which groups they were in once, too."""
        return await self._read(people.hearings(users))

    async def trim_devices(self, after: int, keep: int, max_rows: int = 500) -> int | None:
        """The same for the next few users, at most max_rows devices. Begin with 0, go on with what is
        returned until it is None."""
        return await self._write(partial(people.trim_devices, after, keep, max_rows))

    async def logouts(self, logouts: Sequence[Logout], now_ms: int) -> list[bool]:
        """In one transaction. Ignored (False) where session_id is not the device's latest."""
        return await self._write(partial(people.logouts, logouts, now_ms), len(logouts))

    async def devices(self, user: str) -> list[Device]:
        """Latest login first."""
        return await self._read(people.devices(user))
