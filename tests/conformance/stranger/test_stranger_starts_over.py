"""A stranger whose numbers outlived the store starts over, by the page alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.conformance.stranger.conftest import Realm
from tests.conformance.stranger.stranger_client import Stranger
from tests.conformance.stranger.stranger_place import Place
from tests.support.scripted_gateway import ScriptedGateway
from tests.support.server_process import ServerProcess

TALK = "s/alice:bob"


async def session(gateway: ScriptedGateway, place: Place) -> list[str]:
    """Log in, catch up, go."""

    def talk() -> list[str]:
        one = Stranger.connect("127.0.0.1", gateway.port, gateway.keys.root_text)
        place.welcomed(one.login("bob"))
        try:
            return place.catch_up(one)
        finally:
            one.stream.close()

    return await asyncio.to_thread(talk)


def write(gateway: ScriptedGateway, *texts: str) -> None:
    for text in texts:
        gateway.store(TALK, "alice", text)


async def test_another_incarnation_starts_over() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        gateway.incarnation = b"\x01" * 16
        write(gateway, "a", "b", "c")
        assert await session(gateway, place) == ["a", "b", "c"]
        del gateway.log[TALK][1:]
        gateway.incarnation = b"\x02" * 16
        write(gateway, "x", "y", "z")
        gateway.acks[TALK] = 1
        assert await session(gateway, place) == ["x", "y", "z"]
        assert (place.restarts, await session(gateway, place)) == (1, [])


async def test_numbers_that_go_back_start_over_without_being_told() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        write(gateway, "a", "b", "c")
        await session(gateway, place)
        del gateway.log[TALK][1:]
        write(gateway, "x")
        gateway.acks[TALK] = 1
        assert (await session(gateway, place), place.restarts) == (["x"], 1)


async def test_an_incarnation_that_is_not_said_changes_nothing() -> None:
    async with ScriptedGateway() as gateway:
        place = Place()
        for text, incarnation in (("a", None), ("b", b"\x01" * 16), ("c", None), ("d", b"\x01" * 16)):
            gateway.incarnation = incarnation
            write(gateway, text)
            assert await session(gateway, place) == [text]
        assert place.restarts == 0


def test_a_real_server_names_its_store_and_another_one_after_a_restore(tmp_path: Path) -> None:
    data_dir, place = tmp_path / "data", Place()
    with ServerProcess(data_dir, {"gateway.loops": 1}) as server:
        realm = Realm(server)

        def say(*words: str) -> None:
            ann = realm.meet("ann")
            for word in words:
                ann.send("u/ben", word, word)
            ann.stream.close()

        def listen() -> list[str]:
            ben = Stranger.connect(realm.host, realm.port, realm.root)
            welcome = ben.login(realm.token("ben"), device="phone")
            assert len(welcome[6]) == 16
            place.welcomed(welcome)
            shown = place.catch_up(ben)
            if place.next:
                ben.call("ack", acks={name: after - 1 for name, after in place.next.items()})
            ben.stream.close()
            return shown

        listen()  # known from now on
        say("one")
        assert listen() == ["one"]
        assert server.stop() == 0
        shutil.copytree(data_dir, tmp_path / "backup")
        server.start()
        say("two", "three")
        assert (listen(), place.restarts) == (["two", "three"], 0)
        assert server.stop() == 0
        shutil.rmtree(data_dir)
        shutil.copytree(tmp_path / "backup", data_dir)
        server.start()
        say("new two", "new three")
        assert (listen(), place.restarts) == (["new two", "new three"], 1)
