"""The stage of the stateful test: people with devices, groups, and the model beside them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from im_service.ids import single
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_client import DeviceClient
from tests.support.im_look import compare
from tests.support.im_model import Membership, ModelConversation, ModelMessage
from tests.support.im_world import Person, on_postgres, open_world
from tests.support.postgres_server import PostgresServer

USERS = ("ann", "ben", "cat")
DEVICES = (("phone", 1), ("desk", 4))
FREE = Rate(0)
T = TypeVar("T")


class Stage(RuleBasedStateMachine):
    """Who is there, what was said, and a look at every device."""

    server: PostgresServer | None = None  # None: SQLite

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        if self.server is not None:
            self.run(on_postgres(Path(self.folder.name), self.server))
        limits = ImSettings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE, call_rate=FREE)
        self.world = self.run(self.stack.enter_async_context(open_world(Path(self.folder.name), limits)))
        self.clients = {
            (user, device): DeviceClient(self.world, user, device, platform)
            for user in USERS
            for device, platform in DEVICES
        }
        self.talks: dict[str, ModelConversation] = {}
        self.black: set[tuple[str, str]] = set()
        self.parted: set[frozenset[str]] = set()  # between whom a blacklist stood once
        self.numbers = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def live(self, user: str) -> DeviceClient | None:
        return next((c for (u, _), c in self.clients.items() if u == user and c.person), None)

    def talk(self, a: str, b: str) -> ModelConversation:
        name = single(a, b)
        if name not in self.talks:
            parted = frozenset((a, b)) in self.parted
            self.talks[name] = ModelConversation(name, {a: Membership(), b: Membership()}, parted=parted)
        return self.talks[name]

    def group(self, name: str) -> ModelConversation:
        return self.talks["g/" + name]

    async def look(self) -> None:
        """Compare every live device with the model."""
        await self.world.settle()
        self.world.clock.advance(1000)
        for (user, _), client in self.clients.items():
            if client.person is not None:
                await compare(client, self.talks, {other for owner, other in self.black if owner == user})

    def pick(
        self, user: str, data: st.DataObject, mine: bool
    ) -> tuple[Person, DeviceClient, ModelConversation, ModelMessage] | None:
        """A living message this user can see, or one of their own; None if there is none or they are away."""
        client = self.live(user)
        found = [
            (talk, m)
            for talk in self.talks.values()
            for m in talk.log
            if m.device and not m.recalled and not m.erased and self.inside(talk, user)
            and (m.sender == user if mine else talk.visible(m, user))
        ]  # fmt: skip
        if client is None or client.person is None or not found:
            return None
        return client.person, client, *data.draw(st.sampled_from(found))

    def inside(self, talk: ModelConversation, user: str) -> bool:
        return user in talk.members and talk.members[user].active

    def expected(self, talk: ModelConversation, user: str, blocked: bool) -> int:
        if talk.dismissed:
            return 803
        if talk.name.startswith("g/"):
            member = talk.members.get(user)
            if member is None or not member.active:
                return 802
            if member.muted_until > self.world.clock.ms or (talk.mute_all and user != talk.owner):
                return 423
        return 7101 if blocked else 0
