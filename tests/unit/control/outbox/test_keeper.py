"""Each endpoint has one process that delivers to it, and what an endpoint is stands in its document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from control.coordination.sqlite_documents import SqliteDocuments
from control.outbox.endpoints import PREFIX, REPLAYS, Endpoint, Replay, read_endpoint
from control.outbox.keeper import Outbox
from control.outbox.sink import Outcome, Sink, Verdict
from im_service.outbox.ports import Cursor, Event, Lag
from im_service.outbox.trouble import Refused, Trouble, from_note, to_note
from im_service.ports import SystemClock
from tests.support.event_log import MemoryEventLog
from tests.support.sdk_client import until
from tests.unit.control.outbox.test_delivery import MemoryLetters

FAILING_MS = 1 << 39


class Shared:
    """What two processes have in common, and what their endpoints got."""

    def __init__(self, documents: SqliteDocuments) -> None:
        self.documents = documents
        self.log = MemoryEventLog()
        self.letters = MemoryLetters()
        self.got: list[tuple[int, str, str, bool]] = []
        self.verdict = Verdict.DELIVERED
        self.live = [1, 2]
        self.gate = asyncio.Event()
        self.gate.set()
        self.asking = 0
        self.signed: list[Endpoint] = []

    def process(self, node: int) -> Outbox:
        def make(name: str, endpoint: Callable[[], Endpoint]) -> Sink:
            return Recorder(self, node, name, endpoint)

        return Outbox(
            self.documents,
            self.log,
            self.letters,
            SystemClock(),
            make,
            node,
            lambda: self.live,
            beyond,
            1 << 40,
        )

    async def put(self, name: str, **more: object) -> Endpoint:
        endpoint = Endpoint(url="https://shop.example/", after="c0", incarnation="a", **more)
        await self.documents.put(PREFIX + name, msgspec.json.encode(endpoint))
        return endpoint


class Recorder:
    def __init__(self, shared: Shared, node: int, name: str, endpoint: Callable[[], Endpoint]) -> None:
        self._shared, self._node, self._name, self._endpoint = shared, node, name, endpoint

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        self._shared.asking += 1
        await self._shared.gate.wait()
        self._shared.signed.append(self._endpoint())
        if self._shared.verdict is Verdict.DELIVERED:
            self._shared.got += [(self._node, self._name, event.event_id, bool(again)) for event in batch]
        return Outcome(self._shared.verdict, "because")

    async def close(self) -> None:
        return


def beyond(end: Cursor) -> Callable[[Cursor], bool]:
    return lambda cursor: int(cursor[1:]) > int(end[1:])


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    documents = SqliteDocuments(tmp_path / "documents.sqlite3")
    await documents.start()
    yield Shared(documents)
    await documents.stop(0.0)


async def begun(*outboxes: Outbox) -> None:
    for outbox in outboxes:
        await outbox.start()
        await outbox.started()


async def ended(*outboxes: Outbox) -> None:
    for outbox in outboxes:
        await outbox.stop(0.0)


async def test_one_process_delivers_and_another_goes_on_where_it_ended(shared: Shared) -> None:
    for name in ("a", "b", "c", "d", "e", "f"):
        await shared.put(name)
    one, two = shared.process(1), shared.process(2)
    await begun(one, two)
    for _ in range(5):
        shared.log.put("message.single", "s/1")
    await until(lambda: len(shared.got) == 30)
    assert len({(node, name) for node, name, _, _ in shared.got}) == 6, "each has one owner"
    assert {node for node, *_ in shared.got} == {1, 2}
    await ended(one)
    shared.live.remove(1)
    for _ in range(5):
        shared.log.put("message.single", "s/1")
    await two.tick()
    await until(
        lambda: {name for node, name, event, _ in shared.got if (node, event) == (2, "e10")} == set("abcdef")
    )
    assert len(shared.got) == 60, "nothing twice where a process ended in order"
    await ended(two)


async def test_paused_means_nothing_goes_out_and_nothing_is_lost(shared: Shared) -> None:
    shared.live = [1]
    await shared.put("shop", state="paused")
    one = shared.process(1)
    await begun(one)
    shared.log.put("message.single", "s/1")
    await one.tick()
    assert one.delivery("shop") is None
    await shared.put("shop")
    await until(lambda: len(shared.got) == 1)
    await ended(one)


async def test_gone_is_written_into_the_document_and_said_in_a_remark(shared: Shared) -> None:
    shared.live = [1]
    await shared.put("shop")
    shared.verdict = Verdict.GONE
    one = shared.process(1)
    await begun(one)
    shared.log.put("message.single", "s/1")
    remark = one.remarks()["endpoints"]
    await until(lambda: remark() is not None)
    document = await shared.documents.get(PREFIX + "shop")
    assert document is not None
    assert read_endpoint(document).state == "disabled"
    assert "because" in (remark() or "")
    await until(lambda: one.delivery("shop") is None)
    shared.verdict = Verdict.DELIVERED
    await shared.put("shop")
    await until(lambda: len(shared.got) == 1)
    await ended(one)


async def test_how_long_it_fails_goes_along_to_another_process_and_ends_where_it_is_judged_anew(
    shared: Shared,
) -> None:
    shared.verdict = Verdict.FAILED
    endpoint = await shared.put("shop", begun=3)
    group = endpoint.group("shop")
    shared.log.put("message.single", "s/1")
    note = to_note(Trouble(FAILING_MS, {"e1": Refused(5, 2)}), 3)
    await shared.log.commit(group, "c0", 0, note)
    one, two = shared.process(1), shared.process(2)
    shared.live = [1]
    await begun(one)
    await until(lambda: one.tally("shop").requests["failed"] > 0)
    await ended(one)
    kept = from_note(shared.log.kept[group].note, 3)
    assert kept.failing_ms is not None
    assert kept.failing_ms >= FAILING_MS
    assert kept.refused == {"e1": (5, 2)}
    shared.live = [2]
    await begun(two)
    await until(lambda: two.tally("shop").requests["failed"] > 0)
    assert _failing(two) >= FAILING_MS
    await shared.documents.put(PREFIX + "shop", msgspec.json.encode(endpoint.anew(0)))
    await until(lambda: 0 <= _failing(two) < FAILING_MS)
    await ended(two)
    assert (from_note(shared.log.kept[group].note, 4).failing_ms or 0) < FAILING_MS


def _failing(outbox: Outbox) -> int:
    """-1: it does not, or nobody reads now."""
    delivery = outbox.delivery("shop")
    if delivery is None or delivery.window is None:
        return -1
    failing = delivery.window.trouble(SystemClock().elapsed_ms()).failing_ms
    return -1 if failing is None else failing


async def test_a_replay_runs_beside_what_is_new_and_is_over_when_it_is_done(shared: Shared) -> None:
    shared.live = [1]
    await shared.put("shop")
    one = shared.process(1)
    await begun(one)
    for _ in range(20):
        shared.log.put("message.single", "s/1")
    await until(lambda: len(shared.got) == 20)
    replay = Replay(id="r1", incarnation="a", after="c5", until="c15", asked_at=0)
    await shared.documents.put(REPLAYS + "shop", msgspec.json.encode(replay))
    await until(lambda: one.replay("shop") is None and len(shared.got) == 30)
    again = [event for _, _, event, replayed in shared.got if replayed]
    assert again == [f"e{number}" for number in range(6, 16)]
    assert await shared.documents.get(REPLAYS + "shop") is None
    await until(lambda: list(shared.log.kept) == ["endpoint.shop.a"])
    await ended(one)


async def test_a_document_of_another_version_is_said_and_hurts_no_other(shared: Shared) -> None:
    shared.live = [1]
    await shared.documents.put(PREFIX + "odd", b'{"url": 7}')
    await shared.put("shop")
    one = shared.process(1)
    await begun(one)
    shared.log.put("message.single", "s/1")
    await until(lambda: len(shared.got) == 1)
    assert "odd" in (one.remarks()["endpoints"]() or "")
    await ended(one)


async def test_endpoints_come_and_go_while_it_is_measured_how_far_they_are_behind(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.live = [1]
    one = shared.process(1)
    await begun(one)
    await shared.put("a")
    await shared.put("b")
    await until(lambda: len(shared.log.kept) == 2)

    async def slow(after: Cursor) -> Lag:
        name = f"new{len(one.lags.known)}"
        await shared.put(name)
        await until(lambda: one.endpoint(name) is not None)
        return Lag(0, 0.0)

    monkeypatch.setattr(shared.log, "lag", slow)
    await one.tick()
    assert set(one.lags.known) >= {"a", "b"}
    await ended(one)


async def test_a_deleted_endpoint_leaves_no_place_behind(shared: Shared) -> None:
    shared.live = [1]
    await shared.put("shop")
    one = shared.process(1)
    await begun(one)
    shared.log.put("message.single", "s/1")
    await until(lambda: len(shared.got) == 1)
    await shared.documents.delete(PREFIX + "shop")
    await until(lambda: not shared.log.kept)
    await ended(one)


@pytest.mark.parametrize("verdict", [Verdict.DELIVERED, Verdict.FAILED, Verdict.GONE])
async def test_an_endpoint_that_is_removed_and_made_again_under_a_request_is_two(
    shared: Shared, verdict: Verdict
) -> None:
    """What is under way ends with what it began with, and its answer is not the new one's."""
    shared.live = [1]
    await shared.put("shop")
    one = shared.process(1)
    await begun(one)
    shared.gate.clear()
    shared.verdict = verdict
    shared.log.put("message.single", "s/1")
    await until(lambda: shared.asking == 1)
    await shared.documents.delete(PREFIX + "shop")
    await until(lambda: one.endpoint("shop") is None)
    again = Endpoint(url="https://shop.example/", after="c1", incarnation="b", secrets=("new",))
    await shared.documents.put(PREFIX + "shop", msgspec.json.encode(again))
    await until(lambda: one.endpoint("shop") == again)
    shared.gate.set()
    await until(lambda: "endpoint.shop.b" in shared.log.kept)
    await ended(one)
    assert [endpoint.incarnation for endpoint in shared.signed] == ["a"]
    document = await shared.documents.get(PREFIX + "shop")
    assert document is not None
    assert read_endpoint(document) == again
