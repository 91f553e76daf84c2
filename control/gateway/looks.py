"""Connections of one gateway for an operator: searched and shown from the core's slab, kept nowhere.

A search is answered in pages, and a page looks at so many slots at most, whatever is looked for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Callable
from typing import Protocol

import msgspec

from control.gateway.conn_ids import loop_of, slot_of
from control.logs import get_logger

log = get_logger("gateway")

DETAILS = struct.Struct("<QIIIIHHHBB16sQQII")
"""gateway_core/conn/looking.pxd: Looked."""
IP = 9
"""Place of the address in it, behind the session."""
SLOTS = 1 << 18
"""Looked at for one page of one loop."""
ANSWER_S = 5.0
BUSY_S = 0.05
V4_MAPPED = bytes(10) + b"\xff\xff"
FLAGS = {
    2: "websocket",
    1: "zstd",
    4: "blocked",
    512: "leaving",
    2048: "paused",
    32: "proxied",
    8: "parked",
}
SESSION_TIME_BITS = 20


class Question(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """`at`: loop << 32 | slot to go on at. `network`: an address or CIDR, "": any. `conn`: this one alone.
    `topic`: those who are in it.
    """

    user: str = ""
    device: str = ""
    network: str = ""
    at: int = 0
    most: int = 100
    conn: int = 0
    topic: str = ""


class Count(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """How many connections are in the topic here?"""

    topic: str


class Found(msgspec.Struct, array_like=True, frozen=True):
    conn: int
    user: str
    device: str
    session: int
    queued_bytes: int
    tail_bytes: int
    idle_s: int
    sent: int
    timeout_s: int
    topics: int
    flags: int
    suite: int
    platform: int
    address: str
    received_bytes: int = 0
    acked_bytes: int = 0
    rtt_us: int = 0
    resent: int = 0
    since: int = 0


class Page(msgspec.Struct, array_like=True, frozen=True):
    """`at`: to go on at; 0: that was all. `members`: of the topic that was asked for."""

    found: list[Found]
    at: int
    members: int = 0


class LookingCore(Protocol):
    def look(
        self,
        loop: int,
        token: int,
        at: int,
        slots: int,
        most: int,
        user: bytes = ...,
        device: bytes = ...,
        network: bytes = ...,
        bits: int = ...,
        topic: bytes = ...,
    ) -> None: ...
    def refuse(self, conn: int, code: int, text: str) -> None: ...


class Looks:
    """All methods on the event loop thread. One search at a time: the core answers one. `busy`: the
    exceptions of a core that takes no command now; it is asked until ANSWER_S are over. `made_ms(session)`:
    when it logged in.
    """

    def __init__(
        self,
        core: LookingCore,
        loops: int,
        busy: tuple[type[Exception], ...] = (),
        made_ms: Callable[[int], int] = lambda session: session >> SESSION_TIME_BITS,
    ) -> None:
        self._core = core
        self._loops = loops
        self._busy = busy
        self._made_ms = made_ms
        self._one = asyncio.Lock()
        self._token = 0
        self._found: list[Found] = []
        self._members = 0
        self._ended: asyncio.Future[int] | None = None

    async def page(self, asked: Question) -> Page:
        """Raises ValueError for a network that is none, TimeoutError where the core does not answer."""
        network, bits = parse_network(asked.network)
        async with self._one:
            if asked.conn:
                return await self._this(asked.conn)
            found: list[Found] = []
            loop, at = asked.at >> 32, asked.at & 0xFFFFFFFF
            while loop < self._loops:
                more, at = await self._ask(
                    loop, at, SLOTS, asked.most - len(found),
                    asked.user.encode(), asked.device.encode(), network, bits, asked.topic.encode(),
                )  # fmt: skip
                found += more
                if at:
                    return Page(found, loop << 32 | at)
                loop += 1
                if len(found) >= asked.most and loop < self._loops:
                    return Page(found, loop << 32)
            return Page(found, 0)

    async def kick(self, conn: int, code: int, text: str) -> None:
        """Close it; one that is gone hears nothing. Raises TimeoutError."""
        async with asyncio.timeout(ANSWER_S):
            await self._give(lambda: self._core.refuse(conn, code, text))

    async def _give(self, command: Callable[[], None]) -> None:
        while True:
            try:
                return command()
            except self._busy:
                await asyncio.sleep(BUSY_S)

    async def inside(self, conn: int, topic: str) -> bool:
        """Whether this connection is in the topic. Raises TimeoutError where the core does not answer."""
        async with self._one:
            found, _ = await self._ask(conn >> 56, conn & 0xFFFFFFFF, 1, 1, topic=topic.encode())
        return any(each.conn == conn for each in found)

    async def members(self, topic: str) -> int:
        """Connections that are in it. Raises TimeoutError where the core does not answer."""
        async with self._one:
            count = 0
            for loop in range(self._loops):
                await self._ask(loop, 0, 0, 0, topic=topic.encode())
                count += self._members
            return count

    def on_looked(self, conn: int, token: int, user: str, device: str, details: bytes, at: int) -> None:
        if token != self._token or self._ended is None or self._ended.done():
            return
        if not user:
            self._members = int.from_bytes(details, "little")
            self._ended.set_result(at)
            return
        session, *numbers = DETAILS.unpack(details)
        numbers[IP] = address_of(numbers[IP])
        self._found.append(
            msgspec.convert((conn, user, device, session, *numbers, self._made_ms(session)), Found)
        )

    async def _this(self, conn: int) -> Page:
        loop, slot = loop_of(conn), slot_of(conn)
        if loop >= self._loops:
            return Page([], 0)
        found, _ = await self._ask(loop, slot, 1, 1)
        return Page([each for each in found if each.conn == conn], 0)

    async def _ask(
        self,
        loop: int,
        at: int,
        slots: int,
        most: int,
        user: bytes = b"",
        device: bytes = b"",
        network: bytes = b"",
        bits: int = 0,
        topic: bytes = b"",
    ) -> tuple[list[Found], int]:
        token = self._token = self._token + 1
        self._found = []
        self._ended = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(ANSWER_S):
            await self._give(
                lambda: self._core.look(loop, token, at, slots, most, user, device, network, bits, topic)
            )
            return self._found, await self._ended


def parse_network(text: str) -> tuple[bytes, int]:
    """(16 bytes, bits of them) as the core compares; (b"", 0) for any. Raises ValueError."""
    if not text:
        return b"", 0
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv4Network):
        return V4_MAPPED + network.network_address.packed, 96 + network.prefixlen
    return (network.network_address.packed, network.prefixlen) if network.prefixlen else (b"", 0)


def address_of(ip: bytes) -> str:
    if ip == bytes(16):
        return ""
    return str(ipaddress.IPv4Address(ip[12:]) if ip.startswith(V4_MAPPED) else ipaddress.IPv6Address(ip))


class LookResponder:
    """Answers searches and kicks that come over the bus."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._open: set[asyncio.Task[None]] = set()

    def __call__(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        task = asyncio.ensure_future(self._answer(payload, answer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _answer(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        try:
            asked = msgspec.msgpack.decode(payload, type=Question | Kick | Count)
            answer(msgspec.msgpack.encode(await serve(self._looks, asked)))
        except (ValueError, TimeoutError, msgspec.MsgspecError) as error:
            log.warning("a search of connections was not answered", reason=repr(error))
        except Exception:
            log.exception("a search of connections failed")


class Kick(msgspec.Struct, array_like=True, frozen=True, tag=True):
    conn: int
    code: int
    text: str


async def serve(looks: Looks, asked: Question | Kick | Count) -> Page:
    if isinstance(asked, Count):
        return Page([], 0, await looks.members(asked.topic))
    if isinstance(asked, Kick):
        found = await looks.page(Question(conn=asked.conn))
        await looks.kick(asked.conn, asked.code, asked.text)
        return found
    return await looks.page(asked)
