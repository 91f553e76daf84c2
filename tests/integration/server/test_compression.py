"""Bodies that compress very well or not at all arrive, live and by call, and keep the connection."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.chat_link import PlainLink
from tests.support.chat_world import eventually
from tests.support.server_process import ServerProcess

TEXTS = ["x" * 5000, "ab" * 2500, random.Random(8).randbytes(2500).hex(), "short", "x" * 300]


async def test_a_body_of_one_letter_disconnects_nobody(tmp_path: Path) -> None:
    """Receivers refuse what claims more than a hundred times its size, so the server must not send it."""
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1}) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        ben = await PlainLink.open(server, server.token("ben"), "phone")
        for number, text in enumerate(TEXTS, 1):
            assert (await ann.send("u/ben", f"ann-{number}", text)).code == 0

        async def arrived() -> bool:
            return len(ben.messages) == len(TEXTS)

        await eventually(arrived, "arrived")
        assert [message.body["text"] for message in ben.messages] == TEXTS
        code, page = await ben.call("history", conversation="s/ann:ben", limit=100, reverse=False)
        assert code == 0
        assert [message[7]["text"] for message in page["messages"]] == TEXTS
        assert ben.link.alive
        ann.close()
        ben.close()
