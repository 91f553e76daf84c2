"""What the service remembers of the store, so that a send reads nothing from disk.

One live object per account, pair, group and member, changed in place when the store changes: whoever holds
it sees the change. Objects live as long as a route or session holds them (weak caches), so memory is
bounded by those. A read that overlaps a change is read again before it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from im_service.rates import Bucket
from im_service.storage.records import Account, Group, GroupMember, Relation, Role
from im_service.storage.store import Store

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
V = TypeVar("V")
READ_AT_ONCE = 64


class Cache(Generic[K, V, R]):
    """Weak cache of live objects over an asynchronous read."""

    def __init__(
        self, make: Callable[[K], V], update: Callable[[V, R], None], read: Callable[[K], Awaitable[R]]
    ) -> None:
        self._make = make
        self._update = update
        self._read_record = read
        self._live: WeakValueDictionary[K, V] = WeakValueDictionary()
        self._loading: dict[K, asyncio.Task[V]] = {}
        self._reading: dict[K, list[int]] = {}  # key -> [readers, changes seen while they read]

    def peek(self, key: K) -> V | None:
        """The live object, if there is one."""
        return self._live.get(key)

    def values(self) -> list[V]:
        return list(self._live.values())

    async def get(self, key: K) -> V:
        """The live object, read from the store if need be. Concurrent calls share one read."""
        found = self._live.get(key)
        if found is not None:
            return found
        loading = self._loading.get(key)
        if loading is None:
            loading = asyncio.ensure_future(self._load(key))
            self._loading[key] = loading
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(loading)

    async def _load(self, key: K) -> V:
        record = await self._read_clean(key)
        value = self._make(key)
        self._update(value, record)
        self._live[key] = value
        return value

    async def _read_clean(self, key: K) -> R:
        watch = self._reading.setdefault(key, [0, 0])
        watch[0] += 1
        try:
            while True:
                generation = watch[1]
                record = await self._read_record(key)
                if generation == watch[1]:
                    return record
        finally:
            watch[0] -= 1
            if not watch[0]:
                del self._reading[key]

    def apply(self, key: K, record: R) -> None:
        """A change committed here: the live object takes it over, a read under way is repeated."""
        found = self._live.get(key)
        if found is not None:
            self._update(found, record)
        if key in self._reading:
            self._reading[key][1] += 1

    async def refresh(self, key: K) -> None:
        """Something changed elsewhere: read again what is remembered, nothing if it is not."""
        if key in self._reading:
            self._reading[key][1] += 1
        found = self._live.get(key)
        if found is not None:
            self._update(found, await self._read_clean(key))

    async def refresh_all(self) -> None:
        """Anything may have changed elsewhere: read again all that is remembered, and what is being read."""
        keys = list(self._live) + [key for key in self._reading if key not in self._live]
        for start in range(0, len(keys), READ_AT_ONCE):
            await asyncio.gather(*map(self.refresh, keys[start : start + READ_AT_ONCE]))


class AccountState:
    """May this account send? Times are ends of a mute in milliseconds, 0 = none."""

    __slots__ = (
        "__weakref__",
        "bucket",
        "disabled_ms",
        "gone",
        "group_ms",
        "reports",
        "room_ms",
        "shadow_ms",
        "single_ms",
        "stranger",
        "user",
    )

    def __init__(self, user: str) -> None:
        self.user = user
        self.reports = Bucket()
        self.disabled_ms = self.single_ms = self.group_ms = self.room_ms = self.shadow_ms = 0
        self.gone = False
        self.bucket = Bucket()
        self.stranger = Bucket()

    def update(self, record: Account) -> None:
        self.disabled_ms = record.disabled_until_ms
        self.single_ms = record.mute_single_ms
        self.group_ms = record.mute_group_ms
        self.room_ms = record.mute_room_ms
        self.shadow_ms = record.shadow_until_ms
        self.gone = record.state != 0


class PairState:
    """What `owner` holds about `other`; the bucket limits what `other` sends to `owner`."""

    __slots__ = ("__weakref__", "black", "bucket", "friend", "muted")

    def __init__(self, key: tuple[str, str]) -> None:
        self.black = self.friend = self.muted = False
        self.bucket = Bucket()

    def update(self, record: Relation) -> None:
        self.black = record.black
        self.friend = record.friend
        self.muted = record.muted


class _Pace(Struct):
    """What a sender meets of a group's settings."""

    slow_s: int = 0


_decode_pace = msgspec.msgpack.Decoder(_Pace).decode


class GroupState:
    """A group as senders meet it. `record` is None when there is no such group (any more)."""

    __slots__ = ("__weakref__", "bucket", "group", "mute_all", "record", "slow_ms")

    def __init__(self, group: str) -> None:
        self.group = group
        self.slow_ms = 0
        self.record: Group | None = None
        self.mute_all = False
        self.bucket = Bucket()

    def update(self, record: Group | None) -> None:
        self.record = record
        self.mute_all = record is not None and record.mute_all
        self.slow_ms = 0 if record is None or not record.info else _decode_pace(record.info).slow_s * 1000


class MemberState:
    """A user in a group. `record` is None when they are no member."""

    __slots__ = ("__weakref__", "manager", "muted_ms", "record")

    def __init__(self, key: tuple[str, str]) -> None:
        self.record: GroupMember | None = None
        self.muted_ms = 0
        self.manager = False

    def update(self, record: GroupMember | None) -> None:
        self.record = record
        self.muted_ms = 0 if record is None else record.muted_until_ms
        self.manager = record is not None and record.role in (Role.OWNER, Role.MANAGER)


class Directory:
    """The caches over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.accounts: Cache[str, AccountState, Account] = Cache(
            AccountState, AccountState.update, self._read_account
        )
        self.pairs: Cache[tuple[str, str], PairState, Relation] = Cache(
            PairState, PairState.update, self._read_pair
        )
        self.groups: Cache[str, GroupState, Group | None] = Cache(
            GroupState, GroupState.update, self._read_group
        )
        self.members: Cache[tuple[str, str], MemberState, GroupMember | None] = Cache(
            MemberState, MemberState.update, self._read_member
        )

    async def _read_account(self, user: str) -> Account:
        return (await self._store.accounts([user]))[user]

    async def _read_pair(self, pair: tuple[str, str]) -> Relation:
        return (await self._store.relation_pairs([pair]))[pair]

    async def _read_group(self, group: str) -> Group | None:
        found = await self._store.groups([group])
        return found[0] if found else None

    async def _read_member(self, pair: tuple[str, str]) -> GroupMember | None:
        return (await self._store.member_states([pair])).get(pair)

    async def refresh(self, kind: str, key: str) -> None:
        """Another im process changed something: kind and key as in ports.PeersPort."""
        first, _, second = key.partition(" ")
        if kind == "account":
            await self.accounts.refresh(first)
        elif kind == "pair":
            await self.pairs.refresh((first, second))
        elif kind == "group":
            await self.groups.refresh(first)
        elif kind == "member":
            await self.members.refresh((first, second))

    async def refresh_all(self) -> None:
        """Changes elsewhere may have been missed."""
        for cache in (self.accounts, self.pairs, self.groups, self.members):
            await cache.refresh_all()
