"""Every way to misuse the client port, by name, with the reason under which the server must count it.

An abuse does its deed; whoever runs it then waits for the server to end the connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from qianwan.constants import PREAUTH_MAX_RECORD, FrameType
from qianwan.protocol import frames, varint

from tests.support.abuse_peer import SMALL_BUFFER, RawPeer, Target
from tests.support.server_process import ServerFailed, ServerProcess

Deed = Callable[[RawPeer, random.Random], Awaitable[None]]
UPGRADE = (
    b"GET /qw1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"


class Abuse(NamedTuple):
    """`reason` as in qianwan_gateway_closed_total. `login`: done by somebody who has logged in correctly."""

    name: str
    reason: str
    deed: Deed
    login: bool = False


# -- before anything is known of the peer


async def silence(peer: RawPeer, rng: random.Random) -> None:
    """Connect and say nothing."""


async def half_open(peer: RawPeer, rng: random.Random) -> None:
    flight, _ = peer.first_flight()
    peer.write(flight[: rng.randrange(1, len(flight))])


async def slowloris(peer: RawPeer, rng: random.Random) -> None:
    """A correct first flight, one byte a second: progress must not buy time."""
    flight, _ = peer.first_flight()
    for byte in flight:
        if peer.writer.is_closing() or peer.reader.at_eof():
            return
        peer.write(bytes((byte,)))
        await asyncio.sleep(1.0)


async def random_bytes(peer: RawPeer, rng: random.Random) -> None:
    first = rng.choice(b"\x00\x01\x16ABCSTabcz\x7f\x80\xff")  # no Q, G or CR: they begin something
    peer.write(bytes((first,)) + rng.randbytes(rng.randrange(1, 3000)))


async def wrong_version(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.target.preamble(version=rng.randrange(2, 256)) + rng.randbytes(60))


async def bad_length(peer: RawPeer, rng: random.Random) -> None:
    peer.write(
        peer.target.preamble() + rng.choice([1, 47, 561, 65535]).to_bytes(2, "big") + rng.randbytes(64)
    )


async def bad_handshake(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.target.preamble() + (48).to_bytes(2, "big") + rng.randbytes(48))


async def bad_upgrade(peer: RawPeer, rng: random.Random) -> None:
    peer.write(b"GET /qw1 HTTP/1.1\r\n" + rng.randbytes(40) + b"\r\n\r\n")


async def endless_upgrade(peer: RawPeer, rng: random.Random) -> None:
    peer.write(b"GET /qw1 HTTP/1.1\r\n" + b"X: y\r\n" * 4000)


async def wrong_path(peer: RawPeer, rng: random.Random) -> None:
    peer.write(UPGRADE.replace(b"/qw1", b"/admin"))


async def unmasked(peer: RawPeer, rng: random.Random) -> None:
    peer.write(UPGRADE + b"\x82\x08" + peer.target.preamble())


async def reserved_bits(peer: RawPeer, rng: random.Random) -> None:
    peer.write(UPGRADE + bytes((0x82 | rng.choice([0x10, 0x20, 0x40]), 0x81)) + MASK + b"x")


async def text_message(peer: RawPeer, rng: random.Random) -> None:
    peer.write(UPGRADE + b"\x81\x82" + MASK + bytes(a ^ b for a, b in zip(b"hi", MASK, strict=False)))


# -- behind the handshake


async def secured_silence(peer: RawPeer, rng: random.Random) -> None:
    await peer.handshake()


async def garbage_record(peer: RawPeer, rng: random.Random) -> None:
    await peer.handshake()
    size = rng.randrange(17, PREAUTH_MAX_RECORD - 2)
    peer.write(size.to_bytes(2, "big") + rng.randbytes(size))


async def flipped_record(peer: RawPeer, rng: random.Random) -> None:
    await peer.handshake()
    record = bytearray(peer.record(frames.pack(FrameType.PING)))
    record[rng.randrange(2, len(record))] ^= 1 << rng.randrange(8)
    peer.write(bytes(record))


async def large_before_login(peer: RawPeer, rng: random.Random) -> None:
    await peer.handshake()
    peer.write(peer.record(bytes(rng.randrange(1100, 60000))))


async def send_before_login(peer: RawPeer, rng: random.Random) -> None:
    await peer.handshake()
    peer.write(peer.record(frames.pack(FrameType.SEND, b"\x01\x03u/x\x90")))


# -- behind the login


async def oversize_frame(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.record(bytes((FrameType.SEND,)) + varint.put(rng.randrange(61441, 1 << 40)) + b"x" * 30))


async def broken_frame(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.record(bytes((FrameType.PING | 0x80, 0))))


async def long_varint(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.record(bytes((FrameType.PING, 0x80, 0x00))))


async def unknown_frame(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.record(bytes((rng.choice([0, 21, 22, 23]), 0))))


async def boastful_ack(peer: RawPeer, rng: random.Random) -> None:
    peer.write(peer.record(frames.pack(FrameType.ACK, b"", rng.randrange(1000, 1 << 60))))


async def zip_bomb(peer: RawPeer, rng: random.Random) -> None:
    peer.write(
        peer.record(frames.pack(FrameType.SEND, varint.put(1 << 30) + rng.randbytes(40), compressed=True))
    )


QUICK: tuple[Abuse, ...] = (
    Abuse("random bytes", "first_bytes", random_bytes),
    Abuse("another version", "rejected", wrong_version),
    Abuse("impossible length", "handshake_length", bad_length),
    Abuse("forged handshake", "handshake_failed", bad_handshake),
    Abuse("broken upgrade", "upgrade_malformed", bad_upgrade),
    Abuse("endless upgrade", "upgrade_malformed", endless_upgrade),
    Abuse("another path", "upgrade_refused", wrong_path),
    Abuse("WebSocket without mask", "ws_malformed", unmasked),
    Abuse("WebSocket reserved bits", "ws_malformed", reserved_bits),
    Abuse("WebSocket text", "ws_text", text_message),
    Abuse("garbage for a record", "aead", garbage_record),
    Abuse("one bit flipped", "aead", flipped_record),
    Abuse("large record before login", "preauth_too_big", large_before_login),
    Abuse("SEND before login", "before_auth", send_before_login),
    Abuse("oversize frame", "frame_too_big", oversize_frame, login=True),
    Abuse("reserved bit in a frame", "frame", broken_frame, login=True),
    Abuse("varint too long", "frame", long_varint, login=True),
    Abuse("unknown frame", "frame_type", unknown_frame, login=True),
    Abuse("ack of what was never sent", "ack", boastful_ack, login=True),
    Abuse("compression bomb", "compressed", zip_bomb, login=True),
)
"""Ended as soon as the server has read it."""

PATIENT: tuple[Abuse, ...] = (
    Abuse("silence", "auth_timeout", silence),
    Abuse("half a first flight", "auth_timeout", half_open),
    Abuse("one byte a second", "auth_timeout", slowloris),
    Abuse("silence behind the handshake", "auth_timeout", secured_silence),
)
"""Ended at the login deadline."""


async def commit(
    abuse: Abuse, target: Target, rng: random.Random, *, source: str, token: str, patience_s: float
) -> str:
    """Do it once and wait for the end. "" if the server ended it in time, else a complaint."""
    async with await RawPeer.connect(target, source) as peer:
        deed: asyncio.Task[None] | None = None
        try:
            if abuse.login:
                await peer.handshake()
                await peer.login(token, f"abuse{rng.getrandbits(40)}")
            deed = asyncio.ensure_future(abuse.deed(peer, rng))
            ended = (
                await peer.end(patience_s)
                if abuse.deed is slowloris
                else await _then_end(deed, peer, patience_s)
            )
        except (ConnectionError, asyncio.IncompleteReadError):
            return ""
        finally:
            if deed is not None:
                deed.cancel()
                await asyncio.gather(deed, return_exceptions=True)
        return "" if ended else f"{abuse.name}: still open after {patience_s} s"


async def _then_end(deed: asyncio.Future[None], peer: RawPeer, patience_s: float) -> bool:
    await deed
    return await peer.end(patience_s)


async def read_nothing(target: Target, token: str, device: str, source: str) -> RawPeer:
    """A logged-in peer that reads no further byte; its kernel holds little."""
    peer = await RawPeer.connect(target, source, receive_buffer=SMALL_BUFFER)
    await peer.handshake()
    await peer.login(token, device)
    return peer


def counted(server: ServerProcess, reasons: Iterable[str]) -> dict[str, float]:
    """Connections ended under these reasons so far, from /metrics."""
    metrics = server.metrics()
    return {r: metrics.get(f'qianwan_gateway_closed_total{{reason="{r}"}}', 0.0) for r in reasons}


def until_counted(server: ServerProcess, before: Mapping[str, float], wanted: Mapping[str, int]) -> None:
    """Return when /metrics shows so many more of each reason than `before`. Raises ServerFailed."""

    def reached() -> bool:
        now = counted(server, wanted)
        return all(now[reason] - before[reason] >= count for reason, count in wanted.items())

    try:
        server.wait_for(reached, f"at {dict(wanted)} above {dict(before)}")
    except ServerFailed as failure:
        now = counted(server, wanted)
        short = {r: (now[r] - before[r], n) for r, n in wanted.items() if now[r] - before[r] < n}
        raise ServerFailed(f"counted and wanted: {short}") from failure
