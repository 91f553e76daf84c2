"""The im role of a process: the store and the message service."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from control.im.presence import LIVE, live_devices
from control.im.replays import ReplayKeeper
from control.im.store_watch import StoreWatch, refuse_lost
from control.keys.data_folder import STORE_FILE, STORE_SEEN_FILE
from control.logs import get_logger
from control.node_ids import NODE_BITS
from control.part import Check, Part, Source
from control.settings import Settings
from im_service.callbacks.ask import CallCallback, MessageCallback
from im_service.callbacks.ports import CallbackPort
from im_service.calls import Args
from im_service.context import Ports
from im_service.errors import Code, ImError
from im_service.moderation.judge import Moderation
from im_service.ports import Downlink, NoPeers, PeersPort, Presence, SystemClock
from im_service.push.ports import PushPort
from im_service.service import ImService
from im_service.storage.errors import StoreError, StoreUnavailable
from im_service.storage.store import Store

if TYPE_CHECKING:  # at run time only where it is wanted
    from control.engines.asker import Engines

_log = get_logger("im")

STATS_S = 2.0


STOP_S = 10.0
"""For sends and calls under way, and for the store to close."""


class ImPart(Part):
    """The message service and its store; also the message service as the HTTP API sees it (ImApi).

    `presence` and `peers` are for several processes; with one the service knows everybody itself.
    `latest_login`: of the cluster. `heir`: of which im processes (im_service.context.Ports); alone: of all.
    `root`: the key that its clients pin, "" while none is known.
    """

    def __init__(
        self,
        settings: Settings,
        downlink: Downlink,
        *,
        presence: Presence | None = None,
        peers: PeersPort | None = None,
        push: PushPort | None = None,
        latest_login: Callable[[], int] = lambda: 0,
        root: Callable[[], str] = lambda: "",
        callbacks: CallbackPort | None = None,
        engines: Engines | None = None,
        heir: Callable[[int], bool] = lambda node: True,
    ) -> None:
        self._settings = settings
        self._store = make_store(settings)
        self._replays = ReplayKeeper(self._store, SystemClock())
        node = settings.server.node_id
        self.moderation = Moderation(SystemClock())
        ports = Ports(
            downlink,
            peers=peers or NoPeers(),
            presence=presence,
            node=node,
            moderation=self.moderation,
            latest_session=lambda: ((latest_login() + 1) << NODE_BITS) - 1,
            text_engine=None if engines is None else engines.text,
            media_engine=None if engines is None else engines.media,
            callback=None if callbacks is None else MessageCallback(callbacks),
            call_callback=None if callbacks is None else CallCallback(callbacks),
            push=push,
            heir=heir,
        )
        self.service = ImService(self._store, ports, settings.im.service)
        seen = settings.server.data_dir / STORE_SEEN_FILE
        self._watch = StoreWatch(self._store, seen, SystemClock(), latest_login)
        self._served: dict[str, Callable[[], Awaitable[object]]] = {}
        self._asked: dict[str, Callable[[Args | msgspec.Raw], Awaitable[object]]] = {}
        self._root = root
        self._pinned = False
        self._other_root: str | None = None
        self._started = False
        self._until = 0.0  # of what is accepted to be finished
        self._store_stats: Mapping[str, float] = {}
        self._stats_problem: str | None = None

    async def start(self) -> None:
        if self._settings.store.kind == "sqlite":
            folder = self._settings.server.data_dir
            await refuse_lost(self._store, folder / STORE_FILE, folder / STORE_SEEN_FILE)
        await self._store.start()
        self._started = True
        await self._watch.start()
        await self.service.start()
        await self.tick()

    async def stop(self, grace_s: float) -> None:
        """Finish what was accepted, close the store. StoreUnavailable when it does not answer in time."""
        if not self._started:
            return
        self._started = False
        finishing = asyncio.create_task(self._finish())
        done, _ = await asyncio.wait({finishing}, timeout=self._seconds_left())
        if not done:
            raise StoreUnavailable(
                f"the store did not answer within {STOP_S:.0f} s: sends and calls under way are not finished;"
                " none of them was acknowledged"
            )
        finishing.result()

    async def settle(self) -> None:
        """Answer what was accepted, while there is somebody to hear it; `stop` has what this leaves of its
        time. A store that does not answer is told by `stop`."""
        if self._started:
            await asyncio.wait({asyncio.create_task(self.service.settle())}, timeout=self._seconds_left())

    def _seconds_left(self) -> float:
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + STOP_S
        return max(0.0, self._until - now)

    async def _finish(self) -> None:
        await self._watch.stop()
        await self.service.stop()
        await self._store.stop()

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        if method in self._replays.handles:
            return await self._replays.call(method, arguments)
        if (served := self._served.get(method)) is not None:
            return await served()
        if (asked := self._asked.get(method)) is not None:
            return await asked(arguments)
        if method == LIVE:
            return live_devices(arguments, self.service.sessions.devices_here)
        try:
            return await self.service.invoke(method, arguments, user)
        except OverflowError:
            # Seconds that no longer fit a time in milliseconds, and the like.
            raise ImError(Code.INVALID, "a number is out of bounds") from None

    def serve(self, method: str, answer: Callable[[], Awaitable[object]]) -> None:
        """What other processes may ask this one for, and what is no method of the message service."""
        self._served[method] = answer

    def serve_asked(self, method: str, answer: Callable[[Args | msgspec.Raw], Awaitable[object]]) -> None:
        """The same, where the answer depends on what is asked."""
        self._asked[method] = answer

    @property
    def store(self) -> Store:
        return self._store

    @property
    def incarnation(self) -> bytes:
        """Of the store; clients hear it at login."""
        return self._watch.incarnation

    @property
    def past_logins(self) -> int:
        """No login before this start was later (gateway/session_ids.py)."""
        return self._watch.past_logins

    async def tick(self) -> None:
        """Ask the store for its numbers; the answer serves /metrics until the next time."""
        try:
            async with asyncio.timeout(STATS_S):
                self._store_stats = await self._store.stats()
                if not self._pinned and (root := self._root()):
                    self._other_root = await self._pin(root)
                    self._pinned = True
            self._stats_problem = None
        except (StoreError, TimeoutError) as error:
            self._stats_problem = str(error) or "the store does not answer"

    async def _pin(self, root: str) -> str | None:
        """Note the root key in the store; what is to be told where it had another."""
        number = _number_of(root)
        before = await self._store.pin(number)
        if before in (0, 1, number):
            return None
        told = (
            f"the clients of this store pinned another root key than {root[:16]}…: they refuse this server."
            " Put the old `keys` folder back, or give every client this key"
        )
        _log.error("the root key is not that of the store's clients", root=root)
        return told

    def _moderation_stats(self) -> Mapping[str, object]:
        return {**self.moderation.stats(), **self.service.decisions.stats()}

    def remarks(self) -> Mapping[str, Check]:
        """Whether the root key is that of the store's clients, until this process ends."""
        return {"root_of_store": lambda: self._other_root}

    def checks(self) -> Mapping[str, Check]:
        """The store: the last commit worked, a commit of the watch a moment ago, and so did reading."""
        return {"store": self.problem}

    def problem(self) -> str | None:
        return self._watch.problem() or self._stats_problem

    def sources(self) -> Mapping[str, Source]:
        return {
            "service": self.service.stats,
            "store": lambda: self._store_stats,
            "moderation": self._moderation_stats,
        }


def _number_of(root: str) -> int:
    """A number of this root key, above 1, as a row takes it."""
    return int.from_bytes(hashlib.sha256(root.encode()).digest()[:7], "big") + 2


def make_store(settings: Settings) -> Store:
    """The store, not started. Raises nothing that touches the disk."""
    if settings.store.kind == "postgres":
        from im_service.storage.postgres.store import PostgresStore

        return PostgresStore(settings.store.url.reveal())
    from im_service.storage.sqlite.store import SqliteStore

    return SqliteStore(settings.server.data_dir / STORE_FILE)
