"""[control.lbs]: where clients are sent, and who may ask."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import Meta

from control.settings.sections import LIVE, Problems, Section, unit
from control.settings.values import LEAST_RATE, parse_address

MOST_PROXIES = 256


class LbsSection(Section, frozen=True):
    http: str = ""
    """Address of a listener that answers LBS and nothing else, so that the port of the API need not be open
    to clients. Empty: LBS is answered on control.http."""
    ttl_s: Annotated[int, Meta(ge=5, le=86400)] = 300
    """A client may go by an answer so long: it asks rarely, and soon hears of new nodes. Beyond: it asks
    again, and refuses one that is older as a replay."""
    keep_s: Annotated[int, Meta(ge=60, le=366 * 86400)] = 7 * 86400
    """A client may fall back on an answer that it kept so long, when no LBS answers: a week of holidays.
    Beyond: it has its built-in addresses."""
    answers: Annotated[int, Meta(ge=1, le=16, extra=unit("gateways"))] = 3
    """In an answer when so many are there: clients race up to three. Beyond: not named."""
    tables: str = ""
    """File with networks, zones and carriers (JSON, see "LBS"); read again when it changes, and one with a
    mistake leaves the one before in use. The document `lbs/tables` goes before it. Empty: none."""
    mmdb: tuple[str, ...] = ()
    """MaxMind files (city, country, ASN, ISP, connection type) that are asked after the tables; read again
    when they change. Each is held in memory."""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Networks of proxies in front of LBS whose X-Forwarded-For is believed, at most 256: by default one on
    this machine, which the port of the API always believes. Of others a client is the peer of its connection,
    whatever it writes there."""
    origins: tuple[str, ...] = ("*",)
    """Origins whose pages may ask, as `https://chat.example.com`; `*`: all, since an answer holds no secret
    and takes no credential. Others' pages are kept from it by their browser."""
    requests_per_s: Annotated[float, Meta(ge=LEAST_RATE, le=1_000_000, extra=LIVE)] = 50.0
    """Of one client address (of IPv6 a /64) in the long run: thousands of phones behind one carrier's NAT
    ask once in five minutes each. Beyond: 429 with Retry-After."""
    burst: Annotated[int, Meta(ge=1, le=1_000_000, extra=unit("requests") | LIVE)] = 500
    """Of one client address at once, before that rate holds: a network that comes back. Beyond: 429 with
    Retry-After."""
    addresses: Annotated[int, Meta(ge=64, le=1 << 22, extra=unit("addresses"))] = 65536
    """Client addresses whose rate is known, about 150 bytes each. Beyond: the one that asked the longest ago
    is forgotten, and may ask a burst anew."""
    connections: Annotated[int, Meta(ge=16, le=65536, extra=unit("connections"))] = 1024
    """Open at once on control.lbs.http, and an eighth of the open files at most. Beyond: the one that has
    waited the longest for its request is closed."""

    def problems(self) -> Problems:
        if self.http:
            try:
                parse_address(self.http)
            except ValueError as error:
                yield ("http",), str(error)
        if self.keep_s < self.ttl_s:
            yield ("keep_s", "ttl_s"), "must not be below ttl_s"
        if len(self.proxies) > MOST_PROXIES:
            yield ("proxies",), f"at most {MOST_PROXIES} networks"
        for network in self.proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                yield ("proxies",), str(error)
        for origin in self.origins:
            if origin != "*" and not _is_origin(origin):
                yield ("origins",), f"{origin!r} is no origin, as https://chat.example.com"


def _is_origin(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    return bool(separator and scheme and rest) and not set(rest) & set("/?# @,*") and text == text.lower()
