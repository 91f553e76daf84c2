"""The demonstration counts honestly: it ends well here, and would not with a message missing."""

from __future__ import annotations

import subprocess
import sys

import httpx
from qianwan.light import LightSwarm

from program.demo.audience import ROOM, make_room, plans
from program.demo.members import hear_out
from program.demo.tally import Row, account
from tests.support.server_process import ROOT, ServerProcess


def test_a_small_demo_loses_and_doubles_nothing() -> None:
    command = [sys.executable, "-m", "program", "demo"]
    command += ["--messages", "100", "--members", "60", "--broadcasts", "60"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "nothing lost, nothing doubled" in shown.stdout
    pushed = "dave: [image] (badge 1), then: dave took back a message (badge 0)"
    assert f"a phone that is away would show: {pushed}" in " ".join(shown.stdout.split())
    assert "5,200" in shown.stdout, "60 x 60 in the room, 100 of the users, 6 x 5 x 50 in the group"


def test_the_room_of_the_demo_drops_nothing_however_many_broadcasts_are_asked_for(
    server: ServerProcess,
) -> None:
    make_room(server.url, server.first_api_key())
    answer = httpx.get(f"{server.url}/v1/rooms/{ROOM}", headers={"X-API-Key": server.first_api_key()})
    assert answer.json()["normal_per_s"] == 0


def test_one_lost_doubled_swapped_or_unacknowledged_message_spoils_the_account() -> None:
    def row(**wrong: int) -> Row:
        return Row("room", "aesgcm", "ws", 1, **{"sent": 5, "acked": 5, "delivered": 5, **wrong})

    assert account([row()])[1]
    for wrong in ({"lost": 1}, {"doubled": 1}, {"swapped": 1}, {"acked": 4}):
        assert not account([row(), row(**wrong)])[1]


def test_members_are_dealt_out_over_every_suite_and_transport() -> None:
    found = plans("url", "key", 1000, 200, 2)
    users = [user for plan in found for part in plan.parts for user in part.users]
    assert len(users) == len(set(users)) == 1000
    assert all(len(plan.parts) == 6 for plan in found)


class Trickle(LightSwarm):
    """A room on a slow machine: each wait is too short for all, and brings one message if there is one."""

    def __init__(self, come: int) -> None:
        super().__init__("http://127.0.0.1:1", [("member0-1", "token")], room="demo")
        self.come = come

    async def received(self, total: int, *, timeout_s: float) -> bool:
        self.count = min(self.count + 1, self.come)
        return self.count >= total


async def test_what_comes_late_is_waited_for_and_what_does_not_come_is_not() -> None:
    slow, lossy = Trickle(5), Trickle(3)
    for swarm in (slow, lossy):
        await hear_out(swarm, 5)
    assert (slow.count, lossy.count) == (5, 3)
