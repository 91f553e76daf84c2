"""Media, looked at by an engine after they were delivered: what it refuses is recalled from everybody.

Questions wait in memory; those of a process that dies are read from the log by whoever comes after it
(outbox/succession.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import UNSET

from im_service.engines.answers import MediaFinding, read_media
from im_service.engines.ports import MediaPort, Unanswered
from im_service.errors import ImError
from im_service.ids import kind_of
from im_service.models import unpack_payload
from im_service.options import BY_SERVER, OptionTable, Resolved
from im_service.outbox.unfinished import Open, Unfinished
from im_service.sending.pending import Pending
from im_service.storage.errors import StoreError
from im_service.storage.event_records import LogRow
from im_service.storage.records import FILTERED, HELD, RECALLED, RECEIVER_NO_SENSE, RELEASED

Later = Callable[[str, int, bool, str, str], Awaitable[object]]
"""(conversation, server id, allowed, rule, what people are told): reviews.Decisions.later."""
LONGEST_S = 60.0
KEEP_MS = 86_400_000
"""Questions of a process that died are asked if they are not older: whoever is down for longer looks at the
copy of events."""
UNASKED = HELD | RECEIVER_NO_SENSE | RELEASED | BY_SERVER
"""Nobody else has it, people have judged it, or the application's server said it."""
_log = logging.getLogger("qianwan.im")


class MediaEngine:
    """Follows commits (sending.pending.AfterCommit)."""

    name = "media"
    keep_ms = KEEP_MS
    wait_ms = 0

    def __init__(self, port: MediaPort) -> None:
        self._port = port
        self._rules = port.rules
        self._options = OptionTable()
        self.unfinished = Unfinished()
        self._tasks: set[asyncio.Task[None]] = set()
        self.later: Later | None = None
        """Carries verdicts out; set before the first message."""
        self._dropped = 0
        self._given_up = 0
        self._recalled = 0

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        route = entry.route
        if entry.verdict or entry.state is None:  # nobody else has it; the server's own is not looked at
            return
        if not self._asked_about(route.kind, entry.type, entry.options):
            return
        if len(self._tasks) >= self._rules.waiting:
            self._dropped += 1
            self.unfinished.passed()
            return
        self._ask(route.conversation, server_id, route.sender, entry.type, entry.payload, entry.options)

    async def take_up(self, row: LogRow) -> None:
        """A message whose process died (outbox.succession.Follower)."""
        if row.bits & UNASKED or row.flags & (RECALLED | FILTERED):
            return
        kind = kind_of(row.conversation)
        options = self._options.resolve(unpack_payload(row.payload)[1], kind)
        if not self._asked_about(kind, row.type, options):
            return
        while len(self._tasks) >= self._rules.waiting:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self._ask(row.conversation, row.server_id, row.sender, row.type, row.payload, options)

    def _asked_about(self, kind: str, type: int, options: Resolved) -> bool:
        rules = self._rules
        if kind not in rules.kinds or type not in rules.types:
            return False
        antispam = options.options.antispam
        return not (rules.heed_off and antispam is not UNSET and antispam.get("on") is False)

    def _ask(
        self, conversation: str, server_id: int, sender: str, type: int, payload: bytes, options: Resolved
    ) -> None:
        body, _, ext = unpack_payload(payload)
        question: dict[str, object] = {
            "conversation": conversation,
            "server_id": server_id,
            "from": sender,
            "type": type,
            "body": msgspec.msgpack.decode(body),
        }
        if ext is not None:
            question["ext"] = ext
        antispam = options.options.antispam
        if antispam is not UNSET:
            question["antispam"] = antispam
        look = self._look(conversation, server_id, question, self.unfinished.begin())
        task = asyncio.get_running_loop().create_task(look)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(
        self, conversation: str, server_id: int, question: Mapping[str, object], begun: Open
    ) -> None:
        """Cut off by the end of the process, it is not over."""
        await self._looked(conversation, server_id, question)
        begun.done()

    async def _looked(self, conversation: str, server_id: int, question: Mapping[str, object]) -> None:
        found: MediaFinding | None = None
        for turn in range(self._rules.tries):
            if turn:
                await asyncio.sleep(min(self._rules.retry_s * 2 ** (turn - 1), LONGEST_S))
            try:
                if found is None:
                    found = await self._port.ask(question, read_media)
                if found.verdict == "reject":
                    await self._recall(conversation, server_id, found)
                return
            except (Unanswered, StoreError):
                continue
            except ImError as error:
                _log.info("a verdict on a message that is there no more: %s", error)
                return
            except Exception:
                _log.exception("a verdict on media was lost")
                break
        self._given_up += 1

    async def _recall(self, conversation: str, server_id: int, found: MediaFinding) -> None:
        assert self.later is not None
        await self.later(conversation, server_id, False, found.rule, found.text)
        self._recalled += 1

    async def close(self) -> None:
        """What waits is asked after the next start, or by another process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stats(self) -> dict[str, int]:
        return {
            "media_waiting": len(self._tasks),
            "media_dropped_total": self._dropped,
            "media_given_up_total": self._given_up,
            "media_recalled_total": self._recalled,
        }
