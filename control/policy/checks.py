"""What is wrong with a policy, and what it would cost the fleet, a battery and a data plan.

The costs are upper bounds: 9.2 J is what one keep-alive took on 3G (Nokia NRC-TR-2008-002), 0.28 J on Wi-Fi;
radios that are awake anyway pay less.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from control.policy.model import PLATFORMS, Constants, Match, Policy, numbers_of

DAY_S = 86400.0
BEAT_BYTES = 200
"""PING and PONG of 22 bytes each in three packets of 52 bytes of headers."""
CONNECT_BYTES = 3000
BEAT_J = {"wifi": 0.28, "ethernet": 0.0}
CELLULAR_J = 9.2
MAH_J = 1 / (3.7 * 3.6)
MOST_SILENT_S = 3600.0
"""A server closes after an hour without a word, whatever was announced."""


class Cost(Struct, kw_only=True, frozen=True):
    """`slowest` and `fastest`: at the longest interval that the policy allows and at the shortest one, a
    device and day. `beats_per_s`: of all connections that the cluster has now, at the interval the search
    begins with.
    """

    beats_per_s: float
    beats_a_day_slowest: float
    beats_a_day_fastest: float
    mah_a_day_slowest: float
    mah_a_day_fastest: float
    kib_a_day_slowest: float
    kib_a_day_fastest: float


class Limits(Struct, kw_only=True, frozen=True):
    """Of the fleet, from the settings. `connections`: how many there are now."""

    beats_per_s: float
    mah_a_day: float
    connections: int


def errors(policy: Policy, limits: Limits) -> list[str]:
    """Why it cannot be published; bounds of single constants are checked when it is read."""
    return [*_order(policy.constants), *_match(policy.match), *_budget(policy, limits)]


def _order(c: Constants) -> Iterator[str]:
    start, least, most = c.ping_interval_s, c.floor_s, c.ceiling_s
    if not least <= start <= most:
        yield f"floor_s <= ping_interval_s <= ceiling_s does not hold: {least:g}, {start:g}, {most:g}"
    shortest = min(least, c.foreground_s) if c.foreground_s else least
    if c.foreground_s > most:
        yield f"foreground_s {c.foreground_s:g} is above ceiling_s {most:g}"
    if c.step_s > max(most - least, 1):
        yield f"step_s {c.step_s:g} is more than there is between floor_s and ceiling_s"
    if c.margin_s >= least:
        yield f"margin_s {c.margin_s:g} is not below floor_s {least:g}"
    if c.pong_min_s > c.pong_max_s:
        yield f"pong_min_s {c.pong_min_s:g} is above pong_max_s {c.pong_max_s:g}"
    if c.pong_max_s >= shortest:
        yield f"pong_max_s {c.pong_max_s:g} is not below the shortest interval"
    if c.backoff_base_s > c.backoff_cap_s:
        yield f"backoff_base_s {c.backoff_base_s:g} is above backoff_cap_s {c.backoff_cap_s:g}"
    if c.stagger_s > c.connect_timeout_s:
        yield f"stagger_s {c.stagger_s:g} is above connect_timeout_s {c.connect_timeout_s:g}"
    if 1.5 * most + 15 > MOST_SILENT_S:
        yield f"ceiling_s {most:g}: a server closes after {MOST_SILENT_S:g} s of silence"


def _match(match: Match) -> Iterator[str]:
    for name in match.platform:
        if name not in PLATFORMS:
            yield f"platform {name!r} is none of {', '.join(PLATFORMS)}"
    low, dots, high = match.version.partition("..")
    if match.version and not any(numbers_of(part) for part in (low, high)):
        yield f"version {match.version!r} is no prefix like 5.2 and no range like 5.0..5.9"
    if dots and low and high and numbers_of(low) > numbers_of(high):
        yield f"version {match.version!r} ends before it begins"
    if match.app:
        yield "app is not matched yet: leave it out"


def _budget(policy: Policy, limits: Limits) -> Iterator[str]:
    cost = cost_of(policy, limits.connections)
    if cost.beats_per_s > limits.beats_per_s:
        yield (
            f"{cost.beats_per_s:.0f} beats a second of the fleet: control.policy.beats_per_s is"
            f" {limits.beats_per_s:g}"
        )
    if cost.mah_a_day_slowest > limits.mah_a_day:
        yield (
            f"{cost.mah_a_day_slowest:.0f} mAh a device and day at ceiling_s: control.policy.mah_a_day is"
            f" {limits.mah_a_day:g}"
        )


def cost_of(policy: Policy, connections: int) -> Cost:
    c = policy.constants
    slowest = c.ceiling_s if c.adaptive else c.ping_interval_s
    fastest = min(c.floor_s, c.foreground_s or c.floor_s) if c.adaptive else c.ping_interval_s
    joule = max((BEAT_J.get(net, CELLULAR_J) for net in policy.match.net), default=CELLULAR_J)
    slow, fast = DAY_S / slowest, DAY_S / fastest
    return Cost(
        beats_per_s=connections / c.ping_interval_s,
        beats_a_day_slowest=slow,
        beats_a_day_fastest=fast,
        mah_a_day_slowest=slow * joule * MAH_J,
        mah_a_day_fastest=fast * joule * MAH_J,
        kib_a_day_slowest=slow * BEAT_BYTES / 1024,
        kib_a_day_fastest=fast * BEAT_BYTES / 1024,
    )


def differences(old: Policy, new: Policy) -> list[str]:
    """A line for each member that is another."""
    found: list[str] = []
    for part in ("match", "constants"):
        before, after = getattr(old, part), getattr(new, part)
        found += [
            f"{part}.{name}: {getattr(before, name)!r} -> {getattr(after, name)!r}"
            for name in before.__struct_fields__
            if getattr(before, name) != getattr(after, name)
        ]
    found += [
        f"{name}: {getattr(old, name)!r} -> {getattr(new, name)!r}"
        for name in ("rank", "note")
        if getattr(old, name) != getattr(new, name)
    ]
    return found
