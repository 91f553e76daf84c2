"""Clients of a scripted gateway, and waiting for what must come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from qianwan import Backoff, Client

from tests.support.scripted_gateway import ScriptedGateway

FAST = Backoff(base_s=0.01, cap_s=0.05, settled_s=0.0)


def client(gateway: ScriptedGateway, user: str = "alice", **more: Any) -> Client:
    """A client that reconnects in no time; `where` and every setting can be given."""
    settings: dict[str, Any] = {"token": user, "root_key": gateway.keys.root_text, "backoff": FAST}
    return Client(more.pop("where", gateway.address), **(settings | more))


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait for a condition; TimeoutError when it does not come."""
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def take(me: Client, count: int, timeout_s: float = 10.0) -> list[str]:
    """The texts of the next `count` messages."""
    shown: list[str] = []
    async with asyncio.timeout(timeout_s):
        async for message in me.messages():
            shown.append(message.text)
            if len(shown) == count:
                break
    return shown
