"""Does the canary have more of something than its control? Looked at again and again, with one error for all
looks.

Of all deaths (or reconnects) that come, the canary's share is q when both arms are alike, q being its share
of the connected time; when the canary has `ratio` times the rate it is p = ratio q / (ratio q + 1 - q).
Wald's sequential probability ratio test on that proportion adds the logarithm of the likelihoods with every
look:

    above log((1 - beta) / alpha)    the canary harms: wrong with a probability of at most alpha
    below log(beta / (1 - alpha))    it does not: the test begins anew

q may differ from look to look, for it is known before the deaths of the look are. A. Wald, Sequential Tests
of Statistical Hypotheses (1945); the bound alpha at any time is Ville's inequality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from msgspec import Struct

BETA = 0.05
"""Chance to find a canary harmless that harms by the ratio, in one round of the test."""


class Look(Struct, kw_only=True, frozen=True):
    """What came since the last look: events and connected seconds of both arms."""

    canary: int
    control: int
    canary_s: float
    control_s: float


@dataclass
class Sprt:
    """`least`: events of the canary before it is judged at all."""

    ratio: float
    alpha: float
    least: int
    llr: float = 0.0
    canary: int = 0
    control: int = 0
    rounds: int = 0
    breached: bool = False

    @property
    def upper(self) -> float:
        return math.log((1 - BETA) / self.alpha)

    @property
    def lower(self) -> float:
        return math.log(BETA / (1 - self.alpha))

    def look(self, look: Look) -> bool:
        """True from the breach on."""
        whole = look.canary_s + look.control_s
        if self.breached or look.canary_s <= 0 or look.control_s <= 0:
            return self.breached
        q = look.canary_s / whole
        p = self.ratio * q / (self.ratio * q + 1 - q)
        self.llr += look.canary * math.log(p / q) + look.control * math.log((1 - p) / (1 - q))
        self.canary += look.canary
        self.control += look.control
        if self.llr >= self.upper and self.canary >= self.least:
            self.breached = True
        elif self.llr <= self.lower:
            self.llr, self.rounds = 0.0, self.rounds + 1
        return self.breached
