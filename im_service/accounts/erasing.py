"""Erasing accounts: all that is theirs goes, in small steps that survive the death of any process.

A receipt stays. What others said, and that something was said, stays: `seq` has no gaps.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from frame.constants import USER_PREFIX
from im_service.accounts.erasing_words import KEPT, event_without, notice_without
from im_service.accounts.profiles import UserArgs
from im_service.accounts.registry import Registry
from im_service.accounts.relations import describe as describe_relation
from im_service.calls import SERVER, Args, Caller, Number, method
from im_service.chatrooms.recall import RoomRecall
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.groups.admin import GroupAdmin
from im_service.groups.members import GroupMembers
from im_service.groups.model import GroupArgs, InviteArgs, TransferArgs
from im_service.ids import SINGLE as SINGLE_KIND
from im_service.ids import check_id, kind_of, split_single
from im_service.notices import SYSTEM, Note
from im_service.outbox.kinds.people import AccountErased
from im_service.pages import fit
from im_service.routing import left_of, of_options, options_of
from im_service.storage.errors import StoreConflict, StoreError, StoreMissing, StoreUnavailable
from im_service.storage.ops.erasure import ErasedPage
from im_service.storage.ops.erasure_pages import Tools
from im_service.storage.ops.erasure_steps import STEPS, Erasure
from im_service.storage.records import Group, NewMessage, Role

_log = logging.getLogger("qianwan.im")
LEASE_MS = 30_000
"""After so long without a page another process goes on with it."""
LOOK_S = 5.0
"""How often it is looked for one that another process left."""
AGAIN_S = 1.0
OPEN = 1000
ROUNDS = 3
"""In which the groups of an account are left, that others change meanwhile."""
DAY_MS = 86_400_000
"""Who is in a room is told that a message younger than this is gone."""


class ErasureView(Struct):
    """`state`: erasing or erased. `step` of `steps`; `erased`: rows by kind, so far or in all. `receipt` once
    it is done: JSON with `sha256` of its other members."""

    id: int
    user: str
    state: str
    asked_ms: int
    done_ms: int
    step: int
    steps: int
    erased: dict[str, int]
    kept: dict[str, str]
    sha256: str


class ErasuresArgs(Args):
    """`after`: the last id of the page before."""

    after: Number = 0
    open: bool = False
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class ErasureList(Struct):
    erasures: list[ErasureView]
    after: int
    more: bool


_receipt = msgspec.json.Decoder(AccountErased).decode


def describe(found: Erasure) -> ErasureView:
    receipt = _receipt(found.receipt) if found.receipt else None
    return ErasureView(
        found.id,
        found.user,
        "erased" if found.done_ms else "erasing",
        found.asked_ms,
        found.done_ms,
        found.step,
        len(STEPS),
        found.counts if receipt is None else receipt.erased,
        {} if receipt is None else receipt.kept,
        "" if receipt is None else receipt.sha256,
    )


class Erasing:
    """The erasures of one process: calls that ask for them, and the task that does them."""

    def __init__(
        self,
        context: ServiceContext,
        registry: Registry,
        group_admin: GroupAdmin,
        group_members: GroupMembers,
        room_recall: RoomRecall,
    ) -> None:
        self._context = context
        self._store = context.store
        self._clock = context.clock
        self._announcer = context.announcer
        self._directory = context.directory
        self._peers = context.peers
        self._registry = registry
        self._group_admin = group_admin
        self._group_members = group_members
        self._room_recall = room_recall
        self._holder = context.node + 1
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._notes: list[Note] = []
        self.done = 0
        self.open = 0
        """Under way anywhere, as far as this process looked; no more than OPEN are counted."""
        self.pages = 0

    @method("account.erase", Code.NOT_FOUND, Code.INVALID, result=ErasureView, server_only=True)
    async def erase(self, caller: Caller, args: UserArgs) -> ErasureView:
        """Erase an account: it is closed at once, and all that is theirs goes in the background; what they
        said leaves placeholders. Asked again it says how far it is, and what was erased. The id is given
        to nobody again."""
        user = check_id(args.user, "user")
        found = await self._store.begin_erasure(user, self._clock.now_ms())
        await self._registry.closed(user, "the account was deleted")
        self._asked.set()
        return describe(found)

    @method("account.erasure", Code.NOT_FOUND, result=ErasureView, server_only=True)
    async def erasure(self, caller: Caller, args: UserArgs) -> ErasureView:
        """How far the last erasure of an account is, and its receipt when it is done."""
        found = await self._store.erasure(args.user)
        if found is None:
            raise ImError(Code.NOT_FOUND, "nobody asked to erase this account")
        return describe(found)

    @method("account.erasures", result=ErasureList, server_only=True)
    async def erasures(self, caller: Caller, args: ErasuresArgs) -> ErasureList:
        """Erasures by number, with their receipts; `open`: those under way."""
        found = await self._store.erasures(args.after, args.open, args.limit)
        kept, cut = fit(map(describe, found), self._context.settings.reply_bytes)
        after = kept[-1].id if kept else args.after
        return ErasureList(kept, after, cut or len(found) == args.limit)

    # -- the work

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stats(self) -> dict[str, int]:
        return {
            "erasures_open": self.open, "erasures_total": self.done, "erasure_pages_total": self.pages,
        }  # fmt: skip

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                while await self._look() and await self.work():
                    pass
            except StoreError as error:
                _log.warning("an erasure waits for the store: %s", error)
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:
                _log.exception("an erasure failed, it is tried again")
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                continue
            self._asked.clear()

    async def _look(self) -> int:
        """A read: where nothing is to be done, nothing is written."""
        self.open = len(await self._store.erasures(0, True, OPEN))
        return self.open

    async def work(self) -> bool:
        """One erasure to its end, as long as no other process took it over. -> was there one"""
        at = await self._store.claim_erasure(self._holder, self._clock.now_ms(), LEASE_MS)
        if at is None:
            return False
        try:
            while at.next:
                began = time.monotonic()
                at = await self._step(at)
                self.pages += 1
                # Half of the time is for everybody else.
                await asyncio.sleep(min(time.monotonic() - began, AGAIN_S))
            await self._finish(at)
        except StoreConflict as error:
            _log.warning("%s", error)
        return True

    async def _step(self, at: Erasure) -> Erasure:
        now = self._clock.now_ms()
        if at.next == "groups":
            await self._leave_groups(at.user)
            return await self._store.erase_step_done(at, self._holder, now, LEASE_MS)
        self._notes = []
        tools = Tools(left_of, self._note, notice_without, event_without)
        page = await self._store.erase_page(at, self._holder, now, LEASE_MS, tools)
        await self._tell(at, page)
        return page.erasure

    def _note(self, conversation: str, sender: str, seqs: Sequence[int], left: bytes) -> NewMessage:
        """As after a deletion that the server made; the last of the seqs says who may hear of it."""
        topics: tuple[str, ...] = (conversation,)
        if kind_of(conversation) == SINGLE_KIND:
            topics = tuple(USER_PREFIX + user for user in split_single(conversation))
        where = of_options(options_of(left))
        note = self._announcer.gone(conversation, sender, seqs, topics, where)
        self._notes.append(note)
        return note.row

    async def _tell(self, at: Erasure, page: ErasedPage) -> None:
        """After the commit. Who does not hear it finds the same behind their cursors."""
        made = {row.server_id for row in page.notices}
        notes = [note for note in self._notes if note.row.server_id in made]
        self._announcer.publish(notes, page.results)
        now = self._clock.now_ms()
        for conversation, server_id, time_ms in page.gone:
            if now - time_ms < DAY_MS:
                self._room_recall.tell(conversation[2:], server_id, SYSTEM, "")
        if at.next in ("relations", "related"):
            for other in page.names:
                for pair in ((at.user, other), (other, at.user)):
                    await self._directory.pairs.refresh(pair)
                    self._peers.changed("pair", " ".join(pair))
            if at.next == "related":
                pairs = await self._store.relation_pairs([(other, at.user) for other in page.names])
                for row in pairs.values():
                    self._announcer.mine(row.owner, "relation", describe_relation(row))
        elif at.next in ("rooms", "queues", "owned_rooms"):
            for room in page.names:
                await self._context.rooms.refresh(room)
                self._peers.changed("room", room)
        elif at.next == "push":
            self._peers.changed("push", at.user)
        elif at.next == "profile":
            await self._registry.changed(at.user)

    async def _leave_groups(self, user: str) -> None:
        """As if they were put out by the server: everybody in a group is told. One that they own goes to a
        manager, else to another member, else it ends."""
        for _ in range(ROUNDS):
            groups = await self._store.groups_of(user)
            if not groups:
                return
            for group in groups:
                try:
                    await self._leave(group, user)
                except (StoreMissing, ImError) as error:  # it moved under this, or the store is away
                    _log.info("group %s is left again: %s", group.group, error)
        raise StoreUnavailable(f"{len(groups)} groups could not be left")

    async def _leave(self, group: Group, user: str) -> None:
        if group.owner != user:
            await self._group_members.kick(SERVER, InviteArgs(group=group.group, users=[user]))
        elif successor := await self._successor(group.group, user):
            args = TransferArgs(group=group.group, user=successor, leave=True)
            await self._group_admin.transfer(SERVER, args)
        else:
            await self._group_admin.dismiss(SERVER, GroupArgs(group=group.group))

    async def _successor(self, group: str, user: str) -> str:
        managers = [name for name in await self._store.managers(group) if name != user]
        after, more = "", True
        while more:
            page = await self._store.members(group, after, 100)
            others = [each.user for each in page.items if each.user != user and each.role != Role.OWNER]
            for name in [*managers, *others]:
                if not (await self._directory.accounts.get(name)).gone:
                    return name
            managers, more = [], page.more
            after = page.items[-1].user if page.items else ""
        return ""

    async def _finish(self, at: Erasure) -> None:
        now = self._clock.now_ms()
        receipt = AccountErased(
            user=at.user,
            erasure=at.id,
            asked_ms=at.asked_ms,
            done_ms=now,
            erased=dict(sorted(at.counts.items())),
            kept=KEPT,
        )
        receipt.sha256 = digest_of(receipt)
        event = self._context.teller.event(USER_PREFIX + at.user, receipt)
        await self._store.finish_erasure(at, self._holder, now, event)
        await self._registry.changed(at.user)
        self.done += 1
        _log.info("erasure %d is done", at.id)


def digest_of(receipt: AccountErased) -> str:
    """SHA-256 of the compact JSON of all members but `sha256`, in their order."""
    told = msgspec.structs.asdict(receipt)
    del told["sha256"]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()
