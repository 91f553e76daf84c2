"""Logins that wait for the application's answer, behind the check of their token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from control.auth.login import LoginRefused
from control.logs import get_logger
from control.part import Part
from frame.constants import CloseCode
from im_service.callbacks.answers import REFUSED, read_decision
from im_service.callbacks.kinds import Kind
from im_service.callbacks.ports import CallbackPort
from im_service.errors import ImError

log = get_logger("gateway")


class Checked(NamedTuple):
    """Who may log in as far as the token goes. `until`, `rev`: of the token. `by`: token or ticket."""

    conn: int
    user: str
    device: str
    platform: int
    websocket: bool
    until: int
    rev: int
    peer: str
    by: str


Answered = Callable[[Checked, LoginRefused | None], None]


class AskedLogins(Part):
    """Stopped before the core, so that nobody is let in afterwards. How many wait is bounded by the core's
    connections that have not logged in, each of which ends by its own deadline."""

    def __init__(self, port: CallbackPort) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def wanted(self) -> bool:
        return self._port.asks(Kind.LOGIN)

    def ask(self, checked: Checked, answered: Answered) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(checked, answered))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def stop(self, grace_s: float) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, checked: Checked, answered: Answered) -> None:
        question = {
            "from": checked.user,
            "device": checked.device,
            "platform": checked.platform,
            "address": checked.peer,
            "by": checked.by,
        }
        refusal = None
        try:
            answer = await self._port.ask(Kind.LOGIN, question, read_decision)
            if answer is not None and answer.verdict == "refuse":
                text = answer.text or REFUSED
                refusal = LoginRefused(CloseCode.AUTH_FAILED, text, "refused by the callback")
        except ImError:
            text = "logins cannot be checked now"
            refusal = LoginRefused(CloseCode.AUTH_UNAVAILABLE, text, "no answer to the callback")
        answered(checked, refusal)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a login was lost behind its callback", error=repr(error))
