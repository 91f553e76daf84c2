"""The SDK's typed calls name methods and arguments the service has, and cover what a user may call."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest
from qianwan.api.base import given
from qianwan.api.groups import Groups
from qianwan.api.messages import MessageCalls
from qianwan.api.push import Push
from qianwan.api.relations import Devices, Presence, Profiles, Relations
from qianwan.api.room import RoomCalls

from im_service.calls import pack
from im_service.methods import METHODS

LEFT_TO_CALL = {
    "time",
    "sync",
    "pull",
    "ack",
    "room.join",
    "room.leave",
    "room.create",
    "broadcasts",
}
SAMPLES: dict[str, Any] = {
    "conversation": "g/team",
    "group": "team",
    "user": "bob",
    "users": ["bob"],
    "devices": ["phone"],
    "seqs": [1],
    "conversations": ["g/team"],
    "role": "member",
    "mode": "both",
    "members": ["bob"],
    "join": "free",
    "invite": "all",
    "update": "managers",
    "friends": "nobody",
    "groups": "friends",
    "put": {"a": "b"},
    "remove": ["c"],
}


class Recorder(MessageCalls):
    """A client that writes down what is called, and answers with whatever may be asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        self.calls.append((method, args or {}))
        return Anything()


class Anything(dict[str, Any]):
    """Every key is there: an empty list where one is iterated, 0 where a number is wanted."""

    def __getitem__(self, key: str) -> Any:
        return 0 if key in NUMBERS else []


NUMBERS = {"changed", "deleted", "version", "seq", "joined", "id", "until_ms", "dropped"}


class RecorderRoom(RoomCalls):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def call(self, method: str, **args: Any) -> Any:
        return await self._recorder.call(f"room.{method}", {"room": "hall", **args})


def sample(name: str, annotation: str) -> Any:
    if name in SAMPLES:
        return SAMPLES[name]
    for kind, value in (("bool", True), ("int", 1), ("str", "text"), ("list", ["x"])):
        if kind in annotation:
            return value
    raise AssertionError(f"no sample for {name}: {annotation}")


CURSORS = {"after", "before", "cursor", "from_seq", "to_seq"}


async def everything_called(optional: bool = True) -> Recorder:
    """`optional`: with every argument, else only with those that have no default."""
    recorder = Recorder()
    holders = [recorder, RecorderRoom(recorder)]
    for kind in (Groups, Relations, Profiles, Presence, Devices, Push):
        holders.append(kind(recorder))
    for holder in holders:
        for name, function in inspect.getmembers(type(holder), inspect.iscoroutinefunction):
            if name.startswith("_") or name in ("call", "renew"):
                continue
            arguments = {
                parameter.name: sample(parameter.name, str(parameter.annotation))
                for parameter in list(inspect.signature(function).parameters.values())[1:]
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD
                and (optional or parameter.default is inspect.Parameter.empty)
            }
            if name == "receipt_counts":
                arguments["seqs"] = [1]
            await function(holder, **arguments)
    return recorder


async def test_every_wrapper_is_a_call_the_service_accepts() -> None:
    for name, args in (await everything_called()).calls:
        assert name in METHODS, name
        assert not METHODS[name].server_only, name
        METHODS[name].read(pack(args))


async def test_who_names_no_cursor_begins_where_the_service_begins() -> None:
    """A queue's first element may have a place below zero: only the service knows where a list begins."""
    looked = set()
    for name, args in (await everything_called(optional=False)).calls:
        defaults = {field.name: field.default for field in msgspec.structs.fields(METHODS[name].args)}
        told = METHODS[name].read(pack(args))
        for cursor in CURSORS & defaults.keys():
            assert getattr(told, cursor) == defaults[cursor], f"{name} begins at {cursor}={args[cursor]}"
            looked.add(name)
    assert {"room.queue.list", "history", "relations", "conversations", "group.members"} <= looked


async def test_every_call_of_users_has_a_wrapper() -> None:
    called = {name for name, _ in (await everything_called()).calls}
    users = {name for name, method in METHODS.items() if not method.server_only}
    assert users - called == LEFT_TO_CALL & users


def test_what_is_not_given_is_not_sent() -> None:
    assert given(a=None, b=0, c="", d=False) == {"b": 0, "c": "", "d": False}


@pytest.mark.parametrize("fields", [{"nick": "Al"}, {"nick": None}])
async def test_free_fields_go_through(fields: dict[str, Any]) -> None:
    recorder = Recorder()
    await Profiles(recorder).set(**fields)
    assert recorder.calls == [("profile.set", given(**fields))]
