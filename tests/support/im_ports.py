"""A recording push port, and hooks that do as they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from im_service.calls import Args
from im_service.push.ports import Push
from im_service.sending.hooks import Draft, Verdict


class RecordingPush:
    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.cancelled: list[int] = []

    def offer(self, pushes: Sequence[Push]) -> None:
        self.pushes += pushes

    def cancel(self, conversation: str, server_id: int) -> None:
        self.cancelled.append(server_id)


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
