"""What a call costs the store does not grow with what other people and time have made."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from im_service.methods import METHODS
from im_service.models import encode, pack_payload
from im_service.rates import Rate
from im_service.settings import ImSettings
from im_service.storage.records import DEFAULT_BITS, SESSION, NewMessage
from im_service.storage.sqlite import connection
from tests.support.im_world import START_MS, World, open_world
from tests.support.store_kit import append

ENGINES = ("sqlite",)
SETTINGS = ImSettings(call_rate=Rate(0), account_rate=Rate(0), device_rate=Rate(0), spread_rate=Rate(0),
                      rooms_by_clients=True, rooms_per_user=10_000)  # fmt: skip
FEW, MANY = 1_500, 6_000
"""Both are above every bound of a call."""
LONG = "s/boss:hub"

CALLS: dict[str, dict[str, Any]] = {
    "time": {},
    "sync": {"cursor": 0, "limit": 500},
    "conversations": {"limit": 100},
    "unread": {},
    "pull": {"conversation": LONG, "limit": 200},
    "history": {"conversation": LONG, "limit": 100},
    "get": {"conversation": LONG, "seqs": [5, 6]},
    "ack": {"acks": {LONG: 5}},
    "read": {"conversation": LONG, "seq": 5},
    "receipts": {"conversations": [LONG]},
    "message.report": {"conversation": LONG, "seq": 7},
    "push.register": {"vendor": "dry", "token": "t", "app": "a"},
    "push.get": {},
    "push.set": {"quiet_from": 1, "quiet_to": 2},
    "push.unregister": {},
    "recall": {"conversation": LONG, "server_id": (START_MS << 22) + 77, "text": "x"},
    "delete": {"conversation": LONG, "seqs": [9]},
    "edit": {"conversation": LONG, "seq": 10, "body": {"text": "x"}},
    "react": {"conversation": LONG, "seq": 11, "kind": "ok"},
    "reactions": {"conversation": LONG, "seqs": [11]},
    "conversation.set": {"conversation": LONG, "pin": True},
    "conversation.clear": {"conversation": LONG, "up_to_seq": 3},
    "devices": {},
    "kick": {"devices": ["old"]},
    "consent.get": {},
    "consent.set": {"friend": "ask"},
    "profile.set": {"nick": "Hub"},
    "profile.get": {"users": ["p00001"]},
    "presence.subscribe": {"users": ["p00001"]},
    "presence.unsubscribe": {"users": ["p00001"]},
    "broadcasts": {},
    "relations": {},
    "relation.black": {"user": "p00001"},
    "relation.mute": {"user": "p00001"},
    "friend.add": {"user": "p00002"},
    "friend.request": {"user": "p00003"},
    "friend.requests": {},
    "friend.decide": {"id": 1, "accept": True},
    "friend.alias": {"user": "p00002", "alias": "x"},
    "friend.remove": {"user": "p00002"},
    "group.create": {"group": "fresh", "members": ["p00004"]},
    "group.info": {"group": "team"},
    "group.mine": {},
    "group.members": {"group": "team"},
    "group.requests": {"group": "team"},
    "group.join": {"group": "other"},
    "group.invite": {"group": "team", "users": ["p00005"]},
    "group.decide": {"group": "team", "id": 1, "accept": False},
    "group.update": {"group": "team", "name": "x"},
    "group.nick": {"group": "team", "nick": "x"},
    "group.role": {"group": "team", "users": ["mate"], "role": "manager"},
    "group.mute": {"group": "team", "user": "mate"},
    "group.mute_all": {"group": "team", "on": False},
    "receipt.report": {"conversation": "g/team", "seqs": [1]},
    "receipt.counts": {"conversation": "g/team", "seqs": [1]},
    "receipt.list": {"conversation": "g/team", "seq": 1},
    "group.kick": {"group": "team", "users": ["mate"]},
    "group.transfer": {"group": "team", "user": "mate"},
    "group.leave": {"group": "other"},
    "group.dismiss": {"group": "fresh"},
    "room.create": {"room": "new"},
    "room.join": {"room": "hall"},
    "room.info": {"room": "hall"},
    "room.update": {"room": "hall", "name": "x"},
    "room.attributes": {"room": "hall", "put": {"a": "b"}},
    "room.online": {"room": "hall"},
    "room.people": {"room": "hall"},
    "room.role": {"room": "hall", "user": "mate", "role": "manager"},
    "room.mute": {"room": "hall", "user": "mate"},
    "room.mute_tag": {"room": "hall", "tag": "x"},
    "room.mute_all": {"room": "hall", "on": False},
    "room.black": {"room": "hall", "user": "p00009"},
    "room.kick": {"room": "hall", "user": "mate"},
    "room.recall": {"room": "hall", "server_id": (START_MS << 22) + 77},
    "room.queue.put": {"room": "hall", "key": "k"},
    "room.queue.list": {"room": "hall"},
    "room.queue.poll": {"room": "hall"},
    "room.queue.drop": {"room": "hall"},
    "room.leave": {"room": "hall"},
    "room.close": {"room": "hall"},
}
FILL = """
INSERT INTO request (scope, kind, usr, asker, text, state, time_ms)
    SELECT s.value, 1, a.id, a.id, '', 1, 1 FROM account a, json_each('["u/hub", "g/team"]') s;
