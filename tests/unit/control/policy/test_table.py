"""Which entry a kind of client goes by; entries and rows are used again only when nobody has them."""

from __future__ import annotations

from collections.abc import Sequence

from control.policy.documents import Canary, State, Version
from control.policy.model import Client, Constants, Match, Policy
from control.policy.table import ENTRIES, LOOK_AGAIN, RESERVED, ROWS, Rule, Table


class Recorder:
    """A core that only remembers; `sessions` of entries and rows are the test's."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[int, int]] = {}
        self.rows: dict[int, tuple[int, int, int, int]] = {}
        self.sessions: dict[int, int] = {}
        self.row_sessions: dict[int, int] = {}
        self.parked: dict[int, int] = {}
        self.bytes: dict[int, int] = {}

    def set_policy(self, entry: int, rev: int, ping_interval_s: int, body: bytes) -> None:
        self.entries[entry] = rev, ping_interval_s

    def set_policy_rows(self, first: int, rows: Sequence[tuple[int, int, int, int]]) -> None:
        self.rows |= {first + at: row for at, row in enumerate(rows)}

    def policy_counts(self, entry: int) -> tuple[int, ...]:
        more = (self.bytes.get(entry, 0), self.parked.get(entry, 0))
        return (self.sessions.get(entry, 0), 0, 0, 0, 0, 0, 0, 0, *more)

    def policy_row_sessions(self, first: int, n: int) -> list[int]:
        return [self.row_sessions.get(row, 0) for row in range(first, first + n)]


def version(name: str, number: int, rev: int, policy: Policy) -> Version:
    return Version(name=name, number=number, rev=rev, policy=policy, at="", who="")


def rule(name: str, rev: int, policy: Policy, share: float = 0) -> Rule:
    canary = Canary(number=2, share=share, salt="s", since="") if share else None
    state = State(name=name, number=1, last=2, canary=canary)
    return Rule(state, version(name, 1, rev, policy), version(name, 2, rev + 1, policy) if share else None)


def table_of(*rules: Rule) -> tuple[Table, Recorder]:
    core = Recorder()
    table = Table(core, 240)
    table.begin()
    table.set_rules(list(rules))
    return table, core


MOBILE = Policy(match=Match(net=["4g"]), constants=Constants(ping_interval_s=120.0))


def test_a_client_goes_by_the_first_policy_that_is_for_it() -> None:
    table, core = table_of(rule("mobile", 5, MOBILE), rule("rest", 7, Policy()))
    mobile, other = table.row_of(Client("4g", "46000")), table.row_of(Client("wifi"))
    assert core.entries[core.rows[mobile][0]] == (5, 120)
    assert core.entries[core.rows[other][0]] == (7, 240)
    assert core.entries[core.rows[0][0]] == (7, 240), "who says nothing of itself is for the policy of all"
    assert table.row_of(Client("4g", "46000")) == mobile
    assert table.default() == (7, 240), "AUTH_OK tells what the core waits by"


def test_a_policy_that_comes_later_takes_the_rows_that_are_there() -> None:
    table, core = table_of()
    row = table.row_of(Client("4g", "46000"))
    assert core.rows[row] == (0, 0, 0, 0)
    table.set_rules([rule("mobile", 5, MOBILE, share=10)])
    main, canary, share, seed = core.rows[row]
    assert (core.entries[main][0], core.entries[canary][0], share) == (5, 6, 1000)
    assert seed
    table.set_rules([])
    assert core.rows[row] == (0, 0, 0, 0)


def test_an_entry_is_free_again_when_nobody_has_it() -> None:
    table, core = table_of()
    for rev in range(1, 3 * ENTRIES):
        state = State(name="mobile", number=rev, last=rev)
        table.set_rules([Rule(state, version("mobile", rev, rev, MOBILE), None)])
        assert core.entries[table.entries()["mobile", rev]] == (rev, 120)
    assert max(core.entries) < ENTRIES


def test_an_entry_with_sessions_is_left_to_them() -> None:
    table, core = table_of(rule("mobile", 5, MOBILE))
    kept = table.entries()["mobile", 1]
    core.sessions[kept] = 1
    for rev in range(10, 10 + 2 * ENTRIES):
        table.set_rules([Rule(State(name="x", number=rev), version("x", rev, rev, MOBILE), None)])
    assert core.entries[kept] == (5, 120)


def test_too_many_kinds_are_known_by_network_and_platform() -> None:
    table, core = table_of(rule("mobile", 5, MOBILE))
    core.row_sessions = dict.fromkeys(range(ROWS), 1)
    rows = {table.row_of(Client("4g", f"carrier-{number}")) for number in range(ROWS + 500)}
    assert table.folded > 500
    assert max(rows) < ROWS
    folded = table.row_of(Client("4g", "yet another"))
    assert folded == table.row_of(Client("4g"))
    assert core.entries[core.rows[folded][0]] == (5, 120)
    core.row_sessions = {}
    rows = {table.row_of(Client("4g", f"later {number}")) for number in range(LOOK_AGAIN + 1)}
    assert rows != {folded}, "kinds that nobody is of any more make room"
    assert RESERVED < ROWS
