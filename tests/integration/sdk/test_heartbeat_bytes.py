"""What a heartbeat is on the wire, as captured there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct

from qianwan import Client

from tests.support.sdk_client import until
from tests.support.server_process import ServerProcess

MOST = 22


class Relay:
    """Between a client and the server; keeps every piece as it was read."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.up: list[bytes] = []
        self.down: list[bytes] = []

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ways = (self._pass(reader, far_writer, self.up), self._pass(far_reader, writer, self.down))
        await asyncio.gather(*ways)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: list[bytes]
    ) -> None:
        while data := await source.read(65536):
            kept.append(data)
            sink.write(data)
        sink.close()


def segments(sniffer: socket.socket, port: int) -> list[tuple[bool, int]]:
    """(from the port, TCP payload bytes) of what the wire carried since, without pure acknowledgements."""
    found = []
    while True:
        try:
            packet, address = sniffer.recvfrom(65536)
        except BlockingIOError:
            return found
        if address[2] == socket.PACKET_OUTGOING:
            continue  # on the loopback everything is seen twice
        header = 14 + 4 * (packet[14] & 15)
        ports = struct.unpack_from(">HH", packet, header)
        if packet[23] == socket.IPPROTO_TCP and port in ports:
            total = int.from_bytes(packet[16:18], "big")
            size = total - (header - 14) - 4 * (packet[header + 12] >> 4)
            if size:
                found.append((ports[0] == port, size))


async def test_a_heartbeat_is_one_record_of_at_most_22_bytes_each_way(server: ServerProcess) -> None:
    root = json.loads(server.get("/v1/lbs")[1])["root"]
    async with Relay(*server.gateway) as relay:
        where = f"127.0.0.1:{relay.port}"
        async with Client(where, token=server.token("beater"), root_key=root, suite="chachapoly") as me:
            assert len(relay.up[0]) == relay.up[0].index(b"QW") + 8 + 2 + 48  # the first flight is one write
            await asyncio.sleep(0.5)  # what a login brings with it
            link = me.engine._link
            assert link is not None
            sniffer = None
            if os.geteuid() == 0:
                sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
                sniffer.bind(("lo", 0))
                sniffer.setblocking(False)
            for _ in range(5):
                ups, downs = len(relay.up), len(relay.down)
                link.ping()
                await until(lambda downs=downs: len(relay.down) > downs)
                assert [len(piece) for piece in relay.up[ups:]] == [20]
                sizes = [len(piece) for piece in relay.down[downs:]]
                assert len(sizes) == 1
                assert sizes[0] <= MOST
            if sniffer is not None:
                seen = segments(sniffer, relay.port)
                assert len(seen) == 10
                assert max(size for _, size in seen) <= MOST
                sniffer.close()
