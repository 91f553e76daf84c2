"""Events into a stream of NATS JetStream: one message each, `<topic>.<kind>`, acknowledged by the stream.

The stream is made by whoever runs NATS, with the subjects `<topic>.>`. What is published again within its
duplicate window is stored once: Nats-Msg-Id is the event's id. What somebody asked for again is not kept out
by that: the id begins with the name of the replay. What the stream had already is said in the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.client import JetStreamContext
from nats.js.errors import Error as JetStreamError

from control.outbox.endpoints import Format, Place
from control.outbox.reach import check_servers
from control.outbox.sink import Outcome, Verdict, encoded, media_of
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event

BUDGET_S = 15.0
ACK_S = 5.0
CLOSE_S = 1.0


class JetStream:
    """Implements Sink. Events of one subject are published one after the other, those of several at once."""

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
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        by_subject: dict[str, list[Event]] = {}
        for event in batch:
            by_subject.setdefault(event.subject, []).append(event)
        request = f"{len(batch)} messages to {self._place.topic}.*".encode()
        try:
            async with asyncio.timeout(self._budget_s):
                stream = (await self._connected()).jetstream(timeout=ACK_S)
                ends = await asyncio.gather(
                    *(self._publish(stream, events, again) for events in by_subject.values()),
                    return_exceptions=True,
                )
            for error in (end for end in ends if isinstance(end, BaseException)):
                raise error
        except MaxPayloadError as error:
            return Outcome(Verdict.REFUSED, f"large: {error}", request=request)
        except TimeoutError:
            await self.close()
            return Outcome(Verdict.FAILED, "timeout: no acknowledgement in time", request=request)
        except (NatsError, JetStreamError, OSError, ValueError) as error:
            await self.close()
            text = str(error) or type(error).__name__
            return Outcome(Verdict.FAILED, f"nats: {text}", request=request)
        known = sum(end for end in ends if isinstance(end, int))
        answer = f"the stream had {known} of {len(batch)} already (duplicate)".encode() if known else b""
        return Outcome(Verdict.DELIVERED, request=request, answer=answer)

    async def _publish(self, stream: JetStreamContext, events: Sequence[Event], again: str) -> int:
        """How many of them the stream had."""
        known = 0
        for event in events:
            headers = {"Nats-Msg-Id": event.event_id, "content-type": media_of(self._form)}
            if again:
                headers |= {"Nats-Msg-Id": f"{again}.{event.event_id}", "Qianwan-Replay": "true"}
            ack = await stream.publish(
                f"{self._place.topic}.{event.kind}", encoded(event, self._form), headers=headers
            )
            known += bool(ack.duplicate)
        return known

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self._leave()
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Client:
        await check_servers(self._policy, self._place.servers)
        user, _, password = self._login.partition(":")
        options: dict[str, object] = {"allow_reconnect": False, "connect_timeout": ACK_S, "error_cb": _quiet}
        if user:
            options |= {"user": user, "password": password}
        if self._place.tls:
            options["tls"] = ssl.create_default_context(cafile=self._ca_file or None)
        scheme = "tls" if self._place.tls else "nats"
        return await nats.connect(
            [f"{scheme}://{host}:{port}" for host, port in self._place.servers], **options
        )

    async def close(self) -> None:
        async with self._connecting:
            await self._leave()

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(NatsError, OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await client.close()


async def _quiet(error: Exception) -> None:
    """What goes wrong is told by whoever waits."""
