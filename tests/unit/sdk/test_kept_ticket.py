"""A program that is started again logs in with the ticket it kept: without a token, and as nobody else."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from qianwan import Client, Policy
from qianwan.connection.kept_ticket import KeptTicket, TicketFile, Whose
from qianwan.protocol.tickets import Ticket

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import FAST, take, until
from tests.unit.sdk.test_outbox_on_disk import killed

WHOSE = Whose("alice", "phone", 0, "qwroot1.x")
TICKET = Ticket(bytes(range(32)), b"ticket", 3600, 50.0)


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as made:
        made.tickets.open = True
        yield made


class App:
    """A program with a folder, whose token costs a call."""

    def __init__(self, gateway: ScriptedGateway, folder: Path, **more: Any) -> None:
        self.asked = 0
        self._gateway = gateway
        self._settings = {"folder": folder, "user": "alice"} | more

    async def token(self) -> str:
        self.asked += 1
        return "alice"

    def start(self, **more: Any) -> Client:
        settings: dict[str, Any] = {
            "token": self.token,
            "root_key": self._gateway.keys.root_text,
            "backoff": FAST,
        }
        return Client(self._gateway.address, **(settings | self._settings | more))


async def kept(folder: Path) -> None:
    await until(lambda: (folder / "ticket").exists())


async def test_the_second_start_asks_for_no_token_and_misses_nothing(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    folder = tmp_path / "me"
    app = App(gateway, folder)
    async with app.start() as me:
        gateway.deliver("alice", gateway.store("s/alice:bob", "bob", "one"))
        assert await take(me, 1) == ["one"]
        device = me.device_id
        await kept(folder)
    gateway.store("s/alice:bob", "bob", "two")
    async with app.start() as me:
        assert await take(me, 1) == ["two"]
        assert (me.device_id, me.user) == (device, "alice")
        assert (await me.send("bob", "three")).seq == 3
    assert (app.asked, gateway.tickets.logins, gateway.tickets.resumes) == (1, 1, [])
    assert stat.S_IMODE((folder / "ticket").stat().st_mode) == 0o600


async def test_a_killed_program_sends_what_it_had_not_sent_and_asks_for_no_token(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    app = App(gateway, tmp_path)
    gateway.answers = lambda payload: False
    me = app.start()
    await me.open()
    await kept(tmp_path)
    waiting = asyncio.ensure_future(me.send("bob", "kept"))
    await until(lambda: gateway.sends)
    await killed(me)
    gateway.answers = lambda payload: True
    async with app.start() as again:
        assert (await again.notices().__anext__()).name == "sent"
    waiting.cancel()
    assert (app.asked, gateway.tickets.logins) == (1, 1)
    assert len(gateway.log["s/alice:bob"]) == 1


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "open to others":
        path.chmod(0o644)
    elif how == "cut off":
        path.write_bytes(data[:-1])
    elif how == "a bit flipped":
        path.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["open to others", "cut off", "a bit flipped", "empty"])
async def test_a_file_that_cannot_be_trusted_costs_a_token_and_is_written_anew(
    gateway: ScriptedGateway, tmp_path: Path, how: str
) -> None:
    app = App(gateway, tmp_path)
    for logins in (0, 1):
        async with app.start():
            await kept(tmp_path)
            assert gateway.tickets.logins == logins
    spoil(tmp_path / "ticket", how)
    async with app.start():
        assert (app.asked, gateway.tickets.logins) == (2, 1)
        await until(lambda: stat.S_IMODE((tmp_path / "ticket").stat().st_mode) == 0o600)
    async with app.start():
        assert (app.asked, gateway.tickets.logins) == (2, 2)


async def test_a_ticket_that_the_server_does_not_take_is_replaced(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    app = App(gateway, tmp_path)
    async with app.start():
        await kept(tmp_path)
    gateway.tickets.of.clear()
    async with app.start() as me:
        assert app.asked == 2
        assert (await me.send("bob", "here")).seq == 1
    gateway.tickets.refuse_auth = 4002
    async with app.start() as me:
        assert (app.asked, gateway.tickets.logins) == (3, 1)
        assert (await me.send("bob", "again")).seq == 2


@pytest.mark.parametrize("other", [{"user": "bob"}, {"device_id": "tablet"}, {"platform": 3}, {"user": ""}])
async def test_nobody_else_logs_in_with_it(
    gateway: ScriptedGateway, tmp_path: Path, other: dict[str, Any]
) -> None:
    """Nor somebody of whom nobody says who it is: the token may be another user's."""
    app = App(gateway, tmp_path, device_id="phone")
    async with app.start():
        await kept(tmp_path)
    async with app.start(**other):
        assert (app.asked, gateway.tickets.logins) == (2, 0)


async def test_a_policy_against_it_leaves_nothing_on_disk(gateway: ScriptedGateway, tmp_path: Path) -> None:
    app = App(gateway, tmp_path)
    async with app.start():
        await kept(tmp_path)
    async with app.start(policy=Policy(resume=False)):
        assert (app.asked, gateway.tickets.logins) == (2, 0)
        assert not (tmp_path / "ticket").exists()


@pytest.mark.parametrize("age", [-1.0, 3600.0, 1e9])
def test_a_ticket_that_is_over_or_of_the_future_is_none(tmp_path: Path, age: float) -> None:
    wall = 1_000_000.0
    file = TicketFile(tmp_path / "ticket", lambda: wall)
    file.keep(WHOSE, TICKET, 60.0)
    found = TicketFile(tmp_path / "ticket", lambda: wall + 100).load(WHOSE, 7.0)
    assert found == TICKET._replace(came=7.0 - 110)
    assert TicketFile(tmp_path / "ticket", lambda: wall - 10 + age).load(WHOSE, 7.0) is None


@pytest.mark.parametrize("field", ["user", "device", "servers"])
def test_it_is_bound_to_user_device_and_servers(tmp_path: Path, field: str) -> None:
    file = TicketFile(tmp_path / "ticket", lambda: 0.0)
    file.keep(WHOSE, TICKET, 50.0)
    assert KeptTicket(file, WHOSE).load(50.0) == TICKET
    assert KeptTicket(file, WHOSE._replace(**{field: "other"})).load(50.0) is None
    assert KeptTicket(file, WHOSE._replace(user="")).load(50.0) is None


def test_a_disk_that_is_full_is_told_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TicketFile(tmp_path / "is-a-file" / "ticket", lambda: 0.0)
    (tmp_path / "is-a-file").write_text("")
    file.keep(WHOSE, TICKET, 50.0)
    file.keep(WHOSE, TICKET, 50.0)
    assert [record.getMessage() for record in caplog.records if "cannot be kept" in record.getMessage()][
        1:
    ] == []
    assert file.load(WHOSE, 50.0) is None
    file.forget()
    assert os.listdir(tmp_path) == ["is-a-file"]
