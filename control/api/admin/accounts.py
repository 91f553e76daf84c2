"""/v1/admin/accounts: what app servers do with accounts, for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from control.api.admin.route import Ask, Given, Reply, Route
from control.api.deps import im_api
from control.keys.api_keys import OPERATOR, SECURITY_ADMIN, VIEWER
from im_service.accounts.erasing import ErasureList, ErasuresArgs, ErasureView
from im_service.accounts.exporting import Export, ExportArgs
from im_service.accounts.profiles import AccountView, DisableArgs, UserArgs
from im_service.accounts.registry import (
    MOST,
    AccountCreateArgs,
    AccountList,
    AccountsArgs,
    ImportArgs,
    Imported,
)
from im_service.calls import Args, Number, Seconds

G = TypeVar("G", bound=Given)


class AccountsQuery(Given):
    """`after`: as the page before said."""

    after: Number = 0
    state: Literal["all", "live", "disabled", "deleted", "erasing", "erased"] = "all"
    created_since_ms: Number = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class AccountWanted(Given):
    user: str
    nick: Annotated[str, Meta(max_length=64)] = ""
    ext: Annotated[str, Meta(max_length=1024)] = ""


class AccountsWanted(Given):
    accounts: Annotated[list[AccountCreateArgs], Meta(min_length=1, max_length=MOST)]


class DisableWanted(Given):
    """`seconds`: -1 for ever, 0 enables it again."""

    seconds: Seconds = -1
    text: Annotated[str, Meta(max_length=256)] = ""


class ErasuresQuery(Given):
    """`after`: the last id of the page before. `open`: those under way."""

    after: Number = 0
    open: bool = False
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class ExportQuery(Given):
    """`after`: as the page before said."""

    after: Annotated[str, Meta(max_length=256)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


class NoWords(Given):
    """Takes nothing."""


def _user(ask: Ask[NoWords]) -> Args:
    return UserArgs(user=ask.path["user"])


def calls(
    method: str, answers: type[Struct], args: Callable[[Ask[G]], Args]
) -> Callable[[Ask[G]], Awaitable[Reply]]:
    """What handles a route that is one call of the message service."""

    async def handle(ask: Ask[G]) -> Reply:
        found = await im_api(ask.services).call(method, args(ask))
        return Reply(msgspec.convert(found, answers, from_attributes=True))

    return handle


def _listed(ask: Ask[AccountsQuery]) -> Args:
    given = ask.given
    return AccountsArgs(
        after=given.after, state=given.state, created_since_ms=given.created_since_ms, limit=given.limit
    )


def _made(ask: Ask[AccountWanted]) -> Args:
    return AccountCreateArgs(user=ask.given.user, nick=ask.given.nick, ext=ask.given.ext)


def _brought(ask: Ask[AccountsWanted]) -> Args:
    return ImportArgs(accounts=ask.given.accounts)


def _disabled(ask: Ask[DisableWanted]) -> Args:
    return DisableArgs(user=ask.path["user"], seconds=ask.given.seconds, text=ask.given.text)


def _erasures(ask: Ask[ErasuresQuery]) -> Args:
    return ErasuresArgs(after=ask.given.after, open=ask.given.open, limit=ask.given.limit)


def _exported(ask: Ask[ExportQuery]) -> Args:
    return ExportArgs(user=ask.path["user"], after=ask.given.after, limit=ask.given.limit)


ROUTES = (
    Route(
        "GET", "/accounts/{user}/export", "accounts.export", SECURITY_ADMIN, "accounts",
        "All that is stored of one user, a page at a time; push tokens are redacted",
        ExportQuery, Export, calls("account.export", Export, _exported),
    ),
    Route(
        "GET", "/erasures", "erasures.list", VIEWER, "accounts", "Erasures by number, with their receipts",
        ErasuresQuery, ErasureList, calls("account.erasures", ErasureList, _erasures),
    ),
    Route(
        "GET", "/accounts/{user}/erasure", "accounts.erasure", VIEWER, "accounts",
        "How far the last erasure of an account is, and its receipt",
        NoWords, ErasureView, calls("account.erasure", ErasureView, _user),
    ),
    Route(
        "POST", "/accounts/{user}/erase", "accounts.erase", SECURITY_ADMIN, "accounts",
        "Erase an account. All that is theirs goes in the background, and does not come back",
        NoWords, ErasureView, calls("account.erase", ErasureView, _user),
    ),
    Route(
        "GET", "/accounts", "accounts.list", VIEWER, "accounts",
        "Accounts in the order in which they were named. A page may be empty",
        AccountsQuery, AccountList, calls("account.list", AccountList, _listed),
    ),
    Route(
        "GET", "/accounts/{user}", "accounts.get", VIEWER, "accounts",
        "One account, and what administrators decided about it",
        NoWords, AccountView, calls("account.get", AccountView, _user),
    ),
    Route(
        "POST", "/accounts", "accounts.create", OPERATOR, "accounts",
        "Make an account", AccountWanted, AccountView, calls("account.create", AccountView, _made),
        status=201,
    ),
    Route(
        "POST", "/accounts/import", "accounts.import", OPERATOR, "accounts",
        "Make many accounts. Each is answered for itself, and one that exists stays as it is",
        AccountsWanted, Imported, calls("account.import", Imported, _brought),
    ),
    Route(
        "POST", "/accounts/{user}/disable", "accounts.disable", OPERATOR, "accounts",
        "Disable an account for so many seconds and close its sessions, or enable it again",
        DisableWanted, AccountView, calls("account.disable", AccountView, _disabled),
    ),
    Route(
        "DELETE", "/accounts/{user}", "accounts.delete", OPERATOR, "accounts",
        "Delete an account. What it has and said stays until it is erased",
        NoWords, AccountView, calls("account.delete", AccountView, _user),
    ),
    Route(
        "POST", "/accounts/{user}/restore", "accounts.restore", OPERATOR, "accounts",
        "Take a deletion back", NoWords, AccountView, calls("account.restore", AccountView, _user),
    ),
)  # fmt: skip
