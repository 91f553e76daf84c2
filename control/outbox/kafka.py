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
from aiokafka.errors import InvalidMessageError, KafkaError, MessageSizeTooLargeError

from control.outbox.endpoints import Format, Place
from control.outbox.reach import check_servers
from control.outbox.sink import Outcome, Verdict, encoded
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event

BUDGET_S = 20.0
REQUEST_MS = 10_000
CLOSE_S = 2.0


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

    async def send(self, batch: Sequence[Event], again: bool) -> Outcome:
        request = f"{len(batch)} records to {self._place.topic}".encode()
        try:
            async with asyncio.timeout(self._budget_s):
                producer = await self._started()
                waited = [await self._put(producer, event) for event in batch]
                await asyncio.gather(*waited)
        except (MessageSizeTooLargeError, InvalidMessageError) as error:
            return Outcome(Verdict.REFUSED, f"large: {error}", request=request)
        except TimeoutError:
            await self.close()
            return Outcome(Verdict.FAILED, "timeout: no acknowledgement in time", request=request)
        except (KafkaError, OSError, ValueError) as error:
            await self.close()
            text = str(error) or type(error).__name__
            return Outcome(Verdict.FAILED, f"kafka: {text}", request=request)
        return Outcome(Verdict.DELIVERED, request=request)

    async def _put(self, producer: AIOKafkaProducer, event: Event) -> asyncio.Future[object]:
        sent: asyncio.Future[object] = await producer.send(
            self._place.topic,
            encoded(event, self._form),
            key=event.subject.encode(),
            timestamp_ms=event.time_ms,
            headers=[("event_id", event.event_id.encode()), ("kind", event.kind.encode())],
        )
        return sent

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
