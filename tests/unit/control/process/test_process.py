"""A process is a list of parts: the order of their start and stop, and what a failure costs the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from control.coordination.identity import Identity
from control.part import Check, Part, Source
from control.process import process as process_module
from control.process.process import Process
from control.process.wiring import Wiring, build_process
from control.settings import Settings
from control.settings.build import build
from frame.constants import FrameType
from gateway_core import MailboxFull
from im_service.models import SYNC_BODY
from im_service.ports import Session
from tests.support.sdk_client import until
from tests.support.server_process import free_ports


class Recorder(Part):
    """Writes down what happens to it, and fails where it is told to."""

    def __init__(self, name: str, log: list[str], *failing: str) -> None:
        self.name, self.log, self.failing = name, log, failing

    def _did(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        if what in self.failing:
            raise OSError(f"{self.name} cannot {what}")

    async def start(self) -> None:
        self._did("start")

    async def drain(self) -> None:
        self._did("drain")

    async def stop(self, grace_s: float) -> None:
        self._did("stop")

    async def tick(self) -> None:
        self._did("tick")

    def checks(self) -> Mapping[str, Check]:
        return {self.name: lambda: None if f"start {self.name}" in self.log else "not there"}

    def sources(self) -> Mapping[str, Source]:
        return {self.name: lambda: {"ticks": self.log.count(f"tick {self.name}")}}


def made(log: list[str], **failing: str) -> Process:
    process = Process(Settings(), OWN.own)
    process.parts = [Recorder(name, log, *failing.get(name, "").split()) for name in "abc"]
    return process


async def test_parts_start_in_order_drain_and_stop_in_reverse() -> None:
    log: list[str] = []
    process = made(log)
    await process.start()
    assert process.health.report() == {"a": "ok", "b": "ok", "c": "ok", "process": "ok"}
    assert set(process.sources().sections) == {"a", "b", "c"}
    await process.drain()
    assert process.health.report()["process"] == "draining"
    await process.stop(0.0)
    phases = (("start", "abc"), ("drain", "cba"), ("stop", "cba"))
    expected = [f"{what} {name}" for what, names in phases for name in names]
    assert [entry for entry in log if not entry.startswith("tick")] == expected


async def test_a_start_that_fails_undoes_what_was_begun_and_says_why() -> None:
    log: list[str] = []
    with pytest.raises(OSError, match="b cannot start"):
        await made(log, b="start", a="stop").start()
    assert log == ["start a", "start b", "stop b", "stop a"]


async def test_a_part_that_cannot_stop_keeps_no_other_from_it_and_is_told() -> None:
    log: list[str] = []
    process = made(log, b="stop", c="stop")
    await process.start()
    log.clear()
    with pytest.raises(OSError, match="c cannot stop"):
        await process.stop(0.0)
    assert log == ["stop c", "stop b", "stop a"]


async def test_a_tick_that_fails_hurts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "TICK_S", 0.01)
    log: list[str] = []
    process = Process(build({"bus": {"beacon_s": 0.05, "dead_after_s": 1.0}}), OWN.own)
    process.parts = [Recorder("a", log, "tick"), Recorder("b", log)]
    await process.start()
    async with asyncio.timeout(10):
        while log.count("tick b") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await process.stop(0.0)
    assert log.count("tick a") >= 2
    ticks = log.count("tick b")
    assert process.sources().sections["b"]() == {"ticks": ticks}


async def test_a_tick_that_does_not_end_keeps_no_stop_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver may take a cancellation and wait on, for a server that stands still."""
    monkeypatch.setattr(process_module, "TICK_S", 0.01)
    log: list[str] = []
    begun, answer = asyncio.Event(), asyncio.Event()

    class Stubborn(Recorder):
        async def tick(self) -> None:
            begun.set()
            while not answer.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await answer.wait()

    process = Process(build({"bus": {"beacon_s": 0.05, "dead_after_s": 1.0}}), OWN.own)
    process.parts = [Stubborn("a", log)]
    await process.start()
    async with asyncio.timeout(30):
        await begun.wait()
        await process.stop(0.0)
    assert log[-1] == "stop a"
    answer.set()


