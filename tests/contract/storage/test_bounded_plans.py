"""PostgreSQL, too, reads few rows for a call about one thing, whatever else a user has. (SQLite's steps are
counted in tests/integration/im_service/test_bounded_cost.py.)"""

import json
from typing import Any

import asyncpg

from im_service.storage.ops import groups, inbox, messages, relations, requests, rooms
from im_service.storage.ops.tx import Op, Sql, to_postgres
from im_service.storage.postgres.connection import query
from im_service.storage.records import HISTORY, SESSION, Mark, View
from tests.support.store_kit import Kit, append, message

MANY = 3_000
TALK = "s/boss:hub"
FEW = 100
"""Rows of any table for a call about one thing."""
FILL = """
INSERT INTO request (scope, kind, usr, asker, text, state, time_ms)
    SELECT 'u/hub', 1, id, id, '', 1, 1 FROM account;
INSERT INTO request (scope, kind, usr, asker, text, state, time_ms)
    SELECT 'u/' || name, 1, :hub, :hub, '', 1, 1 FROM account;
INSERT INTO relation (owner, other, muted, time_ms, change)
    SELECT :hub, id, 1, 1, id FROM account WHERE name LIKE 'p%';
INSERT INTO room_member (conv, usr, black)
    SELECT c.id, a.id, 1 FROM account a, conversation c WHERE c.name = 'r/hall';
ANALYZE;
"""


async def filled(kit: Kit) -> asyncpg.Connection:
    """Very many wrote to the hub once and one often."""
    store = await kit.open()
    for start in range(0, MANY, 1000):
        part = range(start, start + 1000)
        await append(store, [message(f"s/hub:p{n:05}", f"p{n:05}", "1") for n in part])
        await append(store, [message(TALK, "boss", f"{n}") for n in part])
    await store.create_group("team", "hub", b"", [f"p{n:05}" for n in range(MANY - 1)], MANY, 1)
    await store.create_room("hall", "hub", b"", 1, 0)
    conn = await asyncpg.connect(kit.where)
    hub = await conn.fetchval("SELECT id FROM account WHERE name = 'hub'")
    await conn.execute(FILL.replace(":hub", str(hub)))
    return conn


def looked_at(plan: dict[str, Any], found: dict[str, int]) -> None:
    """Rows of each table that a plan reads."""
    if table := plan.get("Relation Name"):
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        rows += plan.get("Rows Removed by Index Recheck", 0)
        found[table] = found.get(table, 0) + round(rows * plan["Actual Loops"])
    for inner in plan.get("Plans", ()):
        looked_at(inner, found)


async def cost(conn: asyncpg.Connection, op: Op[Any]) -> dict[str, int]:
    """Most rows of each table that one statement of the operation reads."""
    most: dict[str, int] = {}
    answer: Any = None
    while True:
        try:
            command = op.send(answer)
        except StopIteration:
            return most
        if not isinstance(command, Sql):  # a change number
            answer = [(1 << 60,)]
            continue
        text, args = command
        plan = await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {to_postgres(text)}", *args)
        found: dict[str, int] = {}
        looked_at(json.loads(plan)[0]["Plan"], found)
        most = {table: max(most.get(table, 0), found.get(table, 0)) for table in {*most, *found}}
        answer = await query(conn, text, args)


async def test_a_call_about_one_thing_reads_few_rows(postgres_kit: Kit) -> None:
    conn = await filled(postgres_kit)
    view = View(((HISTORY, 0),), 1)
    calls: dict[str, Op[Any]] = {
        "inbox": inbox.inbox("hub", "phone", [TALK]),
        "pull": messages.pull("hub", TALK, 1, None, 20, view, True),
        "sees": messages.sees("hub", TALK, [5], 1),
        "last of a pair": messages.audience(TALK, 5, 1, True),
        "find": messages.find(TALK, [5]),
        "read marks": inbox.read_marks(TALK, ["hub"]),
        "pairs": relations.relation_pairs([("hub", "p00001")]),
        "relations": relations.relations("hub", 0, 20),
        "requests": requests.listing("u/hub", 0, 0, 20),
        "requests of": requests.of_user("hub", 0, 20),
        "standing": requests.standing("u/hub", 1, "p00001"),
        "group": groups.load(["team"]),
        "groups of": groups.groups_of("hub"),
        "member": groups.member_states([("team", "hub")]),
        "room member": rooms.member_states("hall", ["hub"]),
    }
    costs = {name: await cost(conn, op) for name, op in calls.items()}
    worse = {name: tables for name, tables in costs.items() if max(tables.values()) > FEW}
    assert not worse
    one = await cost(conn, inbox.sessions("hub", [TALK], View(((SESSION, 0),), 1)))
    assert max(one.values()) <= 2 * inbox.UNREAD_MAX
    assert (await cost(conn, inbox.unread("hub", [TALK], 1)))["message"] <= 2 * inbox.UNREAD_MAX
    assert (await cost(conn, inbox.unread("hub", None, 1)))["message"] <= 3 * inbox.UNREAD_MAX
    assert (await cost(conn, messages.find_server_ids(TALK, [5])))["message"] <= 3 * messages.DISORDER
    await conn.execute("BEGIN")
    marked = await cost(conn, inbox.read("hub", [Mark(TALK, 1)]))
    assert max(marked.values()) <= FEW
    await conn.close()
