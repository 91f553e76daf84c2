"""The sections for storms of connections: who is let in, who shall leave, what is left
undone."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from control.settings.sections import LIVE, Problems, Section, unit
from control.settings.values import LEAST_RATE, Rate, slow_rates


class AdmissionSection(Section, frozen=True):
    new_per_s: Annotated[Rate, Meta(extra=LIVE)] = 0.0
    """Clients let in that were not logged in before, as they say themselves: what the store behind their
    first sync can take after an outage. 0: no limit. Beyond: told when to come again, before any
    cryptography."""
    known_per_s: Annotated[Rate, Meta(extra=LIVE)] = 0.0
    """Clients let in that were logged in before: more, as they cost the store less. 0: no limit. Beyond: as
    above."""
    burst_s: Annotated[float, Meta(ge=0, le=60, extra=LIVE)] = 1.0
    """Seconds' worth of either that may come at once, after a quiet while; two clients at least. Beyond: as
    above."""
    retry_least_s: Annotated[float, Meta(ge=0.1, le=3600, extra=LIVE)] = 1.0
    """Soonest that somebody is told to come again, and the jitter that it adds. Beyond: never sooner."""
    retry_most_s: Annotated[float, Meta(ge=1, le=3600, extra=LIVE)] = 60.0
    """Latest that somebody is told to come again: until then each has a time of its own, at the rate. Beyond:
    any time in its second half."""

    def problems(self) -> Problems:
        if self.retry_least_s > self.retry_most_s:
            yield ("retry_least_s", "retry_most_s"), "the soonest is later than the latest"
        for name, problem in slow_rates(new_per_s=self.new_per_s, known_per_s=self.known_per_s):
            yield (name,), problem


class LeavingSection(Section, frozen=True):
    per_s: Annotated[float, Meta(ge=LEAST_RATE, le=100_000, extra=LIVE)] = 100.0
    """GOAWAYs of one gateway to those whose age is over (gateway.core.max_age_s) or who make room: the others
    take their logins. Beyond: they wait."""
    deadline_s: Annotated[int, Meta(ge=1, le=3600, extra=LIVE)] = 30
    """How long who was told so may stay: a login elsewhere on the worst of links. Beyond: closed."""


STEPS = 5
Thresholds = Annotated[tuple[float, ...], Meta(min_length=STEPS, max_length=STEPS)]


class OverloadSection(Section, frozen=True):
    """Thresholds, one for each of the five steps of [overload](#overload); 0: never by this input."""

    loop_share: Annotated[Thresholds, Meta(extra=unit("share, for each step"))] = (0.97, 0.99, 0.0, 0.0, 0.0)
    """Of their time that the loops work. A gateway that is merely busy refuses nobody. Beyond: the step."""
    wait_ms: Annotated[Thresholds, Meta(extra=unit("milliseconds, for each step"))] = (
        50.0,
        125.0,
        250.0,
        500.0,
        0.0,
    )
    """That a byte which comes at any time waits for its loop, on average: above what people notice. Beyond:
    the step."""
    memory_share: Annotated[Thresholds, Meta(extra=unit("share, for each step"))] = (
        0.80,
        0.85,
        0.90,
        0.93,
        0.95,
    )
    """Of memory_bytes that this process holds: time to act before the system does. Beyond: the step."""
    queue_share: Annotated[Thresholds, Meta(extra=unit("share, for each step"))] = (0.5, 0.7, 0.9, 0.95, 0.0)
    """In use of the fullest ring of commands or events between loops and Python. Beyond: the step."""
    memory_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 0
    """What the process may hold; where several share a machine, its part. 0: the limit of its control group,
    or the machine's memory. Beyond: the system ends it."""
    rise_s: Annotated[float, Meta(ge=0, le=600)] = 3.0
    """So long over a threshold until its step is taken: a burst is none. Beyond: the step."""
    fall_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """So long clearly below until the step is left for the one under it: what was held back comes again.
    Beyond: one step down."""
    falls_to: Annotated[float, Meta(gt=0, le=1, extra=unit("share of a threshold"))] = 0.8
    """This part of a threshold is clearly below it. Beyond: the step holds."""

    def problems(self) -> Problems:
        for name in ("loop_share", "wait_ms", "memory_share", "queue_share"):
            values = [value for value in getattr(self, name) if value]
            if values != sorted(values) or any(value < 0 for value in values):
                yield (name,), "thresholds rise from step to step, and none is below 0"
