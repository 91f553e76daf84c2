"""The server looks after its store: /readyz, a file that is gone, a store put back from a copy."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from qianwan import Client, FileCursor
from qianwan.constants import RequestCode
from qianwan.protocol import auth

from tests.support.chat_link import PlainLink
from tests.support.sdk_client import take
from tests.support.server_process import ServerProcess, program

SMALL = {"gateway.loops": 1}


async def incarnation_of(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The last element of AUTH_OK, as it came."""
    bodies: list[bytes] = []
    parse = auth.parse_welcome

    def keep(body: bytes) -> object:
        bodies.append(body)
        return parse(body)

    with monkeypatch.context() as patch:
        patch.setattr(auth, "parse_welcome", keep)
        ann = await PlainLink.open(server, server.token("ann"), "phone")
    assert (await ann.send("u/ben", f"m{server.pid}", "hello")).code == RequestCode.OK
    ann.close()
    found = msgspec.msgpack.decode(bodies[0])[6]
    assert isinstance(found, bytes)
    assert len(found) == 16
    return found


async def test_clients_hear_of_a_store_that_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir, SMALL) as server:
        first = await incarnation_of(server, monkeypatch)
        await asyncio.to_thread(server.restart)
        assert await incarnation_of(server, monkeypatch) == first, "a restart changes nothing"
        assert await asyncio.to_thread(server.stop) == 0
        shutil.copytree(data_dir, tmp_path / "backup")
        server.start()
        assert await incarnation_of(server, monkeypatch) == first, "nor does a backup"
        assert await asyncio.to_thread(server.stop) == 0

        for name in ("store.sqlite3", "store.seen"):
            (data_dir / name).unlink()
            shutil.copy2(tmp_path / "backup" / name, data_dir / name)
        server.start()
        second = await incarnation_of(server, monkeypatch)
        assert second != first
        assert "put back from a copy" in server.log()

        said = await asyncio.to_thread(program, "store", "restored", "--data-dir", str(data_dir))
        assert said.returncode == 0, said.stderr
        (third,) = re.findall(r"is ([0-9a-f]{32}) now", said.stdout)
        server.wait_for(lambda: third in (data_dir / "store.seen").read_text(), "told by the operator")
        assert (await incarnation_of(server, monkeypatch)).hex() == third
        server.wait_for(lambda: "which another process or `store restored` began" in server.log(), "logged")


async def test_a_store_that_is_removed_is_told_and_nothing_is_acked(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", SMALL) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        assert (await ann.send("u/ben", "kept", "hello")).code == RequestCode.OK
        for file in (tmp_path / "data").glob("store.sqlite3*"):
            file.unlink()
        answer = await ann.send("u/ben", "gone", "hello")
        assert answer.code == RequestCode.UNAVAILABLE
        code, reason = server.get("/readyz")
        assert (code, b"removed" in reason) == (503, True)
        ann.close()
        await asyncio.to_thread(server.stop)
    lost = await asyncio.to_thread(program, "serve", "--data-dir", str(tmp_path / "data"))
    assert (lost.returncode, "put it back from a copy" in lost.stderr) == (3, True)
    assert not (tmp_path / "data" / "store.sqlite3").exists()


async def test_ready_says_what_a_commit_says(tmp_path: Path) -> None:
    """Nobody sends anything: the process tries by itself."""
    with ServerProcess(tmp_path / "data", SMALL) as server:
        holder = sqlite3.connect(tmp_path / "data" / "store.sqlite3", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await asyncio.to_thread(server.wait_for, lambda: server.get("/readyz")[0] == 503, "red")
        assert b"store" in server.get("/readyz")[1]
        holder.execute("ROLLBACK")
        holder.close()
        await asyncio.to_thread(server.wait_ready)


async def test_after_a_restore_nobody_takes_new_messages_for_old_ones(tmp_path: Path) -> None:
    """The server has one message again where a client has had three; the next two are new to it."""
    data_dir, cursor = tmp_path / "data", FileCursor(tmp_path / "cursor")
    with ServerProcess(data_dir, SMALL) as server:

        async def say(*words: str) -> None:
            async with Client(server.url, token=server.token("ann")) as ann:
                for word in words:
                    await ann.send("ben", word)

        await say("one")
        assert await asyncio.to_thread(server.stop) == 0
        shutil.copytree(data_dir, tmp_path / "backup")
        server.start()
        await say("two", "three")
        async with Client(server.url, token=server.token("ben"), store=cursor) as ben:
            assert await take(ben, 3) == ["one", "two", "three"]
        assert await asyncio.to_thread(server.stop) == 0
        shutil.rmtree(data_dir)
        shutil.copytree(tmp_path / "backup", data_dir)
        server.start()
        await say("new two", "new three")
        async with Client(server.url, token=server.token("ben"), store=cursor) as ben:
            shown = await take(ben, 2)
            assert [word for word in shown if word != "one"][:1] == ["new two"]
            rest = await take(ben, 3 - len(shown)) if "one" in shown else []
            assert [word for word in (*shown, *rest) if word != "one"] == ["new two", "new three"]
