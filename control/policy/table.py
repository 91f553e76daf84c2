"""Policies as the gateway core has them: entries, each a revision, and rows, each a kind of client.

    kind of client (net, carrier, region, platform, version) --> row --> entry of what holds
                                                                     --> entry of its canary, and its share

An entry or a row is used again only when no session has it, because the core counts by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from control.coordination.documents import Document
from control.logs import get_logger
from control.policy.documents import STATE, VERSION, State, Version
from control.policy.model import Client, body_of, matches

log = get_logger("policy")

ENTRIES, ROWS, WHOLE = 255, 4096, 10_000
"""As the core has them (leaf/policies.pxd)."""
RESERVED = 8 * 32
"""Rows for kinds that are known by network and platform alone, when there are too many others."""
LOOK_AGAIN = 256
"""Kinds that had no room, between two looks for rows that nobody has any more."""
_NO_VERSION = ("", 0)


class Core(Protocol):
    """What a table writes to."""

    def set_policy(self, entry: int, rev: int, ping_interval_s: int, body: bytes) -> None: ...
    def set_policy_rows(self, first: int, rows: Sequence[tuple[int, int, int, int]]) -> None: ...
    def policy_counts(self, entry: int) -> tuple[int, ...]: ...
    def policy_row_sessions(self, first: int, n: int) -> list[int]: ...


@dataclass(frozen=True)
class Rule:
    """A policy that holds: the version for most, and the one of the canary with its share."""

    state: State
    main: Version
    canary: Version | None

    @property
    def share(self) -> int:
        """Of WHOLE."""
        canary = self.state.canary
        return 0 if self.canary is None or canary is None else max(1, round(canary.share * WHOLE / 100))

    @property
    def seed(self) -> int:
        """Of the hash of device ids: of the policy's name and the salt of its canary."""
        canary = self.state.canary
        salt = "" if canary is None else canary.salt
        return int.from_bytes(hashlib.sha256(f"{self.state.name} {salt}".encode()).digest()[:8], "big")


def rules_of(documents: Iterable[Document]) -> list[Rule]:
    """In the order in which they are tried. One that cannot be read is logged and left out."""
    states: list[State] = []
    versions: dict[tuple[str, int], Version] = {}
    for document in documents:
        try:
            if document.key.startswith(STATE):
                states.append(msgspec.json.decode(document.value, type=State))
            elif document.key.startswith(VERSION):
                version = msgspec.json.decode(document.value, type=Version)
                versions[version.name, version.number] = version
        except msgspec.MsgspecError as error:
            log.error("a policy cannot be read", key=document.key, reason=str(error))
    rules: list[Rule] = []
    for state in states:
        main = versions.get((state.name, state.number))
        canary = versions.get((state.name, state.canary.number)) if state.canary else None
        if main is not None:
            rules.append(Rule(state, main, canary))
    return sorted(rules, key=lambda rule: (-rule.main.policy.rank, rule.state.name))


class Table:
    """Entry 0 and row 0 are those of who reported nothing and of whom no policy is for."""

    def __init__(self, core: Core, ping_interval_s: int) -> None:
        self._core = core
        self._ping_interval_s = ping_interval_s
        self._rules: list[Rule] = []
        self._entries: dict[tuple[str, int], int] = {_NO_VERSION: 0}
        self._rows: dict[Client, int] = {}
        self._free = list(range(ROWS - 1, 0, -1))
        self._kinds: dict[int, Client] = {}
        self.folded = 0

    def begin(self) -> None:
        """The core has started: it knows nothing."""
        self._entries = {_NO_VERSION: 0}
        self._rows, self._kinds, self._free = {}, {}, list(range(ROWS - 1, 0, -1))
        self._default()
        self._write_rows()

    def set_ping(self, ping_interval_s: int) -> None:
        """Of who has no policy."""
        self._ping_interval_s = ping_interval_s
        self._default()

    def _default(self) -> None:
        self._core.set_policy(0, 0, self._ping_interval_s, b"")

    def default(self) -> tuple[int, int]:
        """Revision and interval of row 0."""
        if (rule := self.rule_of(Client())) is None:
            return 0, self._ping_interval_s
        return rule.main.rev, round(rule.main.policy.constants.ping_interval_s)

    def set_rules(self, rules: list[Rule]) -> None:
        """From now on; who is connected hears of it with the next PONG."""
        self._rules = rules
        for version in self._wanted():
            self._entry(version)
        self._write_rows()

    def row_of(self, client: Client) -> int:
        """Of this kind of client; where there are too many kinds, of a wider one."""
        if (row := self._rows.get(client)) is not None:
            return row
        if len(self._free) <= RESERVED and self.folded % LOOK_AGAIN == 0:
            self._free_rows()
        if len(self._free) <= RESERVED:
            self.folded += 1
            client = Client(client.net, platform=client.platform)
            if (row := self._rows.get(client)) is not None:
                return row
        if not self._free:
            return 0
        row = self._free.pop()
        self._rows[client], self._kinds[row] = row, client
        self._core.set_policy_rows(row, [self._row(client)])
        return row

    def kind_of(self, row: int) -> Client:
        return self._kinds.get(row, Client())

    def kinds(self) -> Mapping[int, Client]:
        return self._kinds

    def entries(self) -> Mapping[tuple[str, int], int]:
        """(name, number of the version) -> entry, those that some session may have."""
        return self._entries

    def rules(self) -> list[Rule]:
        return self._rules

    def rule_of(self, client: Client) -> Rule | None:
        return next((rule for rule in self._rules if matches(rule.main.policy.match, client)), None)

    def _wanted(self) -> list[Version]:
        return [each for rule in self._rules for each in (rule.main, rule.canary) if each is not None]

    def _entry(self, version: Version) -> int:
        key = (version.name, version.number)
        if (entry := self._entries.get(key)) is not None:
            return entry
        wanted = {(each.name, each.number) for each in self._wanted()} | {_NO_VERSION}
        taken = set(self._entries.values())
        entry = next((number for number in range(1, ENTRIES) if number not in taken), 0)
        if not entry:
            for old, number in list(self._entries.items()):
                if old not in wanted and not self._core.policy_counts(number)[0]:
                    entry = entry or self._entries.pop(old)
        if not entry:
            log.error("no entry is free for a policy, it does not hold here", policy=version.name)
            return 0
        constants = version.policy.constants
        interval = round(constants.ping_interval_s)
        self._core.set_policy(entry, version.rev, interval, body_of(constants, version.rev))
        self._entries[key] = entry
        return entry

    def _row(self, client: Client) -> tuple[int, int, int, int]:
        if (rule := self.rule_of(client)) is None:
            return 0, 0, 0, 0
        main = self._entry(rule.main)
        if rule.canary is None:
            return main, main, 0, 0
        return main, self._entry(rule.canary), rule.share, rule.seed

    def _write_rows(self) -> None:
        """Row 0 is of a client that said nothing of itself: a policy that matches everybody is for it too."""
        rows = [self._row(self.kind_of(row)) for row in range(1 + max(self._kinds, default=0))]
        self._core.set_policy_rows(0, rows)

    def _free_rows(self) -> None:
        counts = self._core.policy_row_sessions(0, ROWS)
        for row in [row for row in self._kinds if not counts[row]]:
            del self._rows[self._kinds.pop(row)]
            self._free.append(row)
