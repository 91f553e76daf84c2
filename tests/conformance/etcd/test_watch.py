"""A watch tells every change once and in order, whatever becomes of the member, the history, or the store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control.coordination.documents import Change
from control.coordination.etcd import watch as watching
from control.coordination.etcd.client import EtcdClient, connect
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.watch import Event, Watch
from control.coordination.replica import Replica
from tests.support.etcd_cluster import EtcdCluster, EtcdMember
from tests.support.sdk_client import until

WATCHERS = "etcd_debugging_mvcc_watcher_total"
STREAMS = "etcd_debugging_mvcc_watch_stream_total"


def member_of(client: EtcdClient, cluster: EtcdCluster) -> EtcdMember:
    """The member that this client asks now."""
    return next(m for m in cluster.members if m.endpoint.endswith(client.calls.members.current.endpoint))


async def take(changes: AsyncIterator[Change], count: int, within_s: float = 20) -> list[Change]:
    async with asyncio.timeout(within_s):
        return [await anext(changes) for _ in range(count)]


async def test_6000_changes_arrive_once_and_in_order_while_members_are_killed(
    three: EtcdCluster, prefix: str
) -> None:
    writer, reader = await connect(three.section(prefix=prefix)), await connect(three.section(prefix=prefix))
    begin = (await writer.list(b"")).revision
    value = b"v" * 2000
    for first in range(0, 6000, 200):
        puts = (
            writer.put(f"{prefix}{n % 50}".encode(), b"%d " % n + value) for n in range(first, first + 200)
        )
        await asyncio.gather(*puts)
    told: list[Event] = []
    killed: list[EtcdMember] = []
    async with asyncio.timeout(60):
        async for event in Watch(reader, prefix.encode(), begin).events():
            told.append(event)
            if len(told) in (100, 2000, 3500):
                for member in killed:
                    member.start()
                await asyncio.to_thread(three.wait)
                killed = [member_of(reader, three)]
                killed[0].kill()
            if len(told) == 6000:
                break
    revisions = [event.revision for event in told]
    assert revisions == sorted(set(revisions)), "double or out of order"
    assert {event.value and event.value.split()[0] for event in told} == {b"%d" % n for n in range(6000)}
    for member in killed:
        member.start()
    await asyncio.to_thread(three.wait)
    assert reader.numbers()["reconnects_total"] >= 2  # what it had received already needs no member
    await writer.close()
    await reader.close()


async def test_events_follow_within_4_s_when_the_watchers_member_stands_still(
    three: EtcdCluster, prefix: str
) -> None:
    reader = await connect(three.section(prefix=prefix))
    documents = EtcdDocuments(reader)
    first = await documents.put("a", b"1")
    watch = documents.watch("", first.revision)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0.2)
    stopped = member_of(reader, three)
    others = tuple(member.endpoint for member in three.members if member is not stopped)
    writer = await connect(three.section(prefix=prefix, endpoints=others))
    stopped.freeze()
    try:
        begun = asyncio.get_running_loop().time()
        second = await EtcdDocuments(writer).put("a", b"2")
        async with asyncio.timeout(10):
            assert await waiting == Change("a", b"2", second.revision)
        took = asyncio.get_running_loop().time() - begun
        print(f"next event {took:.1f} s after the member was stopped")
        limit = watching.SILENCE_S + watching.ANSWER_S + 1  # and a change of leader, where it led
        assert took < limit + 3
    finally:
        stopped.go_on()
        await asyncio.to_thread(three.wait)
    await writer.close()
    await reader.close()


async def test_history_that_is_just_there_is_told_and_what_is_compacted_is_made_up_for(
    client: EtcdClient,
) -> None:
    documents = EtcdDocuments(client)
    begun = await documents.put("gone", b"0")
    kept = await documents.put("kept", b"0")
    revisions = [(await documents.put("a", b"%d" % n)).revision for n in range(10)]
    await documents.delete("gone")
    last = await documents.put("b", b"1")
    await client.compact(revisions[5])
    exact = documents.watch("", revisions[5] - 1, dict.fromkeys(("gone", "kept", "a"), 1))
    told = await take(exact, 7)
    assert [(change.key, change.value) for change in told] == [
        *(("a", b"%d" % n) for n in range(5, 10)),
        ("gone", None),
        ("b", b"1"),
    ]
    below = documents.watch("", begun.revision, {"gone": 1})
    told = await take(below, 4)
    assert told[:3] == [
        Change("kept", b"0", kept.revision),
        Change("a", b"9", revisions[9]),
        Change("b", b"1", last.revision),
    ]
    assert (told[3].key, told[3].value) == ("gone", None)
    more = await documents.put("c", b"1")
    assert await take(below, 1) == [Change("c", b"1", more.revision)]


async def test_changes_that_were_compacted_while_the_watcher_was_cut_off_are_made_up_for(
    three: EtcdCluster, prefix: str
) -> None:
    alone, rest = three.members[0], tuple(member.endpoint for member in three.members[1:])
    reader = await connect(three.section(prefix=prefix, endpoints=(alone.endpoint,)))
    writer = await connect(three.section(prefix=prefix, endpoints=rest))
    documents, others = EtcdDocuments(reader), EtcdDocuments(writer)
    watch = documents.watch("", (await others.list("")).revision)
    put = {name: await others.put(name, b"0") for name in ("a", "b", "c")}
    assert len(await take(watch, 3)) == 3
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    alone.kill()
    await others.delete("a")
    b = await others.put("b", b"1")
    d = await others.put("d", b"1")
    await writer.compact(d.revision)
    alone.start()
    await asyncio.to_thread(three.wait)
    async with asyncio.timeout(15):
        told = [await waiting, *await take(watch, 2)]
    assert told[:2] == [Change("b", b"1", b.revision), Change("d", b"1", d.revision)]
    assert (told[2].key, told[2].value) == ("a", None)
    again = await others.put("c", b"1", put["c"].revision)
    assert await take(watch, 1) == [Change("c", b"1", again.revision)]
    await writer.close()
    await reader.close()


async def test_a_store_that_was_set_up_anew_is_told_as_what_is_there_now(
    tmp_path: object, prefix: str
) -> None:

    assert isinstance(tmp_path, Path)
    with EtcdCluster(tmp_path / "anew") as cluster:
        client = await connect(cluster.section(prefix=prefix))
        documents = EtcdDocuments(client)
        for n in range(5):
            await documents.put(f"k{n}", b"old")
        watch = documents.watch("", 1)
        await take(watch, 5)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        cluster.members[0].kill()
        shutil.rmtree(tmp_path / "anew" / "m0")
        await asyncio.to_thread(cluster.start)
        async with asyncio.timeout(10):
            told = [await waiting, *await take(watch, 4)]
        assert [(change.key, change.value) for change in told] == [(f"k{n}", None) for n in range(5)]
        put = await documents.put("k1", b"new")
        assert await take(watch, 1) == [Change("k1", b"new", put.revision)]
        await client.close()


@pytest.mark.parametrize("token", ["another cluster", ""])
async def test_a_snapshot_that_was_put_back_and_went_on_is_told_as_what_is_there_now(
    tmp_path: Path, prefix: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the revision that was told: at once where the cluster is another one, else by the next listing."""
    if not token:
        monkeypatch.setattr(watching, "SILENCE_S", 0.1)
        monkeypatch.setattr(Watch, "_next_listing", lambda self: 0.0)
    folder = f"{prefix}documents/"
    with EtcdCluster(tmp_path / "forked") as cluster:
        client = await connect(cluster.section(prefix=prefix))
        documents = EtcdDocuments(client)
        await documents.put("keys", b"old")
        await documents.put("drain", b"{}")
        cluster.control("snapshot", "save", str(tmp_path / "kept"))
        await documents.put("keys", b"of the history that is lost")
        await documents.delete("drain")
        await documents.put("storm", b"shut")
        replica = Replica(documents, "")
        await replica.start()
        await until(lambda: client.numbers()["requests_total"] > 5)
        cluster.put_back(tmp_path / "kept", token)  # the watcher stands still until all this is done
        cluster.control("put", f"{folder}zone", "new")
        for n in range(6):
            cluster.control("put", f"{folder}busy", str(n))
        expected = {"keys": b"old", "drain": b"{}", "zone": b"new", "busy": b"5"}
        await until(lambda: {each.key: each.value for each in replica.all()} == expected)
        await replica.stop()
        await client.close()


