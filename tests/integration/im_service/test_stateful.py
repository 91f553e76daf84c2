"""Random users, devices, groups, recalls, mutes, drops and reconnects against a simple model.

After every step each logged-in device must show what the model says: the same messages in the same
order, none twice, the same tombstones, unread counts and receipts. The seed is printed; QIANWAN_SEED
repeats a run, QIANWAN_SHRINK looks for the shortest failing one (slow: every try is a store of its
own).
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from im_service.ids import single
from im_service.limits import Rate, Settings
from tests.support.im_client import DeviceClient
from tests.support.im_model import Membership, ModelConversation, ModelMessage
from tests.support.im_world import on_postgres, open_world
from tests.support.postgres_server import PostgresServer

USERS = ("ann", "ben", "cat")
DEVICES = (("phone", 1), ("desk", 4))
GROUPS = ("team", "club")
FREE = Rate(0)
T = TypeVar("T")

users = st.sampled_from(USERS)
devices = st.sampled_from([d for d, _ in DEVICES])
groups = st.sampled_from(GROUPS)
option_sets = st.sampled_from(
    [None, None, {"badge": False}, {"sendersync": False}, {"onlineOnly": True}, {"push": False}]
)
group_option_sets = option_sets | st.builds(
    lambda ids, inclusive: {"target": {"ids": ids, "inclusive": inclusive}},
    st.lists(users, min_size=1, unique=True), st.booleans(),
)  # fmt: skip


class Talk(RuleBasedStateMachine):
    """People who talk; every rule is one thing somebody does."""

    server: PostgresServer | None = None  # None: SQLite

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        if self.server is not None:
            self.run(on_postgres(Path(self.folder.name), self.server))
        limits = Settings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE, call_rate=FREE)
        self.world = self.run(self.stack.enter_async_context(open_world(Path(self.folder.name), limits)))
        self.clients = {
            (user, device): DeviceClient(self.world, user, device, platform)
            for user in USERS
            for device, platform in DEVICES
        }
        self.talks: dict[str, ModelConversation] = {}
        self.black: set[tuple[str, str]] = set()
        self.numbers = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    # -- helpers

    def live(self, user: str) -> DeviceClient | None:
        return next((c for (u, _), c in self.clients.items() if u == user and c.person), None)

    def talk(self, a: str, b: str) -> ModelConversation:
        name = single(a, b)
        if name not in self.talks:
            self.talks[name] = ModelConversation(name, {a: Membership(), b: Membership()})
        return self.talks[name]

    def group(self, name: str) -> ModelConversation:
        return self.talks["g/" + name]

    async def look(self) -> None:
        """Compare every live device with the model."""
        await self.world.settle()
        self.world.clock.advance(1000)
        for (user, device), client in self.clients.items():
            if client.person is None:
                continue
            await client.take()
            for name, talk in self.talks.items():
                expected = talk.shows(user, device)
                shown = dict(client.screen.get(name, {}))
                shown.update(
                    {seq: expected[seq] for seq in talk.untold(user) if seq in shown and seq in expected}
                )
                assert list(dict(sorted(shown.items())).items()) == list(expected.items()), (
                    user,
                    device,
                    name,
                )
            counts = (await client.person.ok("unread"))["conversations"]
            for name, talk in self.talks.items():
                if user in talk.members and talk.members[user].active:
                    assert counts.get(name, 0) == talk.unread(user), (user, name)
            singles = [n for n, t in self.talks.items() if n.startswith("s/") and user in t.members and t.log]
            if singles:
                found = (await client.person.ok("receipts", conversations=singles))["receipts"]
                for name in singles:
                    peer = next(u for u in self.talks[name].members if u != user)
                    assert found.get(name, 0) == self.talks[name].read.get(peer, 0), (user, name)

    # -- what people do

    @initialize()
    def begin(self) -> None:
        async def work() -> None:
            for group in GROUPS:
                args = {"group": group, "owner": USERS[0], "members": list(USERS[1:2]), "join": "free"}
                await self.world.im.invoke("group.create", args)
                members = {user: Membership() for user in USERS[:2]}
                self.talks["g/" + group] = ModelConversation("g/" + group, members, owner=USERS[0])
                self.group(group).notice("group.create", "@system")
            for user in USERS:
                await self.clients[user, "phone"].login()
                await self.clients[user, "desk"].login()
            await self.look()

        self.run(work())

    @rule(user=users, device=devices)
    def login(self, user: str, device: str) -> None:
        async def work() -> None:
            await self.clients[user, device].login()
            await self.look()

        self.run(work())

    @rule(user=users, device=devices, told=st.booleans())
    def drop(self, user: str, device: str, told: bool) -> None:
        async def work() -> None:
            await self.clients[user, device].take()
            await self.clients[user, device].drop(told)
            await self.look()

        self.run(work())

    @rule(user=users, other=users, options=option_sets, twice=st.booleans())
    def send_single(self, user: str, other: str, options: dict[str, Any] | None, twice: bool) -> None:
        client = self.live(user)
        if client is None or user == other:
            return
        blocked = (other, user) in self.black
        self.run(self._send(client, "u/" + other, self.talk(user, other), options, twice, blocked))

    @rule(user=users, group=groups, options=group_option_sets, twice=st.booleans())
    def send_group(self, user: str, group: str, options: dict[str, Any] | None, twice: bool) -> None:
        client = self.live(user)
        if client is not None:
            self.run(self._send(client, "g/" + group, self.group(group), options, twice, False))

    async def _send(
        self, client: DeviceClient, target: str, talk: ModelConversation, options: dict[str, Any] | None,
        twice: bool, blocked: bool,
    ) -> None:  # fmt: skip
        assert client.person is not None
        self.numbers += 1
        text, user = f"m{self.numbers}", client.user
        code, payload = await client.person.send(target, text, options=options, client_id=text)
        expected = self._expected(talk, user, blocked)
        assert code == expected, (code, expected, payload)
        if code not in (0, 7101):
            return
        seq = payload[1]["seq"] if code else payload[1]
        asked = options or {}
        if not asked.get("onlineOnly"):
            badge, sync = asked.get("badge", True), asked.get("sendersync", True)
            talk.add(ModelMessage(0, user, client.device, text, badge, sync, blocked=blocked))
            talk.log[-1].sent_ms = self.world.clock.ms
            if "target" in asked:
                talk.log[-1].target = frozenset(asked["target"]["ids"]), asked["target"]["inclusive"]
            assert seq == len(talk.log)
            if twice:
                assert (code, payload) == await client.person.send(
                    target, text, options=options, client_id=text
                )
        client.said(talk.name, seq, text)
        await self.look()

    def _expected(self, talk: ModelConversation, user: str, blocked: bool) -> int:
        if talk.name.startswith("g/"):
            member = talk.members.get(user)
            if member is None or not member.active:
                return 802
            if member.muted_until > self.world.clock.ms or (talk.mute_all and user != talk.owner):
                return 423
        return 7101 if blocked else 0

    @rule(user=users, data=st.data())
    def recall(self, user: str, data: st.DataObject) -> None:
        client = self.live(user)
        choices = [
            (talk, m)
            for talk in self.talks.values()
            for m in talk.log
            if m.sender == user and m.device and not m.recalled and user in talk.members
            and talk.members[user].active
        ]  # fmt: skip
        if client is None or client.person is None or not choices:
            return
        talk, message = data.draw(st.sampled_from(choices))
        late = self.world.clock.ms - message.sent_ms > 120_000
        person = client.person

        async def work() -> None:
            code, _ = await person.call("recall", conversation=talk.name, seq=message.seq)
            assert code == (508 if late else 0)
            if not late:
                message.recalled = True
                talk.add(
                    ModelMessage(0, user, "", "recall", badge=False, control=True, blocked=message.blocked)
                )
                message.recall_seq = len(talk.log)
            await self.look()

        self.run(work())

    @rule(user=users, data=st.data())
    def read_or_delete(self, user: str, data: st.DataObject) -> None:
        client = self.live(user)
        talks = [t for t in self.talks.values() if user in t.members and t.members[user].active and t.log]
        if client is None or client.person is None or not talks:
            return
        talk = data.draw(st.sampled_from(talks))
        message = data.draw(st.sampled_from(talk.log))
        deletes = data.draw(st.booleans()) and bool(message.device)
        person = client.person

        async def work() -> None:
            if deletes and all(c.person for (u, _), c in self.clients.items() if u == user):
                await person.ok("delete", conversation=talk.name, seqs=[message.seq])
                message.hidden.add(user)
                client.screen.get(talk.name, {}).pop(message.seq, None)
            else:
                await person.ok("read", conversation=talk.name, seq=message.seq)
                talk.read[user] = max(talk.read.get(user, 0), message.seq)
            await self.look()

        self.run(work())

    @rule(user=users, other=users)
    def blacklist(self, user: str, other: str) -> None:
        client = self.live(user)
        if client is None or client.person is None or user == other:
            return
        on = (user, other) not in self.black
        person = client.person

        async def work() -> None:
            await person.ok("relation.black", user=other, on=on)
            self.black.symmetric_difference_update({(user, other)})
            await self.look()

        self.run(work())

    @rule(user=users, group=groups)
    def come_or_go(self, user: str, group: str) -> None:
        client, talk = self.live(user), self.group(group)
        if client is None or client.person is None or user == talk.owner:
            return
        person = client.person

        async def work() -> None:
            member = talk.members.get(user)
            if member is not None and member.active:
                await person.ok("group.leave", group=group)
                talk.notice("group.leave", user)
                member.active, member.until = False, len(talk.log)
            else:
                await person.ok("group.join", group=group)
                talk.read[user] = len(talk.log)
                talk.members[user] = Membership(joined=len(talk.log))
                talk.notice("group.join", user)
                for (owner, _), other in self.clients.items():
                    if owner == user and other.person is not None:
                        await other.sync()
            await self.look()

        self.run(work())

    @rule(user=users, group=groups, seconds=st.sampled_from([0, 3, 60]))
    def mute(self, user: str, group: str, seconds: int) -> None:
        talk = self.group(group)
        member = talk.members.get(user)

        async def work() -> None:
            if user == talk.owner:
                talk.mute_all = not talk.mute_all
                await self.world.im.invoke("group.mute_all", {"group": group, "on": talk.mute_all})
                talk.notice("group.mute_all", "@system")
            elif member is not None and member.active:
                await self.world.im.invoke("group.mute", {"group": group, "user": user, "seconds": seconds})
                member.muted_until = self.world.clock.ms + seconds * 1000 if seconds else 0
                talk.notice("group.mute", "@system")
            await self.look()

        self.run(work())


def test_every_device_shows_what_the_model_says(engine: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else None
    seed = int(os.environ.get("QIANWAN_SEED", random.SystemRandom().randrange(1 << 32)))
    examples = int(os.environ.get("QIANWAN_EXAMPLES", "4" if server else "12"))
    phases = [Phase.generate, *([Phase.shrink] if "QIANWAN_SHRINK" in os.environ else [])]
    print(f"seed {seed}: QIANWAN_SEED={seed} repeats this run")
    run_state_machine_as_test(
        hypothesis.seed(seed)(type("Talk", (Talk,), {"server": server})),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=phases,
        ),
    )
