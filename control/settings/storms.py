"""The sections for storms of connections: who is let in, who shall leave."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from control.settings.sections import Problems, Section


class AdmissionSection(Section, frozen=True):
    new_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Clients let in that were not logged in before, as they say themselves: what the store behind their
    first sync can take after an outage. 0: no limit. Beyond: told when to come again, before any
    cryptography."""
    known_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Clients let in that were logged in before: more, as they cost the store less. 0: no limit. Beyond: as
    above."""
    burst_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    """Seconds' worth of either that may come at once, after a quiet while. Beyond: as above."""
    retry_least_s: Annotated[float, Meta(ge=0.1, le=3600)] = 1.0
    """Soonest that somebody is told to come again, and the jitter that it adds. Beyond: never sooner."""
    retry_most_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    """Latest that somebody is told to come again: until then each has a time of its own, at the rate. Beyond:
    any time in its second half."""

    def problems(self) -> Problems:
        if self.retry_least_s > self.retry_most_s:
            yield ("retry_least_s", "retry_most_s"), "the soonest is later than the latest"


class LeavingSection(Section, frozen=True):
    per_s: Annotated[float, Meta(gt=0, le=100_000)] = 100.0
    """GOAWAYs of one gateway to those whose age is over (gateway.core.max_age_s) or who make room: the others
    take their logins. Beyond: they wait."""
    deadline_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    """How long who was told so may stay: a login elsewhere on the worst of links. Beyond: closed."""
