"""Accounts as the application's server keeps them."""

from collections.abc import Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.event_records import NewEvent
from im_service.storage.ops import accounts, erasure, export
from im_service.storage.ops.erasure import ErasedPage
from im_service.storage.ops.erasure_pages import Tools
from im_service.storage.ops.erasure_steps import Erasure
from im_service.storage.ops.export import ExportPage, Part
from im_service.storage.records import AccountPage, NewAccount


class AccountBook(Engine):
    """Who was made, who is there, who is gone."""

    async def create_accounts(
        self, wanted: Sequence[NewAccount], now_ms: int, events: Sequence[NewEvent] = ()
    ) -> list[str]:
        """`created`, `exists` or `closed` (deleted, or being erased) for each, in their order. A profile
        replaces what an account had that nobody had made. `events`: one for each, or none; those
        of the created are committed with them."""
        return await self._write(partial(accounts.create, wanted, now_ms, events), len(wanted))

    async def list_accounts(
        self, after: int, stages: Sequence[int], disabled_at_ms: int, since_ms: int, limit: int
    ) -> AccountPage:
        """Of these stages, disabled beyond disabled_at_ms (0: or not), made at since_ms or later. A page
        looks at a bounded number of accounts: it may be empty and have more behind it."""
        return await self._read(accounts.listed(after, stages, disabled_at_ms, since_ms, limit))

    async def delete_account(self, user: str, now_ms: int) -> bool:
        """Disable it for good. False: it was gone before. StoreMissing: nobody knows this user."""
        return await self._write(partial(accounts.delete, user, now_ms))

    async def restore_account(self, user: str, now_ms: int) -> bool:
        """Take a deletion back. False: it lived. StoreConflict: it is erased. StoreMissing."""
        return await self._write(partial(accounts.restore, user, now_ms))

    async def begin_erasure(self, user: str, now_ms: int) -> Erasure:
        """Close the account for good, and note that all that is theirs goes. Again: the one under way, or the
        last one of who is erased. StoreMissing: nobody knows this user."""
        return await self._write(partial(erasure.begin, user, now_ms))

    async def erasure(self, user: str) -> Erasure | None:
        """The last one of this user."""
        return await self._read(erasure.latest(user))

    async def erasures(self, after: int, open_only: bool, limit: int) -> list[Erasure]:
        """With a number above `after`, in order."""
        return await self._read(erasure.listed(after, open_only, limit))

    async def claim_erasure(self, holder: int, now_ms: int, lease_ms: int) -> Erasure | None:
        """The oldest one under way that nobody else works at: `holder` (not 0) does until the lease ends."""
        return await self._write(partial(erasure.claim, holder, now_ms, lease_ms))

    async def erase_page(
        self, at: Erasure, holder: int, now_ms: int, lease_ms: int, tools: Tools
    ) -> ErasedPage:
        """Remove some hundred rows, in one transaction with the note of it. StoreConflict: another process
        did."""
        return await self._write(partial(erasure.page, at, holder, now_ms, lease_ms, tools))

    async def erase_step_done(self, at: Erasure, holder: int, now_ms: int, lease_ms: int) -> Erasure:
        """What the service does itself is done. StoreConflict."""
        return await self._write(partial(erasure.step_done, at, holder, now_ms, lease_ms))

    async def finish_erasure(self, at: Erasure, holder: int, now_ms: int, event: NewEvent) -> Erasure:
        """The data of the event is the receipt. StoreConflict."""
        return await self._write(partial(erasure.finish, at, holder, now_ms, event))

    async def export(self, user: str, part: Part, place: str, limit: int) -> ExportPage:
        """What is stored of a user, behind a place of one part. StoreMissing: nobody knows this user.
        ValueError: no such place."""
        return await self._read(export.page(user, part, place, limit))
