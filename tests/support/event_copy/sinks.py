"""The whole log of a world, given to real sinks by the reader that gives it to endpoints."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import nats

from control.outbox.delivery import Delivery, Tally, Task
from control.outbox.endpoints import place_of
from control.outbox.jetstream import JetStream
from control.outbox.sink import Sink
from control.outbox.webhook import Webhook
from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import OutgoingClient
from control.outgoing.signing import Signer, make_secret
from control.process.outbox_wiring import beyond
from im_service.outbox.ports import EventFilter
from im_service.ports import SystemClock
from tests.support.im_world import World
from tests.support.nats_process import NatsProcess
from tests.support.webhook_receiver import receiving

HERE = AddressPolicy(["127.0.0.0/8"], plain=True)


async def _given(world: World, name: str, sink: Sink) -> None:
    log = world.im.events
    task = Task(name, name, EventFilter(), 100, await log.first(), beyond(await log.head()))
    end = await Delivery(task, sink, log, world.store, SystemClock(), Tally()).run()
    assert end.kind == "done", end


async def by_webhook(world: World) -> list[dict[str, Any]]:
    """What a receiver of requests has."""
    signer = Signer([make_secret()])
    async with receiving() as receiver:
        client = OutgoingClient(HERE)
        try:
            await _given(
                world, "webhook", Webhook(client, SystemClock(), receiver.url, lambda: signer, "qianwan")
            )
        finally:
            await client.close()
        return receiver.taken


async def by_stream(world: World, server: NatsProcess) -> list[dict[str, Any]]:
    """What lies in a stream of its own: ids are the same in every world."""
    topic = f"table{secrets.token_hex(8)}"
    client = await nats.connect(server.url)
    stream = client.jetstream()
    await stream.add_stream(name=topic, subjects=[f"{topic}.>"])
    try:
        await _given(world, "stream", JetStream(place_of(f"{server.url}/{topic}"), "qianwan", HERE))
        count = (await stream.stream_info(topic)).state.messages
        found = [await stream.get_msg(topic, number) for number in range(1, count + 1)]
        return [msgspec.json.decode(each.data or b"", type=dict[str, Any]) for each in found]
    finally:
        await stream.delete_stream(topic)
        await client.close()
