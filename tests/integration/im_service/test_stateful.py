"""Random users, devices, groups, recalls, mutes, drops and reconnects against a simple model.

After every step each logged-in device must show what the model says, whether it stayed or was away: the same
messages in the same order, none twice, the same tombstones, edits, deletions, quick comments, watermarks,
relations, unread counts and receipts. QIANWAN_SHRINK looks for the shortest failing one (slow: every try is
a store of its own).
"""

from __future__ import annotations

import os
import random
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from tests.support.im_client import DeviceClient
from tests.support.im_model import Membership, ModelConversation, ModelMessage
from tests.support.im_stage import DEVICES, USERS, Stage

GROUPS = ("team", "club")

users = st.sampled_from(USERS)
devices = st.sampled_from([d for d, _ in DEVICES])
groups = st.sampled_from(GROUPS)
option_sets = st.sampled_from(
    [None, None, {"badge": False}, {"sendersync": False}, {"onlineOnly": True}, {"push": False}]
)
group_option_sets = option_sets | st.just({"receipt": True}) | st.builds(
    lambda ids, inclusive: {"target": {"ids": ids, "inclusive": inclusive}},
    st.lists(users, min_size=1, unique=True), st.booleans(),
)  # fmt: skip


class Talk(Stage):
    """People who talk; every rule is one thing somebody does."""

    @initialize()
    def begin(self) -> None:
        async def work() -> None:
            for group in GROUPS:
                args = {"group": group, "owner": USERS[0], "members": list(USERS[1:2]), "join": "free"}
                await self.world.invoke("group.create", args)
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
        expected = self.expected(talk, user, blocked)
        assert code == expected, (code, expected, payload)
        if code not in (0, 7101):
            return
        seq = payload[1]["seq"] if code else payload[1]
        asked = options or {}
        if not asked.get("onlineOnly"):
            badge, sync = asked.get("badge", True), asked.get("sendersync", True)
            talk.add(ModelMessage(0, user, client.device, text, badge, sync, blocked=blocked))
            talk.log[-1].sent_ms = self.world.clock.ms
            talk.log[-1].receipt = asked.get("receipt", False)
            if "target" in asked:
                talk.log[-1].target = frozenset(asked["target"]["ids"]), asked["target"]["inclusive"]
            assert seq == len(talk.log)
            if twice:
                assert (code, payload) == await client.person.send(
                    target, text, options=options, client_id=text
                )
        client.said(talk.name, seq, text)
        await self.look()

    @rule(user=users, mode=st.sampled_from(["both", "both", "receiver", "silent"]), data=st.data())
    def recall(self, user: str, mode: str, data: st.DataObject) -> None:
        picked = self.pick(user, data, mine=True)
        if picked is None:
            return
        person, _, talk, message = picked
        late = mode == "both" and self.world.clock.ms - message.sent_ms > 120_000
        args = {"conversation": talk.name, "seq": message.seq, "mode": mode}

        async def work() -> None:
            if mode == "silent":
                assert (await self.world.invoke("recall", args))["changed"]
            else:
                assert (await person.call("recall", **args))[0] == (508 if late else 0)
            if not late and talk.takes_back(message, mode):
                talk.revise(message)
            await self.look()

        self.run(work())

    @rule(user=users, data=st.data())
    def edit(self, user: str, data: st.DataObject) -> None:
        picked = self.pick(user, data, mine=True)
        if picked is None:
            return
        person, _, talk, message = picked
        self.numbers += 1
        body = {"text": f"e{self.numbers}"}
        peers = [other for other in talk.members if other != user]
        blocked = talk.name.startswith("s/") and (peers[0], user) in self.black

        async def work() -> None:
            code, _ = await person.call("edit", conversation=talk.name, seq=message.seq, body=body)
            assert code == self.expected(talk, user, blocked)
            if not code:
                message.text = body["text"]
                talk.revise(message)
            await self.look()

        self.run(work())

    @rule(user=users, kind=st.sampled_from(["+1", "heart"]), data=st.data())
    def react(self, user: str, kind: str, data: st.DataObject) -> None:
        picked = self.pick(user, data, mine=False)
        if picked is None:
            return
        person, client, talk, message = picked
        on = (user, kind) not in message.reactions
        args = {"conversation": talk.name, "seq": message.seq, "kind": kind, "on": on}

        async def work() -> None:
            peers = set(talk.members) - {user} if talk.name.startswith("s/") else set()
            blocked = any((peer, user) in self.black for peer in peers)
            if on and (refusal := self.expected(talk, user, blocked)):
                assert (await person.call("react", **args))[0] == refusal
                return
            assert (await person.ok("react", **args))["changed"]
            message.reactions.symmetric_difference_update({(user, kind)})
            client.heard("reaction", {**args, "user": user})
            await self.look()

        self.run(work())

    @rule(user=users, data=st.data())
    def delete(self, user: str, data: st.DataObject) -> None:
        """For oneself, whichever of the other devices are there."""
        picked = self.pick(user, data, mine=False)
        if picked is None:
            return
        person, _, talk, message = picked

        async def work() -> None:
            found = await person.ok("delete", conversation=talk.name, seqs=[message.seq])
            assert found["deleted"] == 1
            message.hidden.add(user)
            talk.notice("delete", user, control=True)
            await self.look()

        self.run(work())

    @rule(user=users, group=groups)
    def report(self, user: str, group: str) -> None:
        """Everything there is, the messages of others that ask for it among it."""
        client, talk = self.live(user), self.group(group)
        if client is None or client.person is None or not self.inside(talk, user):
            return
        person = client.person

        async def work() -> None:
            seqs = [message.seq for message in talk.log][-50:]
            await person.ok("receipt.report", conversation=talk.name, seqs=seqs)
            for message in talk.log[-50:]:
                message.readers |= talk.awaited(message) & {user}
            await self.look()

        self.run(work())

    @rule(user=users, clears=st.booleans(), data=st.data())
    def read_or_clear(self, user: str, clears: bool, data: st.DataObject) -> None:
        client = self.live(user)
        talks = [talk for talk in self.talks.values() if self.inside(talk, user) and talk.log]
        if client is None or client.person is None or not talks:
            return
        talk = data.draw(st.sampled_from(talks))
        seq = data.draw(st.integers(1, len(talk.log)))
        person = client.person

        async def work() -> None:
            if clears and seq % 3 == 0:
                await person.ok("conversation.clear", conversation=talk.name, up_to_seq=seq)
                talk.cleared[user] = max(talk.cleared.get(user, 0), seq)
                client.heard("cleared", {"conversation": talk.name, "min_seq": seq + 1})
            else:
                await person.ok("read", conversation=talk.name, seq=seq)
                client.heard("read", {"conversation": talk.name, "seq": seq})
            talk.read[user] = max(talk.read.get(user, 0), seq)
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
            client.heard("relation", {"user": other, "black": on})
            self.black.symmetric_difference_update({(user, other)})
            self.parted.add(frozenset((user, other)))
            for talk in self.talks.values():
                talk.parted |= talk.name.startswith("s/") and {user, other} == set(talk.members)
            await self.look()

        self.run(work())

    @rule(user=users, group=groups)
    def come_or_go(self, user: str, group: str) -> None:
        client, talk = self.live(user), self.group(group)
        if client is None or client.person is None or user == talk.owner or talk.dismissed:
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
            if talk.dismissed:
                return
            if user == talk.owner:
                talk.mute_all = not talk.mute_all
                await self.world.invoke("group.mute_all", {"group": group, "on": talk.mute_all})
                talk.notice("group.mute_all", "@system")
            elif member is not None and member.active:
                await self.world.invoke("group.mute", {"group": group, "user": user, "seconds": seconds})
                until = self.world.clock.ms + seconds * 1000 if seconds else 0
                if until != member.muted_until:
                    member.muted_until = until
                    talk.notice("group.mute", "@system")
            await self.look()

        self.run(work())

    @rule(rarely=st.integers(0, 9))
    def dismiss(self, rarely: int) -> None:
        talk = self.group("club")

        async def work() -> None:
            if rarely or talk.dismissed:
                return
            await self.world.invoke("group.dismiss", {"group": "club"})
            talk.notice("group.dismiss", "@system")
            talk.dismissed = True
            for member in talk.members.values():
                if member.active:
                    member.active, member.until = False, len(talk.log)
            await self.look()

        self.run(work())


def test_every_device_shows_what_the_model_says(engine: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else None
    seed = random.randrange(1 << 32)
    examples = int(os.environ.get("QIANWAN_EXAMPLES", "4" if server else "12"))
    phases = [Phase.generate, *([Phase.shrink] if "QIANWAN_SHRINK" in os.environ else [])]
    print(f"seed {seed}")
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
