"""Where the token of a login comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from qianwan.errors import QianwanError

TokenSource = str | Callable[[], Awaitable[str]]
TOKEN_S = 10.0


async def token_of(source: TokenSource) -> str:
    """What the token source gives, in time; an end of a task of its own is no end of the client."""
    if isinstance(source, str):
        return source
    task = asyncio.ensure_future(source())
    try:
        done, _ = await asyncio.wait({task}, timeout=TOKEN_S)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError(f"the token source did not answer within {TOKEN_S} s")
    if task.cancelled():
        raise QianwanError("the token source was cancelled")
    return task.result()