INSERT INTO request (scope, kind, usr, asker, text, state, time_ms)
    SELECT 'u/' || name, 1, :hub, :hub, '', 1, 1 FROM account;
INSERT INTO relation (owner, other, muted, time_ms, change)
    SELECT :hub, id, 1, 1, id FROM account WHERE name LIKE 'p%';
INSERT INTO room (conv, owner, info, closed, created_ms) SELECT -id, :hub, x'', 1, 1 FROM account;
INSERT INTO inbox (usr, conv, active, change) SELECT :hub, -id, 0, 1 FROM account WHERE id % 4 = 0;
INSERT INTO conversation (id, name) SELECT -id, 'g/old' || id FROM account;
"""
"""Requests that were decided, people who are muted, rooms that are closed, groups that were left."""
PAYLOAD = pack_payload(encode({"text": "hello"}))


class Meter:
    """Counts the steps of SQLite's machine, statement by statement."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: dict[str, int] = defaultdict(int)
        opened = connection.connect

        def connect(*args: Any, **kwargs: Any) -> apsw.Connection:
            conn = opened(*args, **kwargs)
            conn.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._finished)
            return conn

        monkeypatch.setattr(connection, "connect", connect)

    def _finished(self, event: dict[str, Any]) -> None:
        if not event.get("trigger"):
            self.steps[event["sql"]] += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    def taken(self) -> dict[str, int]:
        """What was counted since the last look."""
        taken = dict(self.steps)
        self.steps.clear()
        return taken


def row(conversation: str, sender: str, at: int, bits: int) -> NewMessage:
    client_id, server_id = f"{sender}-{conversation}-{at}", (START_MS << 22) + at
    return NewMessage(conversation, sender, client_id, b"", server_id, START_MS, 0, PAYLOAD, bits, 0, None)


async def fill(world: World, path: Path, many: int, analyzed: bool) -> None:
    """Many wrote to the hub once and one often; many applied, were refused, were muted, left and ended."""
    people = [f"p{n:05}" for n in range(many)]
    for batch in range(0, many, 500):
        part = enumerate(people[batch : batch + 500], batch)
        await append(world.store, [row(f"s/hub:{user}", user, n, DEFAULT_BITS) for n, user in part])
    for batch in range(0, 4 * many, 1000):
        for talk in (LONG, "r/hall"):
            quiet = DEFAULT_BITS & ~SESSION
            await append(world.store, [row(talk, "boss", n, quiet) for n in range(batch, batch + 1000)])
    await world.invoke("group.create", {"group": "team", "owner": "hub", "members": ["mate"]})
    await world.invoke("group.create", {"group": "other", "owner": "boss"})
    await append(world.store, [row("g/team", "boss", n, DEFAULT_BITS) for n in range(many)])
    await world.invoke("room.create", {"room": "hall", "owner": "hub"})
    with closing(apsw.Connection(str(path / "im.sqlite3"))) as conn, conn:
        hub = conn.execute("SELECT id FROM account WHERE name = 'hub'").get
        conn.execute(FILL.replace(":hub", str(hub)))
        if analyzed:
            conn.execute("ANALYZE")


async def cost(path: Path, many: int, meter: Meter, analyzed: bool) -> dict[str, dict[str, int]]:
    """Steps of each call, by statement."""
    costs: dict[str, dict[str, int]] = {}
    async with open_world(path, SETTINGS) as world:
        await fill(world, path, many, analyzed)
        meter.taken()
        hub = await world.login("hub")
        await world.settle()
        costs["login"] = meter.taken()
        await world.login("mate")
        for name, args in CALLS.items():
            meter.taken()
            code, said = await hub.call(name, **args)
            assert code not in (400, 414, 500, 503), (name, code, said)
            await world.settle()
            costs[name] = meter.taken()
        meter.taken()
        await hub.send("u/boss")
        costs["send"] = meter.taken()
        await hub.logout()
        costs["logout"] = meter.taken()
    return costs


@pytest.mark.parametrize("analyzed", [False, True])
async def test_no_call_costs_the_store_more_where_others_made_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyzed: bool
) -> None:
    meter = Meter(monkeypatch)
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    before, after = await cost(few, FEW, meter, analyzed), await cost(many, MANY, meter, analyzed)
    worse = {}
    for name, statements in after.items():
        least, most = sum(before[name].values()), sum(statements.values())
        if most > 1.5 * least + 2_000:
            pairs = {sql: (before[name].get(sql, 0), steps) for sql, steps in statements.items()}
            worse[name] = {sql: pair for sql, pair in pairs.items() if pair[1] > 1.5 * pair[0] + 500}
    assert not worse, "\n".join(f"{name}: {found}" for name, found in worse.items())
    dearest = sorted((sum(statements.values()), name) for name, statements in after.items())[-5:]
    print(dearest)
    assert dearest[-1][0] < 1_500_000


def test_every_call_of_a_client_is_measured() -> None:
    assert set(CALLS) == {name for name, method in METHODS.items() if not method.server_only}
