"""Who may act at all: asked before every call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from im_service.calls import Args
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.live.users import SessionState
from im_service.sending.hooks import CallHook
from im_service.storage.errors import StoreError

READY_S = 5.0
"""A call waits so long for the login of its session to be in the store."""


class Gate:
    """Sends ask it of their own accord (sending/admission.py)."""

    def __init__(
        self,
        context: ServiceContext,
        words: Callable[[SessionState, str, Args], Awaitable[object]],
        callback: CallHook | None = None,
    ) -> None:
        self._clock = context.clock
        self._directory = context.directory
        self._words = words
        self._callback = callback

    async def admit(self, state: SessionState, name: str, args: Args) -> object:
        """The arguments to run a call with, or its answer. Raises what refuses it."""
        await self.may_act(state)
        try:
            heard = await self._words(state, name, args)
        except StoreError:
            raise ImError(Code.UNAVAILABLE) from None
        if self._callback is not None and isinstance(heard, Args):
            await self._callback.admit(state.session, name, heard)
            await self.may_act(state)  # who was disabled meanwhile is not
        return heard

    async def may_act(self, state: SessionState) -> None:
        """Whoever calls waits for the login, and a disabled account never becomes live. 422, 503."""
        if state.ready is not None:
            done, _ = await asyncio.wait({state.ready}, timeout=READY_S)
            if not done:
                raise ImError(Code.UNAVAILABLE)
        if state.account is None:
            try:
                state.account = await self._directory.accounts.get(state.session.user)
            except StoreError:
                raise ImError(Code.UNAVAILABLE) from None
        if state.account.disabled_ms > self._clock.now_ms():
            raise ImError(Code.ACCOUNT_DISABLED, None, {"until_ms": state.account.disabled_ms})
