"""Option sets that cannot be meant are refused with 414 and a text that names what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from im_service.errors import ImError
from im_service.options import OptionTable

NOTHING_KEPT = {"history": False, "roam": False, "persistent": False}
REFUSED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    *[
        ("s", {"onlineOnly": True, name: True}, ("onlineOnly", name))
        for name in ("history", "roam", "persistent", "push", "badge", "sessionUpdate")
    ],
    ("g", {"onlineOnly": True, "receipt": True}, ("onlineOnly", "receipt")),
    ("s", {"onlineOnly": True, "expire": 5}, ("onlineOnly", "expire")),
    ("s", {"onlineOnly": True, "pushContent": "x"}, ("onlineOnly", "pushContent")),
    ("s", {**NOTHING_KEPT, "badge": True}, ("badge", "history")),
    ("s", {**NOTHING_KEPT, "sessionUpdate": True}, ("sessionUpdate", "history")),
    ("g", {**NOTHING_KEPT, "receipt": True}, ("receipt", "history")),
    ("s", {**NOTHING_KEPT, "expire": 5}, ("expire",)),
    ("s", {"push": False, "forcePush": {"all": True}}, ("forcePush", "push")),
    ("s", {"push": False, "pushContent": "x"}, ("pushContent", "push")),
    ("s", {"push": False, "payload": "{}"}, ("payload", "push")),
    ("s", {"push": False, "needPushNick": True}, ("needPushNick", "push")),
    ("s", {"route": False, "env": "x"}, ("env", "route")),
    ("s", {"senderNoSense": True, "receiverNoSense": True}, ("senderNoSense", "receiverNoSense")),
    ("s", {"senderNoSense": True, "sendersync": True}, ("senderNoSense", "sendersync")),
    *[
        ("s", {"receiverNoSense": True, name: value}, ("receiverNoSense", name))
        for name, value in (("push", True), ("badge", True), ("forcePush", {"all": True}), ("payload", "{}"))
    ],
    ("g", {"forcePush": {"all": True, "list": ["a"]}}, ("forcePush.all", "forcePush.list")),
    ("g", {"forcePush": {"content": "x"}}, ("forcePush",)),
    ("s", {"target": {"ids": ["a"]}}, ("target",)),
    ("s", {"receipt": True}, ("receipt",)),
    ("g", {"checkFriend": True}, ("checkFriend",)),
    ("s", {"highPriority": True}, ("highPriority",)),
    ("g", {"tag": "x"}, ("tag",)),
    ("r", {"highPriority": True, "abandonRatio": 5}, ("highPriority", "abandonRatio")),
    ("r", {"push": False}, ("push",)),
    ("r", {"onlineOnly": True}, ("onlineOnly",)),
    ("g", {"target": {"ids": []}}, ("ids",)),
    ("g", {"target": {"ids": ["no spaces"]}}, ("id",)),
    ("g", {"forcePush": {"list": [f"u{n}" for n in range(101)]}}, ("list",)),
    ("s", {"payload": "not json"}, ("payload",)),
    ("s", {"payload": "[]"}, ("payload",)),
    ("s", {"pushContent": "x" * 501}, ("pushContent",)),
    ("s", {"expire": 0}, ("expire",)),
    ("s", {"history": "yes"}, ("history",)),
    ("s", {"nosuch": 1}, ("nosuch",)),
]


@pytest.mark.parametrize(("kind", "options", "names"), REFUSED)
def test_it_is_refused_and_the_text_names_it(
    kind: str, options: dict[str, Any], names: tuple[str, ...]
) -> None:
    with pytest.raises(ImError) as caught:
        OptionTable().resolve(msgspec.msgpack.encode(options), kind)
    assert caught.value.code == 414
    for name in names:
        assert name in caught.value.text


def test_the_reason_travels_with_the_refusal() -> None:
    table = OptionTable()
    with pytest.raises(ImError) as caught:
        table.resolve(msgspec.msgpack.encode({"push": False, "pushContent": "x"}), "s")
    assert msgspec.msgpack.decode(caught.value.payload()) == [caught.value.text]


def test_what_equals_the_default_is_not_sent_on() -> None:
    options = {"history": True, "badge": True, "onlineOnly": False, "abandonRatio": 0, "push": False}
    table = OptionTable()
    options.pop("abandonRatio")
    resolved = table.resolve(msgspec.msgpack.encode(options), "s")
    assert msgspec.msgpack.decode(resolved.wire) == {"push": False}


def test_a_set_is_remembered_by_its_bytes_and_kind() -> None:
    table = OptionTable()
    raw = msgspec.msgpack.encode({"receipt": True})
    assert table.resolve(raw, "g") is table.resolve(raw, "g")
    with pytest.raises(ImError):
        table.resolve(raw, "s")
