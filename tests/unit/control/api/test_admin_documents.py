"""What operators set: revisions are named, changes audited, nonsense refused; it holds at run time."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import msgspec
import pytest

from control.api.admin import traces
from control.api.admin.app import create_admin_app
from control.api.services import Services
from control.audit.read import page
from control.coordination.base import NodeInfo
from control.coordination.documents import Document
from control.gateway.admission import StormOrder
from control.gateway.drain import WAITS, DrainOrder
from control.gateway.orders import Orders
from control.keys.api_keys import ROLES
from control.process.live_settings import LiveSettings
from control.settings import Settings
from control.settings.build import build
from control.settings.live import DOCUMENT, HISTORY
from tests.support.admin_app import client_of, make_documents, running_services

STORM, LIVE = "/v1/admin/storm/cluster", "/v1/admin/settings/live"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with running_services(tmp_path) as made:
        yield made


@pytest.fixture
async def admin(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    key = services.api_keys.folder.create("root", (), 0, ROLES)[1]
    async with client_of(create_admin_app(services), key) as client:
        yield client


def slug(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def test_a_change_names_the_revision_it_is_based_on(admin: httpx.AsyncClient) -> None:
    order = {"admit": "known", "new_per_s": 5.0}
    assert slug(await admin.put(STORM, json=order)) == (428, "revision-not-named")
    first = await admin.get(STORM)
    assert (first.headers["etag"], first.json()["admit"]) == ('"0"', "all")
    made = await admin.put(STORM, json=order, headers={"If-Match": first.headers["etag"]})
    assert (made.status_code, made.json()["new_per_s"]) == (200, 5.0)
    late = await admin.put(STORM, json={}, headers={"If-Match": '"0"'})
    assert slug(late) == (412, "revision-conflict")
    assert f'"{late.json()["revision"]}"' == made.headers["etag"]
    assert (await admin.get(STORM)).json() == made.json()
    assert slug(await admin.delete(STORM)) == (428, "revision-not-named")
    assert (await admin.delete(STORM, headers={"If-Match": made.headers["etag"]})).status_code == 200
    assert (await admin.get(STORM)).headers["etag"] == '"0"'
    assert (await admin.delete(STORM, headers={"If-Match": "*"})).json() == {"revision": 0}


@pytest.mark.parametrize("body", [{"admit": "some"}, {"new_per_s": -1}, {"burst": 3}, {"since": 1}, [], 1])
async def test_what_an_order_does_not_have_is_refused(admin: httpx.AsyncClient, body: object) -> None:
    answer = await admin.put(STORM, json=body, headers={"If-Match": "*"})
    assert slug(answer) == (422, "invalid")


async def test_every_change_has_two_lines_that_say_who_what_and_how_it_ended(
    admin: httpx.AsyncClient, services: Services
) -> None:
    done = await admin.put(STORM, json={}, headers={"If-Match": '"0"', "X-Request-Id": "one"})
    await admin.put(STORM, json={}, headers={"If-Match": '"0"'})
    lines = page(services.audit.operators.files.folder, 0, 10)[0][::-1]
    assert [(line.what, line.outcome) for line in lines] == [
        ("storm.cluster.order", "begun"), ("storm.cluster.order", "done"),
        ("storm.cluster.order", "begun"), ("storm.cluster.order", "refused revision-conflict"),
    ]  # fmt: skip
    assert (lines[1].begun, lines[1].before, f'"{lines[1].after}"') == (1, 0, done.headers["etag"])
    assert (lines[0].name, lines[0].address, lines[0].request) == ("root", "127.0.0.1", "one")


async def test_who_may_not_change_is_refused_and_named(services: Services) -> None:
    key, text = services.api_keys.folder.create("eyes", (), 0, ("viewer",))
    async with client_of(create_admin_app(services), text) as client:
        assert slug(await client.delete(STORM, headers={"If-Match": "*"})) == (403, "role-missing")
    (line,) = page(services.audit.trail("refusals").files.folder, 0, 10)[0]
    assert (line.what, line.outcome, line.who) == ("storm.cluster.end", "refused role-missing", key.id)


async def test_who_may_change_nothing_pushes_nothing_out_of_the_log(
    admin: httpx.AsyncClient, services: Services
) -> None:
    """However often it asks, and however long what it asks for is: a line, and how many more there were."""
    await admin.put(STORM, json={}, headers={"If-Match": "*"})
    operators = services.audit.operators.files
    size = operators.size()
    _, text = services.api_keys.folder.create("app", ("read",))
    async with client_of(create_admin_app(services), text) as client:
        for number in range(30):
            long = await client.put(f"/v1/admin/storm/nodes/{'x' * 3000}", json={})
            short = await client.put(f"/v1/admin/storm/nodes/node-{number}", json={})
            assert slug(long) == slug(short) == (403, "role-missing")
    await services.audit.refusals.tick(0.0)
    first, last = page(services.audit.trail("refusals").files.folder, 0, 10)[0][::-1]
    assert (first.what, first.ids) == ("storm.node.order", {})
    assert (last.outcome, last.ids) == ("refused role-missing", {"node": "node-29", "times": 59})
    assert operators.size() == size


async def test_the_rate_of_a_key_is_looked_at_before_what_it_may(services: Services) -> None:
    services.operator_gate.set(1.0, 2)
    _, text = services.api_keys.folder.create("app", ("read",))
    async with client_of(create_admin_app(services), text) as client:
        seen = [(await client.delete(STORM)).status_code for _ in range(3)]
        assert seen == [403, 403, 429]
        services.operator_gate.set(1e-300, 1)
        await client.delete(STORM)
        assert (await client.delete(STORM)).headers["Retry-After"] == "86401"
        services.operator_gate.set(1e6, 10)
        await client.delete(STORM)
        assert (await client.delete(STORM)).status_code == 403, (
            "hours owed at another rate are not waited for"
        )


async def test_rates_that_are_set_live_hold_for_app_servers_and_can_always_be_undone(
    admin: httpx.AsyncClient, services: Services
) -> None:
    few = {"values": {"limits.api_requests_per_s": 1, "limits.api_burst": 10}}
    assert (await admin.put(LIVE, json=few, headers={"If-Match": "*"})).status_code == 200
    services.rate_gate.set(1e-9, 1)
    assert [(await admin.get(LIVE)).status_code for _ in range(12)] == [200] * 12
    assert (await admin.delete(LIVE, headers={"If-Match": "*"})).status_code == 200


async def test_who_changes_without_end_is_told_to_wait_and_may_still_look(
    admin: httpx.AsyncClient, services: Services
) -> None:
    services.change_gate.set(0.5, 3)
    seen = [(await admin.put(STORM, json={}, headers={"If-Match": "*"})).status_code for _ in range(4)]
    assert seen == [200, 200, 200, 429]
    assert (await admin.get(STORM)).status_code == 200
    _, text = services.api_keys.folder.create("other", (), 0, ROLES)
    async with client_of(create_admin_app(services), text) as other:
        assert (await other.put(STORM, json={}, headers={"If-Match": "*"})).status_code == 200


async def test_the_share_of_the_audit_log_of_one_key_is_bounded_by_the_day(
    admin: httpx.AsyncClient, services: Services
) -> None:
    services.audit_gate.set(4096 / 86400, 4096)
    seen = [(await admin.put(STORM, json={}, headers={"If-Match": "*"})) for _ in range(9)]
    refused = seen[-1]
    assert (seen[0].status_code, slug(refused)) == (200, (429, "audit-share"))
    assert int(refused.headers["Retry-After"]) > 60
    assert services.audit.operators.files.size() <= 4096
    assert (await admin.get(STORM)).status_code == 200
    _, text = services.api_keys.folder.create("other", (), 0, ROLES)
    async with client_of(create_admin_app(services), text) as other:
        assert (await other.put(STORM, json={}, headers={"If-Match": "*"})).status_code == 200


async def test_the_log_says_what_was_ordered(admin: httpx.AsyncClient, services: Services) -> None:
    every = {"If-Match": "*"}
    await admin.put(STORM, json={"admit": "none", "new_per_s": 2.5}, headers=every)
    await admin.put(LIVE, json={"values": {"log.level": "debug", "limits.key_failures": 0}}, headers=every)
    await admin.put(LIVE, json={"values": {"auth.keys_secret": "hush"}}, headers=every)
    await admin.post(
        "/v1/admin/api-keys", json={"name": "mallory", "roles": ["security-admin"], "scopes": ["read"]}
    )
    await admin.put("/v1/admin/lbs/tables", json={"tables": {"nonsense": ["x" * 100] * 300}}, headers=every)
    path = "/v1/admin/nodes/node-1/drain"
    await admin.put(path, json={"rate": 7, "redirect": False}, headers=every)
    lines = page(services.audit.operators.files.folder, 0, 50)[0][::-1]
    told = [(line.what, line.ids) for line in lines if line.begun is None]
    assert told[0] == ("storm.cluster.order", {"admit": "none", "new_per_s": 2.5, **told[0][1]})
    assert told[1][1] == {"values.count": 2, "values.log.level": "debug", "values.limits.key_failures": 0}
    assert told[2][1] == {"values.count": 1}
    assert told[3][1] == {"name": "mallory", "roles": ["security-admin"], "scopes": ["read"], "ttl_s": 0}
    assert told[4][1].keys() == {"tables.bytes", "tables.sha256"}
    assert told[5][1] == {"node": "node-1", "rate": 7.0, "redirect": False, **told[5][1]}
    content = b"".join(path.read_bytes() for path in services.audit.operators.files.folder.glob("0*.jsonl"))
    assert b"hush" not in content
    assert b"xxxx" not in content


async def test_what_cannot_be_audited_is_not_done(admin: httpx.AsyncClient, services: Services) -> None:
    """The kernel lets no file grow any more, as on a full disk; SQLite has its log already."""
    await admin.put(STORM, json={}, headers={"If-Match": "*"})
    size = services.audit.operators.files.size()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        refused = await admin.put(STORM, json={"admit": "none"}, headers={"If-Match": "*"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert slug(refused) == (503, "audit-unavailable")
    assert (await admin.get(STORM)).json()["admit"] == "all"
    assert (await admin.put(STORM, json={}, headers={"If-Match": "*"})).status_code == 200


async def test_documents_that_are_away_are_503_and_nothing_else_is(
    admin: httpx.AsyncClient, services: Services
) -> None:
    await make_documents(services).stop()
    assert slug(await admin.get(STORM)) == (503, "documents-unavailable")
    assert slug(await admin.put(STORM, json={}, headers={"If-Match": "*"})) == (503, "documents-unavailable")
    assert (await admin.get("/v1/admin/self")).status_code == 200


async def test_traces_that_are_over_hide_none_and_go_with_the_next_order(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST", 3)
    documents = services.documents
    for number in range(5):
        await documents.put(f"trace/a{number}", b'{"until":1.0,"by":"x"}')
    unread = await documents.put("trace/b", b'{"until":1.0,"by":"x","added later":1}')
    ordered = await admin.put("/v1/admin/traces/zoe", json={"for_s": 60}, headers={"If-Match": "*"})
    assert ordered.status_code == 200
    shown = (await admin.get("/v1/admin/traces")).json()["traces"]
    assert [each["user"] for each in shown] == ["zoe"]
    left = [each.key for each in (await documents.list("trace/")).documents]
    assert left == [unread.key, "trace/zoe"]
    (line,) = [
        line for line in page(services.audit.operators.files.folder, 0, 9)[0] if line.outcome == "done"
    ]
    assert line.ids.get("forgotten") == [f"a{number}" for number in range(5)], (
        "the log says what went with it"
    )


async def test_an_order_of_another_version_hides_no_node(
    admin: httpx.AsyncClient, services: Services
) -> None:
    await services.documents.put("drain/gw9", b'{"rate":10,"added later":1}')
    assert (await admin.get("/v1/admin/nodes")).json()["nodes"] == []
    assert slug(await admin.get("/v1/admin/nodes/gw9/drain")) == (409, "document-unreadable")


def gateways(*names: str) -> Callable[[str | None], list[NodeInfo]]:
    """Node ids count from 1, epochs from 101."""
    found = [NodeInfo(n + 1, n + 101, name, ("gateway",), "192.0.2.1", 7) for n, name in enumerate(names)]
    return lambda role=None: found


async def test_the_last_gateway_is_drained_only_by_force(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients would be told to leave, come back to it, and be told again."""
    monkeypatch.setattr(services.coordination, "nodes", gateways("a", "b"))
    every, drain = {"If-Match": "*"}, "/v1/admin/nodes/{}/drain"
    assert (await admin.put(drain.format("a"), json={}, headers=every)).status_code == 200
    assert slug(await admin.put(drain.format("b"), json={}, headers=every)) == (409, "last-gateway")
    assert (await admin.put(drain.format("a"), json={"rate": 5}, headers=every)).status_code == 200
    forced = await admin.put(drain.format("b"), json={"force": True}, headers=every)
    assert (forced.status_code, forced.json()["epoch"], forced.json()["force"]) == (200, 0, True)


