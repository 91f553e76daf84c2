"""Every setting that is marked live reaches the part that goes by it, in a process that runs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from control import logs
from control.coordination.identity import Identity
from control.coordination.sqlite_documents import SqliteDocuments
from control.process.live_settings import LiveSettings
from control.process.process import Process
from control.process.wiring import Wiring
from control.settings.build import build
from control.settings.keys import walk
from control.settings.live import DOCUMENT, LiveDocument, Values, live_keys, usable
from im_service.callbacks.kinds import Kind
from im_service.rates import Limiter, Rate
from tests.support.sdk_client import until
from tests.support.server_process import free_ports

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
OWN = Identity((1, 100))


def held(limiter: Limiter) -> Rate:
    return Rate(round(1000 / limiter._cost, 6), round(limiter._span / limiter._cost))


def rates_of(wiring: Wiring) -> dict[str, list[Limiter]]:
    """Each limiter that goes by a rate: of messages, and of other words that people read."""
    service = wiring.im.service
    found: dict[str, list[Limiter]] = {
        "call": [service.calls._limiter], "spread": [service._spread._limit],
        "report": [service.reviews._rate],
    }  # fmt: skip
    for each in (service.messages.admission, service._words.admission):
        for name in ("account", "device", "conversation", "stranger"):
            found.setdefault(name, []).append(getattr(each, f"_{name}"))
        found.setdefault("room_sender", []).append(each._speaker)
    return found


def in_parts(wiring: Wiring) -> Values:
    """What the parts go by now, by the name of the setting."""
    gate, lockout, lbs = wiring.services.rate_gate, wiring.services.lockout, wiring.services.lbs.rates
    moving = wiring.moving
    found: Values = {
        "server.drain_spread_s": wiring.gateway._spread_s,
        "gateway.ping_interval_s": wiring.policies.default()[1],
        "gateway.ws_ping_interval_s": wiring.logins._welcome.ws_ping_interval_s,
        "control.lbs.requests_per_s": round(1 / lbs._cost, 6),
        "control.lbs.burst": round(lbs._span / lbs._cost),
        "limits.api_requests_per_s": round(1 / gate._cost, 6),
        "limits.api_burst": round(gate._span / gate._cost),
        "limits.key_failures": lockout._failures,
        "limits.key_lock_s": lockout._lock_s,
        "limits.user_logins_per_s": round(1 / wiring.logins._pace._cost, 6),
        "log.level": LEVELS[logs._levels._usual],
        "log.levels": ",".join(f"{name}={LEVELS[own]}" for name, own in logs._levels._own.items()),
    }
    assert wiring.callbacks is not None
    found |= {f"callbacks.{name}": wiring.callbacks.rule(kind) for name, kind in ASKED.items()}
    found |= dict(walk(moving.admission._settings, "gateway.admission."))
    found |= dict(walk(moving.moves._settings, "gateway.leaving."))
    for name, limiters in rates_of(wiring).items():
        (rate,) = {held(limiter) for limiter in limiters}
        found |= dict(walk(rate, f"im.service.{name}_rate."))
    return found


LEVELS = {number: name for name, number in logs._LEVELS.items()}
ASKED = {
    "single": Kind.SINGLE, "group": Kind.GROUP, "room": Kind.ROOM, "friend_request": Kind.FRIEND,
    "group_create": Kind.GROUP_CREATE, "group_join": Kind.GROUP_JOIN, "room_enter": Kind.ROOM_ENTER,
    "login": Kind.LOGIN,
}  # fmt: skip
WORDS = {"log.level": "error", "log.levels": "trace=info"} | {f"callbacks.{name}": "closed" for name in ASKED}


def other(key: str, value: Any) -> Any:
    """Another value that the setting may have."""
    return WORDS.get(key) or (value + 1 if value else 8)


@pytest.mark.usefixtures("restored_levels")
async def test_every_live_setting_is_taken_up_by_a_running_process(tmp_path: Path) -> None:
    gateway, http = free_ports(2)
    settings = build(
        {
            "server": {"data_dir": tmp_path, "node_id": 1},
            "gateway": {"listen": f"127.0.0.1:{gateway}", "loops": 1},
            "callbacks": {"url": "https://app.example.com/asked", "secret": SECRET},
            "control": {"http": f"127.0.0.1:{http}", "admin": "", "lbs": {"http": ""}},
        }
    )
    process = Process(settings, OWN.own)
    wiring = Wiring(process, OWN, None)
    process.parts = wiring.parts()
    await process.start()
    try:
        now = dict(walk(settings))
        values = {key: other(key, now[key]) for key in live_keys()}
        (live,) = [part for part in process.parts if isinstance(part, LiveSettings)]
        (documents,) = [part for part in process.parts if isinstance(part, SqliteDocuments)]
        order = LiveDocument(at="", who="", name="", values=values)
        await documents.put(DOCUMENT, msgspec.json.encode(order))
        await until(lambda: live.settings is not settings and not live._left, timeout_s=20)
        assert {key: in_parts(wiring)[key] for key in live_keys()} == values, "a new one needs its reader"
    finally:
        await process.stop(0.0)


@pytest.fixture
def restored_levels() -> Iterator[None]:
    """Other tests read logs."""
    yield
    logs.set_level("info")
    structlog.reset_defaults()


async def test_what_does_not_go_with_a_process_keeps_nothing_else_out_and_is_told(tmp_path: Path) -> None:
    documents = SqliteDocuments(tmp_path / "documents")
    await documents.start()
    seen: list[Any] = []
    base = build({"gateway": {"admission": {"retry_most_s": 5}}})
    live = LiveSettings(documents, base, [seen.append])
    await live.start()
    values: Values = {
        "gateway.admission.new_per_s": 7.0, "gateway.admission.retry_least_s": 10, "of.another.version": 1,
    }  # fmt: skip
    order = LiveDocument(at="", who="", name="", values=values)
    await documents.put(DOCUMENT, msgspec.json.encode(order))
    await until(lambda: bool(seen), timeout_s=10)
    admission = seen[0].gateway.admission
    assert (admission.new_per_s, admission.retry_least_s) == (7.0, base.gateway.admission.retry_least_s)
    assert set(live.refused) == {"gateway.admission.retry_least_s", "of.another.version"}
    assert live.sources()["live_settings"]() == {"live_refused": 2, "live_waiting": 0}
    await documents.put(DOCUMENT, b"{")
    await until(lambda: set(live.refused) == {DOCUMENT}, timeout_s=10)
    assert live.settings.gateway.admission.new_per_s == 7.0
    await documents.delete(DOCUMENT, None)
    await until(lambda: not live.refused and live.settings.gateway.admission.new_per_s == 0, timeout_s=10)
    await live.stop(0.0)
    await documents.stop()


def test_values_that_need_each_other_are_taken_together() -> None:
    base = build({"gateway": {"admission": {"retry_most_s": 5}}})
    values = {"gateway.admission.retry_least_s": 10, "gateway.admission.retry_most_s": 20, "no.such": 1}
    found, refused = usable(base, values)
    assert (found.gateway.admission.retry_least_s, set(refused)) == (10, {"no.such"})


async def test_a_part_that_could_not_take_them_is_asked_again(tmp_path: Path) -> None:
    documents = SqliteDocuments(tmp_path / "documents")
    await documents.start()
    taken: list[float] = []
    full = [True]

    def busy(settings: Any) -> None:
        if full:
            raise RuntimeError("the mailbox is full")
        taken.append(settings.gateway.leaving.per_s)

    heard: list[float] = []
    live = LiveSettings(
        documents, build({}), [busy, lambda settings: heard.append(settings.limits.api_burst)]
    )
    await live.start()
    order = LiveDocument(at="", who="", name="", values={"gateway.leaving.per_s": 7.0})
    await documents.put(DOCUMENT, msgspec.json.encode(order))
    await until(lambda: bool(heard), timeout_s=10)
    await live.tick()
    assert taken == []
    full.clear()
    await live.tick()
    await live.tick()
    assert (taken, len(heard)) == ([7.0], 1)
    await live.stop(0.0)
    await documents.stop()
