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
from control.streams.stream import Envelope, Kind, StreamReceiver, StreamSender, decode_envelope
from control.ticks import ticks

log = get_logger("links")
_encode = msgspec.msgpack.Encoder().encode

Batch = TypeVar("Batch", bound=msgspec.Struct)


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
        self._senders: dict[int, StreamSender] = {}
        self._receivers: dict[int, tuple[int, StreamReceiver]] = {}
        self._forgotten: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self._retired = {"gaps": 0, "losses": 0, "repaired": 0, "unrepairable": 0}

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
        self._forgotten.discard(peer_id)
        known = self._senders.get(peer_id)
        if known is not None and known.peer[1] == peer_epoch:
            return known
        if known is not None:
            self._retire_sender(known)
        subject = f"stream.{peer_id}"
        sender = StreamSender(
            self._own, (peer_id, peer_epoch), lambda data: self._bus.publish(subject, data), *self._ring
        )
        self._senders[peer_id] = sender
        return sender

    def forget(self, peer_id: int, peer_epoch: int) -> None:
        """A peer's epoch counts as dead: nothing is kept for it but the numbers of its streams.

        It may only have stood still. When it is heard again, both ends must go on with the same numbers; what
        was not received by then is told lost.
        """
        sender = self._senders.get(peer_id)
        if sender is not None and sender.peer[1] <= peer_epoch:
            sender.clear()
            self._forgotten.add(peer_id)
        heard = self._receivers.get(peer_id)
        if heard is not None and heard[0] <= peer_epoch:
            self._tell_lost(peer_id)

    def beacon(self) -> None:
        for peer_id, sender in self._senders.items():
            if peer_id not in self._forgotten:
                sender.beacon()

    def stats(self) -> dict[str, int]:
        """Totals since start: gaps seen, batches lost for good, batches resent, batches asked for and
        gone.
        """
        totals = dict(self._retired)
        for _, receiver in self._receivers.values():
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
            self.beacon()

    def _on_envelope(self, data: bytes) -> None:
        try:
            envelope = decode_envelope(data)
        except msgspec.MsgspecError:
            log.warning("stream envelope not understood", size=len(data))
            return
        if envelope.receiver != self._own[0] or envelope.receiver_epoch != self._own[1]:
            return
        if envelope.kind in (Kind.REPAIR, Kind.SEEN):
            sender = self._senders.get(envelope.sender)
            if sender is not None and sender.peer[1] == envelope.sender_epoch:
                (sender.on_repair if envelope.kind == Kind.REPAIR else sender.on_seen)(envelope.number)
            return
        receiver = self._receiver(envelope)
        if receiver is None:
            return
        if envelope.kind == Kind.BATCH:
            receiver.on_batch(envelope.number, envelope.payload, self._clock())
        elif envelope.kind == Kind.BEACON:
            receiver.on_beacon(envelope.number, self._clock())
        elif envelope.kind == Kind.LOST:
            receiver.on_lost(envelope.number)

    def _receiver(self, envelope: Envelope) -> StreamReceiver | None:
        known = self._receivers.get(envelope.sender)
        if known is not None and known[0] == envelope.sender_epoch:
            return known[1]
        if known is not None and known[0] > envelope.sender_epoch:
            return None
        peer = (envelope.sender, envelope.sender_epoch)
        receiver = StreamReceiver(
            apply=lambda payload: self._apply_one(peer, payload),
            lost=lambda: self._on_lost(peer),
            ask=lambda first: self._answer(Kind.REPAIR, peer, first),
            tell_seen=lambda number: self._answer(Kind.SEEN, peer, number),
            patience_s=2 * self._beacon_s,
            max_held=self._ring[0],
        )
        self._receivers[envelope.sender] = (envelope.sender_epoch, receiver)
        if known is not None:
            self._retire_receiver(known[1])
            self._tell_lost(envelope.sender)
        return receiver

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
