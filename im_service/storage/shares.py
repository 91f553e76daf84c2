"""Whoever asks the store for much waits behind their own requests, not everybody behind them: reads take
turns, and few changes of one user are under way at once.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType

from im_service.storage.errors import StoreUnavailable

asking: ContextVar[str] = ContextVar("asking", default="")
"""For whom the store is asked; "" = for the service itself (logins, upkeep), which goes first."""
SERVER = "@server"
"""The application's server, for nobody in particular."""


class Errand:
    """A request of a client, in the task that handles it: nothing is begun for it when nobody waits any more.
    `gone`: is the client's connection over? Its last words count all the same, unless they had to wait.
    """

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._gone = gone
        self._task = asyncio.current_task()
        self._until = asyncio.get_running_loop().time() + WAIT_S

    def check(self, waited: bool) -> None:
        """StoreUnavailable when it is too late. Work that other tasks do behind it is not meant."""
        if asyncio.current_task() is self._task:
            if waited and self._gone():
                raise StoreUnavailable("who asked has gone")
            if asyncio.get_running_loop().time() > self._until:
                raise StoreUnavailable("too much waits for the store")


errand: ContextVar[Errand | None] = ContextVar("errand", default=None)

WAIT_S = 10.0
EACH = 4
"""Changes of one user under way at once; a transaction of them holds the messages of others up so long."""
ROWS = 100
"""For each so many rows a change counts as one more."""


class Turns:
    """`width` reads at once. Each reader's wait in the order of asking, readers take turns, and a turn is one
    read. StoreUnavailable after WAIT_S without one.
    """

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def __aenter__(self) -> bool:
        """-> whether one had to wait."""
        if self._free:
            self._free -= 1
            return False
        who = asking.get()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        if not who:
            self._waiting.move_to_end(who, last=False)
        await _come(turn, self._pass_on)
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            who, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if not turns:
                del self._waiting[who]
            elif who:
                self._waiting.move_to_end(who)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Shares:
    """Changes: each user has at most `each` under way, the rest of theirs wait in the order of asking; one of
    many rows counts as several. The service and the application's server are not bounded. StoreUnavailable
    after WAIT_S of waiting.
    """

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[tuple[asyncio.Future[None], int]]] = {}

    @asynccontextmanager
    async def share(self, weight: int = 1) -> AsyncIterator[bool]:
        """-> whether one had to wait."""
        who = asking.get()
        if who in ("", SERVER):
            yield False
            return
        takes = min(self._each, 1 + weight // ROWS)
        taken = self._taken.get(who, 0)
        waited = who in self._waiting or taken + takes > self._each
        if not waited:
            self._taken[who] = taken + takes
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(who, deque()).append((turn, takes))
            await _come(turn, lambda: self._give_back(who, takes))
        try:
            yield waited
        finally:
            self._give_back(who, takes)

    def _give_back(self, who: str, takes: int) -> None:
        taken = self._taken[who] - takes
        waiting = self._waiting.get(who)
        while waiting and (waiting[0][0].done() or taken + waiting[0][1] <= self._each):
            turn, wanted = waiting.popleft()
            if not turn.done():
                taken += wanted
                turn.set_result(None)
        if waiting is not None and not waiting:
            del self._waiting[who]
        if taken:
            self._taken[who] = taken
        else:
            del self._taken[who]


async def _come(turn: asyncio.Future[None], pass_on: Callable[[], None]) -> None:
    """Wait for a turn; one that comes to somebody who has gone is passed on."""
    try:
        async with asyncio.timeout(WAIT_S):
            await turn
    except BaseException as error:
        if turn.done() and not turn.cancelled():
            pass_on()
        else:
            turn.cancel()
        if isinstance(error, TimeoutError):
            raise StoreUnavailable("too much waits for the store") from None
        raise
