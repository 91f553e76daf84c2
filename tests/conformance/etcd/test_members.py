"""Members that die, stand still or lose their leader: calls go on, and nothing is written twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from control.coordination.documents import Conflict, DocumentsUnavailable
from control.coordination.etcd import documents as changing
from control.coordination.etcd.client import EtcdClient, connect
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.errors import EtcdError, EtcdUnavailable, OutcomeUnknown
from control.coordination.etcd.messages import Check, Put
from control.coordination.etcd.registration import Registration
from control.coordination.etcd.watch import Watch
from tests.support.etcd_cluster import EtcdCluster
from tests.support.sdk_client import until


async def test_changes_are_made_once_while_leaders_are_killed_and_a_lease_outlives_that(
    three: EtcdCluster, prefix: str
) -> None:
    client = await connect(three.section(prefix=prefix, ttl_s=10))
    documents, own = EtcdDocuments(client), Registration(client, "a")
    await own.start()
    lost: list[str] = []
    own.on_lost(lambda: lost.append("lost"))
    begun = (await documents.list("")).revision
    writers = dict.fromkeys(("a", "b", "c", "d"), 0)
    longest = 0.0
    ending = asyncio.Event()

    async def write(name: str) -> None:
        nonlocal longest
        revision = 0
        while not ending.is_set():
            at = time.monotonic()
            revision = (
                await documents.put(name, b"%s %d" % (name.encode(), writers[name]), revision)
            ).revision
            longest = max(longest, time.monotonic() - at)
            writers[name] += 1

    writing = [asyncio.ensure_future(write(name)) for name in writers]
    for _ in range(2):
        before = sum(writers.values())
        await until(lambda before=before: sum(writers.values()) > before + 40)
        leader = await asyncio.to_thread(three.leader)
        leader.kill()
        at = sum(writers.values())
        await until(lambda at=at: sum(writers.values()) > at + 40, 20)
        leader.start()
        await asyncio.to_thread(three.wait)
    ending.set()
    await asyncio.gather(*writing)
    print(f"longest write over two deaths of a leader: {longest:.2f} s of {sum(writers.values())} writes")
    watch = Watch(client, f"{prefix}documents/".encode(), begun).events()
    told = [(await anext(watch)).value for _ in range(sum(writers.values()))]
    for name, count in writers.items():
        mine = [value for value in told if value is not None and value.startswith(name.encode())]
        assert mine == [b"%s %d" % (name.encode(), n) for n in range(count)]
    assert lost == []
    assert own.held
    await own.stop()
    await client.close()


async def test_a_member_that_stands_still_is_passed_over(three: EtcdCluster, prefix: str) -> None:
    client = await connect(three.section(prefix=prefix))
    asked = client.calls.members.current.endpoint
    stopped = next(member for member in three.members if member.endpoint.endswith(asked))
    await client.put(f"{prefix}a".encode(), b"1")
    stopped.freeze()
    try:
        at = time.monotonic()
        found = await client.get(f"{prefix}a".encode())
        assert found is not None
        assert time.monotonic() - at < 5
        told = {health.endpoint: health.problem for health in await client.health()}
        assert told.pop(asked)
        assert set(told.values()) == {None}
        at = time.monotonic()
        await client.put(f"{prefix}a".encode(), b"2")
        assert time.monotonic() - at < 1, "whoever failed is not asked first again"
    finally:
        stopped.go_on()
        await asyncio.to_thread(three.wait)
    await client.close()


async def test_without_a_majority_nothing_is_written_and_all_is_well_when_it_is_back(
    three: EtcdCluster, prefix: str
) -> None:
    client = await connect(three.section(prefix=prefix))
    documents = EtcdDocuments(client)
    put = await documents.put("a", b"1")
    for member in three.members[1:]:
        member.kill()
    at = time.monotonic()
    outcomes = await asyncio.gather(
        documents.put("a", b"2", put.revision),
        documents.get("a"),
        documents.delete("a"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [DocumentsUnavailable] * 3
    assert time.monotonic() - at < 6
    problem = documents.problem()
    assert problem is not None
    for member in three.members[1:]:
        member.start()
    await asyncio.to_thread(three.wait)
    found = await documents.get("a")
    assert documents.problem() is None
    # What nobody answered may have been made; if so, once.
    assert found is None or found.value in (b"1", b"2")
    await client.close()


async def test_a_write_that_nobody_answered_is_not_repeated_but_said(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    key = f"{client.section.prefix}a".encode()
    first = await client.put(key, b"1")
    etcd.members[0].freeze()
    try:
        with pytest.raises(OutcomeUnknown):
            await client.put(key, b"2")
        with pytest.raises(OutcomeUnknown):
            await client.txn([Check(key, "mod", first)], [Put(key, b"3")])
    finally:
        etcd.members[0].go_on()
    found = await client.get(key)
    assert found is not None
    assert found.value in (b"1", b"2", b"3")


async def test_a_change_that_was_not_answered_is_told_as_made_when_it_was(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    documents = EtcdDocuments(client)
    first = await documents.put("a", b"1")
    etcd.members[0].freeze()
    changing = [asyncio.ensure_future(documents.put("a", b"%d" % n, first.revision)) for n in (2, 3)]
    await asyncio.sleep(2.5)  # both tries have run out, and wait in the socket
    etcd.members[0].go_on()
    outcomes = await asyncio.gather(*changing, return_exceptions=True)
    made = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(made) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
    assert await documents.get("a") == made[0]


async def test_endpoints_of_two_clusters_are_refused_and_a_stranger_is_never_written_to(
    etcd: EtcdCluster, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else processes would take two worlds for one, as soon as a member of the first stands still."""
    monkeypatch.setattr(changing, "WITHIN_S", 3.0)
    with EtcdCluster(tmp_path / "other") as other:
        both = (*etcd.endpoints, *other.endpoints)
        with pytest.raises(EtcdError, match="another cluster"):
            await connect(etcd.section(prefix=prefix, endpoints=both))
        other.members[0].kill()
        client = await connect(etcd.section(prefix=prefix, endpoints=both))
        other.start()
        etcd.members[0].freeze()
        try:
            with pytest.raises(DocumentsUnavailable):
                await EtcdDocuments(client).put("a", b"1")
        finally:
            etcd.members[0].go_on()
        assert other.control("get", "--prefix", prefix) == ""
        await EtcdDocuments(client).put("a", b"2")
        await client.close()


async def test_nobody_there_is_said_in_time(etcd: EtcdCluster) -> None:
    at = time.monotonic()
    for outcome in await asyncio.gather(
        connect(etcd.section(endpoints=("127.0.0.1:1",))),
        connect(etcd.section(endpoints=("127.0.0.1:1", "127.0.0.1:2"))),
        return_exceptions=True,
    ):
        assert isinstance(outcome, EtcdUnavailable)
        assert "refused" in str(outcome)
    assert time.monotonic() - at < 6


async def test_closing_under_a_call_ends_it_as_unavailable_and_nobody_is_cancelled(
    etcd: EtcdCluster, prefix: str
) -> None:
    client = await connect(etcd.section(prefix=prefix))
    etcd.members[0].freeze()
    try:
        calling = asyncio.ensure_future(client.put(f"{prefix}a".encode(), b"1"))
        watching = asyncio.ensure_future(anext(Watch(client, b"", 0).events()))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(EtcdUnavailable):
            await calling
        assert not watching.done()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    finally:
        etcd.members[0].go_on()
    await client.close()
