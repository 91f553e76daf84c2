"""Who is let in at this gateway: its settings, what an operator orders for it or for the cluster, and what
the overload ladder asks for, as one word to the core.

    settings          of this node
    node order        of this node, instead of its settings
    cluster order     of all gateways together; this one has its share of the rates

Of rates that are said twice the lower holds, of doors the one that is shut more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from control.logs import get_logger
from control.settings.storms import AdmissionSection
from control.settings.values import Rate, slow_rates

log = get_logger("gateway")

Admitted = Literal["all", "known", "none"]
DOORS: tuple[Admitted, ...] = ("all", "known", "none")
"""In the order of the core's doors: open, to the known only, shut."""


class StormOrder(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The document `storm/node/<name>` or `storm/cluster`. A rate is of clients a second, 0: no limit, None:
    as the settings say. `admit`: who may come in at all. `epoch`: of the one life of the node that it is for;
    0: of all under that name.
    """

    new_per_s: Rate | None = None
    known_per_s: Rate | None = None
    admit: Admitted = "all"
    epoch: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        for name, problem in slow_rates(new_per_s=self.new_per_s, known_per_s=self.known_per_s):
            raise ValueError(f"{name}: {problem}")


class AdmitsCore(Protocol):
    def admit(
        self,
        new_per_s: float,
        known_per_s: float,
        burst_s: float,
        door: int,
        least_ms: int,
        most_ms: int,
    ) -> None: ...


class Admission:
    """Speaks to the core once `start` was called. `share`: of the cluster's rates that this gateway has."""

    def __init__(self, core: AdmitsCore, settings: AdmissionSection, share: Callable[[], float]) -> None:
        self._core = core
        self._settings = settings
        self._share = share
        self._node: StormOrder | None = None
        self._cluster: StormOrder | None = None
        self._ladder: Admitted = "all"
        self._said: tuple[float, float, int] | None = None
        self._started = False

    def start(self) -> None:
        self._started = True
        self._say()

    def set(self, settings: AdmissionSection) -> None:
        """Of this node, from now on."""
        self._settings = settings
        self._said = None
        self._say()

    def apply(self, order: StormOrder | None) -> None:
        """What the operator orders for this node, from now on; None: nothing any more."""
        self._node = order
        self._say()

    def apply_cluster(self, order: StormOrder | None) -> None:
        """... and for all gateways together."""
        self._cluster = order
        self._say()

    def hold(self, admit: Admitted) -> None:
        """What the overload ladder lets in."""
        self._ladder = admit
        self._say()

    def tick(self) -> None:
        """The share changes as gateways come, go and fill."""
        self._say()

    @property
    def shares(self) -> bool:
        """Rates are shared with other gateways."""
        return self._cluster is not None

    def numbers(self) -> dict[str, float]:
        """What holds now; a rate of 0 is no limit."""
        new, known, door = self._effective()
        return {"new_per_s": new, "known_per_s": known, "max_door": door}

    def _effective(self) -> tuple[float, float, int]:
        doors = [order.admit for order in (self._node, self._cluster) if order is not None]
        door = max(DOORS.index(admit) for admit in (*doors, self._ladder))
        settings = self._settings
        new = self._rate("new_per_s", settings.new_per_s)
        return new, self._rate("known_per_s", settings.known_per_s), door

    def _rate(self, name: Literal["new_per_s", "known_per_s"], usual: float) -> float:
        own: float | None = getattr(self._node, name) if self._node is not None else None
        whole: float | None = getattr(self._cluster, name) if self._cluster is not None else None
        share = whole * self._share() if whole else None
        return lower([usual if own is None else own, share])

    def _say(self) -> None:
        effective = self._effective()
        if not self._started or effective == self._said:
            return
        new, known, door = effective
        settings = self._settings
        self._core.admit(
            new,
            known,
            settings.burst_s,
            door,
            round(settings.retry_least_s * 1000),
            round(settings.retry_most_s * 1000),
        )
        if self._said is not None or effective != (0.0, 0.0, 0):
            log.info("who is let in", new_per_s=new, known_per_s=known, admit=DOORS[door])
        self._said = effective


def lower(rates: Iterable[float | None]) -> float:
    """The lowest of the rates that are a limit; 0: none is."""
    return min((rate for rate in rates if rate), default=0.0)
