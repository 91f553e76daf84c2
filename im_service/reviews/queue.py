"""What people look at: messages that are held, and those that others reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from frame.constants import ROOM_PREFIX
from im_service.calls import Args, Caller, Nothing, Number, Positive, method
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.sync import Conversation, Seq
from im_service.errors import Code, ImError, rate_limited
from im_service.models import WireMessage, stored_bytes
from im_service.options import CONTROL
from im_service.pages import fit
from im_service.rates import Limiter, Rate
from im_service.reviews.decisions import Decisions
from im_service.storage.records import (
    FILTERED,
    HELD,
    RECALLED,
    Review,
    ReviewKind,
    RuleVerdict,
    Ruling,
    StoredMessage,
)

Name = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=500)]
KINDS = {ReviewKind.HELD: "held", ReviewKind.REPORTED: "reported"}
STATES = {Ruling.OPEN: "open", Ruling.PASSED: "passed", Ruling.REFUSED: "refused", Ruling.GONE: "gone"}
RULINGS = {"pass": Ruling.PASSED, "reject": Ruling.REFUSED}
REPORTS_SHOWN = 20


class ReportArgs(Args):
    conversation: Conversation
    seq: Seq = 0
    server_id: Number = 0
    category: Name = ""
    text: Text = ""


class QueueArgs(Args):
    """`assignee`: of one person; `@nobody`: those of nobody. `context`: so many messages before and behind
    each one come with it."""

    state: Literal["open", "decided", "all"] = "open"
    kind: Literal["all", "held", "reported"] = "all"
    conversation: Annotated[str, Meta(max_length=132)] = ""
    sender: Name = ""
    assignee: Name = ""
    rule: Annotated[str, Meta(max_length=128)] = ""
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    context: Annotated[int, Meta(ge=0, le=20)] = 0


class ItemArgs(Args):
    id: Positive
    context: Annotated[int, Meta(ge=0, le=20)] = 10


class DecideArgs(Args):
    """`by`: the person, for the record. `text`: what the sender is told who is refused, or everybody where
    the message was there."""

    id: Positive
    verdict: Literal["pass", "reject"]
    by: Annotated[str, Meta(min_length=1, max_length=64)]
    note: Text = ""
    text: Annotated[str, Meta(max_length=128)] = ""


class AssignArgs(Args):
    """What is left out stays; an empty text takes it away."""

    id: Positive
    assignee: Name | None = None
    note: Text | None = None


class VerdictArgs(Args):
    conversation: Conversation
    server_id: Positive
    verdict: Literal["pass", "reject"]
    rule: Annotated[str, Meta(max_length=63)] = ""
    text: Annotated[str, Meta(max_length=128)] = ""


class StatisticsArgs(Args):
    pass


class Reported(Struct):
    changed: bool


class Said(Struct):
    user: str
    category: str
    text: str
    time_ms: int


class ReviewLine(Struct, kw_only=True):
    """`until_ms`: when `lapse` becomes the verdict, 0 = never. `before`, `behind`: the messages around it.
    `decided_by`: empty where it came by itself."""

    id: int
    kind: str
    state: str
    conversation: str
    seq: int
    sender: str
    rule: str
    reports: int
    time_ms: int
    until_ms: int
    lapse: str
    decided_ms: int
    decided_by: str
    assignee: str
    note: str
    message: WireMessage | None
    before: list[WireMessage]
    behind: list[WireMessage]
    said: list[Said]


class ReviewPage(Struct):
    """`after`: goes with the next call; a page may be empty and have more behind it."""

    items: list[ReviewLine]
    after: int
    more: bool


class Decided(Struct):
    state: str


class RuleLine(Struct):
    """`passed` and `refused` by people, `lapsed_...` because nobody decided. `false_positives`: the share
    of what people decided that they let pass; absent before anybody decided."""

    rule: str
    passed: int = 0
    refused: int = 0
    lapsed_passed: int = 0
    lapsed_refused: int = 0
    false_positives: float | None = None


class Statistics(Struct):
    rules: list[RuleLine]


class ReviewQueue:
    """Reports of users, and the queue of those who decide."""

    def __init__(self, context: ServiceContext, access: Access, decisions: Decisions) -> None:
        self._store = context.store
        self._clock = context.clock
        self._directory = context.directory
        self._access = access
        self._decisions = decisions
        self._rate = Limiter(context.settings.report_rate)
        self._reply_bytes = context.settings.reply_bytes

    def set_rate(self, rate: Rate) -> None:
        """Of reports, from now on."""
        self._rate.set(rate)

    @method("message.report", Code.NOT_FOUND, Code.FORBIDDEN, Code.INVALID, result=Reported)
    async def report(self, caller: Caller, args: ReportArgs) -> Reported:
        """Tell those who moderate of somebody's message; once for each message. Nobody else hears of it."""
        if not args.seq and not args.server_id:
            raise ImError(Code.INVALID, "seq or server_id says which message")
        await self._access.participant(caller, args.conversation, rooms=True)
        if args.seq:
            found = await self._store.find(args.conversation, [args.seq])
        else:
            found = await self._store.find_server_ids(args.conversation, [args.server_id])
        if not found or found[0].flags & (FILTERED | RECALLED) or found[0].bits & (CONTROL | HELD):
            raise ImError(Code.NOT_FOUND, "no such message")
        message = found[0]
        if message.sender == caller.user:
            raise ImError(Code.FORBIDDEN, "a message of one's own")
        room = args.conversation.startswith(ROOM_PREFIX)
        if not room and not await self._access.sees(caller, args.conversation, [message.seq]):
            raise ImError(Code.NOT_FOUND, "no such message")
        await self._spend(caller)
        now = self._clock.now_ms()
        return Reported(
            await self._store.report_message(
                caller.user, args.conversation, message.seq, args.category, args.text, message.bits, now
            )
        )

    async def _spend(self, caller: Caller) -> None:
        """The rate of one account's reports. 416."""
        if caller.server or self._rate.off:
            return
        account = await self._directory.accounts.get(caller.user)
        if wait := self._rate.take(account.reports, self._clock.elapsed_ms()):
            raise rate_limited(wait, "reports")

    @method("moderation.queue", Code.INVALID, result=ReviewPage, server_only=True)
    async def queue(self, caller: Caller, args: QueueArgs) -> ReviewPage:
        """Messages that wait for a verdict, or had one, oldest first."""

        def wanted(review: Review) -> bool:
            return (
                args.kind in ("all", KINDS[review.kind])
                and args.conversation in ("", review.conversation)
                and args.sender in ("", review.sender)
                and args.rule in ("", review.rule, review.rule.removeprefix("@"))
                and args.assignee in ("", review.assignee or "@nobody")
            )

        page = await self._store.reviews(args.state, wanted, args.after, args.limit)
        lines: list[ReviewLine] = []
        for review in page.items:
            fitting, cut = fit([*lines, await self._line(review, args.context)], self._reply_bytes)
            if cut:
                return ReviewPage(lines, lines[-1].id, True)
            lines = fitting
        return ReviewPage(lines, page.after, page.more)

    @method("moderation.item", Code.NOT_FOUND, result=ReviewLine, server_only=True)
    async def item(self, caller: Caller, args: ItemArgs) -> ReviewLine:
        """One message of the queue, with what stands around it and what was said of it."""
        return await self._line(await self._review(args.id), args.context)

    async def _review(self, number: int) -> Review:
        review = await self._store.review(number)
        if review is None:
            raise ImError(Code.NOT_FOUND, "nothing of this number in the queue")
        return review

    async def _line(self, review: Review, context: int) -> ReviewLine:
        talk, seq = review.conversation, review.seq
        beside = await self._store.around(talk, seq, context, context) if context else []
        found = {row.seq: row for row in await self._store.find(talk, [seq, *beside])}
        message = Raw(stored_bytes(found[seq])) if seq in found else None
        said = await self._store.reports(talk, seq, REPORTS_SHOWN) if review.reports else []
        room = self._reply_bytes // 2
        near = sorted((row for at, row in found.items() if at != seq), key=lambda row: abs(row.seq - seq))
        around, _ = _within(near, room)
        return ReviewLine(
            id=review.id,
            kind=KINDS[review.kind],
            state=STATES[review.state],
            conversation=talk,
            seq=seq,
            sender=review.sender,
            rule=review.rule,
            reports=review.reports,
            time_ms=review.time_ms,
            until_ms=review.until_ms,
            lapse="release" if review.lapse else "refuse",
            decided_ms=review.decided_ms,
            decided_by=review.decided_by,
            assignee=review.assignee,
            note=review.note,
            message=message,
            before=[raw for at, raw in around if at < seq],
            behind=[raw for at, raw in around if at > seq],
            said=[Said(*each) for each in said],
        )

    @method("moderation.decide", Code.NOT_FOUND, Code.CONFLICT, result=Decided, server_only=True)
    async def decide(self, caller: Caller, args: DecideArgs) -> Decided:
        """pass: a held message comes to those it was meant for, at its seq; a reported one stays. reject: a
        held one stays hidden and its sender hears of it; a reported one is recalled, however old it is. What
        was decided before is 409."""
        review = await self._review(args.id)
        state = await self._decisions.decide(review, RULINGS[args.verdict], args.by, args.note, args.text)
        if state == Ruling.OPEN:
            raise ImError(Code.CONFLICT, "this was decided before, or its message was taken back")
        return Decided(STATES[state])

    @method("moderation.assign", Code.NOT_FOUND, server_only=True)
    async def assign(self, caller: Caller, args: AssignArgs) -> Nothing:
        """Say who looks at it, and what there is to note."""
        await self._store.assign(args.id, args.assignee, args.note)
        return {}

    @method("moderation.verdict", Code.NOT_FOUND, result=Decided, server_only=True)
    async def verdict(self, caller: Caller, args: VerdictArgs) -> Decided:
        """What an engine found later. A held message is released or refused; one that people have stays, or
        is recalled by the system with a notice, on every device and however old it is."""
        allowed = args.verdict == "pass"
        state = await self._decisions.later(args.conversation, args.server_id, allowed, args.rule, args.text)
        return Decided(STATES[state])

    @method("moderation.statistics", result=Statistics, server_only=True)
    async def statistics(self, caller: Caller, args: StatisticsArgs) -> Statistics:
        """How what each rule had held was decided; `@report`: what people had reported."""
        return Statistics(_lines(await self._store.rule_verdicts()))


def _within(rows: Sequence[StoredMessage], room: int) -> tuple[list[tuple[int, Raw]], bool]:
    """As wire messages in order of seq, the first ones as far as there is room."""
    kept: list[tuple[int, Raw]] = []
    for row in rows:
        raw = Raw(stored_bytes(row))
        room -= len(raw)
        if room < 0:
            return sorted(kept, key=lambda each: each[0]), True
        kept.append((row.seq, raw))
    return sorted(kept, key=lambda each: each[0]), False


def _lines(verdicts: Sequence[RuleVerdict]) -> list[RuleLine]:
    found: dict[str, RuleLine] = {}
    for rule, state, lapsed, decisions in verdicts:
        line = found.setdefault(rule, RuleLine(rule))
        member = ("lapsed_" if lapsed else "") + STATES[state]
        setattr(line, member, decisions)
    for line in found.values():
        if line.passed or line.refused:
            line.false_positives = round(line.passed / (line.passed + line.refused), 4)
    return list(found.values())
