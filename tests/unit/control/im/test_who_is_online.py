"""Who is online, and on which devices: each im process knows those it serves, and asks the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.im.api import ApiResponder
from control.im.presence import LIVE, RoutePresence, live_devices
from control.rendezvous import choose
from control.routing.compact import CompactRoutes
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.ports import LiveDevices

IMS = [1, 5]
USERS = [f"user{number}" for number in range(12)]


def home(user: str) -> int:
    return int(choose(f"u/{user}", [str(number) for number in IMS]) or 0)


class Service:
    """The devices of those whom this im process serves."""

    def __init__(self, number: int) -> None:
        self.known: dict[str, LiveDevices] = {
            user: [("phone", 1), ("tablet", 6)] for user in USERS[::2] if home(user) == number
        }
        self.asked: list[list[str]] = []

    def here(self, user: str) -> LiveDevices:
        return self.known.get(user, [])

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        assert method == LIVE
        self.asked.append(msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))["users"])
        return live_devices(arguments, self.here)


async def start(hub: MemoryHub, number: int) -> tuple[Service, RoutePresence]:
    bus, service, routes = MemoryBus(hub), Service(number), CompactRoutes()
    await bus.start()
    await ApiResponder(bus, number, service).start()
    routes.live(2, 10)
    routes.announce(2, 10, [f"u/{user}" for user in USERS[:2]])
    return service, RoutePresence(routes, service.here, bus, number, lambda: IMS)


async def test_devices_are_known_wherever_they_logged_in() -> None:
    hub = MemoryHub()
    (one, presence), (five, _) = await start(hub, 1), await start(hub, 5)
    found = await presence.devices(USERS)
    assert found == {user: [("phone", 1), ("tablet", 6)] if user in USERS[::2] else [] for user in USERS}
    assert one.asked == []
    assert five.asked == [[user for user in USERS if home(user) == 5]], "asked once, of all"


async def test_sessions_from_before_another_process_served_their_user_are_not_all_of_them() -> None:
    hub = MemoryHub()
    (one, presence), (five, _) = await start(hub, 1), await start(hub, 5)
    moved, fresh = [user for user in USERS if home(user) == 5][:2]
    one.known |= {moved: [("phone", 1)], fresh: [("phone", 1)]}
    five.known = {moved: [("phone", 1), ("tablet", 6)]}  # of the other it has not been told yet
    found = await presence.devices([moved, fresh])
    assert found == {moved: [("phone", 1), ("tablet", 6)], fresh: [("phone", 1)]}


async def test_of_those_whose_process_does_not_answer_the_gateways_say_who_is_online() -> None:
    _, presence = await start(MemoryHub(), 1)
    found = await presence.devices(USERS)
    assert sorted(found) == sorted(user for user in USERS if home(user) == 1)
    assert [presence.online(user) for user in USERS[:3]] == [True, True, False]


def test_a_question_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ImError) as refused:
        live_devices(msgspec.Raw(b"\x81\xa5users\x01"), lambda user: [])
    assert refused.value.code == Code.MALFORMED
