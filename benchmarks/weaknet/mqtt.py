"""Mosquitto on the wire: MQTT 3.1.1 over TLS 1.3, QoS 1 both ways, a persistent session, keep-alive 60 s.

The client is small and as quick as the protocol lets it be: what waits is sent behind CONNECT, before its
answer is there.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import ClassVar

from benchmarks.peers.base import find_program
from benchmarks.weaknet.rivals import CONNECT_S, Comer, Rival
from benchmarks.weaknet.system import Person, Watch, name_in

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ = 0x10, 0x20, 0x30, 0x40, 0x82, 0xC0
QOS1, DUP = 0x02, 0x08


def string(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def packet(kind: int, body: bytes) -> bytes:
    """Of less than 2 MiB."""
    length, rest = b"", len(body)
    while True:
        rest, low = rest >> 7, rest & 127
        length += bytes((low | 128 if rest else low,))
        if not rest:
            return bytes((kind,)) + length + body


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return kind, await reader.readexactly(length)


class MqttPerson(Comer):
    """A client id with a session that the broker keeps."""

    def __init__(self, user: str, host: str, port: int, watch: Watch, interval_s: float) -> None:
        super().__init__(user, host, port, watch, interval_s)
        self._unacked: dict[int, bytes] = {}
        self._numbers = itertools.cycle(range(1, 65536))
        self._topics = [f"people/{user}"]
        self._writer: asyncio.StreamWriter | None = None
        self._wrote = 0.0

    def send(self, to: str, text: str) -> None:
        self._publish(f"people/{to}", text)

    async def join(self, room: str) -> None:
        self._topics.append(f"rooms/{room}")
        self._write(self._subscribe(f"rooms/{room}"))

    def say(self, room: str, text: str) -> None:
        self._publish(f"rooms/{room}", text)

    def _publish(self, topic: str, text: str) -> None:
        number = next(self._numbers)
        self._unacked[number] = string(topic) + number.to_bytes(2, "big") + text.encode()
        self._write(packet(PUBLISH | QOS1, self._unacked[number]))

    def _subscribe(self, topic: str) -> bytes:
        return packet(SUBSCRIBE, next(self._numbers).to_bytes(2, "big") + string(topic) + b"\x01")

    def _write(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)
            self._wrote = time.monotonic()

    async def live(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        beats = None
        try:
            first = self.watch.logins == 0
            keep_alive = round(self._interval_s).to_bytes(2, "big")
            hello = packet(CONNECT, string("MQTT") + b"\x04\x00" + keep_alive + string(self.user))
            waiting = [packet(PUBLISH | QOS1 | DUP, body) for body in self._unacked.values()]
            topics = [self._subscribe(topic) for topic in self._topics] if first else []
            self._writer = writer
            self._write(b"".join((hello, *topics, *waiting)))
            beats = asyncio.ensure_future(self._beat(writer))
            while True:
                self._take(*await read_packet(reader))
        finally:
            self._writer = None
            if beats is not None:
                beats.cancel()
            writer.transport.abort()

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        while True:
            due = self._wrote + self._interval_s
            await asyncio.sleep(max(0.01, due - time.monotonic()))
            if time.monotonic() >= self._wrote + self._interval_s:
                asked = self._pinged = time.monotonic()
                self._write(packet(PINGREQ, b""))
                await asyncio.sleep(self._interval_s)
                if self._pinged == asked:
                    writer.transport.abort()

    _pinged = 0.0

    def _take(self, kind: int, body: bytes) -> None:
        self._pinged = 0.0
        if kind == CONNACK:
            self.watch.resumed += self.watch.logins > 0 and body[0] & 1
            self.watch.state(True)
        elif kind == PUBACK:
            self._unacked.pop(int.from_bytes(body[:2], "big"), None)
        elif kind & 0xF0 == PUBLISH:
            at = 2 + int.from_bytes(body[:2], "big")
            self._write(packet(PUBACK, body[at : at + 2]))
            self.watch.arrived(name_in(body[at + 2 :].decode()))


class Mosquitto(Rival):
    """The broker keeps sessions on disk, as the store of ours does."""

    name: ClassVar[str] = "mosquitto"
    holds: ClassVar[bool] = True
    beat_s: ClassVar[float] = 60.0

    @classmethod
    def missing(cls) -> str | None:
        return None if find_program("mosquitto") else "mosquitto is not installed (apt-get install mosquitto)"

    def command(self) -> list[str]:
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 0.0.0.0\nallow_anonymous true\ncertfile {self.certificate}\n"
            f"keyfile {self.key}\ntls_version tlsv1.3\npersistence_location {self.folder}/\n"
            "persistence true\nautosave_on_changes true\nautosave_interval 1\n"
            "set_tcp_nodelay true\nlog_type error\n"
        )
        return [find_program("mosquitto") or "mosquitto", "-c", str(settings)]

    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        return MqttPerson(user, host, self.port, watch, self.interval_s)
