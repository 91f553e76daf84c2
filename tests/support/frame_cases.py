"""One table of every streaming parser: the C one, its reference, and inputs that matter to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from frame import frames, http_upgrade, preamble, proxy, record, varint, websocket
from tests.support import reference_frame, reference_web

Parser = Callable[[Any], tuple[int, Any]]

HANDSHAKE = (
    b"GET /qw1?v=1 HTTP/1.1\r\nHost: gateway.example:7801\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nOrigin: https://example.com\r\nSec-WebSocket-Protocol: chat, qw1\r\n\r\n"
)
PROXY4 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 d431 1e79")
PROXY6 = (
    bytes.fromhex("0d0a0d0a000d0a515549540a 21 21 0028 20010db8")
    + bytes(11)
    + bytes.fromhex("01 20010db8")
    + bytes(11)
    + bytes.fromhex("02 d431 1e79 04 0001 00")
)


class Case(NamedTuple):
    """A parser of a stream: valid inputs are taken whole, broken ones end with an error code."""

    name: str
    parse: Parser
    reference: Parser
    valid: list[bytes]
    broken: list[bytes]


CASES = [
    Case(
        "varint",
        varint.parse,
        reference_frame.varint,
        [varint.encode(v) for v in (0, 1, 127, 128, 300, 16383, 16384, 2**32, 2**63, 2**64 - 1)],
        [b"\x80\x00", b"\x80\x80\x00", b"\xff" * 9 + b"\x02", b"\xff" * 10, b"\x80" * 9 + b"\x00"],
    ),
    Case(
        "frame",
        frames.parse,
        reference_frame.frame,
        [
            frames.build(1),
            frames.build(6, b"body" * 50, ack=2**64 - 1),
            frames.build(31, bytes(130), compressed=True),
            frames.build(6, bytes(61440), ack=0),
        ],
        [b"\x80", b"\xe6\x00\x00", b"\x06\x80\x00", b"\x46\x81\x00\x00", b"\x06" + varint.encode(61441)],
    ),
    Case(
        "record",
        record.parse,
        reference_frame.record,
        [record.build(bytes(17)), record.build(bytes(range(256))), record.build(bytes(65535))],
        [b"\x00\x00", b"\x00\x10"],
    ),
    Case(
        "preamble",
        preamble.parse,
        reference_frame.preamble,
        [preamble.build(1, 1, 3, 1, 0x1234), preamble.build(255, 255, 255, 255, 65535)],
        [b"q", b"QX", b"GET / HT", b"\x00"],
    ),
    Case(
        "flight",
        preamble.parse_flight,
        reference_frame.flight,
        [
            preamble.build(1, 1, 1, 0, 1) + b"\x00\x30" + bytes(48),
            preamble.build(1, 1, 1, 0, 1) + b"\x02\x30" + bytes(560),
            preamble.build(1, 2, 3, 3, 1) + b"\x01t\x00\x30" + bytes(48),
            preamble.build(1, 3, 1, 2, 0) + b"\xff" + bytes(255) + b"\x01\x30" + bytes(304),
        ],
        [
            b"QX",
            preamble.build(1, 1, 1, 0, 1) + b"\x00\x2f",
            preamble.build(1, 1, 1, 0, 1) + b"\x02\x31",
            preamble.build(1, 2, 1, 0, 1) + b"\x00",
            preamble.build(1, 2, 1, 0, 1) + b"\x01t\x00\x2f",
            preamble.build(1, 3, 1, 0, 0) + b"\x01t\x01\x31",
        ],
    ),
    Case(
        "websocket",
        websocket.parse_header,
        reference_web.ws_header,
        [websocket.build_header(2, n, b"\x01\x02\x03\x04") for n in (0, 1, 125, 126, 65535, 65536, 2**63 - 1)]
        + [websocket.build_header(op, 0) for op in (0, 1, 2, 8, 9, 10)],
        [
            b"\xc2",
            b"\x83",
            b"\x08",
            b"\x88\x7e",
            b"\x82\x7e\x00\x7d",
            b"\x82\x7f" + bytes(6) + b"\xff\xff",
            b"\x82\xff\x80" + bytes(7),
        ],
    ),
    Case(
        "http_upgrade",
        http_upgrade.parse,
        reference_web.upgrade,
        [HANDSHAKE, b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
        [
            b"POST /qw1",
            b"GET /qw1 HTTP/1.1\n",
            b"GET /qw1 HTTP/1.0\r\n\r\n",
            b"GET /qw1 HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            b"GET /qw1 HTTP/1.1\r\nHost : h\r\n\r\n",
            b"GET /qw1 HTTP/1.1\r\nA: \x00\r\n\r\n",
            b"GET /" + b"a" * 4091,
        ],
    ),
    Case(
        "proxy",
        proxy.parse,
        reference_web.proxy,
        [PROXY4, PROXY6, PROXY4[:12] + b"\x20\x00\x00\x00", PROXY4[:12] + b"\x21\x00\x00\x03abc"],
        [
            b"\r\n\r\r",
            PROXY4[:12] + b"\x11",
            PROXY4[:13] + b"\x12\x00\x0c",
            PROXY4[:13] + b"\x11\x00\x0b",
            PROXY4[:13] + b"\x11\x02\x01",
        ],
    ),
]
