"""What a vendor is sent has as many bytes as it takes, and ends where a character ends."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from control.push import apns, relay
from control.push.contents import about
from control.push.sizes import fitted
from tests.support.pushes import a_push


def shown(body: bytes) -> str:
    return str(json.loads(body)["aps"]["alert"]["body"])


def test_a_text_that_fits_is_not_touched() -> None:
    body = apns.payload(a_push("hello"))
    assert body is not None
    assert json.loads(body)["aps"] == {
        "alert": {"body": "hello"}, "badge": 3, "mutable-content": 1, "sound": "default",
        "thread-id": "s/alice:bob",
    }  # fmt: skip


@pytest.mark.parametrize(
    "letter", ["a", "é", "汉", "😀", '"', "\\", "\n", "\x01", "e\u0301", "👨‍👩‍👧", "🇩🇪", "👍🏽"]
)
def test_a_long_text_is_cut_before_a_character_at_the_limit(letter: str) -> None:
    long = letter * 5000
    body = apns.payload(a_push(long))
    assert body is not None
    room = len(json.dumps(letter, ensure_ascii=False).encode()) + 8
    assert apns.LIMIT - room <= len(body) <= apns.LIMIT
    text = shown(body)
    assert text.endswith("…")
    assert long.startswith(text[:-1])
    assert len(text[:-1]) % len(letter) == 0, "half of a character"


def test_any_text_at_any_limit_is_within_it_and_as_long_as_it_may_be() -> None:
    rng = random.Random(5)
    for _ in range(300):
        text = "".join(rng.choice('ab"汉😀\té') for _ in range(rng.randrange(60)))
        limit = rng.randrange(8, 120)
        body = fitted(lambda said: {"t": said}, text, limit)
        assert body is not None
        assert len(body) <= limit
        said = json.loads(body)["t"]
        assert said == text or said[-1:] in ("…", "")
        if said != text and said:
            assert len(body) + 8 > limit, "more would have fitted"


def test_what_does_not_fit_without_any_text_is_told() -> None:
    assert fitted(lambda said: {"t": said, "x": "y" * 100}, "text", 50) is None


def test_a_payload_is_left_out_before_the_text_is_unreadable() -> None:
    small = a_push("hello " * 20, payload=json.dumps({"k": "v" * 100}))
    body = apns.payload(small)
    assert body is not None
    assert json.loads(body)["qianwan"]["payload"] == {"k": "v" * 100}
    large = a_push("hello " * 20, payload=json.dumps({"k": "汉" * 1990}))
    body = apns.payload(large)
    assert body is not None
    told = json.loads(body)
    assert told["qianwan"]["payload_left_out"] is True
    assert "payload" not in told["qianwan"]
    assert told["aps"]["alert"]["body"] == "hello " * 20


def test_what_tells_the_application_which_message_it_is_is_small() -> None:
    push = a_push(conversation="s/" + "a" * 64 + ":" + "b" * 64, sender="c" * 64, server_id=(1 << 63) - 1)
    assert len(msgspec.json.encode(about(push, True))) < 400
    assert relay.LIMIT > 4000
