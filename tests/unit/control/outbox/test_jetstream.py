"""Events in a stream of a real NATS server: each once, in order, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import nats
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from control.outbox.delivery import Delivery, Tally, Task
from control.outbox.endpoints import place_of
from control.outbox.jetstream import JetStream
from control.outbox.sink import Verdict
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event, EventFilter
from im_service.outbox.window import Rules
from im_service.ports import SystemClock
from tests.support.event_log import MemoryEventLog
from tests.support.nats_process import NatsProcess
from tests.support.sdk_client import until
from tests.unit.control.outbox.test_delivery import MemoryLetters

HERE = AddressPolicy(["127.0.0.0/8"])


def sink(server: NatsProcess, budget_s: float = 5.0) -> JetStream:
    return JetStream(place_of(f"{server.url}/shop.events"), "qianwan", HERE, budget_s=budget_s)


async def stored(server: NatsProcess) -> list[Event]:
    client = await nats.connect(server.url)
    stream = client.jetstream()
    count = (await stream.stream_info("EVENTS")).state.messages
    found = [await stream.get_msg("EVENTS", number) for number in range(1, count + 1)]
    await client.close()
    return [msgspec.convert(msgspec.json.decode(each.data or b""), dict) for each in found]


async def make_stream(server: NatsProcess) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="EVENTS", subjects=["shop.events.>"])
    await client.close()


async def cloud_events_are_such(server: NatsProcess) -> None:
    """Structured mode, as another library reads it."""
    sent = Event("cloudy", "message.single", 1_700_000_000_123, "s/a:b", "staging", {"text": "hi"}, "c1")
    jet = JetStream(place_of(f"{server.url}/shop.events"), "cloudevents", HERE)
    assert (await jet.send([sent], "")).verdict is Verdict.DELIVERED
    await jet.close()
    client = await nats.connect(server.url)
    stream = client.jetstream()
    last = await stream.get_msg("EVENTS", (await stream.stream_info("EVENTS")).state.messages)
    await client.close()
    read = from_http_event(HTTPMessage(dict(last.headers or {}), last.data or b""))
    assert (read.get_id(), read.get_type(), read.get_subject()) == ("cloudy", "message.single", "s/a:b")
    assert (read.get_data(), read.get_extension("qwenv")) == ({"text": "hi"}, "staging")


async def test_every_event_is_stored_once_though_the_server_dies(tmp_path: Path) -> None:
    log = MemoryEventLog()
    for number in range(120):
        log.put("message.single", f"s/{number % 5}")
    with NatsProcess(tmp_path, streams=True) as server:
        await make_stream(server)
        delivery = Delivery(
            Task("shop", "endpoint.shop", EventFilter(), 10, "c0"), sink(server), log, MemoryLetters(),
            SystemClock(), Tally(), rules=Rules(first_ms=20, longest_ms=100),
        )  # fmt: skip
        task = asyncio.create_task(delivery.run())
        await until(lambda: delivery.tally.delivered >= 30, 60)
        server.kill()
        for number in range(30):
            log.put("message.group", f"g/{number % 3}")
        await until(lambda: delivery.tally.requests["failed"] > 0, 60)
        server.start()
        await until(lambda: delivery.place == f"c{len(log.events)}", 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        got = await stored(server)
        await cloud_events_are_such(server)
    by_subject: dict[str, list[str]] = defaultdict(list)
    for event in got:
        by_subject[event["subject"]].append(event["event_id"])
    expected: dict[str, list[str]] = defaultdict(list)
    for event in log.events:
        expected[event.subject].append(event.event_id)
    assert by_subject == expected, "Nats-Msg-Id keeps out what came twice"


async def test_a_replay_is_stored_within_the_duplicate_window_and_a_repeat_is_said(tmp_path: Path) -> None:
    log = MemoryEventLog()
    sent = [log.put("message.single", f"s/{number % 2}") for number in range(4)]
    with NatsProcess(tmp_path, streams=True) as server:
        await make_stream(server)
        jet = sink(server)
        answers = [(await jet.send(sent, again)).answer for again in ("", "", "r1", "r1", "r2")]
        await jet.close()
        got = await stored(server)
    assert [bool(answer) for answer in answers] == [False, True, False, True, False]
    assert answers[1] == b"the stream had 4 of 4 already (duplicate)"
    count = Counter(event["event_id"] for event in got)
    assert count == {event.event_id: 3 for event in sent}, "once, and once for each replay"


async def test_a_server_without_the_stream_and_a_refused_address_are_said(tmp_path: Path) -> None:
    log = MemoryEventLog()
    event = log.put("message.single", "s/1")
    with NatsProcess(tmp_path, streams=True) as server:
        there = sink(server)
        outcome = await there.send([event], "")
        assert outcome.verdict is Verdict.FAILED
        await there.close()
        elsewhere = JetStream(place_of(f"{server.url}/shop.events"), "qianwan", AddressPolicy())
        outcome = await elsewhere.send([event], "")
        assert outcome.verdict is Verdict.FAILED
        assert "public" in outcome.reason
        await make_stream(server)
        too_large = log.put("message.single", "s/1", {"text": "x" * (2 << 20)})
        outcome = await there.send([too_large], "")
        assert outcome.verdict is Verdict.REFUSED
        server.freeze()
        short = sink(server, 0.3)
        outcome = await short.send([event], "")
        assert outcome.verdict is Verdict.FAILED
        server.go_on()
        await short.close()
        await there.close()
