"""Hooks that judge a message before it is stored."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import IntEnum
from typing import NamedTuple, Protocol

from im_service.calls import Args
from im_service.errors import Detail
from im_service.ports import Session


class Action(IntEnum):
    """What a hook wants done with a message."""

    PASS = 0
    REPLACE = 1  # go on with another body and ext
    REJECT = 2  # refuse, the sender is told
    SWALLOW = 3  # store for the sender only, acknowledge as if nothing were
    HOLD = 4  # store for the sender only until somebody decides, acknowledge as if nothing were


class Draft(NamedTuple):
    """A message on its way through the hooks. `body` is msgpack; `antispam` what the sender said about
    scanning; `shown` other texts of it that its receivers see and no hook can change."""

    conversation: str
    sender: str
    device: str
    client_id: str
    type: int
    body: bytes
    ext: str | None
    antispam: dict[str, str | int | bool] | None
    shown: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """`body` and `ext` of REPLACE, and of HOLD where it replaces too. `text`: what the sender is told of
    REJECT, `code` the application's own. `rule`: which list or engine says so, for those who decide about
    HOLD and for counters. `hold_s` and `lapse` of HOLD: after how long it is released (True) or refused if
    nobody decides; None: as the settings say."""

    action: Action = Action.PASS
    body: bytes | None = None
    ext: str | None = None
    text: str = ""
    rule: str = ""
    hold_s: int | None = None
    lapse: bool | None = None
    code: int = 0


def hook_detail(code: int = 0) -> Detail:
    """Of whatever a hook refuses; `code` is the application's own."""
    detail: Detail = {"hook": True, "code": code}
    return detail if code else {"hook": True}


class Hook(Protocol):
    """A judge of messages before they are stored: moderation, or the callback to the application's server.
    `instant`: its verdict is never an awaitable and comes within microseconds, so no message waits in a lane
    for it."""

    instant: bool

    def wants(self, kind: str, type: int) -> bool:
        """Is this hook interested in messages of this kind (s, g, r) and type? Called per message: be
        quick."""

    def judge(self, draft: Draft) -> Verdict | Awaitable[Verdict]:
        """The verdict, or an awaitable of it: then later messages of this sender to this target wait in
        order.

        ImError is the hook's own policy where it fails. Another exception counts as that policy having
        failed: the message is answered 503.
        """


class CallHook(Protocol):
    """A judge of calls of users, behind every other check that comes before them."""

    async def admit(self, session: Session, name: str, args: Args) -> None:
        """Returns where the call may run; raises ImError where it may not."""


class Moderator(Hook, Protocol):
    """The hook that judges other texts than messages too: names, reactions, announcements, requests."""

    def say(self, user: str, name: str, args: Args) -> Args:
        """A call of `user` as others may hear of it. Raises ImError where they may not."""
