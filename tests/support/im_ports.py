"""A recording push port, and hooks that do as they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from im_service.calls import Args
from im_service.push.ports import Done, Push, nobody_waits
from im_service.sending.hooks import Draft, Verdict
from im_service.storage.records import PushToken


class RecordingPush:
    """A vendor that takes everything at once; while it is `holding`, nothing is handed over."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.cancelled: list[int] = []
        self.held: list[Push] = []
        self.holding = False

    def offer(self, pushes: Sequence[Push], done: Done = nobody_waits) -> None:
        (self.held if self.holding else self.pushes).extend(pushes)
        if not self.holding:
            done()

    async def drained(self) -> None:
        return

    def cancel(self, server_id: int) -> set[PushToken]:
        self.cancelled.append(server_id)
        dropped = {push.to for push in self.held if push.server_id == server_id}
        self.held = [push for push in self.held if push.server_id != server_id]
        return dropped

    def takes(self, vendor: str, app: str) -> bool:
        return vendor == "apns"

    async def test(self, push: Push) -> str:
        return f"sent {push.text}"


class ScriptedHook:
    """Answers every draft with what `decide` returns; remembers the drafts."""

    instant = False

    def __init__(self, decide: Callable[[Draft], Verdict | Awaitable[Verdict]]) -> None:
        self.decide = decide
        self.drafts: list[Draft] = []

    def wants(self, kind: str, type: int) -> bool:
        return True

    def judge(self, draft: Draft) -> Verdict | Awaitable[Verdict]:
        self.drafts.append(draft)
        return self.decide(draft)

    def say(self, user: str, name: str, args: Args) -> Args:
        return args
