"""Hooks that judge a message before it is stored."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import IntEnum
from typing import NamedTuple, Protocol


class Action(IntEnum):
    """What a hook wants done with a message."""

    PASS = 0
    REPLACE = 1  # go on with another body and ext
    REJECT = 2  # refuse, the sender is told
    SWALLOW = 3  # store for the sender only, acknowledge as if nothing were


class Draft(NamedTuple):
    """A message on its way through the hooks. `body` is msgpack; `antispam` what the sender said about
    scanning."""

    conversation: str
    sender: str
    device: str
    client_id: str
    type: int
    body: bytes
    ext: str | None
    antispam: dict[str, str | int | bool] | None


class Verdict(NamedTuple):
    action: Action = Action.PASS
    body: bytes | None = None
    ext: str | None = None
    text: str = ""


class Hook(Protocol):
    """A judge of messages before they are stored: moderation, or the callback to the application's server."""

    def wants(self, kind: str, type: int) -> bool:
        """Is this hook interested in messages of this kind (s, g, r) and type? Called per message: be
        quick."""

    def judge(self, draft: Draft) -> Verdict | Awaitable[Verdict]:
        """The verdict, or an awaitable of it: then later messages of this sender to this target wait in
        order.

        An exception counts as the hook's own failure policy having failed: the message is answered 503.
        """
