"""Media, looked at by an engine after they were delivered: what it refuses is recalled from everybody.

Questions wait in memory: those of a process that dies are not asked again.
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
from im_service.models import unpack_payload
from im_service.sending.pending import Pending
from im_service.storage.errors import StoreError

Later = Callable[[str, int, bool, str, str], Awaitable[object]]
"""(conversation, server id, allowed, rule, what people are told): reviews.Decisions.later."""
LONGEST_S = 60.0
_log = logging.getLogger("qianwan.im")


class MediaEngine:
    """Follows commits (sending.pending.AfterCommit)."""

    def __init__(self, port: MediaPort) -> None:
        self._port = port
        self._rules = port.rules
        self._tasks: set[asyncio.Task[None]] = set()
        self.later: Later | None = None
        """Carries verdicts out; set before the first message."""
        self._dropped = 0
        self._given_up = 0
        self._recalled = 0

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        rules, route = self._rules, entry.route
        if entry.verdict or entry.state is None:  # nobody else has it; the server's own is not looked at
            return
        if route.kind not in rules.kinds or entry.type not in rules.types:
            return
        antispam = entry.options.options.antispam
        if rules.heed_off and antispam is not UNSET and antispam.get("on") is False:
            return
        if len(self._tasks) >= rules.waiting:
            self._dropped += 1
            return
        body, _, ext = unpack_payload(entry.payload)
        question: dict[str, object] = {
            "conversation": route.conversation,
            "server_id": server_id,
            "from": route.sender,
            "type": entry.type,
            "body": msgspec.msgpack.decode(body),
        }
        if ext is not None:
            question["ext"] = ext
        if antispam is not UNSET:
            question["antispam"] = antispam
        task = asyncio.get_running_loop().create_task(self._look(route.conversation, server_id, question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, conversation: str, server_id: int, question: Mapping[str, object]) -> None:
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
        """What waits is given up."""
        self._given_up += len(self._tasks)
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
