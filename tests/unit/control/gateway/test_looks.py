"""A search of connections outlives a core that is full for a moment; every network finds somebody."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from control.gateway.looks import Kick, LookResponder, Looks, Page, Question, parse_network


class Full(Exception):
    """No command is taken now."""


class Core:
    def __init__(self, full: int) -> None:
        self.full = full
        self.refused: list[int] = []
        self.looks: Looks | None = None

    def _take(self) -> None:
        self.full -= 1
        if self.full >= 0:
            raise Full

    def look(self, loop: int, token: int, at: int, slots: int, *more: Any) -> None:
        self._take()
        assert self.looks is not None
        self.looks.on_looked(0, token, "", "", b"", 0)

    def refuse(self, conn: int, code: int, text: str) -> None:
        self._take()
        self.refused.append(conn)


@pytest.mark.parametrize("asked", [Question(user="ann"), Kick(7, 3000, "")])
async def test_it_is_answered_once_the_core_takes_commands_again(asked: Question | Kick) -> None:
    core = Core(full=2)
    core.looks = Looks(core, 1, (Full,))
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    LookResponder(core.looks)(msgspec.msgpack.encode(asked), answers.put_nowait)
    async with asyncio.timeout(5):
        assert msgspec.msgpack.decode(await answers.get(), type=Page) == Page([], 0)
    assert core.refused == ([7] if isinstance(asked, Kick) else [])


def test_networks_as_the_core_compares_them() -> None:
    assert parse_network("") == parse_network("::/0") == (b"", 0), "any"
    assert parse_network("0.0.0.0/0") == (bytes(10) + b"\xff\xff" + bytes(4), 96)
    assert parse_network("2001:db8::1/32") == (b" \x01\r\xb8" + bytes(12), 32)
    with pytest.raises(ValueError, match="does not appear"):
        parse_network("nowhere")
