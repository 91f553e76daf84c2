"""Hosted profiles, and what administrators decide about accounts: disabling, mutes by module."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from frame.constants import USER_PREFIX, CloseCode
from im_service.calls import Args, Caller, Seconds, method, until_ms
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.models import encode
from im_service.outbox.kinds.people import (
    AccountChange,
    AccountDisable,
    AccountMute,
    AccountProfile,
    AccountShadow,
)
from im_service.pages import fit
from im_service.storage.records import Account, AccountStage, Profile

ALL_SESSIONS = (1 << 63) - 1


class ProfileInfo(Struct, omit_defaults=True):
    """What people see of an account."""

    nick: Annotated[str, Meta(max_length=64)] = ""
    icon: Annotated[str, Meta(max_length=2048)] = ""
    sign: Annotated[str, Meta(max_length=256)] = ""
    gender: Annotated[int, Meta(ge=0, le=2)] = 0
    birth: Annotated[str, Meta(max_length=16)] = ""
    ext: Annotated[str, Meta(max_length=1024)] = ""


_decode_profile = msgspec.msgpack.Decoder(ProfileInfo).decode


class ProfileArgs(Args):
    nick: Annotated[str, Meta(max_length=64)] | None = None
    icon: Annotated[str, Meta(max_length=2048)] | None = None
    sign: Annotated[str, Meta(max_length=256)] | None = None
    gender: Annotated[int, Meta(ge=0, le=2)] | None = None
    birth: Annotated[str, Meta(max_length=16)] | None = None
    ext: Annotated[str, Meta(max_length=1024)] | None = None


class UsersArgs(Args):
    users: Annotated[list[str], Meta(min_length=1, max_length=100)]


class UserArgs(Args):
    user: str


class DisableArgs(Args):
    user: str
    seconds: Seconds = -1
    text: Annotated[str, Meta(max_length=256)] = ""


class ShadowArgs(Args):
    user: str
    seconds: Seconds = -1


class ModuleMuteArgs(Args):
    user: str
    single_s: Seconds | None = None
    group_s: Seconds | None = None
    room_s: Seconds | None = None


class ProfileView(Struct):
    user: str
    rev: int
    nick: str
    icon: str
    sign: str
    gender: int
    birth: str
    ext: str


class ProfileList(Struct):
    """`rest`: users whose profile this answer had no room for."""

    profiles: list[ProfileView]
    rest: list[str]


class AccountView(Struct):
    """`state`: live, deleted, erasing, erased; all but live are disabled for ever. `created_ms` 0: nobody
    made it."""

    user: str
    known: bool
    disabled_until_ms: int
    mute_single_ms: int
    mute_group_ms: int
    mute_room_ms: int
    shadow_until_ms: int
    state: str
    created_ms: int


def _read(info: bytes) -> ProfileInfo:
    return _decode_profile(info) if info else ProfileInfo()


def describe(profile: Profile) -> ProfileView:
    return ProfileView(profile.user, profile.rev, **msgspec.structs.asdict(_read(profile.info)))


def describe_account(account: Account) -> AccountView:
    return AccountView(
        account.user,
        account.known,
        account.disabled_until_ms,
        account.mute_single_ms,
        account.mute_group_ms,
        account.mute_room_ms,
        account.shadow_until_ms,
        AccountStage(account.state).name.lower(),
        account.created_ms,
    )


class Profiles:
    """Profiles and the administration of accounts."""

    def __init__(self, context: ServiceContext) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._downlink = context.downlink
        self._directory = context.directory
        self._announcer = context.announcer
        self._peers = context.peers
        self._reply_bytes = context.settings.reply_bytes

    @method("profile.set", Code.INVALID, result=ProfileView)
    async def set_profile(self, caller: Caller, args: ProfileArgs) -> ProfileView:
        """Change my profile; absent keys stay."""
        user = check_id(caller.user, "user")
        asked = {k: v for k, v in msgspec.structs.asdict(args).items() if v is not None}

        def change(info: bytes) -> bytes:
            return encode(msgspec.structs.replace(_read(info), **asked))

        for found in await self._store.profiles([user]):
            if change(found.info) == found.info:
                return describe(found)
        with self._told(AccountProfile(user=user, changes=asked)):
            profile = describe(await self._store.set_profile(user, change, self._clock.now_ms()))
        self._announcer.mine(user, "profile", profile, caller.session)
        return profile

    @method("profile.get", result=ProfileList, alone=True)
    async def get_profiles(self, caller: Caller, args: UsersArgs) -> ProfileList:
        """Profiles of these users; those who have none are left out."""
        found = [describe(profile) for profile in await self._store.profiles(args.users)]
        profiles, _ = fit(found, self._reply_bytes)
        return ProfileList(profiles, [profile.user for profile in found[len(profiles) :]])

    @method("account.get", server_only=True, result=AccountView)
    async def get_account(self, caller: Caller, args: UserArgs) -> AccountView:
        """What administrators decided about an account."""
        return describe_account((await self._store.accounts([args.user]))[args.user])

    @method("account.disable", Code.INVALID, Code.CONFLICT, result=AccountView, server_only=True)
    async def disable(self, caller: Caller, args: DisableArgs) -> AccountView:
        """Disable an account for seconds (-1 for ever) and close its sessions; 0 enables it again. 409 for
        one that was deleted."""
        user = check_id(args.user, "user")
        now = self._clock.now_ms()
        until = until_ms(now, args.seconds)
        with self._told(AccountDisable(user=user, until_ms=until)):
            account = await self._store.set_account(user, now, disabled_until_ms=until)
        self._remember(account)
        if args.seconds:
            self.end_sessions(user, args.text)
        return describe_account(account)

    def end_sessions(self, user: str, text: str = "") -> None:
        """What this process publishes later comes after it, and reaches none of them."""
        text = text or "the account is disabled"
        self._downlink.kick(user, None, ALL_SESSIONS, CloseCode.ACCOUNT_DISABLED, text)

    async def from_peer(self, user: str) -> None:
        """Another process changed an account. What this one published meanwhile may be on its way still, but
        it publishes nothing more to one that was disabled."""
        await self._directory.accounts.refresh(user)
        if (await self._directory.accounts.get(user)).disabled_ms > self._clock.now_ms():
            self.end_sessions(user)

    @method("account.mute", Code.INVALID, result=AccountView, server_only=True)
    async def mute(self, caller: Caller, args: ModuleMuteArgs) -> AccountView:
        """Mute an account in single chats, groups or rooms for seconds: -1 for ever, 0 lifts, absent
        stays."""
        user = check_id(args.user, "user")
        now = self._clock.now_ms()
        if args.single_s is None and args.group_s is None and args.room_s is None:
            raise ImError(Code.INVALID, "name at least one module")
        asked = {"mute_single_ms": args.single_s, "mute_group_ms": args.group_s, "mute_room_ms": args.room_s}
        until = {key: None if seconds is None else until_ms(now, seconds) for key, seconds in asked.items()}
        single, group, room = until.values()
        with self._told(AccountMute(user=user, **until)):
            account = await self._store.set_account(
                user, now, mute_single_ms=single, mute_group_ms=group, mute_room_ms=room
            )
        self._remember(account)
        return describe_account(account)

    @method("account.shadow", Code.INVALID, result=AccountView, server_only=True)
    async def shadow(self, caller: Caller, args: ShadowArgs) -> AccountView:
        """What an account sends for seconds (-1 for ever, 0 ends it) is stored and answered as ever, and
        nobody but its own devices has it; its reactions and edits look as if they were done."""
        user = check_id(args.user, "user")
        now = self._clock.now_ms()
        until = until_ms(now, args.seconds)
        with self._told(AccountShadow(user=user, until_ms=until)):
            account = await self._store.set_account(user, now, shadow_until_ms=until)
        self._remember(account)
        return describe_account(account)

    def _told(self, change: AccountChange) -> AbstractContextManager[None]:
        return self._teller.change(USER_PREFIX + change.user, change)

    def _remember(self, account: Account) -> None:
        self._directory.accounts.apply(account.user, account)
        self._peers.changed("account", account.user)