def settings(folder: Path, roles: str, kind: str = "nats", http: int = 0, **bus: float) -> Settings:
    gateway, other = free_ports(2)
    return build(
        {
            "server": {"data_dir": folder, "roles": roles.split(",")},
            "gateway": {"listen": f"127.0.0.1:{gateway}", "loops": 1},
            "control": {"http": f"127.0.0.1:{http or other}", "admin": "127.0.0.1:0"},
            "bus": {"kind": kind, **bus},
        }
    )


OWN = Identity((1, 100))
ALONE = "KeysPart DataFolder SqliteDocuments BusPart BeaconCoordination"
ALONE += " StoreClaim WordListFollower ImPart OutboxWiring Revocations Keyring GatewayPart"
ALONE += " Orders DictionaryFollower GatewayPolicies PolicyNumbers ConnService Returns Traces"
ALONE += " OwnNode Replica LbsSources Audit Remembered Guard LiveSettings HttpPart AdminPart FirstApiKey"
CLAIM, BUS = "KeysPart DataFolder SqliteDocuments BusPart NodeIdClaim", "StreamLinks BeaconCoordination"
MET = f"{CLAIM} SameRoot {BUS}"
IM = "StoreClaim Guests ImOverBus WordListFollower ImPart OutboxWiring BusPeers ApiResponder"
HTTP = "OwnNode Replica LbsSources Audit Remembered Guard LiveSettings HttpPart AdminPart FirstApiKey"
GATEWAY = "Revocations GatewayPart Orders DictionaryFollower GatewayPolicies PolicyNumbers GatewayOverBus"
GATEWAY += " ConnService Returns Traces"


@pytest.mark.parametrize(
    ("roles", "kind", "parts"),
    [
        ("gateway,im,control", "memory", ALONE),
        ("gateway", "nats", f"{MET} {GATEWAY} OwnNode LiveSettings HttpPart HeapTrim"),
        ("im", "nats", f"{CLAIM.removeprefix('KeysPart ')} {BUS} {IM} OwnNode LiveSettings HttpPart"),
        (
            "control",
            "nats",
            f"{MET} Revocations Keyring ImSeen {HTTP}",
        ),
        (
            "gateway,im,control",
            "nats",
            f"{MET} {IM} {GATEWAY.replace('Revocations', 'Revocations Keyring')} {HTTP}",
        ),
    ],
)
def test_each_set_of_roles_has_its_list_of_parts(tmp_path: Path, roles: str, kind: str, parts: str) -> None:
    process = build_process(settings(tmp_path, roles, kind), OWN)
    assert [type(part).__name__ for part in process.parts] == parts.split()


async def test_after_a_failed_start_the_same_folder_and_ports_can_be_used_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tried = settings(tmp_path, "gateway,im,control", "memory", taken.getsockname()[1])
        with pytest.raises(OSError, match="HTTP port"):
            await build_process(tried, OWN).start()
    assert "api-keys.json" not in {path.name for path in (tmp_path / "keys").iterdir()}, "not used up"
    process = build_process(tried, OWN)
    await process.start()
    assert process.health.ready()
    await process.stop(0.0)


class FullCore:
    """Takes no command until `room`, then writes down the publications."""

    def __init__(self) -> None:
        self.room = False
        self.published: list[tuple[str, int, bytes]] = []

    def leave(self, conn: int, topic: str) -> None:
        if not self.room:
            raise MailboxFull("full")

    def publish(self, topic: str, type: int, body: bytes, *more: int) -> None:
        self.published.append((topic, type, body))


async def test_what_a_core_did_not_take_sends_the_sessions_to_the_store(tmp_path: Path) -> None:
    """In a process with all roles too, where no other process could notice."""
    chosen = settings(tmp_path, "gateway,im,control", "memory", sync_spread_s=0.0)
    wiring, core = Wiring(Process(chosen, OWN.own), OWN, None), FullCore()
    wiring.__dict__["core"] = core
    for conn, user in enumerate(("ann", "ben", "ben"), 1):
        wiring.im.service.sessions.add(Session(1, conn, user, f"d{conn}"), 6, conn)
    while not wiring.downlink.dropped:
        wiring.downlink.leave(Session(1, 9, "cho", "d"), "g/1")
    core.room = True
    await until(lambda: len(core.published) == 2)
    assert sorted(topic for topic, _, _ in core.published) == ["u/ann", "u/ben"]
    assert {(type, body) for _, type, body in core.published} == {(FrameType.EVENT, SYNC_BODY)}
