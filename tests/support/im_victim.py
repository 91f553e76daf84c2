"""A whole IM service under random operations of everything it can do, saying what was answered, to be killed.

python -m tests.support.im_victim FOLDER SEED
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from im_service.rates import Rate
from im_service.sending.hooks import Action, Draft, Verdict
from im_service.settings import EventCopy, ImSettings
from tests.support.im_world import Person, World, open_world
from tests.support.store_kit import last_seq

USERS = tuple(f"u{n}" for n in range(5))
GROUPS = ("free", "asks")
CALM = "calm"
"""A group whose members stay the same and may all invite; who is invited is asked first."""
ROOM = "hall"
FREE = Rate(0)
SETTINGS = ImSettings(
    account_rate=FREE, device_rate=FREE, conversation_rate=FREE, call_rate=FREE, group_members=5000,
    groups_per_user=5000, friends_max=100_000, room_queue=100_000,
    friend_consent="free", group_consent="free", hold_ms=500,
    copy=EventCopy(record=("account", "receipt", "relation", "room", "session", "unkept", "moderation")),
)  # fmt: skip


def say(*words: object) -> None:
    """One line per acknowledged operation, out before the next thing happens."""
    print(*words, flush=True)


class Hand:
    """One user's phone doing one random thing after the other."""

    def __init__(self, world: World, me: Person, seed: int) -> None:
        self.world, self.me, self.rng = world, me, random.Random(seed)
        self.number = seed * 1_000_000
        self.moves: list[Callable[[str], Awaitable[None]]] = [
            self.send, self.send, self.send, self.create, self.come_or_go, self.decide, self.rule,
            self.recall, self.edit, self.react, self.relate, self.befriend, self.room, self.queue,
            self.device, self.read, self.report, self.account, self.dismiss, self.profile, self.delete,
            self.clear, self.invite, self.broadcast, self.part, self.room_settings, self.close_room,
            self.judge, self.judge,
        ]  # fmt: skip
        self.reported = -1

    async def live(self) -> None:
        while True:
            self.number += 1
            self.world.clock.ms = time.time_ns() // 1_000_000
            await self.rng.choice(self.moves)(f"{self.number}")

    async def done(self, method: str, *words: object, **args: Any) -> Any:
        """Call; if it succeeds say `words`. -> the result, None when it was refused."""
        code, result = await self.me.call(method, **args)
        if code:
            assert code not in (400, 500, 503), (method, args, code, result)
            return None
        if words:
            say(*words)
        return result

    async def server(self, method: str, *words: object, **args: Any) -> Any:
        result = await self.world.invoke(method, args)
        say(*words)
        return result

    def somebody(self) -> str:
        return self.rng.choice([user for user in USERS if user != self.me.user])

    def talk(self) -> str:
        a, b = sorted((self.me.user, self.somebody()))
        return self.rng.choice([f"s/{a}:{b}", f"s/{a}:{b}", "g/free", "g/" + CALM])

    async def seq(self, talk: str) -> int:
        last = await last_seq(self.world.store, talk)
        return self.rng.randrange(max(1, last - 30), last + 2)

    async def send(self, number: str) -> None:
        talk = self.talk()
        target = talk if talk[0] == "g" else "u/" + talk[2:].replace(self.me.user, "").strip(":")
        options = {"receipt": True} if talk[0] == "g" else None
        code, answer = await self.me.send(target, number, options=options, client_id=number)
        if not code:
            say("sent", talk, number, answer[1])

    async def create(self, number: str) -> None:
        args = {"group": "n" + number, "members": [self.somebody()]}
        await self.done("group.create", "created", "n" + number, self.me.user, args["members"][0], **args)

    async def dismiss(self, number: str) -> None:
        name, member = "d" + number, self.somebody()
        words = (name, self.me.user, member)
        if await self.done("group.create", "opened", *words, group=name, members=[member]):
            say("dismissing", name)
            await self.done("group.dismiss", "dismissed", name, group=name)

    async def profile(self, number: str) -> None:
        await self.done("profile.set", nick=number, sign=number)

    async def come_or_go(self, number: str) -> None:
        name = self.rng.choice(GROUPS)
        if not await self.done("group.leave", "left", name, self.me.user, group=name):
            await self.done("group.join", group=name)

    async def decide(self, number: str) -> None:
        page = await self.world.invoke("group.requests", {"group": "asks"})
        for request in page["requests"][:1]:
            accept = self.rng.random() < 0.7
            args = {"group": "asks", "id": request["id"], "accept": accept}
            code = await self.world.attempt("group.decide", args)
            if not code:
                say("decided", request["id"], request["user"], int(accept))

    async def rule(self, number: str) -> None:
        name, user = self.rng.choice(GROUPS), self.rng.choice(USERS)
        pair = self.rng.sample(USERS, 2)
        ways: list[tuple[str, dict[str, Any]]] = [
            ("group.mute", {"user": user, "seconds": self.rng.randrange(1, 10**9)}),
            ("group.mute_all", {"on": self.rng.random() < 0.2}),
            ("group.transfer", {"user": user}),
            ("group.role", {"users": pair, "role": self.rng.choice(["manager", "member"])}),
            ("group.kick", {"users": [user]}),
            ("group.nick", {"user": user, "nick": number}),
            ("group.update", {"name": number}),
        ]
        method, args = self.rng.choice(ways)
        if not await self.world.attempt(method, {"group": name, **args}):
            say("ruled", name, method)

    async def recall(self, number: str) -> None:
        """For everybody, for the receivers, or without a trace (which is the server's, and would take group
        notices too)."""
        talk = self.talk()
        mode = self.rng.choice(["both", "receiver", "silent" if talk[0] == "s" else "both"])
        args = {"conversation": talk, "seq": await self.seq(talk), "mode": mode}
        if mode != "silent":
            found = await self.done("recall", **args)
            if found and found["changed"]:
                say(mode, talk, args["seq"])
        elif not await self.world.attempt("recall", args):
            say(mode, talk, args["seq"])

    async def judge(self, number: str) -> None:
        """Of what is held somebody decides, or time does."""
        page = await self.world.invoke("moderation.queue", {"limit": 20})
        if not page["items"]:
            return
        review = self.rng.choice(page["items"])["id"]
        verdict = self.rng.choice(["pass", "reject"])
        if not await self.world.attempt("moderation.decide", {"id": review, "verdict": verdict, "by": "mia"}):
            say("judged", review, verdict)

    async def delete(self, number: str) -> None:
        talk = self.talk()
        last = await last_seq(self.world.store, talk)
        seqs = list(range(max(1, last - self.rng.randrange(20)), last + 1))[:3]
        if not seqs:
            return  # seq 1 may come between the look-up and the change: deleted is what was there
        await self.done("delete", "deleted", self.me.user, talk, *seqs, conversation=talk, seqs=seqs)

    async def clear(self, number: str) -> None:
        talk = self.talk()
        if self.rng.random() < 0.2 and talk[0] == "s":
            up_to = await self.seq(talk)
            found = await self.done("conversation.clear", conversation=talk, up_to_seq=up_to)
            if found:
                say("cleared", self.me.user, talk, found["min_seq"])

    async def edit(self, number: str) -> None:
        talk = self.talk()
        seq = await self.seq(talk)
        await self.done("edit", "edited", talk, seq, conversation=talk, seq=seq, body={"text": number})

    async def react(self, number: str) -> None:
        talk = self.talk()
        seq, me = await self.seq(talk), self.me.user
        await self.done("react", "reacted", talk, seq, me, number, conversation=talk, seq=seq, kind=number)

    async def relate(self, number: str) -> None:
        other = "x" + number
        method = self.rng.choice(["relation.black", "relation.mute"])
        await self.done(method, method, self.me.user, other, user=other)

    async def befriend(self, number: str) -> None:
        me, other = self.me.user, "f" + number
        if self.rng.random() < 0.5:
            await self.done("friend.add", "friends", me, other, user=other)
            return
        asked = await self.world.invoke("friend.request", {"user": me}, other)
        accept = self.rng.random() < 0.7
        words = ("friends", me, other) if accept else ("refused", me, other)
        await self.done("friend.decide", *words, id=asked["id"], accept=accept)

    async def room(self, number: str) -> None:
        user = "r" + number
        ways: list[tuple[str, dict[str, Any]]] = [
            ("room.mute", {"user": user}), ("room.black", {"user": user}),
            ("room.role", {"user": user, "role": "manager"}),
        ]  # fmt: skip
        method, args = self.rng.choice(ways)
        await self.server(method, "room", method, user, room=ROOM, **args)

    async def queue(self, number: str) -> None:
        key = "k" + number
        await self.server("room.queue.put", "put", key, room=ROOM, key=key, value=number)
        if self.rng.random() < 0.5:
            say("taking", key)
            await self.server("room.queue.poll", "taken", key, room=ROOM, key=key)

    async def device(self, number: str) -> None:
        other = await self.world.login(self.me.user, "d" + number, 4)
        await other.ok("time")
        say("device", self.me.user, "d" + number)
        await other.logout()

    async def read(self, number: str) -> None:
        talk = self.talk()
        found = await self.done("read", conversation=talk, seq=await self.seq(talk))
        if found:
            say("read", self.me.user, talk, found["seq"])

    async def report(self, number: str) -> None:
        """Each message once: a receipt that is there came with this report."""
        talk = "g/" + CALM
        last = await last_seq(self.world.store, talk)
        seqs = list(range(self.reported + 1, last + 1))[:50] if self.reported >= 0 else []
        self.reported = seqs[-1] if seqs else last
        if seqs:
            say("reporting", self.me.user, *seqs)
            await self.done("receipt.report", "reported", self.me.user, *seqs, conversation=talk, seqs=seqs)

    async def invite(self, number: str) -> None:
        users = [f"i{number}{letter}" for letter in "abc"]
        say("inviting", *users)
        await self.done("group.invite", "invited", *users, group=CALM, users=users)

    async def broadcast(self, number: str) -> None:
        args = {"body": {"text": number}, "lifetime_s": 86_400}
        found = await self.world.invoke("broadcast", args)
        say("broadcast", found["id"], number)

    async def part(self, number: str) -> None:
        me, other = self.me.user, "p" + number
        await self.done("friend.add", "named", me, other, user=other)
        await self.done("friend.alias", user=other, alias=number, ext=number)
        await self.done("friend.remove", "parted", me, other, user=other)

    async def room_settings(self, number: str) -> None:
        ways: list[tuple[str, dict[str, Any]]] = [
            ("room.attributes", {"put": {"a": number, "b": number}}),
            ("room.update", {"name": number, "announcement": number}),
            ("room.mute_tag", {"tag": "t" + number}),
        ]  # fmt: skip
        method, args = self.rng.choice(ways)
        if not await self.world.attempt(method, {"room": ROOM, **args}) and "tag" in args:
            say("tag", args["tag"])

    async def close_room(self, number: str) -> None:
        name = "c" + number
        await self.server("room.create", "room_made", name, room=name, owner=self.me.user)
        say("closing", name)
        await self.server("room.close", "closed", name, room=name)

    async def account(self, number: str) -> None:
        user = "a" + number
        await self.server("account.mute", "account", user, user=user, single_s=-1, room_s=-1)


class Suspicious:
    """Holds one of a few messages of single chats."""

    instant = True

    def wants(self, kind: str, type: int) -> bool:
        return kind == "s"

    def judge(self, draft: Draft) -> Verdict:
        return Verdict(Action.HOLD, rule="third") if int(draft.client_id) % 3 == 0 else Verdict()


async def main(folder: Path, seed: int) -> None:
    async with open_world(folder, SETTINGS, callback=Suspicious()) as world:
        world.clock.ms = time.time_ns() // 1_000_000
        for name, join in zip(GROUPS, ("free", "approval"), strict=True):
            made = {"group": name, "owner": "boss", "members": list(USERS), "join": join}
            await world.attempt("group.create", made)
        calm = {"group": CALM, "owner": USERS[0], "members": list(USERS[1:]), "invite": "all", "agree": True}
        await world.attempt("group.create", calm)
        await world.attempt("room.create", {"room": ROOM, "owner": "boss"})
        hands = [Hand(world, await world.login(user), seed * len(USERS) + n) for n, user in enumerate(USERS)]
        say("ready")
        async with asyncio.TaskGroup() as tasks:
            for hand in hands:
                tasks.create_task(hand.live())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
