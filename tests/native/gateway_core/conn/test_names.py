"""The core judges ids and targets exactly as the specification writes them."""

from __future__ import annotations

import itertools
import random
import re

from tests.native.gateway_core.faces.conn import is_id, is_user

from frame.constants import ID_PATTERN, NAME_MAX, USER_PREFIX

ID = re.compile(ID_PATTERN.encode())


def test_every_byte_is_judged_as_the_pattern_does() -> None:
    for byte in range(256):
        text = bytes([byte])
        assert is_id(text) == bool(ID.fullmatch(text)), text
        assert is_id(b"a" + text + b"z") == bool(ID.fullmatch(b"a" + text + b"z")), text


def test_every_length_is_judged_as_the_pattern_does() -> None:
    for n in range(NAME_MAX + 3):
        assert is_id(b"x" * n) == bool(ID.fullmatch(b"x" * n)), n


def test_random_names_are_judged_as_the_pattern_does() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(5_000):
        text = bytes(rng.choice(b"azAZ09_.@-/: \x00\xff") for _ in range(rng.randrange(70)))
        assert is_id(text) == bool(ID.fullmatch(text)), f"seed {seed}: {text!r}"


def test_only_the_users_prefix_names_a_user() -> None:
    for head in itertools.product(b"ugrs/", repeat=2):
        assert is_user(bytes(head) + b"ann") == (bytes(head) == USER_PREFIX.encode())
    assert not is_user(USER_PREFIX.encode()[:1])
    assert not is_user(b"")
