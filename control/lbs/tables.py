"""Where a client's address is: the operator's table of networks, read from JSON.

    {"networks": [{"cidr": "192.0.2.0/24", "zone": "east", "isp": "cmcc", "network": "mobile"}, ...],
     "near":     {"east": ["north", "south"]},
     "places":   {"CN-SH": "east", "CN": "north"},
     "carriers": {"AS4134": "ct"}}

`networks` has IPv4 and IPv6 lines in any order; the longest prefix counts, and what its line does not say is
left to the next source. `near`: zones to go to when the own one has no room, the best first. `places` and
`carriers` give names to what MaxMind files know: a country or `country-subdivision`, the number of an AS.
Every member may be left out (docs/OPERATIONS.md, "LBS").
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import msgspec
from msgspec import Struct

from frame.constants import ID_PATTERN
from im_service.faults import told

IpAddress: TypeAlias = IPv4Address | IPv6Address

MAX_LINES = 1_000_000
"""Of a table: about 250 MB while it is read. A file with more is not meant for this."""
MAX_BYTES = 256 << 20
NEAR_MAX = 64

NAME = re.compile(ID_PATTERN)
_PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_CARRIER = re.compile(r"AS[1-9][0-9]{0,9}")


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One network, as its operator wrote it."""

    cidr: str
    zone: str = ""
    isp: str = ""
    network: str = ""


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    networks: list[Line] = []
    near: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    carriers: dict[str, str] = {}


class Tables(Struct, frozen=True):
    """Made by `parse_tables`, never changed. Looking an address up takes a step per length of prefix that
    occurs: one to four microseconds.
    """

    lines: list[Line] = []
    near: Mapping[str, list[str]] = {}
    places: Mapping[str, str] = {}
    carriers: Mapping[str, str] = {}
    v4: list[tuple[int, dict[int, int]]] = []
    """(bits behind the prefix, prefix -> index of its line), the longest prefix first."""
    v6: list[tuple[int, dict[int, int]]] = []

    def find(self, address: IpAddress) -> tuple[int, Line] | None:
        """The line of the longest prefix that holds the address, with its number: the first one is 1."""
        number = int(address)
        levels = self.v4 if address.version == 4 else self.v6
        if address.version == 6 and number >> 32 == 0xFFFF:
            levels, number = self.v4, number & 0xFFFFFFFF
        for shift, networks in levels:
            index = networks.get(number >> shift)
            if index is not None:
                return index + 1, self.lines[index]
        return None


def parse_tables(data: bytes) -> Tables:
    """The tables of a document. Raises ValueError that says which line is wrong, and why."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes: at most {MAX_BYTES}")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except msgspec.ValidationError as error:
        raise ValueError(_told(told(error, _Document))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {_with_line(str(error), data)}") from None
    if len(document.networks) > MAX_LINES:
        raise ValueError(f"{len(document.networks)} lines: at most {MAX_LINES}")
    by_length = _index(document.networks)
    _check_names(document)
    return Tables(
        document.networks,
        document.near,
        document.places,
        document.carriers,
        _levels(by_length, 32),
        _levels(by_length, 128),
    )


_Index: TypeAlias = dict[tuple[int, int], dict[int, int]]


def _index(lines: list[Line]) -> _Index:
    """(bits of the family, bits behind the prefix) -> prefix -> index of its line."""
    found: _Index = {}
    good: set[str] = {""}
    for index, line in enumerate(lines):
        try:
            bits, shift, prefix = parse_cidr(line.cidr)
        except ValueError as error:
            raise ValueError(f"line {index + 1} of networks, {line.cidr!r}: {error}") from None
        if not (line.zone in good and line.isp in good and line.network in good):
            for name in (line.zone, line.isp, line.network):
                if name and not NAME.fullmatch(name):
                    raise ValueError(
                        f"line {index + 1} of networks, {line.cidr!r}: {name!r} is no name ({ID_PATTERN})"
                    )
                good.add(name)
        level = found.setdefault((bits, shift), {})
        if (before := level.setdefault(prefix, index)) != index:
            raise ValueError(
                f"line {index + 1} of networks, {line.cidr!r}: the same network as line {before + 1}"
            )
    return found


def _levels(found: _Index, family: int) -> list[tuple[int, dict[int, int]]]:
    return [(shift, level) for (bits, shift), level in sorted(found.items()) if bits == family]


def parse_cidr(text: str) -> tuple[int, int, int]:
    """(32 or 128, bits behind the prefix, the prefix). Raises ValueError. Several times as fast as
    `ipaddress.ip_network`, which makes objects."""
    host, slash, length = text.partition("/")
    family, bits = (socket.AF_INET6, 128) if ":" in host else (socket.AF_INET, 32)
    try:
        number = int.from_bytes(socket.inet_pton(family, host), "big")
    except (OSError, ValueError):
        raise ValueError("no address in front of the slash") from None
    if not slash:
        length = str(bits)
    elif not (length.isascii() and length.isdecimal() and len(length) <= 3) or int(length) > bits:
        raise ValueError(f"the length of the prefix is not within 0 to {bits}")
    shift = bits - int(length)
    prefix = number >> shift
    if prefix << shift != number:
        network = ipaddress.ip_network(text, strict=False)
        raise ValueError(f"bits are set behind the prefix: did you mean {network}?")
    if bits == 128 and shift <= 32 and number >> 32 == 0xFFFF:
        raise ValueError("an IPv4 network is written as one")
    return bits, shift, prefix


def _check_names(document: _Document) -> None:
    for zone, others in document.near.items():
        if len(others) > NEAR_MAX:
            raise ValueError(f"near, {zone!r}: at most {NEAR_MAX} zones")
        if zone in others or len(set(others)) < len(others):
            raise ValueError(f"near, {zone!r}: a zone stands there twice, or is near itself")
    named: list[tuple[str, str, str, re.Pattern[str]]] = [
        *(("near", zone, other, NAME) for zone, others in document.near.items() for other in (zone, *others)),
        *(("places", place, zone, NAME) for place, zone in document.places.items()),
        *(("carriers", carrier, isp, NAME) for carrier, isp in document.carriers.items()),
        *(("places", place, place, _PLACE) for place in document.places),
        *(("carriers", carrier, carrier, _CARRIER) for carrier in document.carriers),
    ]
    for member, key, value, kind in named:
        if not kind.fullmatch(value):
            raise ValueError(f"{member}, {key!r}: {value!r} is not {_MEANT.get(kind, 'a name')}")


_MEANT = {_PLACE: "a country as CN or a subdivision as CN-SH", _CARRIER: "the number of an AS, as AS4134"}


def _told(reason: str) -> str:
    """Of msgspec: its path counts from 0."""
    found = re.search(r" - at `\$\.networks\[(\d+)\](?:\.(\w+))?`", reason)
    if found is None:
        return reason
    member = f", {found[2]}" if found[2] else ""
    return f"line {int(found[1]) + 1} of networks{member}: {reason[: found.start()]}"


def _with_line(reason: str, data: bytes) -> str:
    found = re.search(r"byte (\d+)", reason)
    return f"{reason}, line {data.count(10, 0, int(found[1])) + 1} of the text" if found else reason
