"""Messages that were not acknowledged outlive the program, and go out once, in order, by their sender."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qianwan import Client, FileOutbox
from qianwan.delivery import journal
from qianwan.delivery.journal import Unsent

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client, until


async def killed(me: Client) -> None:
    """The program is gone without a word; what it wrote is there."""
    engine = me.engine
    link = engine._link
    assert link is not None
    await asyncio.gather(*engine._tasks.cancel(), return_exceptions=True)
    link.abort()
    engine.outbox._store.close()  # as the operating system does


async def test_what_was_not_acknowledged_goes_out_after_a_restart_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    async with ScriptedGateway() as gateway:
        me = client(gateway, outbox=FileOutbox(path))
        await me.open()
        assert (await me.send("bob", "first")).seq == 1
        gateway.answers = lambda payload: False
        waiting = [asyncio.ensure_future(me.send("bob", text)) for text in ("second", "third")]
        await until(lambda: len(gateway.sends) == 2)  # stored, and nobody knows
        await killed(me)
        gateway.answers = lambda payload: True
        async with client(gateway, outbox=FileOutbox(path)) as again:
            notices = again.notices()
            told = [await notices.__anext__() for _ in range(2)]
            assert [(one.name, one.data["seq"]) for one in told] == [("sent", 2), ("sent", 3)]
        assert [row[7]["text"] for row in gateway.log["s/alice:bob"]] == ["first", "second", "third"]
        async with client(gateway, outbox=FileOutbox(path)) as again:
            assert len(again.engine.outbox) == 0
        for task in waiting:
            task.cancel()


async def test_another_user_sends_nothing_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    store = FileOutbox(path)
    store.keep(Unsent("mallory", "c1", "u/bob", b"\x90"))
    store.close()
    async with ScriptedGateway() as gateway:
        async with client(gateway, "alice", outbox=FileOutbox(path)) as me:
            await me.send("bob", "mine")
        assert gateway.sends == [("u/bob", "mine")]
    assert [left.user for left in FileOutbox(path).load()] == ["mallory"]


async def test_what_cannot_be_kept_is_not_sent(tmp_path: Path) -> None:
    class Full(FileOutbox):
        def keep(self, message: Unsent) -> None:
            raise OSError("no space left")

    async with ScriptedGateway() as gateway, client(gateway, outbox=Full(tmp_path / "outbox")) as me:
        with pytest.raises(OSError, match="no space"):
            await me.send("bob", "lost")
        assert gateway.sends == []
        assert len(me.engine.outbox) == 0


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_a_damaged_end_costs_what_stands_there_and_nothing_before(
    cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "file"
    store = FileOutbox(path)
    kept = [Unsent("alice", f"c{n}", "u/bob", b"x" * n) for n in range(12)]
    for message in kept:
        store.keep(message)
    store.close()
    data = bytearray(path.read_bytes())
    if flip < len(data):
        data[flip] ^= 0x80
    cut = min(cut, len(data))
    path.write_bytes(bytes(data[:cut]))
    whole = min(cut, flip)
    left = FileOutbox(path).load()
    sure = [message for n, message in enumerate(kept) if sum(map(size_of, kept[: n + 1])) <= whole]
    assert left[: len(sure)] == sure


def size_of(message: Unsent) -> int:
    return 4 + len(journal._encode(list(message)))


def test_the_file_stays_small_whatever_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "REWRITE_RECORDS", 100)
    store = FileOutbox(tmp_path / "outbox")
    for n in range(1000):
        store.keep(Unsent("alice", f"c{n}", "u/bob", b"x" * 50))
        store.done(f"c{n}")
    assert (tmp_path / "outbox").stat().st_size < 100 * 100
    store.close()
    assert store.load() == []
    store.close()


def filled(path: Path, count: int = 5) -> bytes:
    store = FileOutbox(path)
    for number in range(count):
        store.keep(Unsent("alice", f"c{number}", "u/bob", b"x" * 40))
    store.close()
    return path.read_bytes()


@pytest.mark.parametrize("at", [0, 3, 4, 5, 12, 20, 60])
def test_a_damaged_record_costs_itself_and_the_file_is_kept(
    at: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox"
    damaged = bytearray(filled(path))
    damaged[at] ^= 0xFF
    path.write_bytes(damaged)
    left = {message.client_id for message in FileOutbox(path).load()}
    assert {"c2", "c3", "c4"} <= left
    if len(left) < 5:
        assert (tmp_path / "outbox.damaged").read_bytes() == damaged
        assert "is damaged" in caplog.text


def test_a_record_that_was_cut_off_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outbox"
    path.write_bytes(filled(path)[:-3])
    assert len(FileOutbox(path).load()) == 4
    assert not (tmp_path / "outbox.damaged").exists()
    assert not caplog.text


def test_garbage_is_read_through_in_time(tmp_path: Path) -> None:
    """Every place could be the beginning of a record, of any length."""
    path = tmp_path / "outbox"
    path.write_bytes(bytes([0, 0, 0x7F, 0x94]) * 200_000 + filled(tmp_path / "other"))
    assert len(FileOutbox(path).load()) == 5


def test_two_programs_on_one_file_are_told(tmp_path: Path) -> None:
    first, second = FileOutbox(tmp_path / "outbox"), FileOutbox(tmp_path / "outbox")
    first.load()
    with pytest.raises(BlockingIOError, match="another program"):
        second.load()
    first.close()
    assert second.load() == []
    second.close()
