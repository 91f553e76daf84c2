"""Events in a topic of a real Kafka broker: each at least once, in order, though the broker is killed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from control.outbox.delivery import Delivery, Tally, Task
from control.outbox.endpoints import place_of
from control.outbox.kafka import Kafka
from control.outbox.sink import Verdict
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event, EventFilter
from im_service.outbox.window import Rules
from im_service.ports import SystemClock
from tests.support.event_log import MemoryEventLog
from tests.support.kafka_process import KafkaProcess, why_not
from tests.support.sdk_client import until
from tests.support.untested import untested_here
from tests.unit.control.outbox.test_delivery import MemoryLetters

HERE = AddressPolicy(["127.0.0.0/8"])
PATIENCE_S = 120


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaProcess | None]:
    """None where there is nothing to run one."""
    if why_not():
        yield None
        return
    with KafkaProcess(tmp_path_factory.mktemp("kafka")) as running:
        yield running


def sink(port: int, budget_s: float = 20.0, topic: str = "events") -> Kafka:
    return Kafka(place_of(f"kafka://127.0.0.1:{port}/{topic}"), "qianwan", HERE, budget_s=budget_s)


async def test_every_event_is_there_in_order_though_the_broker_is_killed(broker: KafkaProcess | None) -> None:
    if untested_here(why_not()):
        return
    assert broker is not None
    log = MemoryEventLog()
    for number in range(60):
        log.put("message.single", f"s/{number % 5}")
    delivery = Delivery(
        Task("shop", "endpoint.shop", EventFilter(), 10, "c0"), sink(broker.port), log, MemoryLetters(),
        SystemClock(), Tally(), rules=Rules(first_ms=50, longest_ms=500),
    )  # fmt: skip
    task = asyncio.create_task(delivery.run())
    await until(lambda: delivery.tally.delivered >= 20, PATIENCE_S)
    broker.kill()
    for number in range(30):
        log.put("message.group", f"g/{number % 3}")
    await until(lambda: delivery.tally.requests["failed"] > 0, PATIENCE_S)
    broker.start()
    await until(lambda: delivery.place == f"c{len(log.events)}", PATIENCE_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    got = await records(broker.port, {event.event_id for event in log.events})
    expected: dict[str, list[str]] = defaultdict(list)
    for event in log.events:
        expected[event.subject].append(event.event_id)
    assert got == expected


async def test_cloud_events_are_read_by_another_library(broker: KafkaProcess | None) -> None:
    """Structured mode."""
    if untested_here(why_not()):
        return
    assert broker is not None
    sent = Event("e1", "message.single", 1_700_000_000_123, "s/a:b", "staging", {"text": "hi"}, "c1")
    place = place_of(f"kafka://127.0.0.1:{broker.port}/cloud")
    kafka = Kafka(place, "cloudevents", HERE)
    assert (await kafka.send([sent], "")).verdict is Verdict.DELIVERED
    await kafka.close()
    consumer = AIOKafkaConsumer(
        "cloud", bootstrap_servers=f"127.0.0.1:{broker.port}", auto_offset_reset="earliest"
    )  # fmt: skip
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            record = await consumer.getone()
    finally:
        await consumer.stop()
    read = from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value))
    assert (read.get_id(), read.get_type(), read.get_subject()) == ("e1", "message.single", "s/a:b")
    assert (read.get_data(), read.get_extension("qwenv")) == ({"text": "hi"}, "staging")


async def records(port: int, wanted: set[str], topic: str = "events") -> dict[str, list[str]]:
    """subject -> ids in the order of their first records, read until all that are wanted came."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=f"127.0.0.1:{port}", auto_offset_reset="earliest"
    )  # fmt: skip
    await consumer.start()
    found: dict[str, list[str]] = defaultdict(list)
    missing = set(wanted)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while missing:
                record = await consumer.getone()
                event = msgspec.json.decode(record.value)
                assert record.key.decode() == event["subject"]
                assert ("event_id", event["event_id"].encode()) in record.headers
                if event["event_id"] not in found[event["subject"]]:
                    found[event["subject"]].append(event["event_id"])
                missing.discard(event["event_id"])
    finally:
        await consumer.stop()
    return found


async def test_nobody_there_and_an_address_that_is_refused_are_failures() -> None:
    event = MemoryEventLog().put("message.single", "s/1")
    there = sink(1, 5.0)
    outcome = await there.send([event], "")
    assert outcome.verdict is Verdict.FAILED
    await there.close()
    elsewhere = Kafka(place_of("kafka://127.0.0.1:9/events"), "qianwan", AddressPolicy())
    outcome = await elsewhere.send([event], "")
    assert outcome.verdict is Verdict.FAILED
    assert "public" in outcome.reason


async def test_what_lies_behind_a_refused_event_waits_for_it(broker: KafkaProcess | None) -> None:
    """The broker takes one event not: those of its subject behind it are not there before it, those of others
    are when they are given again."""
    if untested_here(why_not()):
        return
    assert broker is not None
    log = MemoryEventLog()
    texts = {"s/1": ["x", "y" * 30_000, "z"], "s/2": ["x", "z"]}
    events = [
        log.put("message.single", talk, {"text": text}) for talk, said in texts.items() for text in said
    ]
    await make_topic(broker.port, "small", {"max.message.bytes": "20000"})
    there = sink(broker.port, topic="small")
    assert (await there.send(events, "")).verdict is Verdict.REFUSED
    assert (await there.send([events[0]], "")).verdict is Verdict.DELIVERED
    assert (await there.send([events[1]], "")).verdict is Verdict.REFUSED
    assert (await there.send(events[3:], "")).verdict is Verdict.DELIVERED
    huge = log.put("message.single", "s/3", {"text": "x" * 1_000_000})
    assert (await there.send([huge], "")).verdict is Verdict.REFUSED
    late = log.put("message.single", "s/1")
    assert (await there.send([late], "")).verdict is Verdict.DELIVERED
    await there.close()
    taken = [events[0], *events[3:], late]
    got = await records(broker.port, {each.event_id for each in taken}, "small")
    assert got == {
        "s/1": [events[0].event_id, late.event_id], "s/2": [each.event_id for each in events[3:]]
    }  # fmt: skip


async def make_topic(port: int, name: str, config: dict[str, str]) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    await client.start()
    await client.create_topics([NewTopic(name, 3, 1, topic_configs=config)])
    await client.close()
