"""Kinds of values that TOML does not know: addresses, and texts that nobody may see."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

SAMPLE_SECRETS = frozenset(
    {"change-me", "changeme", "secret", "password", "example", "sample", "test", "admin"}
)
API_KEY = re.compile(r"qwk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
MASK = "********"
LEAST_RATE = 0.001
"""A second: one in a quarter of an hour. What is slower is meant to be nobody, or not meant."""
Rate = Annotated[float, Meta(ge=0, le=1_000_000)]


def slow_rates(**rates: float | None) -> Iterator[tuple[str, str]]:
    """(name, reason) of rates, 0 of which is no limit, that are nearly 0."""
    for name, rate in rates.items():
        if rate and rate < LEAST_RATE:
            yield name, f"0 (no limit), or at least {LEAST_RATE} a second"


def parse_address(value: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. Raises ValueError with a readable reason."""
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise ValueError(f"{value!r} is not host:port")
    return host.strip("[]") or "0.0.0.0", int(port)


def join_address(host: str, port: int) -> str:
    """What parse_address splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_wildcard(host: str) -> bool:
    """An address to listen on that nobody can connect to: 0.0.0.0 or ::."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def parse_target(value: str) -> tuple[str, int]:
    """An address that clients are to connect to. Raises ValueError."""
    host, port = parse_address(value)
    if is_wildcard(host) or not port:
        raise ValueError(f"{value!r} is nothing that a client can connect to")
    return host, port


def parse_endpoint(value: str) -> tuple[str, bool | None]:
    """`host:port`, `http://host:port` or `https://host:port` as (host:port, whether TLS or None: not said).
    Raises ValueError.
    """
    scheme, said, address = value.rpartition("://")
    if said and scheme not in ("http", "https"):
        raise ValueError(f"{value!r} is neither http:// nor https://")
    host, port = parse_target(address.removesuffix("/") if said else address)
    return join_address(host, port), (scheme == "https") if said else None


def parse_literal(value: str) -> tuple[str, int]:
    """The same where the host must be an IP address, not a name. Raises ValueError."""
    host, port = parse_address(value)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{value!r} names no literal IP address") from None
    return host, port


class Secret:
    """A text that is shown only on request. Raises ValueError for what was copied from a sample."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ValueError("expected a text")
        if text.lower() in SAMPLE_SECRETS or "change-me" in text.lower():
            raise ValueError("this is a sample secret; put your own in its place")
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class SecretUrl(Secret):
    """URLs, separated by commas, that may carry a user, a password or secret parameters: those are masked."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, separator, rest = self._text.partition("://")
        if not separator:
            scheme, rest = "", self._text
        address, mark, parameters = rest.partition("?")
        # As far as the last @, so that no unescaped character of a password lets a part of it through.
        _, at, host = address.rpartition("@")
        if "@" in parameters:  # of a password with a question mark, or of a parameter: nobody can tell
            return f"{scheme}{separator}{MASK}"
        return f"{scheme}{separator}{MASK if at else ''}{at}{host}{mark}{MASK if parameters else ''}"
