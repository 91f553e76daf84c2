"""Asking until there is an answer: what the client owes the application it never gives up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qianwan.errors import ProtocolError, RequestError

RETRY_S = 1.0
MAX_RETRY_S = 30.0

T = TypeVar("T")
log = logging.getLogger("qianwan")


def lasting(refused: RequestError) -> bool:
    """Whether a refusal stays one."""
    return not refused.transient


async def insist(
    ask: Callable[[], Awaitable[T]],
    what: str,
    *,
    believe_s: float,
    final: Callable[[RequestError], bool] = lasting,
) -> T:
    """The answer of `ask`, asked again while it is refused or cannot be read; of a retry-after at most
    `believe_s` is waited. Raises refusals that are `final`, and ConnectionClosed.
    """
    delay = RETRY_S
    while True:
        try:
            return await ask()
        except (RequestError, ProtocolError) as refused:
            asked = 0.0
            if isinstance(refused, RequestError):
                if final(refused):
                    raise
                asked = refused.retry_after_s
            log.info("%s: %s, trying again", what, refused)
            await asyncio.sleep(min(asked, believe_s) or delay)
            delay = min(2 * delay, MAX_RETRY_S)
