"""Where in the durable copy a message goes, and so all that is said about it: its options `route` and `env`.

What is told later (a recall, a reaction, a verdict) names the same, and what is left of a message that is
taken back or gone does, too: who gets a message gets everything about it, and nobody else hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from im_service.errors import UNDECODABLE
from im_service.models import EMPTY_MAP, NIL, encode, pack_payload, unpack_payload
from im_service.options import ROUTE

_decode = msgspec.msgpack.Decoder(dict[str, object]).decode


class Routing(NamedTuple):
    """`route` False: it is not copied. `env`: the server that it is for, "" names none."""

    route: bool = True
    env: str = ""

    def options(self) -> bytes:
        """As a row of the log carries it."""
        if not self.route:
            return encode({"route": False})
        return encode({"env": self.env}) if self.env else EMPTY_MAP


EVERYWHERE = Routing()


def of_message(bits: int, payload: bytes) -> Routing:
    """Of a stored message, also of what is left of it."""
    return Routing(False) if not bits & ROUTE else Routing(True, env_of(options_of(payload)) or "")


def of_options(options: Mapping[str, object]) -> Routing:
    """Of a message or notice that has no bits of its own to say so."""
    return Routing(False) if options.get("route") is False else Routing(True, env_of(options) or "")


def env_of(options: Mapping[str, object]) -> str | None:
    env = options.get("env")
    return env if isinstance(env, str) else None


def options_of(payload: bytes) -> Mapping[str, object]:
    """None where an earlier version stored what not everybody can decode."""
    try:
        return _decode(unpack_payload(payload)[1])
    except UNDECODABLE:
        return {}


def left_of(bits: int, payload: bytes) -> bytes:
    """What is kept of the payload of a message that is gone for everybody."""
    where = of_message(bits, payload)
    return b"" if where == EVERYWHERE else pack_payload(NIL, where.options())
