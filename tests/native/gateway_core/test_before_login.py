"""What a peer costs before it has logged in: 1 KiB of user memory at most, malloc's own bytes included.

The gateway runs in a process of its own whose heap holds nothing else that grows: what the heap grew by is
divided by the number of peers, and the share of the mapped tables is added.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frame.constants import HANDSHAKE_MAX, PREAUTH_MAX_RECORD, TOKEN_MAX, CloseCode, FrameType
from tests.support.gateway_client import Gone, WireClient, auth_body, wait_for
from tests.support.gateway_harness import IGNORED, GatewayHarness
from tests.support.tree import ROOT

PEERS = 300
LIMIT = 1024
KEPT = 784  # bytes of what is unfinished
KEPT_ASKED = 16

GATEWAY = """
    import ctypes, json, sys
    from crypto.handshake import generate_keypair
    from gateway_core import Gateway, GatewayConfig

    class Info(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

    info = ctypes.CDLL(None).mallinfo2
    info.restype = Info
    private, public = generate_keypair()
    gateway = Gateway(
        GatewayConfig(
            port=0, max_connections=int(sys.argv[1]), proxy_from=("127.0.0.1",), ip_accepts_per_s=0,
            auth_timeout_s=600,
        ),
        [(1, private, public)],
    )
    gateway.start()
    print(json.dumps([gateway.port, public.hex()]), flush=True)
    for _ in sys.stdin:
        now = info()
        heap = now.uordblks + now.hblkhd
        with open("/proc/self/status") as status:
            mapped = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
        print(json.dumps({"heap": heap, "mapped": mapped, **gateway.stats()}), flush=True)
    gateway.stop()
"""


class Measured:
    """A gateway that nobody takes events from, and the peers that were made for it."""

    def __init__(self, max_connections: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(GATEWAY), str(max_connections)],
            cwd=ROOT,
            env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"},  # it keeps what was freed
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        port, public = self._read()
        self.port, self.public = int(port), bytes.fromhex(public)
        self.peers: list[WireClient] = []

    def _read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def now(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        found = self._read()
        assert isinstance(found, dict)
        return found

    def connect(self, **options: Any) -> WireClient:
        self.peers.append(WireClient(self.port, self.public, before=PROXIED, **options))
        return self.peers[-1]

    def stop(self) -> None:
        for peer in self.peers:
            peer.close()
        self.process.communicate()


def proxied(host: str) -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, host) + bytes(16) + struct.pack(">HH", 65_535, 7801)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack(">H", len(addresses)) + addresses


PROXIED = proxied("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")  # the longest text that an address has


def part_of_upgrade(size: int) -> bytes:
    return b"GET /qw1 HTTP/1.1\r\nX: ".ljust(size, b"x")


def part_of_ping(peer: WireClient, size: int) -> bytes:
    return peer.wrap(bytes(125), 9)[:size]


def part_of_record(peer: WireClient, raw: int) -> None:
    """All but a byte of the longest record; a WebSocket sends it in fragments with part of a ping behind."""
    record = struct.pack(">H", PREAUTH_MAX_RECORD - 2) + bytes(PREAUTH_MAX_RECORD - 3)
    if peer.websocket:
        pieces = peer.wrap(record[:300], 2, False) + peer.wrap(record[300:], 0, False)
        peer.sock.sendall(pieces + part_of_ping(peer, raw))
    else:
        peer.write(record)


def longest_auth(peer: WireClient) -> None:
    """An AUTH that fills its record."""
    spare = PREAUTH_MAX_RECORD - 2 - 16 - 3 - len(auth_body(bytes(200), device=b"d" * 64))
    peer.frame(FrameType.AUTH, auth_body(bytes(b"t" * (200 + spare)), device=b"d" * 64))


# Each makes a peer of a kind, and says how many bytes of unfinished input the core then keeps.


def silent(gateway: Measured) -> int:
    gateway.connect()
    return 0


def first_byte(gateway: Measured) -> int:
    gateway.connect().write(b"G")
    return 1


def in_upgrade(gateway: Measured) -> int:
    gateway.connect().write(part_of_upgrade(KEPT))
    return KEPT


def in_message_1(gateway: Measured, websocket: bool = False) -> int:
    peer = gateway.connect(websocket=websocket)
    peer.write(peer.prologue + struct.pack(">H", HANDSHAKE_MAX) + bytes(HANDSHAKE_MAX - 1))
    return 8 + 2 + HANDSHAKE_MAX - 1


def in_message_1_and_ping(gateway: Measured) -> int:
    kept = in_message_1(gateway, websocket=True)
    gateway.peers[-1].sock.sendall(part_of_ping(gateway.peers[-1], 130))
    return kept + 130


def secured(gateway: Measured) -> int:
    gateway.connect().handshake()
    return 0


def secured_websocket(gateway: Measured) -> int:
    gateway.connect(websocket=True).handshake()
    return 0


def in_auth(gateway: Measured) -> int:
    part_of_record(gateway.connect().handshake(), 0)
    return PREAUTH_MAX_RECORD - 1


def in_auth_and_ping(gateway: Measured) -> int:
    part_of_record(gateway.connect(websocket=True).handshake(), KEPT - PREAUTH_MAX_RECORD + 1)
    return KEPT


def asked(gateway: Measured) -> int:
    longest_auth(gateway.connect().handshake())
    return 0


def asked_and_more(gateway: Measured) -> int:
    peer = gateway.connect().handshake()
    longest_auth(peer)
    peer.write(bytes((0, 200)) + bytes(KEPT_ASKED - 2))
    return KEPT_ASKED


def asked_and_ping(gateway: Measured) -> int:
    peer = gateway.connect(websocket=True).handshake()
    longest_auth(peer)
    peer.sock.sendall(part_of_ping(peer, KEPT_ASKED))
    return KEPT_ASKED


def asked_with_longest_token(gateway: Measured) -> int:
    peer = gateway.connect(suite=3).handshake()
    peer.frame(FrameType.AUTH, auth_body(b"t" * TOKEN_MAX, b"b" * 64, b"d" * 64, kind=2))
    return 0


@pytest.fixture(scope="module")
def slot() -> int:
    """Bytes of the tables for one connection: what tables twice as long take more."""
    sizes = []
    for connections in (400_000, 800_000):
        gateway = Measured(connections)
        sizes.append(gateway.now()["mapped"])
        gateway.stop()
    return round((sizes[1] - sizes[0]) / 400_000)


@pytest.fixture
def measured() -> Iterator[Measured]:
    gateway = Measured(20_000)
    yield gateway
    gateway.stop()


@pytest.mark.parametrize(
    ("make", "state", "most"),
    [
        (silent, "first", 200),
        (first_byte, "first", 248),
        (in_upgrade, "first", LIMIT),
        (in_message_1, "hello", 812),
        (in_message_1_and_ping, "hello", LIMIT),
        (secured, "secured", 200),
        (secured_websocket, "secured", 232),
        (in_auth, "secured", LIMIT),
        (in_auth_and_ping, "secured", LIMIT),
        (asked, "asked", 980),
        (asked_and_more, "asked", LIMIT),
        (asked_and_ping, "asked", LIMIT),
        (asked_with_longest_token, "asked", LIMIT),
    ],
)
def test_a_peer_costs_a_kibibyte_at_most(
    measured: Measured, slot: int, make: Callable[[Measured], int], state: str, most: int
) -> None:
    make(measured)
    wait_for(lambda: measured.now()["states"][state] == 1)
    before = measured.now()["heap"]
    for _ in range(PEERS):
        kept = make(measured)
    wait_for(lambda: measured.now()["states"][state] == PEERS + 1)
    wait_for(
        lambda: measured.now()["live"]["in_bytes"] == kept * (PEERS + 1), what=f"{kept} bytes kept of each"
    )
    cost = slot + (measured.now()["heap"] - before) / PEERS
    print(f"{make.__name__}: {cost:.0f} bytes")
    assert cost <= most


def test_half_a_proxy_header_costs_no_more(measured: Measured, slot: int) -> None:
    """Up to all but a byte of the longest one, and it names nobody yet."""
    part = PROXIED[:14] + struct.pack(">H", 512) + bytes(511)
    peers = [socket.create_connection(("127.0.0.1", measured.port)) for _ in range(PEERS + 1)]
    wait_for(lambda: measured.now()["states"]["first"] == len(peers))
    before = measured.now()["heap"]
    for peer in peers:
        peer.sendall(part)
    wait_for(lambda: measured.now()["live"]["in_bytes"] == len(part) * len(peers))
    assert slot + 64 + (measured.now()["heap"] - before) / len(peers) <= LIMIT
    for peer in peers:
        peer.close()


def closed(gateway: GatewayHarness, peer: WireClient, reason: str) -> None:
    with pytest.raises(Gone):
        peer.stream(1 << 20)
    wait_for(lambda: gateway.reasons().get(reason) == 1, what=reason)


@pytest.mark.parametrize("websocket", [False, True])
def test_more_than_is_kept_closes(gateway: GatewayHarness, websocket: bool) -> None:
    peer = gateway.connect(websocket=websocket).handshake()
    peer.write(struct.pack(">H", PREAUTH_MAX_RECORD - 1))
    closed(gateway, peer, "preauth_too_big")


def read_exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = sock.recv(size - len(found))
        assert piece
        found += piece
    return found


def test_more_than_is_kept_of_a_head_closes(gateway: GatewayHarness) -> None:
    peer = gateway.connect()
    peer.write(part_of_upgrade(KEPT + 1))
    closed(gateway, peer, "preauth_too_big")


def test_more_than_is_kept_of_a_record_and_a_ping_closes(gateway: GatewayHarness) -> None:
    peer = gateway.connect(websocket=True).handshake()
    part_of_record(peer, KEPT - PREAUTH_MAX_RECORD + 2)
    closed(gateway, peer, "preauth_too_big")


def test_while_a_login_is_judged_next_to_nothing_is_kept(gateway: GatewayHarness) -> None:
    peer = gateway.connect().handshake()
    peer.frame(FrameType.AUTH, auth_body(IGNORED.encode()))
    wait_for(lambda: gateway.stats()["states"]["asked"] == 1)
    peer.write(bytes((0, 200)) + bytes(KEPT_ASKED - 1))
    closed(gateway, peer, "preauth_too_big")


def test_pings_are_few_while_a_login_is_judged(gateway: GatewayHarness) -> None:
    """They want answers, and nobody asks whether the peer reads them."""
    peer = gateway.connect(websocket=True, rcvbuf=2048).handshake()
    peer.frame(FrameType.AUTH, auth_body(IGNORED.encode()))
    wait_for(lambda: gateway.stats()["states"]["asked"] == 1)
    pings = peer.wrap(bytes(125), 9) * 500_000
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        peer.sock.sendall(pings)
    closed(gateway, peer, "rate")


@pytest.mark.parametrize(("opcode", "payload"), [(9, b"are you there"), (10, b""), (2, b"")])
def test_frames_that_carry_nothing_are_few_before_login(
    gateway: GatewayHarness, opcode: int, payload: bytes
) -> None:
    peer = gateway.connect(websocket=True).handshake()
    peer.sock.sendall(peer.wrap(payload, opcode) * 16)
    if opcode == 9:
        answers = b"".join(b"\x8a" + bytes([len(payload)]) + payload for _ in range(16))
        assert read_exactly(peer.sock, len(answers)) == answers
    assert gateway.stats()["live"]["connections"] == 1
    peer.sock.sendall(peer.wrap(payload, opcode))
    closed(gateway, peer, "rate")


def test_a_peer_that_stays_is_not_waited_for(start_gateway: Callable[..., GatewayHarness]) -> None:
    """Its time is over with the deadline: what it was told is in the socket, and nobody waits for its end."""
    gateway = start_gateway(auth_timeout_s=1)
    peers = [gateway.connect(), gateway.connect().handshake(), gateway.connect(websocket=True).handshake()]
    wait_for(lambda: gateway.reasons().get("auth_timeout") == 3)
    wait_for(lambda: gateway.stats()["live"]["connections"] == 0)
    assert peers[1].close_code() == CloseCode.AUTH_TIMEOUT


def test_a_ping_in_pieces_between_the_fragments_of_an_auth(gateway: GatewayHarness) -> None:
    peer = gateway.connect(websocket=True).handshake()
    record = peer.record(auth_frame("web"))
    pieces = peer.wrap(record[:20], 2, False) + peer.wrap(b"still there?", 9) + peer.wrap(b"", 0, False)
    for byte in pieces + peer.wrap(record[20:], 0):
        peer.sock.sendall(bytes((byte,)))
    assert peer.expect(FrameType.AUTH_OK) == b"welcome"
    assert gateway.stats()["live"]["in_bytes"] == 0


def auth_frame(user: str) -> bytes:
    body = auth_body(user.encode())
    return bytes((FrameType.AUTH, len(body))) + body
