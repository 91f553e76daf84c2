"""What the admin API asks of policies."""

from __future__ import annotations

from dataclasses import dataclass

from control.policy.arms import FleetNumbers
from control.policy.checks import Limits
from control.policy.documents import PolicyDocuments
from control.policy.guard import Guard
from control.settings.policy_section import PolicySection


@dataclass(frozen=True)
class PolicyRoom:
    documents: PolicyDocuments
    fleet: FleetNumbers
    settings: PolicySection
    guard: Guard

    def limits(self) -> Limits:
        return Limits(
            beats_per_s=self.settings.beats_per_s,
            mah_a_day=self.settings.mah_a_day,
            connections=self.fleet.connections,
        )