async def test_a_drain_that_waits_for_another_gateway_says_so(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gateways("a")(None)
    found[0] = msgspec.structs.replace(found[0], draining=True, drain=(9, 9, 60, 0.0), waits=True)
    monkeypatch.setattr(services.coordination, "nodes", lambda role=None: found)
    (shown,) = (await admin.get("/v1/admin/nodes")).json()["nodes"]
    assert shown["progress"] == {"told": 9, "left": 9, "remaining": 60, "rate": 0.0, "waits": WAITS}


async def test_of_two_orders_at_once_one_leaves_a_gateway_that_takes_clients(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is written before the other one is seen."""
    monkeypatch.setattr(services.coordination, "nodes", gateways("a", "b"))
    put, both = services.documents.put, asyncio.Barrier(2)

    async def together(key: str, value: bytes, expected: int | None = None) -> Document:
        async with both:
            return await put(key, value, expected)

    monkeypatch.setattr(services.documents, "put", together)
    every, drain = {"If-Match": "*"}, "/v1/admin/nodes/{}/drain"
    async with asyncio.timeout(20):
        answers = await asyncio.gather(
            *(admin.put(drain.format(name), json={}, headers=every) for name in "ab")
        )
    assert sorted(each.status_code for each in answers) == [200, 409]
    assert len((await services.documents.list("drain/")).documents) == 1


@pytest.mark.parametrize(
    "unfit", [{"lapsed": True}, {"clock_s": 90.0}, {"host": ""}, {"cut_off": True}], ids=str
)
async def test_a_gateway_that_lbs_names_to_nobody_takes_nobody_who_is_sent_away(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch, unfit: dict[str, Any]
) -> None:
    a, b = gateways("a", "b")(None)
    found = [a, msgspec.structs.replace(b, **unfit)]
    monkeypatch.setattr(services.coordination, "nodes", lambda role=None: found)
    answer = await admin.put("/v1/admin/nodes/a/drain", json={}, headers={"If-Match": "*"})
    assert slug(answer) == (409, "last-gateway")


async def test_orders_of_lives_that_are_over_go_with_the_next_and_the_log_names_them(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.coordination, "nodes", gateways("a", "b"))
    await services.documents.put("drain/node-9", msgspec.json.encode(DrainOrder(epoch=7, since=1.0)))
    await admin.put("/v1/admin/nodes/a/drain", json={}, headers={"If-Match": "*"})
    assert [each.key for each in (await services.documents.list("drain/")).documents] == ["drain/a"]
    lines = page(services.audit.operators.files.folder, 0, 9)[0]
    assert [line.ids.get("forgotten") for line in lines if line.outcome == "done"] == [["node-9"]]


async def test_what_is_not_known_to_be_there_is_taken_away_by_the_engine_or_not_at_all(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ordered, nobody told whether that was made, and memory does not have it."""

    async def nothing(key: str) -> None:
        return None

    await services.documents.put("storm/cluster", b'{"admit":"none"}')
    monkeypatch.setattr(services.documents, "get", nothing)
    answer = await admin.delete(STORM, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["revision"] > 0) == (200, True)
    assert (await services.documents.list("storm/")).documents == ()
    assert (await admin.delete(LIVE, headers={"If-Match": "*"})).json() == {"revision": 0}
    await make_documents(services).stop()
    for path in (STORM, LIVE, "/v1/admin/traces/zoe", "/v1/admin/nodes/a/drain", "/v1/admin/lbs/tables"):
        gone = await admin.delete(path, headers={"If-Match": "*"})
        assert slug(gone) == (503, "documents-unavailable"), path


async def test_of_live_settings_that_memory_has_as_none_the_engine_is_asked_too(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {"If-Match": "*"}
    await admin.put(LIVE, json={"values": {"log.level": "error"}}, headers=every)
    await admin.delete(LIVE, headers=every)
    assert (await admin.delete(LIVE, headers=every)).json() == {"revision": 0}
    assert len((await admin.get(LIVE)).json()["history"]) == 1, "to end nothing is no version"
    known = await services.documents.get("settings/live")
    await admin.put(LIVE, json={"values": {"log.level": "debug"}}, headers=every)

    async def remembered(key: str) -> Document | None:
        return known

    monkeypatch.setattr(services.documents, "get", remembered)
    assert slug(await admin.delete(LIVE, headers=every)) == (412, "revision-conflict")
    await make_documents(services).stop()
    assert slug(await admin.delete(LIVE, headers=every)) == (503, "documents-unavailable")


async def test_an_order_of_a_name_that_etcd_gave_is_for_one_life(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number, and with it the name, is somebody else's later."""
    etcd = build({"etcd": {"endpoints": ["127.0.0.1:1"]}}).etcd
    services.settings = msgspec.structs.replace(services.settings, etcd=etcd)
    monkeypatch.setattr(services.coordination, "nodes", gateways("node-1", "own"))
    every, nodes = {"If-Match": "*"}, "/v1/admin/nodes"
    ordered = [
        await admin.put(f"{nodes}/{name}/drain", json={"force": True}, headers=every)
        for name in ("node-1", "own")
    ]
    assert [answer.json()["epoch"] for answer in ordered] == [101, 0]
    storm = "/v1/admin/storm/nodes"
    assert (await admin.put(f"{storm}/node-1", json={}, headers=every)).json()["epoch"] == 101
    assert slug(await admin.put(f"{storm}/node-7", json={}, headers=every)) == (404, "not-found")
    assert (await admin.put(f"{storm}/own", json={}, headers=every)).json()["epoch"] == 0
    later = [NodeInfo(1, 300, "node-1", ("gateway",))]
    monkeypatch.setattr(services.coordination, "nodes", lambda role=None: later)
    shown = (await admin.get(nodes)).json()
    assert [(each["name"], each["draining"]) for each in shown["nodes"]] == [("node-1", False)]
    assert shown["absent"] == ["own"]


async def test_a_gateway_obeys_orders_of_its_own_life(services: Services) -> None:
    drains: list[DrainOrder | None] = []
    orders = Orders(services.documents, "node-1", 101, drains.append, cast(Any, None))
    heard: asyncio.Queue[str] = asyncio.Queue()
    orders._drains.on_change(lambda key, document: heard.put_nowait(key))
    await orders.start()
    for epoch in (100, 102, 101, 0):
        await services.documents.put("drain/node-1", msgspec.json.encode(DrainOrder(epoch=epoch)))
        async with asyncio.timeout(20):
            await heard.get()
    assert [order and order.epoch for order in drains] == [None, None, 101, 0]
    await orders.tick()
    assert await services.documents.get("drain/node-1"), "the order of an earlier life was replaced"
    await orders.stop(0.0)


async def test_orders_of_an_earlier_life_are_taken_away_by_the_next_owner_of_the_name(
    services: Services,
) -> None:
    storm = services.documents
    for key, epoch in (("storm/node/node-1", 100), ("storm/node/node-2", 100), ("storm/cluster", 0)):
        await storm.put(key, msgspec.json.encode(StormOrder(epoch=epoch)))
    await storm.put("drain/node-1", msgspec.json.encode(DrainOrder(epoch=102)))
    applied: list[StormOrder | None] = []
    admission = SimpleNamespace(apply=applied.append, apply_cluster=lambda order: None)
    orders = Orders(storm, "node-1", 101, lambda order: None, cast(Any, admission))
    await orders.start()
    await orders.tick()
    left = [
        document.key for prefix in ("drain/", "storm/") for document in (await storm.list(prefix)).documents
    ]
    assert left == ["drain/node-1", "storm/cluster", "storm/node/node-2"]
    assert applied == [None, None], "it never held, and is gone"
    await orders.stop(0.0)


async def test_a_revision_that_no_engine_can_have_is_a_conflict(
    admin: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    put = services.documents.put

    async def seen(key: str, value: bytes, expected: int | None = None) -> Document:
        asked.append(expected)
        return await put(key, value, expected)

    monkeypatch.setattr(services.documents, "put", seen)
    answer = await admin.put(STORM, json={}, headers={"If-Match": '"9999999999999999999"'})
    assert slug(answer) == (412, "revision-conflict")
    assert asked == [(1 << 63) - 1]  # as large as etcd's client can say


async def test_live_settings_are_checked_versioned_and_hold_in_a_running_process(
    admin: httpx.AsyncClient, services: Services
) -> None:
    applied: asyncio.Queue[Settings] = asyncio.Queue()
    running = LiveSettings(services.documents, services.settings, [applied.put_nowait])
    await running.start()
    for wrong in (
        {"log.level": "loud"}, {"limits.api_burst": 0}, {"limits.api_brst": 1}, {"server.node_id": 2},
        {"limits.key_failures": True},
    ):  # fmt: skip
        answer = await admin.put(LIVE, json={"values": wrong}, headers={"If-Match": "*"})
        assert (slug(answer), next(iter(wrong)) in answer.json()["detail"]) == ((422, "invalid"), True)
    for number in range(HISTORY + 5):
        values = {"limits.user_logins_per_s": float(number), "log.level": "error"}
        changed = await admin.put(LIVE, json={"values": values}, headers={"If-Match": "*"})
    assert len(changed.json()["history"]) == HISTORY
    assert changed.json()["history"][-1]["values"]["limits.user_logins_per_s"] == HISTORY + 3
    assert changed.json()["effective"]["limits.user_logins_per_s"] == HISTORY + 4
    async with asyncio.timeout(20):
        while (await applied.get()).limits.user_logins_per_s != HISTORY + 4:
            pass
    gone = await admin.delete(LIVE, headers={"If-Match": changed.headers["etag"]})
    async with asyncio.timeout(20):
        assert (await applied.get()).limits == services.settings.limits
    left = await admin.get(LIVE)
    assert (left.json()["values"], left.json()["history"][-1]["values"]) == ({}, changed.json()["values"])
    assert left.headers["etag"] == f'"{gone.json()["revision"]}"'
    again = await admin.delete(LIVE, headers={"If-Match": left.headers["etag"]})
    assert again.json() == {"revision": 0}
    await services.documents.put(DOCUMENT, b"of another version")
    assert (await admin.delete(LIVE, headers={"If-Match": "*"})).json()["revision"] > 0
    assert await services.documents.get(DOCUMENT) is None
    await running.stop(0.0)


async def test_where_live_settings_do_not_hold_is_told(admin: httpx.AsyncClient, services: Services) -> None:
    key = "gateway.admission.retry_least_s"
    services.coordination.announce(NodeInfo(7, 1, "gw7", ("gateway",), refuses=(key, "log.level")))
    changed = await admin.put(LIVE, json={"values": {key: 2}}, headers={"If-Match": "*"})
    assert changed.json()["refused"] == [{"node": "gw7", "keys": [key]}]


async def test_lbs_tables_are_checked_line_by_line(admin: httpx.AsyncClient) -> None:
    path = "/v1/admin/lbs/tables"
    assert (await admin.get(path)).status_code == 404
    wrong = await admin.put(path, json={"tables": {"nonsense": 1}}, headers={"If-Match": '"0"'})
    assert slug(wrong) == (422, "invalid")
