"""[control.policy]: budgets that a heartbeat policy is checked against, and when its canary is taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from control.settings.sections import Section, unit


class PolicySection(Section, frozen=True):
    beats_per_s: Annotated[float, Meta(ge=1, le=1e7)] = 50_000.0
    """Heartbeats of the whole fleet that a policy may cause at the interval it begins with, were all
    connections to go by it: a core answers some hundred thousand a second, and shares them with messages.
    Beyond: the policy is refused."""
    mah_a_day: Annotated[float, Meta(ge=1, le=10_000, extra=unit("mAh a device and day"))] = 250.0
    """Of a battery, at the longest interval of a policy and 9.2 J a beat on cellular networks, 0.28 J on
    Wi-Fi: 250 mAh are 18 % of a small phone's day, at 4.5 minutes. Beyond: the policy is refused."""
    look_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    """Between two looks at canaries: a breach is found within one or two, and acted on within 30 s. Beyond:
    each look asks every gateway once."""
    harm_ratio: Annotated[float, Meta(ge=1.1, le=20, extra=unit("times the control"))] = 2.0
    """How many times the control's rate of deaths, reconnects and lost connections a canary has that is to be
    found. Beyond: it is acted on, and soon; below, but above 1, it may stay unnoticed."""
    false_alarm: Annotated[float, Meta(ge=1e-6, le=0.1, extra=unit("probability"))] = 0.003
    """Chance that a harmless canary is taken back, all looks and tests together. Beyond: less evidence is
    asked for, and harm is found sooner."""
    least_events: Annotated[int, Meta(ge=1, le=10_000, extra=unit("deaths or ends"))] = 5
    """Of a canary before it is judged: one device that comes and goes is no evidence. Beyond: the test
    decides."""
    rtt_ratio: Annotated[float, Meta(ge=1.1, le=20, extra=unit("times the control"))] = 2.0
    """Times the control's mean round trip. Beyond: after three such looks the canary is paused."""
    traffic_ratio: Annotated[float, Meta(ge=1.1, le=100, extra=unit("times the control"))] = 4.0
    """Times the control's traffic of an hour of connection: a shorter interval costs more by intent, so this
    is far. Beyond: after three such looks the canary is paused."""
    on_breach: Literal["rollback", "pause"] = "rollback"
    """What is done about deaths, reconnects and lost connections: `rollback` gives the canary's devices what
    holds for the others, `pause` leaves them and waits for an operator."""
