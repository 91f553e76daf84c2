"""Numbered streams: whatever is lost on the way, each batch is applied once and in order, or the loss is
told.
"""

from __future__ import annotations

import random

import pytest

from control.streams.stream import (
    RESEND_AT_ONCE,
    SEEN_EVERY,
    Envelope,
    Kind,
    StreamReceiver,
    StreamSender,
    decode_envelope,
)


class Wire:
    """A sender and a receiver joined by a wire that drops envelopes when told to. Time is an argument."""

    def __init__(self, ring_batches: int = 64, drop: float = 0.0, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.drop = drop
        self.now = 0.0
        self.applied: list[bytes] = []
        self.losses_told = 0
        self.said: list[int] = []
        self.repairs = True
        self.sender = StreamSender((1, 10), (2, 20), self._to_receiver, ring_batches)
        self.receiver = StreamReceiver(
            self.applied.append, self._on_lost, self._ask, self._seen, patience_s=2.0
        )

    def _to_receiver(self, data: bytes) -> None:
        if self.random.random() < self.drop:
            return
        envelope: Envelope = decode_envelope(data)
        if envelope.kind == Kind.BATCH:
            self.receiver.on_batch(envelope.number, envelope.payload, self.now)
        elif envelope.kind == Kind.BEACON:
            self.receiver.on_beacon(envelope.number, self.now)
        else:
            self.receiver.on_lost(envelope.number)

    def _ask(self, first: int) -> None:
        if self.repairs and self.random.random() >= self.drop:
            self.sender.on_repair(first)

    def _seen(self, number: int) -> None:
        self.said.append(number)
        if self.random.random() >= self.drop:
            self.sender.on_seen(number)

    def _on_lost(self) -> None:
        self.losses_told += 1

    def beacon(self) -> None:
        self.now += 1.0
        self.sender.beacon()


def test_an_undisturbed_stream_delivers_in_order() -> None:
    wire = Wire()
    sent = [bytes([number]) for number in range(100)]
    for payload in sent:
        wire.sender.push(payload)
    assert wire.applied == sent
    assert wire.receiver.gaps == 0


def test_a_gap_is_repaired_at_once() -> None:
    wire = Wire()
    wire.sender.push(b"1")
    wire.drop = 1.0
    wire.sender.push(b"2")
    wire.drop = 0.0
    wire.sender.push(b"3")
    assert wire.applied == [b"1", b"2", b"3"]
    assert wire.losses_told == 0


def test_a_lost_tail_is_found_by_the_beacon() -> None:
    wire = Wire()
    wire.sender.push(b"1")
    wire.drop = 1.0
    wire.sender.push(b"2")
    wire.drop = 0.0
    assert wire.applied == [b"1"]
    wire.beacon()
    assert wire.applied == [b"1", b"2"]


def test_what_the_ring_no_longer_holds_is_told_as_lost_and_the_stream_goes_on() -> None:
    wire = Wire(ring_batches=4)
    wire.drop = 1.0
    for number in range(10):
        wire.sender.push(bytes([number]))
    wire.drop = 0.0
    wire.sender.push(b"last")
    assert wire.applied == [bytes([7]), bytes([8]), bytes([9]), b"last"]
    assert wire.losses_told == 1
    assert wire.receiver.losses == 7
    wire.sender.push(b"more")
    assert wire.applied[-1] == b"more"


def test_a_silent_sender_does_not_stop_the_stream_for_ever() -> None:
    applied: list[bytes] = []
    told: list[int] = []
    receiver = StreamReceiver(applied.append, lambda: told.append(1), print, print, patience_s=2.0)
    receiver.on_batch(1, b"1", 0.0)
    receiver.on_batch(3, b"3", 0.0)
    receiver.on_batch(4, b"4", 1.0)
    assert applied == [b"1"]
    receiver.on_batch(5, b"5", 2.5)
    assert applied == [b"1", b"3", b"4", b"5"]
    assert told == [1]


def test_the_bytes_of_the_ring_are_bounded_too() -> None:
    sender = StreamSender((1, 1), (2, 1), lambda data: None, ring_batches=1000, ring_bytes=1000)
    for _ in range(100):
        sender.push(bytes(100))
    assert len(sender._ring) == 10


@pytest.mark.parametrize("seed", range(20))
def test_random_losses_never_reorder_double_or_hide_a_batch(seed: int) -> None:
    print(f"seed {seed}")
    wire = Wire(ring_batches=random.Random(seed).choice([8, 64, 100_000]), drop=0.2, seed=seed)
    sent = []
    for number in range(2000):
        payload = number.to_bytes(4, "big")
        sent.append(payload)
        wire.sender.push(payload)
        if number % 50 == 0:
            wire.beacon()
    wire.drop = 0.0
    for _ in range(40):
        wire.beacon()
    wire.sender.push(b"end!")
    sent.append(b"end!")
    assert wire.applied == sorted(set(wire.applied)), "in order, nothing twice"
    assert len(sent) - len(wire.applied) == wire.receiver.losses
    assert (wire.receiver.losses == 0) == (wire.losses_told == 0)
    assert wire.applied[-1] == b"end!"
    wire.beacon()
    assert not wire.sender._ring, "all seen, whatever became of earlier words of it"


def test_what_was_seen_is_said_once_and_forgotten() -> None:
    wire = Wire()
    wire.beacon()
    assert wire.said == []
    wire.sender.push(b"1")
    wire.drop = 1.0
    wire.sender.push(b"2")
    wire.drop = 0.0
    wire.repairs = False
    wire.sender.push(b"3")
    wire.beacon()
    assert wire.said == [1], "3 is there, but 2 is not"
    assert list(wire.sender._ring) == [b"2", b"3"]
    wire.repairs = True
    wire.now += 0.6
    wire.sender.push(b"4")
    wire.beacon()
    wire.beacon()
    assert wire.applied == [b"1", b"2", b"3", b"4"]
    assert wire.said == [1, 4]
    assert not wire.sender._ring
    assert wire.sender._held_bytes == 0
    wire.sender.push(b"5")
    assert wire.applied[-1] == b"5"


def test_a_busy_stream_keeps_little_between_two_beacons() -> None:
    wire = Wire(ring_batches=100_000)
    for _ in range(10 * SEEN_EVERY):
        wire.sender.push(b"more")
        assert len(wire.sender._ring) <= SEEN_EVERY
    assert wire.said == [SEEN_EVERY * (k + 1) for k in range(10)]


def test_what_was_seen_is_not_repaired_but_told_lost() -> None:
    sent: list[bytes] = []
    sender = StreamSender((1, 1), (2, 2), sent.append)
    sender.push(b"first")
    sender.on_seen(1)
    sender.push(b"second")
    sender.push(b"third")
    sent.clear()
    sender.on_repair(1)
    kinds = [(envelope.kind, envelope.number, envelope.payload) for envelope in map(decode_envelope, sent)]
    assert kinds == [(Kind.LOST, 1, b""), (Kind.BATCH, 2, b"second"), (Kind.BATCH, 3, b"third")]
    sender.on_seen(1_000)  # more than was sent: nonsense that costs nothing
    sender.push(b"fourth")
    sender.on_repair(4)
    assert decode_envelope(sent[-1]).payload == b"fourth"


def test_early_batches_are_held_within_the_bytes_of_the_ring_and_none_is_lost() -> None:
    wire = Wire()
    wire.receiver = StreamReceiver(
        wire.applied.append, wire._on_lost, wire._ask, wire._seen, max_held_bytes=1000
    )
    sent = [bytes([number]) * 100 for number in range(30)]
    wire.drop = 1.0
    wire.sender.push(sent[0])
    wire.drop, wire.repairs = 0.0, False
    for payload in sent[1:]:
        wire.sender.push(payload)
    held = wire.receiver._held
    assert 900 <= sum(map(len, held.values())) <= 1000
    wire.repairs = True
    wire.beacon()
    wire.beacon()
    assert wire.applied == sent
    assert wire.losses_told == 0
    assert (held, wire.receiver._held_bytes) == ({}, 0)


def test_a_long_tail_is_repaired_in_one_beacon() -> None:
    wire = Wire(ring_batches=4096)
    sent = [number.to_bytes(2, "big") for number in range(3 * RESEND_AT_ONCE)]
    wire.drop = 1.0
    for payload in sent[:-1]:
        wire.sender.push(payload)
    wire.drop, wire.repairs = 0.0, False
    wire.sender.push(sent[-1])  # an early one is held
    wire.now, wire.repairs = 1.0, True
    wire.sender.beacon()
    assert wire.applied == sent
    assert wire.losses_told == 0
