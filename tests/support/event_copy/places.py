"""Consumers of the event copy that know nothing of the service: what each was given, in the order of its
first arrival.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import nats
from aiokafka import AIOKafkaConsumer

from tests.support.kafka_process import KafkaProcess
from tests.support.nats_process import NatsProcess
from tests.support.other_programs import environment
from tests.support.server_process import ROOT, free_ports

SUBJECT, STREAM, TOPIC = "copy", "COPY", "copy"
QUIET_S = 5.0

Event = dict[str, Any]


class Had(NamedTuple):
    """`repeats`: as far as the consumer sees them."""

    events: list[Event]
    repeats: int


class Consumer(Protocol):
    name: str

    async def had(self) -> Had: ...


class Kept:
    """A process of its own that keeps events in a file, killed and started again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.file = folder / f"{name}.sqlite3"
        self._words: list[str] = []
        self._given: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, words: list[str], given: dict[str, str]) -> None:
        self._words, self._given = words, given
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *self._words],
            env=environment() | self._given,
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def events(self) -> list[Event]:
        if not self.file.exists():
            return []
        with closing(sqlite3.connect(self.file)) as conn:
            try:
                rows = conn.execute("SELECT event FROM event ORDER BY place").fetchall()
            except sqlite3.OperationalError:  # it has not made its table yet
                return []
        return [json.loads(row[0]) for row in rows]

    async def had(self) -> Had:
        return Had(await asyncio.to_thread(self.events), 0)


class Example(Kept):
    """examples/webhook_receiver.py"""

    def __init__(self, folder: Path) -> None:
        super().__init__("webhook", folder)
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/"

    def receive(self, secret: str) -> None:
        words = [str(ROOT / "examples/webhook_receiver.py"), str(self.port), str(self.file)]
        self.begin(words, {"SECRET": secret})


class Pull(Kept):
    def __init__(self, folder: Path) -> None:
        super().__init__("pull", folder)

    def pull(self, url: str, key: str) -> None:
        words = ["-m", "tests.support.event_copy.puller", url, "puller", str(self.file)]
        self.begin(words, {"KEY": key})


class Stream:
    """A stream of NATS JetStream."""

    name = "jetstream"

    def __init__(self, server: NatsProcess) -> None:
        self._server = server
        self.url = f"{server.url}/{SUBJECT}"

    async def make(self) -> None:
        client = await nats.connect(self._server.url)
        await client.jetstream().add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
        await client.close()

    async def had(self) -> Had:
        client = await nats.connect(self._server.url)
        try:
            stream = client.jetstream()
            left = (await stream.stream_info(STREAM)).state.messages
            reader = await stream.pull_subscribe(f"{SUBJECT}.>", stream=STREAM)
            found: list[bytes] = []
            while len(found) < left:
                got = await reader.fetch(min(1000, left - len(found)), timeout=QUIET_S)
                found += [each.data for each in got]
                await asyncio.gather(*(each.ack() for each in got))
        finally:
            await client.close()
        return first_arrivals(found)


class Topic:
    """A topic of Kafka."""

    name = "kafka"

    def __init__(self, broker: KafkaProcess) -> None:
        self._broker = broker
        self.url = f"kafka://127.0.0.1:{broker.port}/{TOPIC}"

    async def had(self) -> Had:
        """Without a group it is assigned all partitions."""
        consumer = AIOKafkaConsumer(
            TOPIC, bootstrap_servers=f"127.0.0.1:{self._broker.port}", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            places = consumer.assignment()
            assert places, "the topic has no partitions"
            ends = await consumer.end_offsets(places)
            found: list[bytes] = []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for got in (await consumer.getmany(timeout_ms=1000, max_records=1000)).values():
                    found += [record.value for record in got]
        finally:
            await consumer.stop()
        return first_arrivals(found)


def first_arrivals(bodies: Iterable[bytes]) -> Had:
    first: dict[str, Event] = {}
    count = 0
    for body in bodies:
        event = json.loads(body)
        first.setdefault(event["event_id"], event)
        count += 1
    return Had(list(first.values()), count - len(first))
