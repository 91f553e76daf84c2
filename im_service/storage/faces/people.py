"""Relations and Accounts."""

from collections.abc import Iterable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import people
from im_service.storage.records import (
    Account,
    Applied,
    Device,
    Login,
    Logout,
    NewLogin,
    Notices,
    Page,
    Profile,
    Relation,
)


class PeopleFace(Engine):
    async def set_profile(self, user: str, info: bytes, now_ms: int) -> Profile:
        return await self._write(partial(people.set_profile, user, info, now_ms))

    async def profiles(self, users: Sequence[str]) -> list[Profile]:
        return await self._read(people.profiles(users))

    async def befriend(
        self, a: str, b: str, now_ms: int, limit: int = 0, request: int = 0, notices: Notices = ()
    ) -> Applied[bool]:
        return await self._write(partial(people.befriend, a, b, now_ms, limit, request, notices))

    async def unfriend(self, a: str, b: str, now_ms: int, notices: Notices = ()) -> Applied[bool]:
        return await self._write(partial(people.unfriend, a, b, now_ms, notices))

    async def set_relation(
        self, owner: str, other: str, now_ms: int, *, black: bool | None = None, muted: bool | None = None,
        alias: str | None = None, ext: bytes | None = None,
    ) -> Relation:  # fmt: skip
        return await self._write(partial(people.set_relation, owner, other, now_ms, black, muted, alias, ext))

    async def relation_pairs(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Relation]:
        return await self._read(people.relation_pairs(pairs))

    async def relations(self, owner: str, cursor: int = 0, limit: int = 500) -> Page[Relation]:
        return await self._read(people.relations(owner, cursor, limit))

    async def accounts(self, users: Sequence[str]) -> dict[str, Account]:
        return await self._read(people.accounts(users))

    async def set_account(
        self, user: str, now_ms: int, *, disabled_until_ms: int | None = None,
        mute_single_ms: int | None = None, mute_group_ms: int | None = None, mute_room_ms: int | None = None,
        info: bytes | None = None,
    ) -> Account:  # fmt: skip
        named: dict[str, object | None] = {
            "disabled_ms": disabled_until_ms,
            "mute_single_ms": mute_single_ms,
            "mute_group_ms": mute_group_ms,
            "mute_room_ms": mute_room_ms,
            "info": info,
        }
        values = {column: value for column, value in named.items() if value is not None}
        return await self._write(partial(people.set_account, user, now_ms, values))

    async def login(
        self, user: str, device: str, platform: int, session_id: int, info: bytes, now_ms: int
    ) -> Login:
        return (await self.logins([NewLogin(user, device, platform, session_id, info)], now_ms))[0]

    async def logins(self, logins: Sequence[NewLogin], now_ms: int) -> list[Login]:
        return await self._write(partial(people.logins, logins, now_ms), len(logins))

    async def logout(self, user: str, device: str, session_id: int, now_ms: int) -> bool:
        return (await self.logouts([Logout(user, device, session_id)], now_ms))[0]

    async def logouts(self, logouts: Sequence[Logout], now_ms: int) -> list[bool]:
        return await self._write(partial(people.logouts, logouts, now_ms), len(logouts))

    async def devices(self, user: str) -> list[Device]:
        return await self._read(people.devices(user))

    async def forget_device(self, user: str, device: str) -> bool:
        return await self._write(partial(people.forget_device, user, device))
