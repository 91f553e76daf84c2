"""Qianwan's own server and SDK on a weak network, and the same with what it is for switched off."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import ClassVar, Literal, Self

from qianwan import Client
from qianwan.connection.policy import Policy
from qianwan.connection.supervisor import State, StateChange
from qianwan.rooms import Room

from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE, create_room
from benchmarks.servers import ServerPlan, Servers
from benchmarks.weaknet.system import Person, System, Watch, name_in
from control.keys.data_folder import KEY_FOLDER
from control.keys.server_keys import ServerKeys

LOGIN_S = 120.0
SUITE: Literal["chachapoly"] = "chachapoly"
"""Phones write little: a tag of 16 bytes, where that of AEGIS has 32."""
ROOM = "hall"
SEARCH = Policy(
    adaptive=True, floor_s=2.0, ceiling_s=20.0, step_s=1.0, margin_s=1.0, successes=2, failures=1,
    verify_beats=1, pong_min_s=1.0, pong_max_s=2.0, jitter=0.0,
)  # fmt: skip
"""The policy where seconds stand for half-minutes."""


class Phone(Person):
    """The SDK's client, as applications use it."""

    def __init__(self, user: str, watch: Watch, where: str, root: str, token: str, policy: Policy) -> None:
        super().__init__(user, watch)
        self._client = Client(
            where, token=token, root_key=root, device_id=f"{user}-phone", policy=policy,
            login_timeout_s=LOGIN_S, on_state=self._state, suite=SUITE,
        )  # fmt: skip
        self._tasks: set[asyncio.Task[object]] = set()
        self._rooms: dict[str, Room] = {}
        self._networks = 0

    async def open(self) -> None:
        await self._client.open()
        self._keep(self._read())

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def send(self, to: str, text: str) -> None:
        self._keep(self._client.send(to, text))

    async def join(self, room: str) -> None:
        self._rooms[room] = await self._client.join_room(room)
        self._keep(self._listen(self._rooms[room]))

    def say(self, room: str, text: str) -> None:
        self._keep(self._rooms[room].send(text))

    def network_changed(self) -> None:
        self._networks += 1
        self._client.network_changed("other", name=f"network {self._networks}")

    @property
    def interval_s(self) -> float:
        return self._client.quality.interval_s

    def _keep(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        async for message in self._client.messages():
            if message.sender != self.user:
                self.watch.arrived(name_in(message.text))

    async def _listen(self, room: Room) -> None:
        async for message in room:
            if message.sender != self.user:
                self.watch.arrived(name_in(message.text))

    def _state(self, change: StateChange) -> None:
        if change.state is State.ONLINE and not self.watch.online and self._client.quality.resumed:
            self.watch.resumed += 1
        self.watch.state(change.state is State.ONLINE)


class Qianwan(System):
    """Resume on, the heartbeat as the policy says."""

    name: ClassVar[str] = "qianwan"
    keeps: ClassVar[bool] = True
    holds: ClassVar[bool] = True
    beat_s: ClassVar[float] = 270.0
    gateway: ClassVar[dict[str, object]] = {}

    def __enter__(self) -> Self:
        plan = ServerPlan(
            loops=1, host="0.0.0.0", ping_interval_s=max(5, round(self.interval_s)), gateway=self.gateway,
            core=OPEN_CORE, service=OPEN_SERVICE,
        )  # fmt: skip
        self._servers = Servers(plan).__enter__()
        create_room(self._servers, ROOM)
        self._mint = self._servers.mint()
        self._root = ServerKeys.load(self._servers.folder / "data" / KEY_FOLDER).root.text
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.__exit__(kind, error, trace)

    @property
    def port(self) -> int:
        return self._servers.gateways[0][1]

    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        token, _ = self._mint.mint([user], int(time.time()))
        return Phone(
            user, watch, f"{host}:{self.port}", self._root, token.decode(), SEARCH if searches else Policy()
        )

    def kill_and_start(self, away_s: float) -> None:
        self._servers.kill_and_start(away_s)


class WithoutResume(Qianwan):
    """The ablation: every return is a login and a sync, the interval is fixed."""

    name: ClassVar[str] = "qianwan, no resume, 60 s"
    beat_s: ClassVar[float] = 60.0
    gateway: ClassVar[dict[str, object]] = {"resume": False}

    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        return super().person(user, host, watch)
