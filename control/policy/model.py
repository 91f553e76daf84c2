"""A heartbeat policy as an operator writes it: whom it is for, and the constants that clients take from
it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from frame.constants import ID_PATTERN, Platform

NETS = ("wifi", "2g", "3g", "4g", "5g", "ethernet", "other")
Net = Literal["wifi", "2g", "3g", "4g", "5g", "ethernet", "other"]
PLATFORMS = {platform.name.lower(): int(platform) for platform in Platform}
NAME = ID_PATTERN
WORD_BYTES = 32
"""Of a REPORT's texts. Beyond: cut, so that a client cannot make names without end."""

Word = Annotated[str, Meta(min_length=1, max_length=WORD_BYTES)]
Words = Annotated[list[Word], Meta(max_length=64)]
Seconds = Annotated[float, Meta(ge=1, le=1800)]


class Match(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Whom a policy is for. An empty list: any. `version`: a prefix as `5.2`, or a range as `5.0..5.9`, of
    which each end may be left out. `app` is for what comes.
    """

    net: Annotated[list[Net], Meta(max_length=len(NETS))] = []
    carrier: Words = []
    region: Words = []
    platform: Annotated[list[Word], Meta(max_length=len(PLATFORMS))] = []
    version: Annotated[str, Meta(max_length=2 * WORD_BYTES + 2)] = ""
    app: Annotated[list[Word], Meta(max_length=8)] = []


class Constants(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What goes to clients, with the defaults of the Python client. The page of each is docs/WEAK-NETWORK.md;
    `foreground_s` 0: as else.
    """

    ping_interval_s: Seconds = 240.0
    adaptive: bool = True
    floor_s: Seconds = 210.0
    ceiling_s: Seconds = 600.0
    step_s: Seconds = 60.0
    margin_s: Seconds = 20.0
    successes: Annotated[int, Meta(ge=1, le=100)] = 5
    failures: Annotated[int, Meta(ge=1, le=20)] = 2
    verify_beats: Annotated[int, Meta(ge=0, le=20)] = 3
    reprobe_s: Annotated[float, Meta(ge=600, le=30 * 86400)] = 7 * 86400.0
    foreground_s: Annotated[float, Meta(ge=0, le=1800)] = 0.0
    pong_min_s: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    pong_max_s: Annotated[float, Meta(ge=0.5, le=60)] = 8.0
    jitter: Annotated[float, Meta(ge=0, le=0.2)] = 0.05
    backoff_base_s: Annotated[float, Meta(ge=0.1, le=600)] = 0.5
    backoff_cap_s: Annotated[float, Meta(ge=0.1, le=3600)] = 60.0
    stagger_s: Annotated[float, Meta(ge=0.1, le=30)] = 2.5
    parallel: Annotated[int, Meta(ge=1, le=8)] = 3
    connect_timeout_s: Annotated[float, Meta(ge=1, le=120)] = 10.0
    ack_messages: Annotated[int, Meta(ge=1, le=128)] = 16
    ack_delay_ms: Annotated[int, Meta(ge=10, le=10_000)] = 200
    resume: bool = True
    ttl_s: Annotated[float, Meta(ge=0, le=365 * 86400)] = 7 * 86400.0


class Policy(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`rank`: of several that match, the one with the highest counts; of equals the first by name."""

    match: Match = Match()
    constants: Constants = Constants()
    rank: Annotated[int, Meta(ge=0, le=1000)] = 0
    note: Annotated[str, Meta(max_length=500)] = ""


class Client(Struct, frozen=True):
    """What a policy is chosen by."""

    net: str = "other"
    carrier: str = ""
    region: str = ""
    platform: int = 0
    version: str = ""


class LastEnd(Struct, frozen=True):
    """How the client's last connection ended; unknown members are ignored."""

    cause: int = 0
    gap_ms: int = 0
    lived_ms: int = 0
    alive_ms: int = 0


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading the bytes of a client may raise: text that is none, or arrays within arrays, is no
MsgspecError."""


class Report(Struct, frozen=True):
    """A REPORT. Members that are not known are ignored; one of another kind spoils the whole."""

    net: str = "other"
    carrier: str = ""
    region: str = ""
    app: int = 0
    version: str = ""
    policy_rev: int = 0
    interval_s: float = 0
    last: LastEnd | None = None

    def client(self, platform: int) -> Client:
        return Client(
            self.net if self.net in NETS else "other",
            self.carrier[:WORD_BYTES],
            self.region[:WORD_BYTES],
            platform,
            self.version[:WORD_BYTES],
        )


def matches(match: Match, client: Client) -> bool:
    return (
        (not match.net or client.net in match.net)
        and (not match.carrier or client.carrier in match.carrier)
        and (not match.region or client.region in match.region)
        and (not match.platform or client.platform in (PLATFORMS.get(name) for name in match.platform))
        and (not match.version or version_in(match.version, client.version))
    )


def version_in(wanted: str, version: str) -> bool:
    """`5.2` is 5.2, 5.2.1, not 5.20; a range has both of its ends, as far as they are written."""
    low, dots, high = wanted.partition("..")
    have = numbers_of(version)
    if not dots:
        return bool(have) and have[: len(numbers_of(low))] == numbers_of(low)
    above = not low or have >= numbers_of(low)
    below = not high or have[: len(numbers_of(high))] <= numbers_of(high)
    return bool(have) and above and below


def numbers_of(version: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits[:9]))
    return tuple(found)


def body_of(constants: Constants, rev: int) -> bytes:
    """The POLICY frame: every constant, for a client's defaults are its own."""
    sent = {name: _short(value) for name, value in msgspec.structs.asdict(constants).items()}
    return msgspec.msgpack.encode({"rev": rev, **sent})


def _short(value: float) -> float:
    """A whole number takes a third of the bytes of a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
