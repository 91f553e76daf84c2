"""A small honest client: what one device shows, kept over logins like an app's own database."""

from __future__ import annotations

from typing import Any

from tests.support.im_world import Person, World

TOMBSTONE = "<recalled>"
FILTERED, RECALLED = 4, 1
NOTICE = 2


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
        self._relations_cursor = 0
        self._taken = 0
        self._heard = 0
        self.receipts: dict[str, int] = {}
        self.read: dict[str, int] = {}
        self.active: dict[str, bool] = {}
        self.reactions: dict[tuple[str, int], set[tuple[str, str]]] = {}
        self.black: set[str] = set()
        self._stale: set[tuple[str, int]] = set()  # edited, to be read again
        self._spoke: set[str] = set()

    async def login(self) -> None:
        """Log in and take everything that changed."""
        self.person = await self.world.login(self.user, self.device, self.platform)
        self._taken = self._heard = 0
        await self.sync()
        singles = [name for name in self.screen if name.startswith("s/")]
        if singles:
            found = await self.person.ok("receipts", conversations=singles)
            self.receipts.update(found["receipts"])
        page = await self.person.ok("relations", cursor=self._relations_cursor)
        self._relations_cursor = page["cursor"]
        for row in page["relations"]:
            self._related(row)

    async def sync(self) -> None:
        assert self.person is not None
        more = True
        while more:
            page = await self.person.ok("sync", cursor=self._cursor, limit=3)
            for conversation, last_seq, read, min_seq, acked, active, *_ in page["conversations"]:
                self._cleared(conversation, min_seq)
                self.read[conversation], self.active[conversation] = read, active
                start = max(self.have.get(conversation, 0), acked, min_seq - 1) + 1
                await self._pull(conversation, start, last_seq)
                await self._comments(conversation)
            self._cursor, more = page["cursor"], page["more"]

    async def _comments(self, conversation: str) -> None:
        """The quick comments of what is on the screen, of a conversation that changed."""
        assert self.person is not None
        seqs = sorted(self.screen.get(conversation, {}))[-100:]
        if seqs and self.active[conversation]:
            found = await self.person.ok("reactions", conversation=conversation, seqs=seqs)
            for seq in seqs:
                self.reactions[conversation, seq] = {
                    (user, kind) for number, user, kind, *_ in found["reactions"] if number == seq
                }

    def _cleared(self, conversation: str, min_seq: int) -> None:
        screen = self.screen.get(conversation, {})
        for seq in [seq for seq in screen if seq < min_seq]:
            del screen[seq]

    def _related(self, row: dict[str, Any]) -> None:
        (self.black.add if row["black"] else self.black.discard)(row["user"])

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
        await self._reread()

    async def _reread(self) -> None:
        """What was edited, as it is now."""
        assert self.person is not None
        stale, self._stale = self._stale, set()
        for conversation, seq in sorted(stale):
            found = await self.person.ok("get", conversation=conversation, seqs=[seq])
            for message in found["messages"]:
                self.screen[conversation][seq] = TOMBSTONE if message[10] & RECALLED else message[7]["text"]

    def _show(self, message: list[Any]) -> None:
        conversation, seq, _, _, _, _, type_, body, _, _, flags = message
        screen = self.screen.setdefault(conversation, {})
        if flags & FILTERED:
            return
        event = body["event"] if type_ == 5 else ""
        if event == "delete":
            for gone in body["seqs"] if body.get("keeps") != self.user else ():
                screen.pop(gone, None)
            return
        if event in ("recall", "edit"):
            if body["seq"] in screen and event == "recall":
                screen[body["seq"]] = TOMBSTONE
                self.reactions.pop((conversation, body["seq"]), None)
            elif body["seq"] in screen and screen[body["seq"]] != TOMBSTONE:
                self._stale.add((conversation, body["seq"]))
            return
        self._membership(conversation, event, body)
        shown = TOMBSTONE if flags & RECALLED else body["event"] if type_ == 5 else body["text"]
        if screen.get(seq) != TOMBSTONE:
            screen[seq] = shown

    def _membership(self, conversation: str, event: str, body: dict[str, Any]) -> None:
        gone = event == "group.dismiss" or (event == "group.leave" and self.user in body["users"])
        if gone or (event == "group.join" and self.user in body["users"]):
            self.active[conversation] = not gone

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
        await self._reread()
        events, self._heard = connection.events[self._heard :], len(connection.events)
        for kind, (name, data, *_) in events:
            if kind == NOTICE:
                self.heard(name, data)
        seqs = [m[1] for m in connection.messages if m[1]]
        keys = [(m[0], m[1]) for m in connection.messages if m[1]]
        assert len(keys) == len(set(keys)), f"a message came twice to {self.user}/{self.device}: {seqs}"

    def heard(self, name: str, data: dict[str, Any]) -> None:
        """A notice, or what this device did itself."""
        conversation = data.get("conversation", "")
        if name == "receipt":
            self.receipts[conversation] = max(self.receipts.get(conversation, 0), data["seq"])
        elif name == "read":
            self.read[conversation] = max(self.read.get(conversation, 0), data["seq"])
        elif name == "cleared":
            self._cleared(conversation, data["min_seq"])
            self.read[conversation] = max(self.read.get(conversation, 0), data["min_seq"] - 1)
        elif name == "reaction":
            held = self.reactions.setdefault((conversation, data["seq"]), set())
            (held.add if data["on"] else held.discard)((data["user"], data["kind"]))
        elif name == "relation":
            self._related(data)

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