class Losing(Watch):
    """A watch of a server that loses the events of one key, as versions before 3.4.36 could."""

    async def _heard(self) -> Any:
        while True:
            answer = await super()._heard()
            told = [event for event in answer.events if not event.kv.key.endswith(b"lost")]
            if len(told) == len(answer.events):
                return answer
            if told:  # an answer without events would be a sign of life, that of a server is none
                del answer.events[:]
                answer.events.extend(told)
                return answer


async def test_what_a_server_did_not_tell_is_found_by_a_listing_and_counted(
    etcd: EtcdCluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENCE_S", 0.1)
    monkeypatch.setattr(Watch, "_next_listing", lambda self: 0.0)  # one at every chance
    client = await connect(etcd.section(prefix=prefix))
    events = Losing(client, prefix.encode(), (await client.list(prefix.encode())).revision).events()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    revision = await client.put(f"{prefix}lost".encode(), b"1")
    heard = await client.put(f"{prefix}heard".encode(), b"1")
    async with asyncio.timeout(15):
        told = sorted([await waiting, await anext(events)])  # the listing may have been between the two
        assert told == [
            Event(f"{prefix}heard".encode(), b"1", heard),
            Event(f"{prefix}lost".encode(), b"1", revision),
        ]
        assert client.numbers()["divergences_total"] == 1
        await client.delete(f"{prefix}lost".encode())
        gone = await anext(events)
    assert (gone.key, gone.value) == (f"{prefix}lost".encode(), None)
    assert client.numbers()["divergences_total"] == 2
    await client.close()


async def test_listings_find_nothing_where_everything_was_told(
    etcd: EtcdCluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENCE_S", 0.05)
    monkeypatch.setattr(Watch, "_next_listing", lambda self: 0.0)  # one at every chance
    client = await connect(etcd.section(prefix=prefix))
    documents = EtcdDocuments(client)
    before = await documents.put("before", b"1")
    watch = documents.watch("", before.revision)
    expected = []
    told: list[Change] = []

    async def follow() -> None:
        async for change in watch:
            told.append(change)

    following = asyncio.ensure_future(follow())
    for n in range(300):
        put = await documents.put(f"{n % 5}", b"%d" % n)
        expected.append(Change(put.key, put.value, put.revision))
        if n % 7 == 0:
            expected.append(Change(put.key, None, await documents.delete(put.key)))
        if n % 50 == 0:
            await asyncio.sleep(0.2)
    await until(lambda: len(told) >= len(expected))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert told == expected
    assert client.numbers()["divergences_total"] == 0
    await client.close()


async def test_1000_watches_that_end_leave_nothing_at_the_server(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    documents = EtcdDocuments(client)
    put = await documents.put("a", b"1")

    async def begin_and_end(n: int) -> None:
        watch = documents.watch("", put.revision - 1)
        if n % 2:
            assert (await anext(watch)).key == "a"
            await watch.aclose()
            return
        ending = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.001 * (n % 7))
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)

    for n in range(0, 1000, 50):
        await asyncio.gather(*(begin_and_end(each) for each in range(n, n + 50)))
    member = etcd.members[0]
    await until(lambda: not member.metric(WATCHERS) and not member.metric(STREAMS), 30)


async def test_a_watch_whose_reader_is_slow_loses_nothing(client: EtcdClient) -> None:
    documents = EtcdDocuments(client)
    begin = (await documents.list("")).revision
    watch = documents.watch("", begin)
    told = []
    for n in range(40):
        await asyncio.gather(*(documents.put(f"{k}", b"x" * 20_000) for k in range(10)))
        told.append((await take(watch, 1))[0])
        if n % 10 == 0:
            await asyncio.sleep(0.1)
    told += await take(watch, 400 - len(told))
    revisions = [change.revision for change in told]
    assert revisions == sorted(set(revisions))
    assert len(revisions) == 400
