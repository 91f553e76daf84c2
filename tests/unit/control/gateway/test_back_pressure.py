"""While the message service is busy a gateway leaves events in its core, and takes them all afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control.gateway.core import Core, EventCodes
from control.gateway.events import BUSY_PER_S, GatewayEvents
from control.gateway.logins import Logins
from im_service.ports import Session
from tests.support.sdk_client import until

CODES = EventCodes(**{name: number for number, name in enumerate(EventCodes.__struct_fields__, 1)})
NOBODY = cast(Logins, SimpleNamespace())  # nobody logs in


class Ring:
    """The core's end of the events: a list behind an eventfd."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._fd = os.eventfd(0, os.EFD_NONBLOCK)

    def send(self, request: int) -> None:
        self.events.append((CODES.send, 7, "alice", "phone", request, "u/bob", b"x"))
        os.eventfd_write(self._fd, 1)

    def start(self) -> None: ...
    def stop(self, timeout_s: float = 0.0) -> None: ...

    def fileno(self) -> int:
        return self._fd

    def take_events(self, max: int = 1024) -> list[tuple[Any, ...]]:
        if self.events:
            os.eventfd_read(self._fd)
        taken, self.events = self.events[:max], self.events[max:]
        if self.events:
            os.eventfd_write(self._fd, 1)
        return taken

    def close(self) -> None:
        os.close(self._fd)


class Service:
    """Busy for as long as the test says."""

    def __init__(self) -> None:
        self.full = False
        self.requests: list[int] = []
        self.asked = 0

    def busy(self) -> bool:
        self.asked += 1
        return self.full

    def on_sends(self, batch: list[tuple[Session, int, str, bytes]]) -> None:
        self.requests += [request for _, request, _, _ in batch]

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None: ...
    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None: ...
    def on_logout(self, session: Session, code: int) -> None: ...
    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None: ...


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


@pytest.mark.parametrize("before", [0, BUSY_PER_S])
async def test_events_wait_in_the_core_while_the_service_is_busy(ring: Ring, before: int) -> None:
    """`before`: so many sends at once beforehand, after which events are looked for in turns."""
    service = Service()
    events = GatewayEvents(cast(Core, ring), CODES, NOBODY, service, 1, events_per_wake=64)
    events.start()
    for request in range(before):
        ring.send(request)
    await until(lambda: len(service.requests) == before)

    service.full, asked = True, service.asked
    for request in range(before, before + 100):
        ring.send(request)
    await until(lambda: service.asked > asked + 3)
    assert len(service.requests) == before
    assert len(ring.events) == 100

    service.full = False
    await until(lambda: len(service.requests) == before + 100)
    ring.send(before + 100)
    await until(lambda: len(service.requests) == before + 101)
    assert service.requests == list(range(before + 101))
    await events.stop(0.0)


async def test_a_stop_hands_over_what_waited(ring: Ring) -> None:
    service = Service()
    events = GatewayEvents(cast(Core, ring), CODES, NOBODY, service, 1)
    events.start()
    service.full = True
    ring.send(1)
    await until(lambda: service.asked > 2)
    await events.stop(0.0)
    assert service.requests == [1]


def test_a_login_that_finds_a_stopped_core_is_no_error_and_the_events_behind_it_are_handled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NotRunning(Exception):
        pass

    class Stopped:
        def check(self, event: tuple[Any, ...]) -> None:
            raise NotRunning

    told: list[object] = []
    monkeypatch.setattr("control.gateway.events.log.exception", lambda *words: told.append(words))
    ring, service = Ring(), Service()
    events = GatewayEvents(
        cast(Core, ring), CODES, cast(Logins, Stopped()), service, 1, not_running=(NotRunning,)
    )
    events.handle([(CODES.auth,), (CODES.send, 7, "alice", "phone", 5, "u/bob", b"x")])
    assert (service.requests, told) == ([5], [])
    ring.close()
