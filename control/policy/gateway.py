"""Policies at a gateway: what clients report, which policy each goes by, and what is counted of both.

Nothing is kept for a connection but its row in the core. The documents are kept on disk too: a gateway that
starts while they are away goes by what held before.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from control.coordination.documents import Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Part, Source
from control.policy.arms import Counts, Numbers
from control.policy.documents import PREFIX, STATE, VERSION
from control.policy.model import UNREADABLE, Report
from control.policy.survival import DEATHS, Cells
from control.policy.table import Core as TableCore
from control.policy.table import Table, rules_of
from control.rates import Rates

log = get_logger("policy")

CACHE_FILE = "policies.json"
VERSIONS_MOST = 64
"""Client versions that are told of. Beyond: together as `other`."""
ENDS_PER_S, ENDS_AT_ONCE, ENDS_USERS = 1 / 60, 3, 100_000
"""Ends of connections that count of one user: three devices at once, then one a minute."""
_report = msgspec.msgpack.Decoder(Report).decode
_documents = msgspec.json.Decoder(list[Document]).decode
Key = tuple[str, int]


class Core(TableCore, Protocol):
    """What the gateway's side needs of the core."""

    def choose_policy(self, conn: int, row: int, rev: int = 0) -> None: ...


class GatewayPolicies(Part):
    """Started after the core. `grace_s`: what the server waits beyond 1.5 intervals."""

    def __init__(
        self,
        documents: Documents,
        core: Core,
        data_dir: Path,
        ping_interval_s: int,
        grace_s: int,
        place: tuple[str, int],
        busy: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = core
        self._cache = data_dir / CACHE_FILE
        self._grace_s = grace_s
        self._place = place
        self._busy = busy
        self._clock = clock
        self._replica = Replica(documents, PREFIX)
        self._table = Table(core, ping_interval_s)
        self._cells = Cells()
        self._ends = Rates(ENDS_PER_S, ENDS_AT_ONCE, ENDS_USERS)
        self._own: dict[Key, Counts] = {}
        self._by_rev: dict[int, Key] = {}
        self._counted_at = clock()
        self._held: Sequence[Document] = ()  # on disk
        self._stale = False
        self._running = False
        self.reports = 0
        self.unreadable = 0
        self.cached = False

    async def start(self) -> None:
        self._table.begin()
        self._running = True
        await self._replica.start()
        if not self._replica.complete:
            self._from_disk()
        self._take_all()
        self._replica.on_change(lambda key, document: self._changed())

    async def stop(self, grace_s: float) -> None:
        self._running = False
        await self._replica.stop()

    async def tick(self) -> None:
        """What a full mailbox refused is tried again."""
        if self._running:
            self._count_time()
            if self._stale:
                self._take_all()

    def set_ping(self, ping_interval_s: int) -> None:
        """Of who has no policy."""
        self._table.set_ping(ping_interval_s)

    def default(self) -> tuple[int, int]:
        """Revision and interval of who has reported nothing yet."""
        return self._table.default()

    def on_report(self, conn: int, user: str, platform: int, first: bool, body: bytes) -> None:
        """`first` of its connection: only that one tells how the last one ended, and of one user few a
        minute do: who lies would else judge a canary alone."""
        self.reports += 1
        try:
            report = _report(body)
        except UNREADABLE:
            self.unreadable += 1
            return
        client = report.client(platform)
        if first and report.last is not None and not self._ends.take(user, self._clock()):
            self._ended(report)
        self._core.choose_policy(conn, self._table.row_of(client), max(report.policy_rev, 0) & 0xFFFFFFFF)

    def on_silent(self, row: int, seconds: int) -> None:
        """The gateway closed a connection: it had lived through its interval, and nobody knows what came
        then."""
        client = self._table.kind_of(row)
        self._cells.of(client.net, client.carrier).censored(max(seconds - self._grace_s, 0) / 1.5)

    def numbers(self) -> Numbers:
        """Of every version that somebody here goes by or went by."""
        self._count_time()
        name, epoch = self._place
        arms = {f"{key[0]}/{key[1]}": self._counts(key, entry) for key, entry in self._entries().items()}
        return Numbers(
            node=name, epoch=epoch, arms=arms, cells=self._cells.by_name, versions=self._versions()
        )

    def sources(self) -> Mapping[str, Source]:
        return {"policy": self._stats}

    def _ended(self, report: Report) -> None:
        last = report.last
        assert last is not None
        cell = self._cells.of(*_named(report))
        died = last.cause in DEATHS
        if died:
            cell.death(last.gap_ms / 1000)
        elif last.alive_ms > 0:
            cell.censored(last.alive_ms / 1000)
        if (key := self._by_rev.get(report.policy_rev)) is not None:
            counts = self._own[key]
            counts.ends += 1
            counts.deaths += died

    def _entries(self) -> dict[Key, int]:
        return {key: entry for key, entry in self._table.entries().items() if key[0]}

    def _counts(self, key: Key, entry: int) -> Counts:
        counts = self._core.policy_counts(entry)
        sessions, told, pings, silent, resets, vanished, rtt_us, rtt_count, transferred, parked = counts
        return msgspec.structs.replace(
            self._own[key],
            sessions=sessions,
            told=told,
            pings=pings,
            silent=silent,
            resets=resets,
            vanished=vanished,
            rtt_us=rtt_us,
            rtt_count=rtt_count,
            bytes=transferred,
            parked=parked,
        )

    def _count_time(self) -> None:
        now = self._clock()
        spent, self._counted_at = now - self._counted_at, now
        metered = any(rule.canary for rule in self._table.rules())
        for key, entry in self._entries().items():
            counts, own = self._core.policy_counts(entry), self._own[key]
            connected_s = (counts[0] - counts[9]) * spent  # a session that waits for its client can lose none
            own.connected_s += connected_s
            own.metered_s += connected_s * metered

    def _versions(self) -> dict[str, int]:
        kinds = self._table.kinds()
        found: dict[str, int] = {}
        if not kinds:
            return found
        counts = self._core.policy_row_sessions(0, 1 + max(kinds))
        for row, client in kinds.items():
            if counts[row]:
                name = client.version or "unknown"
                name = name if name in found or len(found) < VERSIONS_MOST else "other"
                found[name] = found.get(name, 0) + counts[row]
        return found

    def _changed(self) -> None:
        """Changes come one by one, those of one publication together."""
        if not self._stale and self._running:
            self._stale = True
            asyncio.get_running_loop().call_soon(self._take_all)

    def _take_all(self) -> None:
        if not self._running:
            return
        documents = self._replica.all() if self._replica.complete else self._held
        self._stale = False
        try:
            self._table.set_rules(rules_of(documents))
        except self._busy as error:
            self._stale = True
            log.warning("policies are given to the core with the next tick", reason=repr(error))
            return
        self._remember()
        if self._replica.complete:
            self.cached = False
            self._to_disk(documents)

    def _remember(self) -> None:
        """Counts of this process for each version that the core has."""
        self._own = {key: self._own.get(key, Counts()) for key in self._entries()}
        self._by_rev = {}
        for rule in self._table.rules():
            for version in (rule.main, rule.canary):
                if version is not None and (key := (version.name, version.number)) in self._own:
                    self._own[key].rev = version.rev
                    self._by_rev[version.rev] = key

    def _from_disk(self) -> None:
        try:
            self._held = _documents(self._cache.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.error("the policies on disk cannot be read", path=str(self._cache), reason=str(error))
            return
        self.cached = True
        log.warning("policies are those that held before: the documents are away", documents=len(self._held))

    def _to_disk(self, documents: Sequence[Document]) -> None:
        held = [each for each in documents if each.key.startswith((STATE, VERSION))]
        if held == list(self._held):
            return
        self._held = held
        beside = self._cache.with_suffix(f".{os.getpid()}")
        try:
            beside.write_bytes(msgspec.json.encode(held))
            beside.replace(self._cache)
        except OSError as error:
            log.error("policies cannot be kept on disk", path=str(self._cache), reason=str(error))

    def _stats(self) -> dict[str, object]:
        counts = {key: self._counts(key, entry) for key, entry in self._entries().items()}
        canaries = {(rule.state.name, rule.canary.number) for rule in self._table.rules() if rule.canary}
        rows: dict[str, dict[str, float]] = {}
        for key, each in counts.items():
            arm = f"{key[0]}/{key[1]}"
            rows[arm] = {
                "sessions": each.sessions,
                "connected_s": each.connected_s,
                "pings": each.pings,
                "ends": each.ends,
                "deaths": each.deaths,
                "lost": each.silent + each.resets + each.vanished,
                "canary": int(key in canaries),
            }
        return {
            "reports": self.reports,
            "unreadable": self.unreadable,
            "folded": self._table.folded,
            "max_cached": int(self.cached),
            "arms": rows,
        }


def _named(report: Report) -> tuple[str, str]:
    client = report.client(0)
    return client.net, client.carrier
