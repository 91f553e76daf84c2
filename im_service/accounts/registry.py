"""Accounts as the application's server keeps them: made one by one or many at once, listed, deleted.

Nobody needs to be made before they log in or are written to; who is made has a time, and may be given a
profile first. Who is deleted never acts again and keeps the id; a deletion can be taken back.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from frame.constants import USER_PREFIX
from im_service.accounts.profiles import AccountView, ProfileInfo, Profiles, UserArgs, describe_account
from im_service.calls import Args, Caller, Number, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.grammar import check_arguments
from im_service.ids import check_id
from im_service.models import encode
from im_service.outbox.kinds.people import AccountCreate, AccountDelete, AccountRestore
from im_service.pages import fit
from im_service.storage.event_records import NewEvent
from im_service.storage.ops.accounts import CLOSED, MADE
from im_service.storage.records import AccountStage, NewAccount

STATES: dict[str, tuple[AccountStage, ...]] = {
    "live": (AccountStage.LIVE,),
    "disabled": tuple(AccountStage),
    "deleted": (AccountStage.DELETED,),
    "erasing": (AccountStage.ERASING,),
    "erased": (AccountStage.ERASED,),
    "all": tuple(AccountStage),
}
MOST = 200
"""Accounts of one import: each may bring four kilobytes, and a body has one megabyte."""


class AccountCreateArgs(Args):
    """An account and what people see of it."""

    user: str
    nick: Annotated[str, Meta(max_length=64)] = ""
    icon: Annotated[str, Meta(max_length=2048)] = ""
    sign: Annotated[str, Meta(max_length=256)] = ""
    gender: Annotated[int, Meta(ge=0, le=2)] = 0
    birth: Annotated[str, Meta(max_length=16)] = ""
    ext: Annotated[str, Meta(max_length=1024)] = ""


class ImportArgs(Args):
    accounts: Annotated[list[AccountCreateArgs], Meta(min_length=1, max_length=MOST)]


class AccountsArgs(Args):
    """`after`: as the page before said. `disabled` are all who may not act now, for whatever reason."""

    after: Number = 0
    state: Literal["all", "live", "disabled", "deleted", "erasing", "erased"] = "all"
    created_since_ms: Number = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class ImportLine(Struct):
    """`outcome`: created, exists (nothing was changed), closed (deleted or erased), or invalid."""

    user: str
    outcome: str


class Imported(Struct):
    """In the order of the accounts given."""

    results: list[ImportLine]
    created: int


class AccountList(Struct):
    """`after`: goes with the next call; a page may be empty and have more behind it."""

    accounts: list[AccountView]
    after: int
    more: bool


def _profile_of(given: AccountCreateArgs) -> bytes:
    """b"" where nothing is said."""
    told = {name: getattr(given, name) for name in ProfileInfo.__struct_fields__}
    info = ProfileInfo(**told)
    return b"" if info == ProfileInfo() else encode(info)


class Registry:
    """Who was made, who is there, who is gone."""

    def __init__(self, context: ServiceContext, profiles: Profiles) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._directory = context.directory
        self._peers = context.peers
        self._reply_bytes = context.settings.reply_bytes
        self._profiles = profiles

    @method("account.create", Code.INVALID, Code.CONFLICT, result=AccountView, server_only=True)
    async def create(self, caller: Caller, args: AccountCreateArgs) -> AccountView:
        """Make an account, with its profile. Somebody may be known already because others named them: then
        they are made now, and keep a profile that they have. 409 for one that was made before, was deleted,
        or was erased: such an id is given to nobody again."""
        user = check_id(args.user, "user")
        (outcome,) = await self._make([NewAccount(user, _profile_of(args))])
        if outcome != MADE:
            why = "is closed: it was deleted or erased" if outcome == CLOSED else "exists"
            raise ImError(Code.CONFLICT, f"the account {why}", {"outcome": outcome})
        return describe_account((await self._store.accounts([user]))[user])

    @method("account.import", Code.INVALID, result=Imported, server_only=True)
    async def bring_in(self, caller: Caller, args: ImportArgs) -> Imported:
        """Make many accounts; each is answered for itself, and one that exists stays as it is. So an import
        that broke off is given again from any point before."""
        wanted: list[NewAccount] = []
        lines: list[ImportLine] = []
        for given in args.accounts:
            try:
                check_arguments(given)
                wanted.append(NewAccount(check_id(given.user, "user"), _profile_of(given)))
                lines.append(ImportLine(given.user, ""))
            except ImError:
                lines.append(ImportLine(given.user[:64], "invalid"))
        outcomes = iter(await self._make(wanted) if wanted else ())
        for line in lines:
            line.outcome = line.outcome or next(outcomes)
        return Imported(lines, sum(line.outcome == MADE for line in lines))

    async def _make(self, wanted: list[NewAccount]) -> list[str]:
        events: list[NewEvent] = []
        if self._teller.records("account"):
            events = [
                self._teller.event(USER_PREFIX + new.user, AccountCreate(user=new.user)) for new in wanted
            ]
        outcomes = await self._store.create_accounts(wanted, self._clock.now_ms(), events)
        for new, outcome in zip(wanted, outcomes, strict=True):
            if outcome == MADE:
                await self.changed(new.user)
        return outcomes

    @method("account.list", result=AccountList, server_only=True)
    async def accounts(self, caller: Caller, args: AccountsArgs) -> AccountList:
        """Accounts in the order in which they were first named, by state and by when they were made
        (`created_ms` 0: nobody made them)."""
        disabled_at = self._clock.now_ms() if args.state == "disabled" else 0
        page = await self._store.list_accounts(
            args.after, STATES[args.state], disabled_at, args.created_since_ms, args.limit
        )
        kept, cut = fit([describe_account(account) for account, _ in page.items], self._reply_bytes)
        after = page.items[len(kept) - 1][1] if cut and kept else page.after
        return AccountList(kept, after, cut or page.more)

    @method("account.delete", Code.NOT_FOUND, Code.INVALID, result=AccountView, server_only=True)
    async def delete(self, caller: Caller, args: UserArgs) -> AccountView:
        """Delete an account: its sessions end, and it never acts again, nor does anybody with it or in its
        name. What it has and said stays, the id is not given again, and `account.restore` takes it back."""
        user = check_id(args.user, "user")
        with self._teller.change(USER_PREFIX + user, AccountDelete(user=user)):
            await self._store.delete_account(user, self._clock.now_ms())
        await self.closed(user, "the account was deleted")
        return await self._profiles.get_account(caller, args)

    @method(
        "account.restore", Code.NOT_FOUND, Code.CONFLICT, Code.INVALID, result=AccountView, server_only=True
    )
    async def restore(self, caller: Caller, args: UserArgs) -> AccountView:
        """Take a deletion back; who was disabled before is so again. 409 for what is erased."""
        user = check_id(args.user, "user")
        with self._teller.change(USER_PREFIX + user, AccountRestore(user=user)):
            await self._store.restore_account(user, self._clock.now_ms())
        await self.changed(user)
        return await self._profiles.get_account(caller, args)

    async def closed(self, user: str, text: str) -> None:
        """Everybody knows that nothing is done with this account any more, and its sessions end."""
        await self.changed(user)
        self._profiles.end_sessions(user, text)

    async def changed(self, user: str) -> None:
        """What is remembered of this account is read again, here and elsewhere."""
        await self._directory.accounts.refresh(user)
        self._peers.changed("account", user)
