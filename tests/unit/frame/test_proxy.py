"""PROXY protocol version 2: addresses, health checks, TLVs, and what is refused."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from frame import proxy
from frame.errors import MALFORMED, NEED_MORE, TOO_BIG

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("198.51.100.1").packed
V6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed
PORTS = struct.pack(">HH", 40000, 7801)


def header(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(block) if length is None else length) + block


def test_tcp_over_ipv4() -> None:
    data = header(0x21, 0x11, V4 + PORTS)
    assert proxy.parse(data + b"QW\x01") == (28, (4, False, V4[:4], 40000, V4[4:], 7801))


def test_tcp_over_ipv6_with_tlvs_skipped() -> None:
    data = header(0x21, 0x21, V6 + PORTS + b"\x04\x00\x02\x00\x00" + b"\x20\x00\x01\xff")
    assert proxy.parse(data) == (len(data), (6, False, V6[:16], 40000, V6[16:], 7801))


@pytest.mark.parametrize(
    ("data", "local"),
    [
        (header(0x20, 0x00, b""), True),
        (header(0x20, 0x11, V4 + PORTS), True),
        (header(0x20, 0x99, b"whatever"), True),
        (header(0x21, 0x00, b""), False),
        (header(0x21, 0x00, b"tlvs"), False),
        (header(0x21, 0x31, bytes(216)), False),
    ],
)
def test_headers_without_an_internet_address(data: bytes, local: bool) -> None:
    assert proxy.parse(data) == (len(data), (0, local, b"", 0, b"", 0))


@pytest.mark.parametrize(
    "data",
    [
        header(0x11, 0x11, V4 + PORTS),
        header(0x22, 0x11, V4 + PORTS),
        header(0x21, 0x12, V4 + PORTS),
        header(0x21, 0x22, V6 + PORTS),
        header(0x21, 0x41, V4 + PORTS),
        header(0x21, 0x11, V4 + PORTS[:3]),
        header(0x21, 0x21, V4 + PORTS),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    ],
)
def test_malformed_headers(data: bytes) -> None:
    assert proxy.parse(data) == (MALFORMED, None)


def test_the_length_is_bounded_before_the_bytes_arrive() -> None:
    assert proxy.parse(header(0x21, 0x11, b"", 513)) == (TOO_BIG, None)
    assert proxy.parse(header(0x20, 0x00, b"", 513)) == (TOO_BIG, None)
    assert proxy.parse(header(0x21, 0x11, b"", 512)) == (NEED_MORE, None)
    assert proxy.parse(header(0x21, 0x11, V4 + PORTS + bytes(500)))[0] == 528
