"""A cursor that outlived its store: the client starts over instead of taking new messages for repetitions."""

from __future__ import annotations

from pathlib import Path

import pytest
from qianwan import FileCursor

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client, take, until

TALK = "s/alice:bob"
OLD, NEW = b"\x01" * 16, b"\x02" * 16


def restore(gateway: ScriptedGateway, up_to: int) -> None:
    """An older backup: the newest messages, and what was told of them, were never there."""
    del gateway.log[TALK][up_to:]
    gateway.acks = {name: min(seq, up_to) for name, seq in gateway.acks.items()}


def write(gateway: ScriptedGateway, first: int, last: int, word: str = "") -> list[str]:
    texts = [f"{word}{number}" for number in range(first, last + 1)]
    for text in texts:
        gateway.store(TALK, "alice", text)
    return texts


async def test_after_a_restored_backup_new_messages_are_not_taken_for_repetitions(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        gateway.incarnation = OLD
        texts = write(gateway, 1, 10)
        async with client(gateway, "bob", store=FileCursor(tmp_path / "place")) as bob:
            assert await take(bob, 10) == texts
            device = bob.device_id
        restore(gateway, 4)
        gateway.incarnation = NEW
        new = write(gateway, 5, 8, "new ")
        async with client(gateway, "bob", store=FileCursor(tmp_path / "place")) as bob:
            assert await take(bob, 4) == new
            assert (await anext(bob.notices())) == ("store", {"incarnation": NEW.hex()})
            assert bob.device_id == device
        assert gateway.acks[TALK] == 8


async def test_a_client_that_stays_starts_over_at_its_next_login(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        gateway.incarnation = OLD
        texts = write(gateway, 1, 10)
        async with client(gateway, "bob", store=FileCursor(tmp_path / "place")) as bob:
            assert await take(bob, 9) == texts[:9]
            await until(lambda: gateway.acks.get(TALK) == 8)
            restore(gateway, 4)
            gateway.incarnation = NEW
            new = write(gateway, 5, 12, "new ")
            next(iter(gateway.peers)).transport.abort()
            await until(lambda: gateway.logins == 2)
            assert await take(bob, 9) == [texts[9], *new]  # what was queued is of the old store, and real
            gateway.deliver("bob", gateway.store(TALK, "alice", "live"))
            assert await take(bob, 1) == ["live"]


async def test_a_server_that_begins_to_say_it_or_stops_changes_nothing(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        shown = []
        for number, incarnation in enumerate((None, OLD, None, OLD), 1):
            gateway.incarnation = incarnation
            gateway.store(TALK, "alice", str(number))
            async with client(gateway, "bob", store=FileCursor(tmp_path / "place")) as bob:
                shown += await take(bob, 1)
                assert len(bob.notices()._queue) == 0
        assert shown == ["1", "2", "3", "4"]


@pytest.mark.parametrize("how", ["sync", "live"])
async def test_numbers_that_go_back_are_noticed_without_being_told(how: str, tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        texts = write(gateway, 1, 10)
        async with client(gateway, "bob", store=FileCursor(tmp_path / "place")) as bob:
            assert await take(bob, 10) == texts
            await until(lambda: gateway.acks.get(TALK) == 9)
            restore(gateway, 4)
            new = write(gateway, 5, 7, "new ")
            if how == "sync":
                next(iter(gateway.peers)).transport.abort()
            else:
                gateway.deliver("bob", gateway.store(TALK, "alice", "live"))
                new.append("live")
            assert await take(bob, len(new)) == new
            assert (await anext(bob.notices())).name == "store"


async def test_late_repetitions_are_no_reason_to_start_over() -> None:
    async with ScriptedGateway() as gateway, client(gateway, "bob") as bob:
        write(gateway, 1, 10)
        for entry in gateway.log[TALK]:
            gateway.deliver("bob", entry)
        assert len(await take(bob, 10)) == 10
        for entry in gateway.log[TALK]:
            gateway.deliver("bob", entry)
        gateway.deliver("bob", gateway.store(TALK, "alice", "next"))
        assert await take(bob, 1) == ["next"]
        assert [name for name, _ in gateway.calls].count("sync") == 1
        assert len(bob.notices()._queue) == 0
