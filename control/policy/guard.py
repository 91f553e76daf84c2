"""Watches canaries: one that harms its devices is taken back, or paused, before an operator has looked.

One process does it, the live control process with the lowest node id; every act names the revision of the
state that it was found in, so two that both believe to be that one act once. What is compared is what came
since the canary began its present share, for each arm the connected time beside it (sequential.py):

    deaths      connections that clients found dead (no answer, reset), told at their next login     back
    reconnects  connections that ended, told at the next login                                       back
    lost        connections that gateways saw vanish: silence, reset, no CLOSE                        back
    rtt         mean round trip, `rtt_ratio` times the control's in three looks one after another    pause
    traffic     bytes of an hour of connection, `traffic_ratio` times the control's, likewise        pause
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from control.audit.entry import DONE, Ids, Words
from control.audit.trail import Audit
from control.coordination.base import Coordination
from control.coordination.documents import Conflict, DocumentsError
from control.logs import get_logger
from control.part import Part, Source
from control.policy.arms import Arm, Counts, Fleet, FleetNumbers, since
from control.policy.documents import Canary, PolicyDocuments, Refused, State
from control.policy.sequential import Look, Sprt
from control.settings.policy_section import PolicySection

log = get_logger("policy")

ACTOR = "policy-guard"
SEQUENTIAL = ("deaths", "reconnects", "lost")
STREAK = 3
READINGS = 50
"""Of round trips, and seconds of connection, before means are compared."""


@dataclass
class Watch:
    """Of one canary at one share."""

    canary: Canary
    tests: dict[str, Sprt]
    before: dict[tuple[str, int], dict[Arm, Counts]] = field(default_factory=dict)
    canary_total: Counts = field(default_factory=Counts)
    control_total: Counts = field(default_factory=Counts)
    streaks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Breach:
    metric: str
    canary: float
    control: float
    back: bool


class Guard(Part):
    """Started after the bus and the audit log."""

    def __init__(
        self,
        documents: PolicyDocuments,
        fleet: FleetNumbers,
        coordination: Coordination,
        node_id: int,
        settings: PolicySection,
        audit: Audit,
    ) -> None:
        self._documents = documents
        self._fleet = fleet
        self._coordination = coordination
        self._node_id = node_id
        self._settings = settings
        self._audit = audit
        self._watches: dict[str, Watch] = {}
        self._task: asyncio.Task[None] | None = None
        self.breaches = 0
        self.looks = 0

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="policy guard")

    async def stop(self, grace_s: float) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def sources(self) -> Mapping[str, Source]:
        return {"policy_guard": self._stats}

    def watches(self) -> Mapping[str, Watch]:
        """By policy; empty in a process that does not watch."""
        return self._watches

    def watching(self) -> bool:
        """This is the process that does it."""
        ids = [info.node_id for info in self._coordination.nodes("control") if not info.lapsed]
        return not ids or min(ids) >= self._node_id

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_s)
            try:
                if self.watching():
                    await self.look()
                else:
                    self._watches.clear()
            except (DocumentsError, Refused) as error:
                log.warning("canaries could not be looked at", reason=str(error))
            except Exception:
                log.exception("canaries could not be looked at")

    async def look(self) -> None:
        """At every canary once. One that is paused is looked at no more."""
        found = [(state, revision) for state, revision in await self._documents.states()]
        watched = {state.name for state, _ in found if state.canary is not None and not state.canary.paused}
        self._watches = {name: watch for name, watch in self._watches.items() if name in watched}
        if not watched:
            return
        fleet = await self._fleet.gather()
        self.looks += 1
        for state, revision in found:
            if state.name in watched and (breach := self._judge(state, fleet)) is not None:
                await self._act(state, revision, breach)

    def _judge(self, state: State, fleet: Fleet) -> Breach | None:
        canary = state.canary
        assert canary is not None
        watch = self._watches.get(state.name)
        if watch is None or watch.canary != canary:
            watch = self._watches[state.name] = Watch(canary, self._tests())
            watch.before = _snapshot(fleet)
            return None
        ours = since(fleet, watch.before, f"{state.name}/{canary.number}")
        theirs = since(fleet, watch.before, f"{state.name}/{state.number}")
        watch.before = watch.before | _snapshot(fleet)
        watch.canary_total, watch.control_total = (
            watch.canary_total.plus(ours),
            watch.control_total.plus(theirs),
        )
        for metric in SEQUENTIAL:
            look = Look(
                canary=_events(ours, metric),
                control=_events(theirs, metric),
                canary_s=ours.connected_s,
                control_s=theirs.connected_s,
            )
            if watch.tests[metric].look(look):
                test = watch.tests[metric]
                return Breach(metric, test.canary, test.control, back=True)
        return self._means(watch)

    def _means(self, watch: Watch) -> Breach | None:
        a, b = watch.canary_total, watch.control_total
        compared = {
            "rtt": (a.rtt_ms, b.rtt_ms, self._settings.rtt_ratio, min(a.rtt_count, b.rtt_count)),
            "traffic": (
                a.kib_an_hour,
                b.kib_an_hour,
                self._settings.traffic_ratio,
                min(a.metered_s, b.metered_s) / 3600 * READINGS,
            ),
        }
        for metric, (ours, theirs, ratio, readings) in compared.items():
            above = readings >= READINGS and theirs > 0 and ours > ratio * theirs
            watch.streaks[metric] = watch.streaks.get(metric, 0) + 1 if above else 0
            if watch.streaks[metric] >= STREAK:
                return Breach(metric, round(ours, 3), round(theirs, 3), back=False)
        return None

    def _tests(self) -> dict[str, Sprt]:
        """The chance of a false alarm is that of all tests together."""
        settings = self._settings
        alpha = settings.false_alarm / len(SEQUENTIAL)
        return {name: Sprt(settings.harm_ratio, alpha, settings.least_events) for name in SEQUENTIAL}

    async def _act(self, state: State, revision: int, breach: Breach) -> None:
        canary = state.canary
        assert canary is not None
        back = breach.back and self._settings.on_breach == "rollback"
        why = f"{breach.metric}: {breach.canary:g} against {breach.control:g}"
        try:
            if back:
                _, after = await self._documents.rollback(state.name, None, ACTOR, revision, why)
            else:
                _, after = await self._documents.pause(state.name, True, ACTOR, revision, why)
        except Conflict:
            return  # somebody else has acted
        self.breaches += 1
        self._watches.pop(state.name, None)
        what = "policies.rollback" if back else "policies.pause"
        log.error("a canary harms", policy=state.name, version=canary.number, act=what, why=why)
        ids: Ids = {
            "policy": state.name,
            "version": canary.number,
            "share": canary.share,
            "breach": breach.metric,
            "canary": breach.canary,
            "control": breach.control,
        }
        words = Words(
            what=what, via="guard", outcome=DONE, who=ACTOR, name=ACTOR, ids=ids, before=revision, after=after
        )
        await self._audit.operators.try_to_write(words)

    def _stats(self) -> dict[str, object]:
        tests = {
            f"{name} {metric}": test.llr / test.upper
            for name, watch in self._watches.items()
            for metric, test in watch.tests.items()
        }
        return {"breaches": self.breaches, "looks": self.looks, "evidence": tests}


def _events(counts: Counts, metric: str) -> int:
    if metric == "deaths":
        return counts.deaths
    if metric == "reconnects":
        return counts.ends
    return counts.silent + counts.resets + counts.vanished


def _snapshot(fleet: Fleet) -> dict[tuple[str, int], dict[Arm, Counts]]:
    return {(numbers.node, numbers.epoch): numbers.arms for numbers in fleet.gateways}
