"""The pipeline of a send: decode, check, commit, publish, acknowledge.

The order of checks is fixed (docs/MESSAGES.md): account, module mute, membership, group or room mute,
blacklist, friend, rate, moderation hook, callback hook. A send whose (session, target) is resolved and
that no hook wants takes the fast path and touches no coroutine; the others wait in a lane, one per
(session, target), in order. Nothing is acknowledged or published before its commit. One file, longer than
others: the order of the steps is read from top to bottom.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b

import msgspec
from msgspec import UNSET

from frame.constants import SINGLE_PREFIX, USER_PREFIX
from im_service.context import ServiceContext
from im_service.errors import REFUSALS, UNDECODABLE, Code, ImError
from im_service.faults import told
from im_service.ids import peer_of, tag_topic
from im_service.live.route import Route
from im_service.live.users import SessionState
from im_service.models import SendRequest, decode_send, pack_payload
from im_service.options import DEFAULT, STORED, OptionTable, Resolved
from im_service.ports import SendItem, Session
from im_service.sending.admission import PASSED, SILENTLY_BLOCKED, Admission, OfNew
from im_service.sending.bodies import check_body
from im_service.sending.delivery import Delivery
from im_service.sending.hooks import Draft
from im_service.sending.judging import Judge, Judged, draft_of
from im_service.sending.pending import (
    SEND_ACK,
    AfterCommit,
    Pending,
    Unkept,
    Work,
    accept,
    answer,
    hold_of,
    wire,
)
from im_service.sending.publish_batch import PublishBatch
from im_service.sending.repeats import Repeats
from im_service.sending.resolve import RouteResolver
from im_service.sending.unkept import UnkeptSends
from im_service.storage.errors import StoreClosed, StoreError, StoreUnknown
from im_service.storage.records import RECEIPT, AppendResult, AppendStatus, NewMessage
from im_service.storage.shares import asking

MAX_LANE = 1000
"""Sends of one session to one target that may wait for a hook or a first look-up; more are answered 503."""
MAX_AHEAD = 2000
"""Sends that wait for their commit, above which a gateway of this process shall take no more events: they
would only wait longer, and commits are as large as they need to be."""
_new = tuple.__new__
_NEW = AppendStatus.NEW
_DUPLICATE = AppendStatus.DUPLICATE
_CONFLICT = AppendStatus.CONFLICT
_log = logging.getLogger("qianwan.im")


class Sending:
    """Sends, from users and from the server."""

    def __init__(self, context: ServiceContext, judge: Judge, after: Sequence[AfterCommit]) -> None:
        self._store = context.store
        self._clock = context.clock
        self._sessions = context.sessions
        self._downlink = context.downlink
        self._ids = context.ids
        self._routes = RouteResolver(context)
        self._accounts = context.directory.accounts
        self.admission = Admission(context.settings)
        self._delivery = Delivery(context)
        self._judge = judge
        self._slow = bool(judge.slow)
        self._after = tuple(after)
        self._unkept = UnkeptSends(context)
        self._repeats = Repeats(context, self._delivery, self._after)
        self._settings = context.settings
        self._receipt_members = context.settings.receipt_members
        self._options = OptionTable()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued = 0  # for their commit, since the start
        self._settled = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # until so many are settled

    def busy(self) -> bool:
        """So much waits for its commit that more sends would only wait longer."""
        return self._queued - self._settled >= MAX_AHEAD

    # -- the fast path

    def on_sends(self, batch: Sequence[SendItem]) -> None:
        """Take a batch of sends. Synchronous; every item is answered exactly once, now or later."""
        work = Work(self._clock)
        find, slow, judge = self._sessions.get, self._slow, self._judge
        for item in batch:
            session, request, target, raw = item
            state = find(session)
            if state is None:
                state = self._sessions.hear(session)
            route = state.routes.get(target)
            if route is None or state.lanes:
                self._wait(state, target, item, work)
                continue
            try:
                asked, options = self._decode(route, raw)
                if (route.group is not None and judge.picks(state, route, options)) or (
                    slow and judge.wanted(route.kind, asked.type)
                ):
                    self._wait(state, target, item, work)
                    continue
                verdict = self.admission.send(state, route, options, work.now, work.tick)
                body, ext, holds = bytes(asked.body), asked.ext, None
                if not verdict and judge.instant and judge.glances(route.kind, asked.type):
                    draft, verdict, holds = judge.glance(draft_of(state, route, asked, options), route.kind)
                    body, ext = draft.body, draft.ext
                payload = pack_payload(body, options.wire, ext)
                entry = Pending(route, asked.client_id, asked.type, payload, options, verdict, state, request)
                entry.holds = holds
                self._queue(work, entry, raw)
            except OfNew as error:
                self._repeats.rejected(session, request, route, asked.client_id, _digest(route, raw), error)
            except ImError as error:
                work.out.reply(session, SEND_ACK, request, error.code, error.payload())
            except Exception:
                _log.exception("send failed")
                work.out.reply(session, SEND_ACK, request, Code.INTERNAL, REFUSALS[Code.INTERNAL])
        self._commit(work)

    def _decode(self, route: Route, raw: bytes, server: bool = False) -> tuple[SendRequest, Resolved]:
        """The request and its resolved options. Raises 400, 403, 414."""
        try:
            asked = decode_send(raw)
        except msgspec.ValidationError as error:
            raise ImError(Code.INVALID, f"send: {told(error, SendRequest)}") from None
        except UNDECODABLE:
            raise ImError(Code.MALFORMED) from None
        if "\x00" in asked.client_id:
            raise ImError(Code.INVALID, "U+0000 is not allowed in client_id")
        check_body(asked.type, asked.body, route.room is not None, server)
        options = self._options.resolve(bytes(asked.options), route.kind)
        if route.room is not None and options.options.tag is not UNSET:
            tag_topic(route.topic, options.options.tag)
        if options.bits & RECEIPT and route.group is not None:
            group = route.group.record
            if group is not None and group.member_count > self._receipt_members:
                raise ImError(Code.INVALID, f"groups above {self._receipt_members} members keep no receipts")
        return asked, options

    def _queue(self, work: Work, entry: Pending, raw: bytes) -> None:
        """A checked send: its row joins the batch, or it is finished here if no view keeps it."""
        route, options, now = entry.route, entry.options, work.now
        server_id = self._ids.next(now)
        stored = options.bits & STORED if route.room is None else route.room.keeps(options)
        holds, bits = entry.holds, entry.bits
        if not stored and holds is not None:  # it waits in the log, where no view shows it
            bits &= ~STORED
        elif not stored:
            if self._unkept.wants(entry):
                work.unkept.append(Unkept(entry, server_id, now))
            else:
                self._finish(work.out, entry, server_id, 0, now)
            return
        work.rows.append(
            _new(
                NewMessage,
                (
                    route.conversation,
                    route.sender,
                    entry.client_id,
                    _digest(route, raw),
                    server_id,
                    now,
                    entry.type,
                    entry.payload,
                    bits,
                    now + options.expire_ms if options.expire_ms else 0,
                    route.cut(options.target),
                    None
                    if holds is None
                    else hold_of(self._settings, holds, options.bits & (bits | ~STORED), now),
                ),
            )
        )
        work.pending.append(entry)

    # -- the commit

    def _commit(self, work: Work) -> None:
        """Hand the rows to the store's writer; what needs no commit goes out now."""
        work.out.flush(self._downlink)
        if work.unkept:
            self._queued += len(work.unkept)
            self._unkept.record(work.unkept, partial(self._recorded, work.unkept))
        if work.rows:
            pending = work.pending
            self._queued += len(pending)
            newest = work.rows[-1].server_id
            self._store.append(work.rows, lambda results: self._committed(pending, results, newest))

    def _recorded(self, unkept: Sequence[Unkept], error: BaseException | None) -> None:
        out = PublishBatch()
        if error is None:
            for entry, server_id, time_ms in unkept:
                self._finish(out, entry, server_id, 0, time_ms)
        else:
            self._refuse(out, [send.entry for send in unkept], error)
        self._settle(out, len(unkept))

    def _committed(
        self, pending: Sequence[Pending], results: list[AppendResult] | BaseException, newest: int
    ) -> None:
        out = PublishBatch()
        if isinstance(results, BaseException):
            self._repeats.unknown_up_to(newest)
            self._refuse(out, pending, results)
        else:
            for entry, (status, server_id, seq, time_ms) in zip(pending, results, strict=True):
                if status == _NEW:
                    self._finish(out, entry, server_id, seq, time_ms)
                elif status == _DUPLICATE:
                    accept(out, entry, server_id, seq, time_ms)
                    self._repeats.accepted(entry, server_id, seq)
                else:
                    code = Code.DUPLICATE if status == _CONFLICT else Code.GROUP_NOT_FOUND
                    answer(out, entry, code, REFUSALS[code])
        self._settle(out, len(pending))

    def _refuse(self, out: PublishBatch, pending: Sequence[Pending], error: BaseException) -> None:
        if not isinstance(error, StoreClosed):  # an orderly end: their senders ask elsewhere
            _log.warning("messages were not stored: %s", error)
        code = Code.TIMEOUT if isinstance(error, StoreUnknown) else Code.UNAVAILABLE
        for entry in pending:
            answer(out, entry, code, REFUSALS[code])

    def _settle(self, out: PublishBatch, count: int) -> None:
        self._settled += count
        out.flush(self._downlink)
        for enough, done in self._waiting:
            if self._settled >= enough and not done.done():
                done.set_result(None)

    def _finish(self, out: PublishBatch, entry: Pending, server_id: int, seq: int, time_ms: int) -> None:
        """Publish to those who may see it now, then acknowledge."""
        message = wire(entry, seq, server_id, time_ms)
        blocked = entry.verdict != PASSED
        self._delivery.live(
            out, entry.state, entry.route, entry.options, server_id, message, blocked, entry.receivers
        )
        for follower in self._after:
            follower.offer(entry, server_id, message)
        accept(out, entry, server_id, seq, time_ms)

    # -- the server's sends

    async def send_as(self, sender: str, target: str, raw: bytes) -> list[int]:
        """Send with the server's rights. -> [server_id, seq, time_ms]; raises ImError."""
        route = await self._routes.make(sender, target, None)
        self.admission.receiver(route)
        if (await self._accounts.get(sender)).gone:
            raise ImError(Code.ACCOUNT_DISABLED, f"the account of {sender} was deleted")
        if route.room is not None and not route.room.open:
            raise ImError(Code.ROOM_NOT_FOUND)
        work = Work(self._clock)
        asked, options = self._decode(route, raw, server=True)
        receivers = await self._judge.receivers(None, route, options)
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

        def resolve(code: int, payload: bytes) -> None:
            if future.done():
                return
            if code:
                future.set_exception(ImError(Code(code)))
            else:
                future.set_result(msgspec.msgpack.decode(payload))

        payload = pack_payload(asked.body, options.wire, asked.ext)
        entry = Pending(
            route,
            asked.client_id,
            asked.type,
            payload,
            options,
            PASSED,
            receivers=receivers,
            answer=resolve,
        )
        self._queue(work, entry, raw)
        self._commit(work)
        return await future

    async def judge_again(self, session: Session, draft: Draft) -> Judged:
        """The checks and hooks of a send, for a stored message that gets another body. Raises like a send;
        a verdict other than PASSED: nobody but its sender is to believe it happened."""
        state = self._sessions.still(session)
        target = draft.conversation
        if target.startswith(SINGLE_PREFIX):
            target = USER_PREFIX + peer_of(target, session.user)
        route = await self._routes.resolve(state, target)
        verdict = self.admission.check(state, route, DEFAULT, self._clock.now_ms(), self._clock.elapsed_ms())
        if verdict > SILENTLY_BLOCKED:
            raise ImError(Code(verdict))
        return Judged(draft, verdict) if verdict else await self._judge.judge(draft, route.kind)

    # -- lanes: sends that must wait, in order

    def _wait(self, state: SessionState, target: str, item: SendItem, work: Work) -> None:
        lane = state.lanes.get(target)
        if lane is None:
            state.lanes[target] = lane = deque()
            task = asyncio.get_running_loop().create_task(self._run_lane(state, target, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(lane) >= MAX_LANE:
            work.out.reply(item[0], SEND_ACK, item[1], Code.UNAVAILABLE, REFUSALS[Code.UNAVAILABLE])
            return
        lane.append(item)

    async def _run_lane(self, state: SessionState, target: str, lane: deque[SendItem]) -> None:
        """Send what waits for this target one by one; the lane ends when it is empty."""
        asking.set(state.session.user)
        try:
            while lane:
                work = Work(self._clock)
                try:
                    route = state.routes.get(target) or await self._routes.resolve(state, target)
                    while lane:
                        item = lane[0]
                        session, request, _, raw = item
                        try:
                            await self._admit_slowly(work, state, route, item)
                        except OfNew as error:
                            named, digest = decode_send(raw).client_id, _digest(route, raw)
                            self._repeats.rejected(session, request, route, named, digest, error)
                        except ImError as error:
                            work.out.reply(session, SEND_ACK, request, error.code, error.payload())
                        lane.popleft()
                        if self._slow or len(work.rows) >= MAX_LANE:
                            break
                except ImError as error:
                    session, request, _, _ = lane.popleft()
                    work.out.reply(session, SEND_ACK, request, error.code, error.payload())
                except Exception as error:
                    if not isinstance(error, StoreError):
                        _log.exception("send failed")
                    session, request, _, _ = lane.popleft()
                    code = Code.UNAVAILABLE if isinstance(error, StoreError) else Code.INTERNAL
                    work.out.reply(session, SEND_ACK, request, code, REFUSALS[code])
                self._commit(work)
        finally:
            del state.lanes[target]

    async def _admit_slowly(self, work: Work, state: SessionState, route: Route, item: SendItem) -> None:
        _, request, _, raw = item
        asked, options = self._decode(route, raw)
        verdict = self.admission.send(state, route, options, work.now, work.tick)
        receivers = await self._judge.receivers(state, route, options)
        body, ext, holds = bytes(asked.body), asked.ext, None
        if not verdict:
            draft, verdict, holds = await self._judge.judge(
                draft_of(state, route, asked, options), route.kind
            )
            body, ext = draft.body, draft.ext
            if self._slow:
                work.now = self._clock.now_ms()
                if blocked := self.admission.again(state, route, work.now):
                    verdict, holds = blocked, None
                if receivers:
                    receivers = await self._judge.still(receivers, route)
        payload = pack_payload(body, options.wire, ext)
        entry = Pending(
            route, asked.client_id, asked.type, payload, options, verdict, state, request, receivers
        )
        entry.holds = holds
        self._queue(work, entry, raw)

    async def close(self) -> None:
        """Wait until every lane is empty, and what was queued for its commit by then is answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.committed()
        await self._repeats.close()

    async def committed(self) -> None:
        """Wait until what was queued for its commit by now is answered."""
        if self._settled < self._queued:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._queued, done))
            await done


def _digest(route: Route, raw: bytes) -> bytes:
    """Of what a client sent, and where to: a repeat has the same."""
    return blake2b(route.key + raw, digest_size=16).digest()
