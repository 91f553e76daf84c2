"""A user of a running cluster, as `cluster demo` and `make faults` have them: comes, hears, goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Literal

import qianwan

from program.demo.tally import Suite

OPEN_S = 60.0
POLL_S = 0.02


class Person:
    """One client with its tasks. `cut`: how often its connection ended before another had taken its place;
    `logins`: all of them, the first too.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        token: str,
        room: str,
        suite: Suite | Literal["auto"] = "auto",
        backoff: qianwan.Backoff | None = None,
    ) -> None:
        self.name = name
        self.cut = self.logins = 0
        self._room_name = room
        self._online = False
        self.client = qianwan.Client(
            list(urls),
            token=token,
            device_id="cluster",
            login_timeout_s=OPEN_S,
            transport="tcp",
            suite=suite,
            backoff=backoff,
            on_state=self._on_state,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        await self.client.open()
        self._tasks.append(asyncio.create_task(self._listen()))
        self.room = await self.enter()
        self._tasks.append(asyncio.create_task(self._listen_in_room()))

    async def enter(self) -> qianwan.Room:
        return await self.client.join_room(self._room_name)

    async def go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._online = False
        await self.client.close(handled=False)

    def hear(self, message: qianwan.Message) -> None:
        """A message of a user or a group, and its sender is somebody else."""

    def hear_in_room(self, message: qianwan.Message) -> None:
        """Somebody else's."""

    def _on_state(self, change: qianwan.StateChange) -> None:
        online = change.state is qianwan.State.ONLINE
        self.logins += online
        self.cut += self._online and not online
        self._online = online

    async def _listen(self) -> None:
        async for message in self.client.messages():
            if message.sender != self.name:
                self.hear(message)

    async def _listen_in_room(self) -> None:
        async for message in self.room:
            if message.sender != self.name:
                self.hear_in_room(message)


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came to hold in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while True:
                if condition():
                    return True
                await asyncio.sleep(POLL_S)
    return False
