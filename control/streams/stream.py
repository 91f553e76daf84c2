"""Numbered streams over the bus: in order, exactly once while both ends live, or a clear word that something
is lost.

A stream goes from one epoch of a sender to one epoch of a receiver; batches are numbered 1, 2, 3 ...

    sender                                            receiver
      BATCH n, payload   ----------------------------->  n == expected: apply
      BATCH n+2          ----------------------------->  gap: hold, ask
                         <-----------------------------  REPAIR n+1
      BATCH n+1          ----------------------------->  apply n+1, n+2
      BEACON last        ----(once a beacon period)--->  last >= expected: the tail was lost, ask
                         <-----------------------------  SEEN expected-1, if that is new, and after every
                                                         SEEN_EVERY batches: the ring forgets
      LOST upto          ----------------------------->  the ring no longer holds it: skip to upto+1, tell the
      owner

The sender keeps in a ring what was not seen yet, bounded by batches and bytes. A SEEN that is lost is made
good by the next one. The receiver holds early batches up to the same bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import islice

import msgspec


class Kind(IntEnum):
    BATCH = 1
    BEACON = 2
    REPAIR = 3
    LOST = 4
    SEEN = 5


class Envelope(msgspec.Struct, array_like=True):
    """One message of a stream. `sender`/`receiver` are node ids with their epochs; `number` depends on the
    kind.
    """

    kind: int
    sender: int
    sender_epoch: int
    receiver: int
    receiver_epoch: int
    number: int
    payload: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
ENVELOPE_BYTES = 64
"""What an envelope adds to its payload, at most."""
RESEND_AT_ONCE = 512
SEEN_EVERY = 256


class StreamSender:
    """The sending end. `send(bytes)` publishes one envelope towards the receiver and does not block."""

    def __init__(
        self,
        own: tuple[int, int],
        peer: tuple[int, int],
        send: Callable[[bytes], None],
        ring_batches: int = 4096,
        ring_bytes: int = 32 << 20,
    ) -> None:
        self._own = own
        self._peer = peer
        self._send = send
        self._ring: deque[bytes] = deque()  # batch `last` at its end
        self._ring_batches = ring_batches
        self._ring_bytes = ring_bytes
        self._held_bytes = 0
        self.last = 0
        self.repaired = 0
        self.unrepairable = 0

    @property
    def peer(self) -> tuple[int, int]:
        return self._peer

    def push(self, payload: bytes) -> int:
        """Send the next batch and remember it for repair. Returns its number."""
        self.last += 1
        self._ring.append(payload)
        self._held_bytes += len(payload)
        while len(self._ring) > self._ring_batches or self._held_bytes > self._ring_bytes:
            self._forget_oldest()
        self._send(self._envelope(Kind.BATCH, self.last, payload))
        return self.last

    def beacon(self) -> None:
        """Tell the last number; called once a beacon period."""
        self._send(self._envelope(Kind.BEACON, self.last))

    def clear(self) -> None:
        """Keep the numbers only."""
        self._ring.clear()
        self._held_bytes = 0

    def on_seen(self, number: int) -> None:
        """The receiver has everything up to `number`, or was told that it is lost."""
        while self._ring and self._oldest() <= number:
            self._forget_oldest()

    def on_repair(self, first: int) -> None:
        """Send again from number `first` on, at most RESEND_AT_ONCE batches; say LOST for what the ring
        has not.
        """
        oldest = self._oldest()
        start = max(first, oldest)
        again = list(islice(self._ring, start - oldest, start - oldest + RESEND_AT_ONCE))
        if first < oldest:
            self.unrepairable += oldest - first
            self._send(self._envelope(Kind.LOST, oldest - 1))
        for number, payload in enumerate(again, start):
            self._send(self._envelope(Kind.BATCH, number, payload))
        self.repaired += len(again)
        if start + len(again) <= self.last:
            self.beacon()  # there is more: it is asked for at once

    def _oldest(self) -> int:
        """The number of the first batch of the ring; of the next one to be sent when the ring is empty."""
        return self.last - len(self._ring) + 1

    def _forget_oldest(self) -> None:
        self._held_bytes -= len(self._ring.popleft())

    def _envelope(self, kind: Kind, number: int, payload: bytes = b"") -> bytes:
        return _encode(Envelope(kind, *self._own, *self._peer, number, payload))


class StreamReceiver:
    """The receiving end of one stream.

    `apply(payload)` gets each batch once and in order; `lost()` says that batches are gone for good;
    `ask(first)` requests repair, `tell_seen(number)` says what needs none any more. `now` is monotonic
    seconds, handed in.
    """

    def __init__(
        self,
        apply: Callable[[bytes], None],
        lost: Callable[[], None],
        ask: Callable[[int], None],
        tell_seen: Callable[[int], None],
        patience_s: float = 2.0,
        max_held: int = 4096,
        max_held_bytes: int = 32 << 20,
    ) -> None:
        self._apply = apply
        self._lost = lost
        self._ask = ask
        self._tell_seen = tell_seen
        self._patience_s = patience_s
        self._max_held = max_held
        self._max_held_bytes = max_held_bytes
        self._held: dict[int, bytes] = {}
        self._held_bytes = 0
        self._asked_at: float | None = None
        self._asked_first = 0
        self._gap_since = 0.0
        self._seen = 0
        self.expected = 1
        self.gaps = 0
        self.losses = 0

    def on_batch(self, number: int, payload: bytes, now: float) -> None:
        if number < self.expected:
            return
        if number > self.expected:
            self._hold(number, payload)
            self._missing(now)
            return
        self._take(payload)
        self._drain()

    def _hold(self, number: int, payload: bytes) -> None:
        """What is beyond the bounds comes again with the repair."""
        held = self._held
        if number in held or len(held) >= self._max_held:
            return
        if not held or self._held_bytes + len(payload) <= self._max_held_bytes:
            held[number] = payload
            self._held_bytes += len(payload)

    def _let_go(self, number: int) -> bytes | None:
        payload = self._held.pop(number, None)
        if payload is not None:
            self._held_bytes -= len(payload)
        return payload

    def on_beacon(self, last: int, now: float) -> None:
        """`last` is the sender's latest number: a tail we have not seen is a loss nothing else would show."""
        if last < self.expected:
            self._asked_at = None
        else:
            if self.expected > self._asked_first:
                self._asked_at = None  # what was asked for has come, and there is more
            self._missing(now)
        self._say_seen(1)

    def on_lost(self, upto: int) -> None:
        """The sender cannot resend `upto` and before."""
        if upto >= self.expected:
            self.losses += upto - self.expected + 1
            self._skip(upto + 1)

    def _missing(self, now: float) -> None:
        if self._asked_at is None:
            self.gaps += 1
            self._gap_since = now
            self._ask_now(now)
        elif now - self._gap_since >= self._patience_s and self._held:
            # Whoever should repair does not answer: better a told loss than a stream that stands still.
            first = min(self._held)
            self.losses += first - self.expected
            self._skip(first)
        elif now - self._asked_at >= self._patience_s / 4:
            self._ask_now(now)

    def _ask_now(self, now: float) -> None:
        self._asked_at = now
        self._asked_first = self.expected
        self._ask(self.expected)

    def _skip(self, number: int) -> None:
        self._asked_at = None
        self.expected = number
        for early in [n for n in self._held if n < number]:
            self._let_go(early)
        self._lost()
        self._drain()

    def _drain(self) -> None:
        while self._held and (payload := self._let_go(self.expected)) is not None:
            self._take(payload)
        if not self._held:
            self._asked_at = None

    def _take(self, payload: bytes) -> None:
        # Counted before it is applied: a handler that fails must not make the stream stand still.
        self.expected += 1
        self._say_seen(SEEN_EVERY)
        self._apply(payload)

    def _say_seen(self, least: int) -> None:
        if self.expected - 1 - self._seen >= least:
            self._seen = self.expected - 1
            self._tell_seen(self._seen)
