"""A slow second reading of WebSocket frames, the HTTP upgrade and PROXY v2, from their specifications.

Results speak the C parsers' vocabulary: (bytes consumed, value), or (NEED_MORE | MALFORMED | TOO_BIG, None).
"""

from __future__ import annotations

import base64
import binascii
import re

from frame.errors import MALFORMED, NEED_MORE, TOO_BIG
from frame.models import ProxyHeader, Upgrade, WsHeader
from tests.support.reference_frame import Reader, Stop

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"GET (/[\x21-\x3e\x40-\x7e]*)(?:\?([\x21-\x7e]*))? HTTP/1\.1")
HEADER_LINE = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
PROXY_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def ws_header(data: bytes, max_payload: int = 2**63 - 1) -> tuple[int, WsHeader | None]:
    reader = Reader(data)
    try:
        first = f"{reader.byte():08b}"
        fin, reserved, opcode = first[0] == "1", first[1:4], int(first[4:], 2)
        control = opcode >= 8
        if reserved != "000" or opcode not in (0, 1, 2, 8, 9, 10) or (control and not fin):
            raise Stop(MALFORMED)
        second = reader.byte()
        masked, length = second >= 128, second % 128
        if control and length > 125:
            raise Stop(MALFORMED)
        width, least = {126: (2, 126), 127: (8, 65536)}.get(length, (0, 0))
        if width:
            length = int.from_bytes(reader.take(width), "big")
            if not least <= length < 2**63:
                raise Stop(MALFORMED)
        if length > max_payload:
            raise Stop(TOO_BIG)
        mask = reader.take(4) if masked else None
    except Stop as stop:
        return stop.code, None
    return reader.at, WsHeader(opcode, fin, mask, length)


def ws_mask(data: bytes, mask: bytes, offset: int) -> bytes:
    return bytes(byte ^ mask[(i + offset) % 4] for i, byte in enumerate(data))


def ws_close(data: bytes) -> tuple[int, int]:
    if not data:
        return 1, 1005
    code = int.from_bytes(data[:2], "big")
    defined = {*range(1000, 1015), *range(3000, 5000)} - {1004, 1005, 1006}
    if not 2 <= len(data) <= 125 or code not in defined:
        return MALFORMED, 1002
    try:
        data[2:].decode("utf-8")
    except UnicodeDecodeError:
        return MALFORMED, 1007
    return 1, code


def upgrade(data: bytes, max_bytes: int = 4096) -> tuple[int, Upgrade | None]:
    """Reads a head by regular expressions and a list of headers."""
    if not data.startswith(b"GET "[: len(data)]):
        return MALFORMED, None
    scope = data[:max_bytes]
    bare = re.search(rb"(?<!\r)\n", scope)
    end = scope.find(b"\r\n\r\n")
    if bare and (end < 0 or bare.start() < end):
        return MALFORMED, None
    if end < 0:
        return (TOO_BIG if len(data) >= max_bytes else NEED_MORE), None
    first, *lines = scope[:end].split(b"\r\n")
    target = REQUEST_LINE.fullmatch(first)
    parsed = [HEADER_LINE.fullmatch(line) for line in lines]
    if target is None or None in parsed:
        return MALFORMED, None
    headers = [(match[1].lower(), match[2].strip(b" \t")) for match in parsed if match]
    return end + 4, judged(target[1], target[2] or b"", headers)


def judged(path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]) -> Upgrade:
    def all_of(name: bytes) -> list[bytes]:
        return [value for key, value in headers if key == name]

    def items(name: bytes) -> list[bytes]:
        return [item.strip(b" \t") for value in all_of(name) for item in value.split(b",")]

    def one(name: bytes) -> bytes:
        return (all_of(name) or [b""])[-1]

    keys = all_of(b"sec-websocket-key")
    good = [key for key in keys if is_key(key)]
    offered = items(b"sec-websocket-protocol")
    upgrades = b"websocket" in map(bytes.lower, items(b"upgrade"))
    connects = b"upgrade" in map(bytes.lower, items(b"connection"))
    versions = all_of(b"sec-websocket-version")
    single = len(all_of(b"host")) == 1 and max(len(keys), len(versions), len(all_of(b"origin"))) <= 1
    body = all_of(b"transfer-encoding") or any(v != b"0" for v in all_of(b"content-length"))
    if len(good) < len(keys) or body or not single:
        status = 400
    elif path != b"/qw1":
        status = 404
    elif not (upgrades and connects):
        status = 426
    elif not versions:
        status = 400
    elif versions != [b"13"]:
        status = 426
    else:
        status = 101 if keys else 400
    key = good[-1] if good else bytes(24)
    return Upgrade(
        status,
        key,
        bool(all_of(b"sec-websocket-protocol")),
        b"qw1" in offered,
        query == b"known",
        path,
        query,
        one(b"origin"),
        one(b"host"),
    )


def is_key(value: bytes) -> bool:
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def proxy(data: bytes) -> tuple[int, ProxyHeader | None]:
    if not data.startswith(PROXY_SIGNATURE[: len(data)]):
        return MALFORMED, None
    reader = Reader(data)
    try:
        reader.take(12)
        command = reader.byte()
        if command not in (0x20, 0x21):
            raise Stop(MALFORMED)
        shape = reader.byte()
        length = int.from_bytes(reader.take(2), "big")
        known = {0x00: (0, 0), 0x11: (4, 12), 0x21: (6, 36), 0x31: (0, 216)}
        if command == 0x21 and shape not in known:
            raise Stop(MALFORMED)
        family, need = known[shape] if command == 0x21 else (0, 0)
        if length < need:
            raise Stop(MALFORMED)
        if length > 512:
            raise Stop(TOO_BIG)
        block = Reader(reader.take(length))
    except Stop as stop:
        return stop.code, None
    width = {0: 0, 4: 4, 6: 16}[family]
    source, target = block.take(width), block.take(width)
    ports = [int.from_bytes(block.take(2), "big") if family else 0 for _ in range(2)]
    return reader.at, ProxyHeader(family, command == 0x20, source, ports[0], target, ports[1])
