"""The wire: one process that carries IP packets between the networks of the phones and of the server, late,
few or not at all, as a profile says.

It holds a TUN device in each network. A phone is told apart by the server's address that it talks to, so each
has a link of its own. Its orders are lines of JSON on stdin, each answered by one on stdout:

    {"do": "lines", "down": {...}, "up": {...}}              what the links are like from now on
    {"do": "gate", "phone": 3, "down": false, "up": true}    who passes at all (without `phone`: for all)
    {"do": "cut", "phone": 3}                                packets of the connections of now are lost
    {"do": "counts"}                                         what was put on each link so far
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import struct
import sys
import time
from dataclasses import dataclass, field

import msgspec

from benchmarks.weaknet.namespaces import inside
from benchmarks.weaknet.profiles import rng_of
from benchmarks.weaknet.shaping import Counts, Line, Shaper

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
MTU = 1500
TCP = 6
SYN, ACK = 0x02, 0x10
WAIT_S = 1.0
BATCH = 64


def open_tun(device: str) -> int:
    """A TUN device of the network of this thread; its packets come and go through the descriptor."""
    found = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(found, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return found


@dataclass(slots=True)
class Link:
    """A phone's, both ways."""

    down: Shaper
    up: Shaper
    down_open: bool = True
    up_open: bool = True
    flows: set[int] = field(default_factory=set)
    """ports of the phone's connections that were seen since the last cut"""
    dead: set[int] = field(default_factory=set)


@dataclass(slots=True)
class LinkCounts:
    """What was put on a phone's link."""

    down: Counts
    up: Counts


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """A line of stdin. Both directions are lines (`lines`) or whether they are open (`gate`)."""

    do: str
    phone: int | None = None
    down: bool | Line | None = None
    up: bool | Line | None = None


class Start(msgspec.Struct):
    """What the process is told first: namespace and device of each end, and what the links are like."""

    seed: int
    phones: tuple[str, str]
    server: tuple[str, str]
    down: Line
    up: Line


class Wire:
    """Packets go in with the time of now, and come out of `due` when theirs has come."""

    def __init__(self, seed: int, down: Line, up: Line) -> None:
        self._seed = seed
        self._lines = (down, up)
        self._links: dict[int, Link] = {}
        self._gates = (True, True)
        self._late: list[tuple[float, int, bool, bytes]] = []
        self._count = 0

    def link(self, phone: int) -> Link:
        found = self._links.get(phone)
        if found is None:
            down, up = (
                Shaper(line, rng_of(self._seed, phone, way))
                for line, way in zip(self._lines, ("down", "up"), strict=True)
            )
            found = self._links[phone] = Link(down, up, *self._gates)
        return found

    def take(self, now: float, packet: bytes, up: bool) -> None:
        """A packet of a phone (`up`) or of the server."""
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        place = packet[16:20] if up else packet[12:16]  # the server's address is the phone's number
        link = self.link(int.from_bytes(place[2:], "big"))
        shaper = link.up if up else link.down
        if not (link.up_open if up else link.down_open) or self._is_cut(link, packet, up):
            shaper.drop(len(packet))
            return
        for at in shaper.take(now, len(packet)):
            self._count += 1
            heapq.heappush(self._late, (at, self._count, up, packet))

    @staticmethod
    def _is_cut(link: Link, packet: bytes, up: bool) -> bool:
        head = (packet[0] & 15) * 4
        if packet[9] != TCP or len(packet) < head + 20:
            return False
        port = int.from_bytes(packet[head : head + 2] if up else packet[head + 2 : head + 4], "big")
        if up and packet[head + 13] & (SYN | ACK) == SYN and port not in link.flows:
            link.dead.discard(port)
        if port in link.dead:
            return True
        link.flows.add(port)
        return False

    def due(self, now: float) -> tuple[bool, bytes] | None:
        """The next packet that is out by now, and its direction."""
        if self._late and self._late[0][0] <= now:
            return heapq.heappop(self._late)[2:]
        return None

    def wait_s(self, now: float) -> float:
        return min(WAIT_S, max(0.0, self._late[0][0] - now)) if self._late else WAIT_S

    def obey(self, order: Order) -> dict[int, LinkCounts]:
        """What the order asks for. Raises ValueError when it is none."""
        what, phone = order.do, order.phone
        links = list(self._links.values()) if phone is None else [self.link(phone)]
        if what == "lines":
            if not isinstance(order.down, Line) or not isinstance(order.up, Line):
                raise ValueError("which lines?")
            self._lines = (order.down, order.up)
            for link in links:
                for shaper, line in zip((link.down, link.up), self._lines, strict=True):
                    shaper.become(line)
        elif what == "gate":
            gates = (order.down is True, order.up is True)
            if phone is None:
                self._gates = gates
            for link in links:
                link.down_open, link.up_open = gates
        elif what == "cut":
            for link in links:
                link.dead |= link.flows
                link.flows.clear()
        elif what == "counts":
            return {
                number: LinkCounts(link.down.counts, link.up.counts) for number, link in self._links.items()
            }
        else:
            raise ValueError(f"no such order: {what}")
        return {}


def carry(wire: Wire, phones: int, server: int) -> None:
    """Until stdin ends. `phones` and `server` are the TUN devices."""
    orders, began = b"", time.monotonic()
    while True:
        ready, _, _ = select.select([phones, server, 0], [], [], wire.wait_s(time.monotonic() - began))
        for device in ready:
            if device == 0:
                read = os.read(0, 1 << 16)
                if not read:
                    return
                *lines, orders = (orders + read).split(b"\n")
                for line in lines:
                    tell(wire.obey(msgspec.json.decode(line, type=Order)))
                continue
            for _ in range(BATCH):
                try:
                    packet = os.read(device, MTU + 64)
                except BlockingIOError:
                    break
                wire.take(time.monotonic() - began, packet, device == phones)
        while (out := wire.due(time.monotonic() - began)) is not None:
            up, packet = out
            try:
                os.write(server if up else phones, packet)
            except OSError:  # the device's queue is full, or the network goes away: as lost as any packet
                pass


def tell(answer: dict[int, LinkCounts]) -> None:
    os.write(1, msgspec.json.encode(answer) + b"\n")


def main() -> None:
    """The word of the command line: a Start as JSON."""
    told = msgspec.json.decode(sys.argv[1], type=Start)
    devices = []
    for network, device in (told.phones, told.server):
        with inside(network):
            devices.append(open_tun(device))
    tell({})
    carry(Wire(told.seed, told.down, told.up), *devices)


if __name__ == "__main__":
    main()
