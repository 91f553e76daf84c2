"""A small honest client: what one device shows, kept over logins like an app's own database."""

from __future__ import annotations

from typing import Any

from tests.support.im_world import Person, World

TOMBSTONE = "<recalled>"
FILTERED, RECALLED = 4, 1


class DeviceClient:
    """Shows messages by conversation and seq; repairs gaps by pulling; acknowledges what it has."""

    def __init__(self, world: World, user: str, device: str, platform: int) -> None:
        self.world = world
        self.user = user
        self.device = device
        self.platform = platform
        self.person: Person | None = None
        self.screen: dict[str, dict[int, str]] = {}
        self.have: dict[str, int] = {}
        self.fleeting: list[str] = []  # seq 0: shown, never stored
        self._cursor = 0
        self._taken = 0
        self.receipts: dict[str, int] = {}
        self._spoke: set[str] = set()

    async def login(self) -> None:
        """Log in and take everything that changed."""
        self.person = await self.world.login(self.user, self.device, self.platform)
        self._taken = 0
        await self.sync()

    async def sync(self) -> None:
        assert self.person is not None
        more = True
        while more:
            page = await self.person.ok("sync", cursor=self._cursor, limit=3)
            for conversation, last_seq, _, min_seq, acked, *_ in page["conversations"]:
                start = max(self.have.get(conversation, 0), acked, min_seq - 1) + 1
                await self._pull(conversation, start, last_seq)
            self._cursor, more = page["cursor"], page["more"]

    async def _pull(self, conversation: str, start: int, end: int) -> None:
        assert self.person is not None
        more = start <= end
        while more:
            page = await self.person.ok(
                "pull", conversation=conversation, from_seq=start, to_seq=end, limit=2
            )
            for message in page["messages"]:
                assert message[1] >= start, "messages come in order"
                self._show(message)
                start = message[1] + 1
            more = page["more"]
        self.have[conversation] = max(self.have.get(conversation, 0), end)
        await self.person.ok("ack", acks={conversation: self.have[conversation]})

    def _show(self, message: list[Any]) -> None:
        conversation, seq, _, _, _, _, type_, body, _, _, flags = message
        screen = self.screen.setdefault(conversation, {})
        if flags & FILTERED:
            return
        if type_ == 5 and body["event"] == "recall":
            if body["seq"] in screen:
                screen[body["seq"]] = TOMBSTONE
            return
        shown = TOMBSTONE if flags & RECALLED else body["event"] if type_ == 5 else body["text"]
        if screen.get(seq) != TOMBSTONE:
            screen[seq] = shown

    def said(self, conversation: str, seq: int, text: str) -> None:
        """Its own message, as acknowledged."""
        self._spoke.add(text)
        if seq:
            self.screen.setdefault(conversation, {}).setdefault(seq, text)
        else:
            self.fleeting.append(text)

    async def take(self) -> None:
        """Show what came live since the last look; pull what is missing between."""
        if self.person is None:
            return
        connection = self.person.connection
        fresh, self._taken = connection.messages[self._taken :], len(connection.messages)
        for message in fresh:
            conversation, seq = message[0], message[1]
            if message[6] != 5:
                assert message[7]["text"] not in self._spoke, "a device hears its own message"
            if seq == 0:
                self.fleeting.append(message[7]["text"])
                continue
            self._show(message)
            if seq == self.have.get(conversation, 0) + 1:
                self.have[conversation] = seq
            elif seq > self.have.get(conversation, 0):
                await self._pull(conversation, self.have.get(conversation, 0) + 1, seq)
        for data in connection.notices("receipt"):
            conversation = data["conversation"]
            self.receipts[conversation] = max(self.receipts.get(conversation, 0), data["seq"])
        for data in connection.notices("deleted"):
            for seq in data["seqs"]:
                self.screen.get(data["conversation"], {}).pop(seq, None)
        seqs = [m[1] for m in connection.messages if m[1]]
        keys = [(m[0], m[1]) for m in connection.messages if m[1]]
        assert len(keys) == len(set(keys)), f"a message came twice to {self.user}/{self.device}: {seqs}"

    async def drop(self, told: bool) -> None:
        """The connection dies; `told`: the service learns of it (otherwise it finds out at the next
        login)."""
        if self.person is None:
            return
        person, self.person = self.person, None
        self.world.downlink.disconnect(person.session)
        if told:
            self.world.im.on_logout(person.session, 1001)
            await self.world.settle()
