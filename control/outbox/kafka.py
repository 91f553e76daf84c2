"""Events into a topic of Kafka: one record each, its key the subject, so that one partition has it in order.

The producer is idempotent and waits for all in-sync replicas. What was sent before an answer was lost is sent
again by the next producer: consumers drop it by the header `event_id`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidMessageError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from control.outbox.endpoints import Format, Place
from control.outbox.reach import check_servers
from control.outbox.sink import Outcome, Verdict, encoded, media_of
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event

BUDGET_S = 20.0
REQUEST_MS = 10_000
CLOSE_S = 2.0
WRITE_BYTES = 64 << 10
"""Of one write to a partition; a larger event is written alone."""
LARGEST_BYTES = 1_000_000
"""What a topic takes where nobody set it otherwise, but for what stands around it. Beyond: refused."""
_partition_of = DefaultPartitioner()


class TooLarge(Exception):
    """It was not given to the producer."""


TOO_LARGE = (TooLarge, MessageSizeTooLargeError, InvalidMessageError, RecordListTooLargeError)


class Kafka:
    """Implements Sink."""

    def __init__(
        self,
        place: Place,
        form: Format,
        policy: AddressPolicy,
        login: str = "",
        budget_s: float = BUDGET_S,
        ca_file: str = "",
    ) -> None:
        self._place = place
        self._form = form
        self._policy = policy
        self._login = login
        self._budget_s = budget_s
        self._ca_file = ca_file
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        request = f"{len(batch)} records to {self._place.topic}".encode()
        try:
            async with asyncio.timeout(self._budget_s):
                producer = await self._started()
                by_partition = await self._parted(producer, batch)
                ends = await asyncio.gather(
                    *(self._put(producer, *each) for each in by_partition.items()), return_exceptions=True
                )
        except TimeoutError:
            ends = [TimeoutError("no acknowledgement in time")]
        except (KafkaError, OSError, ValueError) as error:
            ends = [error]
        problems = [end for end in ends if end is not None]
        if not problems:
            return Outcome(Verdict.DELIVERED, request=request)
        if not all(isinstance(each, TooLarge) for each in problems):
            await self.close()  # what the broker refused leaves a hole in what the producer counts
        worst = next((each for each in problems if not isinstance(each, TOO_LARGE)), None)
        if worst is None:
            return Outcome(Verdict.REFUSED, f"large: {problems[0]}", request=request)
        if not isinstance(worst, (KafkaError, OSError, ValueError)):
            raise worst
        kind = "timeout" if isinstance(worst, TimeoutError) else "kafka"
        return Outcome(Verdict.FAILED, f"{kind}: {str(worst) or type(worst).__name__}", request=request)

    async def _parted(self, producer: AIOKafkaProducer, batch: Sequence[Event]) -> dict[int, list[Event]]:
        """As every client of Kafka does it for keys."""
        partitions = sorted(await producer.partitions_for(self._place.topic))
        found: dict[int, list[Event]] = {}
        for event in batch:
            found.setdefault(_partition_of(event.subject.encode(), partitions, partitions), []).append(event)
        return found

    async def _put(self, producer: AIOKafkaProducer, partition: int, events: Sequence[Event]) -> None:
        """One write after the other, each all or nothing: what follows an event that is not taken is not
        there before it."""
        records = producer.create_batch()
        for event in events:
            if not self._added(records, event):  # full
                await self._write(producer, records, partition)
                records = producer.create_batch()
                self._added(records, event)
        await self._write(producer, records, partition)

    async def _write(self, producer: AIOKafkaProducer, records: BatchBuilder, partition: int) -> None:
        if records.record_count():
            await (await producer.send_batch(records, self._place.topic, partition=partition))

    def _added(self, records: BatchBuilder, event: Event) -> bool:
        value = encoded(event, self._form)
        if len(value) > LARGEST_BYTES:
            raise TooLarge(f"{len(value)} bytes")
        told = {"event_id": event.event_id, "kind": event.kind, "content-type": media_of(self._form)}
        headers = [(name, text.encode()) for name, text in told.items()]
        key = event.subject.encode()
        added = records.append(timestamp=event.time_ms, key=key, value=value, headers=headers)
        return added is not None

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                await check_servers(self._policy, self._place.servers)
                producer = AIOKafkaProducer(**self._options())
                try:
                    await producer.start()
                except BaseException:
                    await _stopped(producer)
                    raise
                self._producer = producer
            return self._producer

    def _options(self) -> dict[str, object]:
        user, _, password = self._login.partition(":")
        tls = self._place.tls
        options: dict[str, object] = {
            "bootstrap_servers": [f"{host}:{port}" for host, port in self._place.servers],
            "client_id": "qianwan",
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": WRITE_BYTES,
            "request_timeout_ms": REQUEST_MS,
            "security_protocol": ("SASL_" if user else "") + ("SSL" if tls else "PLAINTEXT"),
        }
        if tls:
            options["ssl_context"] = ssl.create_default_context(cafile=self._ca_file or None)
        if user:
            options |= {
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": user,
                "sasl_plain_password": password,
            }
        return options

    async def close(self) -> None:
        async with self._starting:
            producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(producer)


async def _stopped(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
