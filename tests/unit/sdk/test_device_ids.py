"""Two programs of one user do not end each other: each has a device id of its own, kept with its position."""

from __future__ import annotations

from pathlib import Path

from qianwan import FileCursor, MemoryCursor

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client


async def test_two_programs_of_one_user_live_side_by_side() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as one, client(gateway) as two:
        assert one.device_id != two.device_id
        assert {peer.device for peer in gateway.peers} == {one.device_id, two.device_id}
        assert (await one.send("bob", "1")).seq == 1
        assert (await two.send("bob", "2")).seq == 2


async def test_a_cursor_file_is_a_device(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        ids = []
        for name in ("one", "two", "one"):
            async with client(gateway, store=FileCursor(tmp_path / name)) as me:
                ids.append(me.device_id)
                assert (tmp_path / name).exists()  # from the start on, not from the end on
        assert ids[0] == ids[2] != ids[1]


async def test_a_device_stays_one_for_whoever_logs_in_on_it(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        ids = []
        for user in ("alice", "bob"):
            async with client(gateway, user, store=FileCursor(tmp_path / "place")) as me:
                ids.append(me.device_id)
        assert ids[0] == ids[1]


async def test_a_given_id_is_used_as_it_is(tmp_path: Path) -> None:
    async with ScriptedGateway() as gateway:
        store = MemoryCursor()
        async with client(gateway, store=store, device_id="phone") as me:
            assert me.device_id == "phone"
        assert store.load().device == ""


async def test_an_id_in_the_file_that_cannot_be_one_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "place").write_text('{"device": "not an id"}')
    async with ScriptedGateway() as gateway, client(gateway, store=FileCursor(tmp_path / "place")) as me:
        assert me.device_id.startswith("py-")
