"""Which networks the simulated devices are on: a TOML file, or the curves of `qianwan policy curve --json`.

devices = 5000
days = 7
outages_a_day = 2.0         # the network itself is gone, for outage_s on average
outage_s = 40.0

[[network]]
name = "carrier A"
share = 3                   # of the devices, as a weight
timeout_s = 285             # or [180, 900]: drawn for each device

[[network]]
name = "Wi-Fi"
share = 1
timeout_s = [240, 3600]
changes = [{ after_h = 84, timeout_s = 200 }]
prior_s = 230               # what a server says to begin with, where it is asked
"""

from __future__ import annotations

import bisect
import json
import random
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

DEVICES_MAX = 100_000
NEVER_S = 1e12
PRIOR_SHARE, PRIOR_LESS_S = 0.99, 20.0
"""A prior from a curve: the silence that this share lives through, and so much less."""

Seconds = Annotated[float, Meta(gt=0, le=NEVER_S)]
Timeout = Seconds | Annotated[list[Seconds], Meta(min_length=2, max_length=2)]
"""One for all, or the bounds of what is drawn."""


class Point(Struct, frozen=True):
    gap_s: float
    alive: Annotated[float, Meta(ge=0, le=1)]


class Curve(Struct, frozen=True):
    """What is read of a curve."""

    points: Annotated[list[Point], Meta(min_length=1)]
    net: str = ""
    carrier: str = ""


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """From so many hours on the network's limit is another one."""

    after_h: Annotated[float, Meta(gt=0)]
    timeout_s: Timeout


class NetworkProfile(Struct, frozen=True, forbid_unknown_fields=True):
    """`timeout_s`: how long a NAT's entry lives in silence, or `curve`, the share alive over the silence."""

    name: str
    share: Annotated[float, Meta(gt=0)] = 1.0
    timeout_s: Timeout | None = None
    changes: list[Change] = []
    prior_s: float = 0.0
    curve: list[Point] = []


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    network: Annotated[list[NetworkProfile], Meta(min_length=1)]
    devices: Annotated[int, Meta(ge=1, le=DEVICES_MAX)] = 5000
    days: Annotated[float, Meta(gt=0, le=365)] = 7.0
    outages_a_day: Annotated[float, Meta(ge=0, le=1000)] = 2.0
    outage_s: Annotated[float, Meta(gt=0)] = 40.0


MIXED = Profile(
    network=[
        NetworkProfile("carrier, 5 min less 10 s", 3, 290.0, prior_s=270.0),
        NetworkProfile("carrier, 10 min", 3, 600.0, prior_s=580.0),
        NetworkProfile("carrier, 28 min", 2, 1680.0, prior_s=1660.0),
        NetworkProfile("Wi-Fi", 2, [240.0, 3600.0], [Change(84.0, [240.0, 3600.0])], prior_s=230.0),
    ]
)
"""The profile when none is given."""


class Regime(Struct, frozen=True):
    """From `at_s` on a silence longer than `timeout_s` ends the connection."""

    at_s: float
    timeout_s: float


class Device(Struct, frozen=True):
    network: str
    prior_s: float
    regimes: list[Regime]
    outages: list[tuple[float, float]]
    """(begin, end) of the times without a network, in order"""


class BadProfile(ValueError):
    """The file is no profile and no curve; the text says why."""


def read_profile(path: Path) -> Profile:
    """Raises BadProfile or OSError."""
    try:
        if path.suffix == ".json":
            return _of_curves(json.loads(path.read_text()))
        profile = msgspec.convert(tomllib.loads(path.read_text()), Profile)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, ValueError) as error:
        raise BadProfile(f"{path}: {error}") from error
    for network in profile.network:
        if network.timeout_s is None:
            raise BadProfile(f"{path}: the network {network.name!r} has no timeout_s")
    return profile


def _of_curves(found: object) -> Profile:
    """One network for each curve."""
    if isinstance(found, dict):
        found = found.get("curves", [found])
    curves = msgspec.convert(found, list[Curve])
    networks = []
    for n, curve in enumerate(curves):
        points = sorted(curve.points, key=lambda point: point.gap_s)
        name = f"{curve.net} {curve.carrier}".strip() or f"curve {n + 1}"
        lives = [point.gap_s for point in points if point.alive >= PRIOR_SHARE]
        prior = max(lives[-1] - PRIOR_LESS_S, 1.0) if lives else 0.0
        networks.append(NetworkProfile(name, prior_s=prior, curve=points))
    return Profile(network=networks)


def _drawn(network: NetworkProfile, timeout: Timeout | None, rng: random.Random) -> float:
    if timeout is None:
        # The silence at which this device's share of the connections is no longer alive.
        at = bisect.bisect_left(network.curve, rng.random() - 1, key=lambda point: -point.alive)
        return network.curve[at].gap_s if at < len(network.curve) else NEVER_S
    return rng.uniform(*timeout) if isinstance(timeout, list) else timeout


def devices_of(profile: Profile, seed: int) -> list[Device]:
    """The same ones for the same seed."""
    made = []
    weights = [network.share for network in profile.network]
    span_s = profile.days * 86_400
    for n in range(profile.devices):
        rng = random.Random(seed * 1_000_003 + n)
        network = rng.choices(profile.network, weights)[0]
        regimes = [Regime(0.0, _drawn(network, network.timeout_s, rng))]
        for change in sorted(network.changes, key=lambda change: change.after_h):
            regimes.append(Regime(change.after_h * 3600, _drawn(network, change.timeout_s, rng)))
        outages = []
        at = 0.0
        while profile.outages_a_day and (at := at + rng.expovariate(profile.outages_a_day / 86_400)) < span_s:
            end = at + rng.expovariate(1 / profile.outage_s)
            outages.append((at, end))
            at = end
        made.append(Device(network.name, network.prior_s, regimes, outages))
    return made
