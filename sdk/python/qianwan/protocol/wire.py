"""One connection's bytes: preamble, handshake, records, frames, acks and rekeying. No I/O, no clock.

state     what comes in                       what may go out          next
NEW       -                                   start()                  HANDSHAKE
HANDSHAKE u16 len | Noise message 2           -                        OPEN
          u16 0 | code | u16 len | data       -                        REJECTED (HandshakeRejected is
          raised)
OPEN      records of frames                   write() ... flush()      OPEN
any       bytes that break the protocol       -                        BROKEN (ProtocolError is raised)
"""

from __future__ import annotations

import enum

from qianwan import constants as c
from qianwan.constants import FrameType
from qianwan.errors import HandshakeRejected, ProtocolError
from qianwan.protocol import frames, noise, varint, zstd
from qianwan.protocol.ciphers import CipherState
from qianwan.protocol.dictionaries import SMALLEST, Dictionaries
from qianwan.protocol.frames import Frame
from qianwan.protocol.tickets import Offer

_MIN_COMPRESS = 256


class State(enum.Enum):
    NEW = 1
    HANDSHAKE = 2
    OPEN = 3
    REJECTED = 4
    BROKEN = 5


class Wire:
    """The initiator's end of a QW1 byte stream. `known`: of a client that was logged in before. `offer`: it
    comes with a ticket; of an offer that is `lite` the server's key is not used.

    `received` counts MSG frames of the session, which may have begun on an earlier connection; `acked` is the
    count last told to the server. `write` adds the newest count to any frame, so an ack of its own is only
    needed when nothing else is to be said. `dictionary`: id of what the server compresses by, or 0.
    """

    __slots__ = (
        "_buffer",
        "_compression",
        "_dictionaries",
        "_last_rekey",
        "_noise",
        "_out",
        "_prologue",
        "_read",
        "_records",
        "_rx",
        "_tx",
        "acked",
        "dictionary",
        "handshake_hash",
        "node",
        "received",
        "server_time_ms",
        "state",
        "suite",
    )

    def __init__(
        self,
        suite: int,
        key_id: int,
        server_public: bytes,
        *,
        compression: bool = zstd.AVAILABLE,
        known: bool = False,
        ephemeral_private: bytes | None = None,
        offer: Offer | None = None,
        dictionaries: Dictionaries | None = None,
    ) -> None:
        flags = (c.PreambleFlag.ZSTD if compression else 0) | (c.PreambleFlag.KNOWN if known else 0)
        lite = offer is not None and offer.lite
        pattern = c.Pattern.NK if offer is None else c.Pattern.NNPSK0 if lite else c.Pattern.NKPSK0
        head = (c.VERSION, pattern, suite, flags)
        self._prologue = c.MAGIC.encode() + bytes(head) + (0 if lite else key_id).to_bytes(2, "big")
        if offer is not None:
            self._prologue += bytes((len(offer.ticket.ticket),)) + offer.ticket.ticket
        self._noise: noise.Initiator | None = noise.Initiator(
            suite,
            self._prologue,
            None if lite else server_public,
            ephemeral_private,
            psk=None if offer is None else offer.ticket.psk,
        )
        self._compression = compression
        self.suite = suite
        self.state = State.NEW
        self.handshake_hash = b""
        self.server_time_ms = 0
        self.node = ""
        self.dictionary = 0
        self._dictionaries = Dictionaries() if dictionaries is None else dictionaries
        self.received = self.acked = 0 if offer is None else offer.seen or 0
        self._rx: CipherState | None = None
        self._tx: CipherState | None = None
        self._buffer = b""
        self._out: list[bytes] = []
        self._records = 0
        self._read = 0
        self._last_rekey: float | None = None

    def start(self, payload: bytes = b"") -> bytes:
        """The first flight: preamble and Noise message 1."""
        if self.state is not State.NEW or self._noise is None:
            raise RuntimeError("a connection starts once")
        if len(payload) > c.HANDSHAKE_PAYLOAD_MAX:
            raise ValueError(f"a handshake payload holds at most {c.HANDSHAKE_PAYLOAD_MAX} bytes")
        message = self._noise.start(payload)
        self.state = State.HANDSHAKE
        return self._prologue + len(message).to_bytes(2, "big") + message

    def feed(self, data: bytes) -> list[Frame]:
        """Take received bytes; returns the frames completed by them."""
        if self._buffer:
            data = self._buffer + data
        try:
            if self.state is State.HANDSHAKE:
                data = self._read_handshake(data)
            if self.state is not State.OPEN:
                if self.state is not State.HANDSHAKE:
                    raise ProtocolError("bytes outside a connection")
                self._buffer = data
                return []
            return self._read_records(data)
        except ProtocolError:
            self.state = State.BROKEN
            raise

    def _read_handshake(self, data: bytes) -> bytes:
        if len(data) < 2:
            return data
        size = int.from_bytes(data[:2], "big")
        if size == 0:
            if len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
                return data
            self.state = State.REJECTED
            raise HandshakeRejected(data[2], data[5 : 5 + int.from_bytes(data[3:5], "big")])
        if len(data) < 2 + size:
            return data
        if self._noise is None:
            raise ProtocolError("two answers to one handshake")
        payload, self._rx, self._tx, self.handshake_hash = self._noise.finish(data[2 : 2 + size])
        self._noise = None
        self._read_tlvs(payload)
        self.state = State.OPEN
        return data[2 + size :]

    def _read_tlvs(self, payload: bytes) -> None:
        at = 0
        while at < len(payload):
            tag, at = varint.get(payload, at)
            size, at = varint.get(payload, at)
            value = payload[at : at + size]
            at += size
            if len(value) != size:
                raise ProtocolError("a handshake field is cut off")
            if tag == c.HelloTlv.SERVER_TIME_MS:
                self.server_time_ms, _ = varint.get(value, 0)
            elif tag == c.HelloTlv.NODE_NAME:
                self.node = value.decode("utf-8", "replace")
            elif tag == c.HelloTlv.DICTIONARY:
                self.dictionary, _ = varint.get(value, 0)

    def _read_records(self, data: bytes) -> list[Frame]:
        rx = self._rx
        if rx is None:
            raise ProtocolError("records before the handshake")
        shortest = rx.tag_size + 1
        found: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= 2:
            stop = at + 2 + (data[at] << 8 | data[at + 1])
            if stop - at - 2 < shortest:
                raise ProtocolError("a record is shorter than its tag")
            if stop > end:
                break
            batch = frames.parse(rx.open(data[at + 2 : stop]), self._dictionaries)
            at = stop
            self._read += 1
            for position, frame in enumerate(batch):
                kind = frame.type
                if kind == FrameType.MSG:
                    self.received += 1
                elif kind == FrameType.RESUME_FAIL:
                    self.received = self.acked = 0  # a new session begins
                elif kind == FrameType.DICTIONARY:
                    id, start = varint.get(frame.body, 0)
                    self._dictionaries.take(id, frame.body[start:])
                    self._wish()
                elif kind in (FrameType.AUTH_OK, FrameType.RESUME_OK):
                    self._wish()
                elif kind == FrameType.REKEY:
                    if position != len(batch) - 1 or frame.body:
                        raise ProtocolError("REKEY is not the end of its record")
                    rx.rekey()
                    self._read = 0
                if frame.ack:
                    raise ProtocolError("the server acked more than was sent")
            if self._read >= c.REKEY_RECORDS:
                raise ProtocolError("the server uses one key for too long")
            found += batch
        self._buffer = data[at:]
        return found

    def _wish(self) -> None:
        """Goes with what is said next: who has the dictionary wants it used, who has it not asks for it."""
        if self.dictionary and self._compression:
            held = self.dictionary in self._dictionaries
            self.write(FrameType.DICTIONARY, varint.put(self.dictionary) + bytes((held,)))

    def write(self, kind: int, body: bytes = b"") -> None:
        """Queue one frame, with the newest ack if one is due; large bodies are compressed when that pays."""
        compressed = False
        least = SMALLEST if self.dictionary in self._dictionaries else _MIN_COMPRESS
        if zstd.AVAILABLE and len(body) >= least and kind in (FrameType.SEND, FrameType.CALL):
            packed = self._dictionaries.compress(body, self.dictionary)
            if len(packed) + 8 <= len(body) <= c.MAX_RATIO * len(packed):
                body, compressed = varint.put(len(body)) + packed, True
        ack = None
        if self.received > self.acked or kind == FrameType.ACK:
            ack = self.acked = self.received
        self._out.append(frames.pack(kind, body, ack, compressed=compressed))

    def flush(self, now: float) -> bytes:
        """Seal what is queued into records; `now` is any monotonic clock in seconds, for the age of the
        key.
        """
        out = bytearray()
        gathered: list[bytes] = []
        size = 0
        for frame in self._out:
            if gathered and size + len(frame) > c.RECORD_TARGET_PLAINTEXT:
                out += self._seal(gathered, now)
                gathered, size = [], 0
            gathered.append(frame)
            size += len(frame)
        self._out.clear()
        if gathered:
            out += self._seal(gathered, now)
        return bytes(out)

    def _seal(self, gathered: list[bytes], now: float) -> bytes:
        tx = self._tx
        if tx is None:
            raise RuntimeError("the handshake is not finished")
        if self._last_rekey is None:
            self._last_rekey = now
        self._records += 1
        rekey = self._records >= c.REKEY_RECORDS or now - self._last_rekey >= c.REKEY_SECONDS
        if rekey:
            gathered.append(frames.pack(FrameType.REKEY))
        sealed = tx.seal(b"".join(gathered))
        if rekey:
            tx.rekey()
            self._records, self._last_rekey = 0, now
        return len(sealed).to_bytes(2, "big") + sealed
