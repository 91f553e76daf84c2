"""A callback, tried out."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import POLICY_ADMIN
from im_service.callbacks.kinds import Kind

KindName = Literal[
    "message.single", "message.group", "message.room", "friend.request", "group.create", "group.join",
    "room.enter", "login",
]  # fmt: skip
assert get_args(KindName) == tuple(kind.value for kind in Kind)
SAMPLES: dict[Kind, dict[str, object]] = {
    Kind.SINGLE: {"conversation": "s/alice:bob", "to": "bob"},
    Kind.GROUP: {"conversation": "g/team", "group": "team"},
    Kind.ROOM: {"conversation": "r/hall", "room": "hall"},
    Kind.FRIEND: {"method": "friend.request", "arguments": {"user": "bob"}},
    Kind.GROUP_CREATE: {"method": "group.create", "arguments": {"name": "Team"}},
    Kind.GROUP_JOIN: {"method": "group.join", "arguments": {"group": "team"}},
    Kind.ROOM_ENTER: {"method": "room.join", "arguments": {"room": "hall"}},
    Kind.LOGIN: {"platform": 1, "address": "192.0.2.1", "by": "token"},
}
MESSAGE: dict[str, object] = {"client_id": "test", "type": 0, "body": {"text": "a test"}}


class CallbackWanted(Given, kw_only=True):
    """`kind`: what the question is about; nothing happens but the question, which says `test: true`."""

    kind: KindName = "message.single"


class CallbackTried(Struct, kw_only=True):
    """`outcome`: allow, refuse, or why there was no answer, as in metrics; `reason` for people. `rule` as in
    the settings of the process that answers: off, open or closed."""

    url: str
    kind: str
    id: str
    outcome: str
    reason: str
    took_ms: int
    rule: str
    code: int
    text: str


async def tried(ask: Ask[CallbackWanted]) -> Reply:
    callbacks = ask.services.callbacks
    if callbacks is None:
        raise Problem(409, "not-configured", "callbacks.url is empty: nobody is asked")
    kind = Kind(ask.given.kind)
    message = MESSAGE if kind.startswith("message.") else {}
    found = await callbacks.attempt(kind, {"from": "alice", "device": "test", **SAMPLES[kind], **message})
    answer = found.answer
    return Reply(
        CallbackTried(
            url=ask.services.settings.callbacks.url,
            kind=kind.value,
            id=found.id,
            outcome=found.outcome,
            reason=found.text,
            took_ms=found.took_ms,
            rule=callbacks.rule(kind),
            code=answer.code if answer else 0,
            text=answer.text if answer else "",
        )
    )


ROUTES = (
    Route(
        "POST", "/callbacks/test", "callbacks.test", POLICY_ADMIN, "callbacks",
        "Ask the application's server a question of no consequence, from this process", CallbackWanted,
        CallbackTried, tried,
    ),
)  # fmt: skip
