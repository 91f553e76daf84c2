"""What the delivery of the event copy is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from control.coordination.documents import Documents
from control.im.role import ImPart
from control.keys.wrapped import CannotUnwrap, Wrapping, wrapping_of
from control.outbox.desk import METHOD, Desk
from control.outbox.endpoints import KAFKA, NATS, PREFIX, Endpoint, place_of, secrets_now
from control.outbox.keeper import Outbox
from control.outbox.sink import Sink
from control.outbox.webhook import Webhook
from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import OutgoingClient
from control.outgoing.signing import Signer
from control.part import Check, Part, Source
from control.settings import Settings
from im_service.outbox.cursors import parse
from im_service.outbox.ports import Cursor
from im_service.ports import SystemClock

DAY_MS = 86_400_000


def policy_of(settings: Settings) -> AddressPolicy:
    return AddressPolicy(settings.outgoing.networks, settings.outgoing.plain_http)


class OutboxWiring(Part):
    """The part of an im process that delivers; started after the store."""

    def __init__(
        self, settings: Settings, documents: Documents, im: ImPart, own: int, owners: Callable[[], list[int]]
    ) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._policy = policy_of(settings)
        self._client: OutgoingClient | None = None
        store, events = im.store, im.service.events
        self._outbox = Outbox(
            documents,
            events,
            store,
            self._clock,
            self.sink,
            own,
            owners,
            beyond,
            int(settings.outgoing.disable_after_days * DAY_MS),
        )
        desk = Desk(self._outbox, events, store, self._clock, self.sink, own)
        im.serve_asked(METHOD, desk.answer)

    async def start(self) -> None:
        await asyncio.to_thread(lambda: self.wrapping)
        await self._outbox.start()

    async def stop(self, grace_s: float) -> None:
        await self._outbox.stop(grace_s)
        if self._client is not None:
            await self._client.close()

    async def started(self) -> None:
        await self._outbox.started()

    async def tick(self) -> None:
        await self._outbox.tick()

    def remarks(self) -> Mapping[str, Check]:
        return self._outbox.remarks()

    def sources(self) -> Mapping[str, Source]:
        return self._outbox.sources()

    @cached_property
    def wrapping(self) -> Wrapping:
        return wrapping_of(self._settings)

    def sink(self, name: str, endpoint: Callable[[], Endpoint]) -> Sink:
        """Raises ValueError for what cannot be delivered to."""
        now = endpoint()
        login, ca = self._unwrapped(name, now.login), self._settings.outgoing.ca
        if now.scheme in NATS:
            from control.outbox.jetstream import JetStream

            return JetStream(place_of(now.url), now.format, self._policy, login, ca_file=ca)
        if now.scheme in KAFKA:
            from control.outbox.kafka import Kafka

            return Kafka(place_of(now.url), now.format, self._policy, login, ca_file=ca)
        if self._client is None:
            self._client = OutgoingClient(self._policy, ca_file=Path(ca) if ca else None)
        return Webhook(self._client, self._clock, now.url, lambda: self._signer(name, endpoint()), now.format)

    def _unwrapped(self, name: str, wrapped: str) -> str:
        try:
            return self.wrapping.unwrap(PREFIX + name, wrapped) if wrapped else ""
        except CannotUnwrap as error:
            raise ValueError(f"login: {error}") from None

    def _signer(self, name: str, endpoint: Endpoint) -> Signer:
        try:
            return Signer(secrets_now(endpoint, name, self.wrapping, self._clock.now_ms() / 1000))
        except CannotUnwrap as error:
            raise ValueError(str(error)) from None


def beyond(end: Cursor) -> Callable[[Cursor], bool]:
    """Whether a cursor lies behind this one."""
    last = parse(end).place

    def is_behind(cursor: Cursor) -> bool:
        place = parse(cursor).place
        return place.message > last.message or place.event > last.event

    return is_behind
