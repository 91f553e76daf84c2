"""Messages that people decide about."""

from collections.abc import Callable, Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import reviews
from im_service.storage.records import (
    Applied,
    Notices,
    Report,
    Review,
    ReviewRows,
    RuleVerdict,
    Ruling,
    SaidPage,
)


class Reviews(Engine):
    """Held messages (`NewMessage.hold`) have a review from their commit on, others since somebody reported
    them. A review goes with its message."""

    async def review(self, number: int) -> Review | None:
        """By its id."""
        return await self._read(reviews.get(number))

    async def review_of(self, conversation: str, seq: int) -> Review | None:
        """Of this message."""
        return await self._read(reviews.about(conversation, seq))

    async def reviews(
        self, state: str, wanted: Callable[[Review], bool], after: int, limit: int
    ) -> ReviewRows:
        """Those that are `wanted`, oldest first, behind the id `after`; `state`: open, decided, all. A page
        looks at a bounded number of them: it may be empty and have more behind it."""
        return await self._read(reviews.listed(state, wanted, after, limit))

    async def due_reviews(self, now_ms: int, limit: int) -> list[Review]:
        """Open ones whose verdict comes by itself now, the longest overdue first."""
        return await self._read(reviews.due(now_ms, limit))

    async def decide(
        self,
        number: int,
        ruling: Ruling,
        by: str,
        note: str,
        now_ms: int,
        tombstone: bytes = b"",
        notices: Notices = (),
    ) -> Applied[Ruling]:
        """PASSED: a held message is there for those it was meant for, at its seq. REFUSED: it stays hidden; a
        reported one is recalled, with this tombstone. `by` empty: nobody decided, it came by itself.

        -> where it stands now: GONE if there was nothing left to decide about. OPEN: somebody had decided
        before; then, and where it is GONE, no notice is committed. StoreMissing.
        """
        return await self._write(
            partial(reviews.decide, number, ruling, by, note, now_ms, tombstone, notices)
        )

    async def assign(self, number: int, assignee: str | None, note: str | None) -> Review:
        """None = as it is. StoreMissing."""
        return await self._write(partial(reviews.assign, number, assignee, note))

    async def report_message(
        self, user: str, conversation: str, seq: int, category: str, text: str, bits: int, now_ms: int
    ) -> bool:
        """One report for each user and message. -> was it news; what had been decided is open again."""
        return await self._write(
            partial(reviews.report, user, conversation, seq, category, text, bits, now_ms)
        )

    async def reports(self, conversation: str, seq: int, limit: int = 100) -> list[Report]:
        """Oldest first."""
        return await self._read(reviews.reports(conversation, seq, limit))

    async def around(self, conversation: str, seq: int, before: int, after: int) -> Sequence[int]:
        """Seqs of the messages beside one."""
        return await self._read(reviews.around(conversation, seq, before, after))

    async def said_by(
        self, sender: str, conversation: str, since_ms: int, place: tuple[int, int], limit: int
    ) -> SaidPage:
        """What this user said and nobody took back, notices apart: in one conversation, or ("") in all that
        they have or had, behind a place. A page looks at a bounded number of rows."""
        return await self._read(reviews.said_by(sender, conversation, since_ms, place, limit))

    async def rule_verdicts(self, limit: int = 1000) -> list[RuleVerdict]:
        """How the hits of each rule were decided; "@report": of those that were only reported."""
        return await self._read(reviews.tallies(limit))
