"""All streams of one process: a sender per live peer, a receiver per peer that speaks, beacons, repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from control.bus.base import Bus
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part, Source
from control.streams.batches import BatchReader
from control.streams.stream import (
    ENVELOPE_BYTES,
    Envelope,
    Kind,
    StreamReceiver,
    StreamSender,
    decode_envelope,
)
from control.ticks import ticks

log = get_logger("links")
_encode = msgspec.msgpack.Encoder().encode

Batch = TypeVar("Batch", bound=msgspec.Struct)
End = TypeVar("End", StreamSender, StreamReceiver)

KEPT_EPOCHS = 4
"""Of each node id: one that was taken for dead goes on with the same numbers."""


class StreamLinks(Part):
    """Who serves a direction says so with `on` before the own node is announced; peers speak from then on."""

    def __init__(
        self,
        bus: Bus,
        own: Peer,
        beacon_s: float = 1.0,
        ring_batches: int = 4096,
        ring_bytes: int = 32 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._own = own
        self._apply: dict[type[msgspec.Struct], Callable[[Peer, Any], None]] = {}
        self._lost: list[Callable[[int], None]] = []
        self._reader: BatchReader | None = None
        self._beacon_s = beacon_s
        self._ring = (ring_batches, ring_bytes)
        self._clock = clock
        self._senders: dict[Peer, StreamSender] = {}
        self._receivers: dict[Peer, StreamReceiver] = {}
        self._forgotten: set[Peer] = set()
        self._task: asyncio.Task[None] | None = None
        self._retired = {"gaps": 0, "losses": 0, "repaired": 0, "unrepairable": 0}

    @property
    def connected(self) -> bool:
        return self._bus.connected

    def max_batch(self) -> int:
        """Bytes of the largest batch that the bus carries."""
        return self._bus.max_payload - ENVELOPE_BYTES

    def on(
        self, kind: type[Batch], apply: Callable[[Peer, Batch], None], lost: Callable[[int], None]
    ) -> None:
        """`apply(peer, batch)` gets every batch of this kind in order. `lost(peer_id)` tells of batches gone
        for good, also when a peer came back as another epoch, because the tail of the old one is unknown.
        """
        self._apply[kind] = apply
        self._lost.append(lost)
        self._reader = BatchReader(self._apply)

    async def start(self) -> None:
        await self._bus.subscribe(f"stream.{self._own[0]}", self._on_envelope)
        self._task = asyncio.create_task(self._run(), name="stream-beacons")

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def sender(self, peer_id: int, peer_epoch: int) -> StreamSender:
        """The stream to one epoch of a peer; a new epoch begins a new stream at number 1."""
        peer = (peer_id, peer_epoch)
        self._forgotten.discard(peer)
        known = self._senders.get(peer)
        if known is not None:
            return known
        subject = f"stream.{peer_id}"
        sender = StreamSender(self._own, peer, lambda data: self._bus.publish(subject, data), *self._ring)
        self._senders[peer] = sender
        for old in self._outdated(self._senders, peer):
            self._retire_sender(self._senders.pop(old))
            self._forgotten.discard(old)
        return sender

    def forget(self, peer_id: int, peer_epoch: int) -> None:
        """A peer's epoch counts as dead: nothing is kept for it but the numbers of its streams.

        It may only have stood still. When it is heard again, both ends must go on with the same numbers; what
        was not received by then is told lost.
        """
        peer = (peer_id, peer_epoch)
        sender = self._senders.get(peer)
        if sender is not None:
            sender.clear()
            self._forgotten.add(peer)
        if peer in self._receivers:
            self._tell_lost(peer_id)

    def beacon(self) -> None:
        for peer, sender in self._senders.items():
            if peer not in self._forgotten:
                sender.beacon()

    def stats(self) -> dict[str, int]:
        """Totals since start: gaps seen, batches lost for good, batches resent, batches asked for and
        gone.
        """
        totals = dict(self._retired)
        for receiver in self._receivers.values():
            totals["gaps"] += receiver.gaps
            totals["losses"] += receiver.losses
        for sender in self._senders.values():
            totals["repaired"] += sender.repaired
            totals["unrepairable"] += sender.unrepairable
        return totals

    def sources(self) -> Mapping[str, Source]:
        return {"streams": self.stats}

    async def _run(self) -> None:
        async for _ in ticks(self._beacon_s):
            try:
                self.beacon()
            except Exception:
                log.exception("beacons of the streams failed, going on")

    def _on_envelope(self, data: bytes) -> None:
        try:
            envelope = decode_envelope(data)
        except msgspec.MsgspecError:
            log.warning("stream envelope not understood", size=len(data))
            return
        if envelope.receiver != self._own[0] or envelope.receiver_epoch != self._own[1]:
            return
        if envelope.kind in (Kind.REPAIR, Kind.SEEN):
            sender = self._senders.get((envelope.sender, envelope.sender_epoch))
            if sender is not None:
                (sender.on_repair if envelope.kind == Kind.REPAIR else sender.on_seen)(envelope.number)
            return
        receiver = self._receiver((envelope.sender, envelope.sender_epoch))
        if envelope.kind == Kind.BATCH:
            receiver.on_batch(envelope.number, envelope.payload, self._clock())
        elif envelope.kind == Kind.BEACON:
            receiver.on_beacon(envelope.number, self._clock())
        elif envelope.kind == Kind.LOST:
            receiver.on_lost(envelope.number)

    def _receiver(self, peer: Peer) -> StreamReceiver:
        known = self._receivers.get(peer)
        if known is not None:
            return known
        receiver = StreamReceiver(
            apply=lambda payload: self._apply_one(peer, payload),
            lost=lambda: self._on_lost(peer),
            ask=lambda first: self._answer(Kind.REPAIR, peer, first),
            tell_seen=lambda number: self._answer(Kind.SEEN, peer, number),
            patience_s=2 * self._beacon_s,
            max_held=self._ring[0],
            max_held_bytes=self._ring[1],
        )
        again = any(peer_id == peer[0] for peer_id, _ in self._receivers)
        self._receivers[peer] = receiver
        for old in self._outdated(self._receivers, peer):
            self._retire_receiver(self._receivers.pop(old))
        if again:
            self._tell_lost(peer[0])
        return receiver

    def _outdated(self, ends: Mapping[Peer, End], peer: Peer) -> list[Peer]:
        """Epochs of the same node that are too many, oldest first."""
        return [other for other in ends if other[0] == peer[0]][:-KEPT_EPOCHS]

    def _apply_one(self, peer: Peer, payload: bytes) -> None:
        try:
            batch = self._reader.read(payload) if self._reader is not None else None
            if batch is not None:
                self._apply[type(batch)](peer, batch)
        except Exception:
            log.exception("batch could not be applied", peer_id=peer[0])

    def _on_lost(self, peer: Peer) -> None:
        log.warning("batches of a stream are lost", peer_id=peer[0], epoch=peer[1])
        self._tell_lost(peer[0])

    def _tell_lost(self, peer_id: int) -> None:
        for lost in self._lost:
            lost(peer_id)

    def _answer(self, kind: Kind, peer: Peer, number: int) -> None:
        self._bus.publish(f"stream.{peer[0]}", _encode(Envelope(kind, *self._own, *peer, number)))

    def _retire_receiver(self, receiver: StreamReceiver) -> None:
        self._retired["gaps"] += receiver.gaps
        self._retired["losses"] += receiver.losses

    def _retire_sender(self, sender: StreamSender) -> None:
        self._retired["repaired"] += sender.repaired
        self._retired["unrepairable"] += sender.unrepairable
