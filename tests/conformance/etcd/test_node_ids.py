"""A node id has one owner at a time, who knows when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from control.coordination.documents import Conflict, DocumentsUnavailable
from control.coordination.etcd.client import EtcdClient, connect
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.errors import EtcdUnavailable, NotOwner, OutcomeUnknown
from control.coordination.etcd.messages import KeyValue, Outcome, Put
from control.coordination.etcd.registration import Registration
from control.coordination.etcd.watch import Watch
from control.coordination.roster import Roster
from control.errors import StartError
from control.settings.sections import EtcdSection
from tests.support.etcd_cluster import TTL_S, EtcdCluster
from tests.support.sdk_client import until
from tests.support.tree import ROOT


class Owner:
    """tests/support/etcd_owner.py, and what it has said."""

    def __init__(self, section: EtcdSection, name: str, last_id: int) -> None:
        given = {"endpoints": section.endpoints, "ttl_s": section.ttl_s, "prefix": section.prefix}
        words = [sys.executable, "-m", "tests.support.etcd_owner", json.dumps(given), name, str(last_id)]
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.said: list[list[str]] = []

    async def hear(self) -> list[str]:
        """The words of the next line; the last one is when it was said."""
        assert self.process.stdout is not None
        while True:
            async with asyncio.timeout(20):
                line = await asyncio.to_thread(self.process.stdout.readline)
            assert line, "it ended"
            if line.split()[0] in ("own", "lost", "kept", "taken"):
                self.said.append(line.split())
                return self.said[-1]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def owners() -> Iterator[list[Owner]]:
    made: list[Owner] = []
    yield made
    for owner in made:
        owner.end()


@contextlib.asynccontextmanager
async def held(client: EtcdClient, name: str, last_id: int = 255) -> AsyncIterator[Registration]:
    made = Registration(client, name, last_id)
    await made.start()
    yield made
    await made.stop()


async def test_ids_are_the_lowest_and_epochs_the_revisions_of_their_keys(client: EtcdClient) -> None:
    made = [Registration(client, f"n{n}") for n in range(8)]
    await asyncio.gather(*(each.start() for each in made))
    assert sorted(each.own[0] for each in made) == list(range(1, 9))
    for each in made:
        key = await client.get(f"{client.section.prefix}nodes/{each.own[0]}".encode())
        assert key is not None
        assert key.created == each.own[1]
        assert each.held
    await asyncio.gather(*(each.stop() for each in made))
    assert not (await client.list(f"{client.section.prefix}nodes/".encode())).keys


async def test_an_id_that_was_used_rests_until_all_others_were(client: EtcdClient) -> None:
    found = []
    for _ in range(5):
        async with held(client, "n", 3) as each:
            found.append(each.own)
    assert [node_id for node_id, _ in found] == [1, 2, 3, 1, 2]
    epochs = [epoch for _, epoch in found]
    assert epochs == sorted(set(epochs))


async def test_a_cluster_that_is_full_says_so(client: EtcdClient) -> None:
    async with held(client, "a", 1):
        with pytest.raises(StartError, match="all 1 node ids"):
            await Registration(client, "b", 1).start()


async def test_a_process_that_stood_still_keeps_its_id_and_epoch_when_nobody_took_it(
    etcd: EtcdCluster, client: EtcdClient, owners: list[Owner]
) -> None:
    owner = Owner(client.section, "a", 255)
    owners.append(owner)
    own = await owner.hear()
    owner.process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(30):
        async for event in Watch(client, f"{client.section.prefix}nodes/".encode(), int(own[2])).events():
            assert event.value is None
            break  # etcd, too, has ended the lease
    went_on = time.monotonic()
    owner.process.send_signal(signal.SIGCONT)
    lost = await owner.hear()
    assert lost[:2] == ["lost", "False"]
    assert float(lost[-1]) - went_on < TTL_S  # in the first turn; a crowded machine lets it wait
    assert (await owner.hear())[:3] == ["kept", *own[1:3]]
    key = await client.get(f"{client.section.prefix}nodes/{own[1]}".encode())
    assert key is not None
    assert str(msgspec.json.decode(key.value)["epoch"]) == own[2] != str(key.created)


async def test_a_process_whose_id_was_taken_meanwhile_is_told_by_whom(
    client: EtcdClient, owners: list[Owner]
) -> None:
    owner = Owner(client.section, "a", 1)
    owners.append(owner)
    first = await owner.hear()
    owner.process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(StartError):
                async with held(client, "b", 1) as other:
                    break
            await asyncio.sleep(0.1)
    # It had the id, and left again: the first owner is somebody else to everybody by now.
    assert other.own[0] == 1
    assert other.own[1] > int(first[2])
    owner.process.send_signal(signal.SIGCONT)
    assert (await owner.hear())[0] == "lost"
    assert (await owner.hear())[:2] == ["taken", "b"]


async def test_a_lease_is_lost_at_its_deadline_while_etcd_stands_still_and_taken_up_after(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    said: list[tuple[str, float]] = []
    async with held(client, "a") as own:
        own.on_lost(lambda: said.append(("lost", time.monotonic())))
        own.on_kept(lambda: said.append(("kept", time.monotonic())))
        before, fence = own.own, own.fence()
        etcd.members[0].freeze()
        frozen = time.monotonic()
        try:
            await until(lambda: bool(said), 10)
            assert said[0][1] - frozen <= TTL_S + 0.5  # a crowded machine is late
            assert not own.held
            assert own.numbers() == {"min_lease_left_s": 0.0}
            with pytest.raises(NotOwner):
                own.fence()
        finally:
            etcd.members[0].go_on()
        await until(lambda: len(said) == 2, 15)
        assert [word for word, _ in said] == ["lost", "kept"]
        assert own.own == before
        assert own.held
        assert own.fence().key == fence.key


def came_again(own: Registration, changed: list[int], had: int) -> bool:
    return len(changed) > had and own.held


async def test_an_id_that_outlived_its_lease_is_the_same_life_to_all_who_look(client: EtcdClient) -> None:
    """Etcd was away: no lease ended there, all did here. Taken for another life, everybody would be gone."""
    async with held(client, "a") as own:
        roster = Roster(EtcdDocuments(client, client.section.prefix))
        await roster.start()
        changed: list[int] = []
        roster.on_change(changed.append)
        await until(lambda: roster.lists(own.own) is True)
        for _ in range(2):
            had = len(changed)
            own._lease._end("etcd was away for longer than it lives")
            await until(partial(came_again, own, changed, had))
            assert roster.lists(own.own) is True
            assert not roster.is_over(own.own)
        await roster.stop(0)


async def test_what_an_owner_writes_is_refused_once_its_key_is_another(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    key = f"{client.section.prefix}owned".encode()
    async with held(client, "a") as own:
        node = own.fence().key
        assert (await client.txn([own.fence()], [Put(key, b"1")])).held
        stale = own.fence()
        await client.delete(node)
        await client.put(node, b'{"name":"b","mark":"b"}')
        assert not (await client.txn([stale], [Put(key, b"2")])).held
        found = await client.get(key)
        assert found is not None
        assert found.value == b"1"


async def test_a_lease_that_etcd_ended_is_lost_at_once(client: EtcdClient, etcd: EtcdCluster) -> None:
    said: list[str] = []
    async with held(client, "a") as own:
        own.on_lost(lambda: said.append("lost"))
        own.on_kept(lambda: said.append("kept"))
        key = await client.get(own.fence().key)
        assert key is not None
        await client.revoke(key.lease)
        await until(lambda: said == ["lost", "kept"], TTL_S)
        assert own.held


async def test_an_id_taken_back_by_a_try_that_was_not_answered_is_under_the_lease_of_now(
    client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the key ends with the lease of that try, another process has the id, and both hold it."""
    said: list[str] = []
    async with held(client, "a") as own:
        own.on_kept(lambda: said.append("kept"))
        key, txn, get, cut = own.fence().key, client.txn, client.get, list[int]()

        async def unanswered(*words: Any) -> Outcome:
            outcome = await txn(*words)
            if not cut and outcome.held:
                cut.append(own._lease.id)
                own._lease._end("etcd was away for longer than it lives")
                raise OutcomeUnknown("made, and not answered")
            return outcome

        async def away(name: bytes) -> KeyValue | None:
            if len(cut) == 1:
                cut.append(0)
                raise EtcdUnavailable("away")
            return await get(name)

        monkeypatch.setattr(client, "txn", unanswered)
        monkeypatch.setattr(client, "get", away)
        await client.revoke(own._lease.id)
        await until(lambda: said == ["kept"])
        found = await get(key)
        assert found is not None
        assert found.lease == own._lease.id != cut[0]
        assert own.fence().value == found.created


async def test_a_put_under_an_earlier_lease_that_comes_late_changes_nothing(
    client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    late: list[tuple[Any, ...]] = []
    async with held(client, "a") as own:
        own.on_kept(lambda: said.append("kept"))
        txn = client.txn

        async def delayed(*words: Any) -> Outcome:
            if late:
                return await txn(*words)
            late.append(words)
            own._lease._end("the test")
            raise OutcomeUnknown("not yet made")

        monkeypatch.setattr(client, "txn", delayed)
        own._lease._end("the test")
        await until(lambda: said == ["kept"])
        assert not (await txn(*late[0])).held
        found = await client.get(own.fence().key)
        assert found is not None
        assert found.lease == own._lease.id


async def test_an_id_whose_key_went_under_a_living_lease_is_lost_and_taken_back(client: EtcdClient) -> None:
    """A snapshot that was put back knows the lease and not the key."""
    said: list[str] = []
    async with held(client, "a") as own:
        own.on_lost(lambda: said.append("lost"))
        own.on_kept(lambda: said.append("kept"))
        before = own.own
        await client.delete(own.fence().key)
        await until(lambda: said == ["lost", "kept"])
        assert own.own == before
        assert await client.get(own.fence().key) is not None


async def test_an_id_whose_lease_ended_while_it_was_taken_is_not_had(
    client: EtcdClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Registration(client, "a")
    take = Registration._take

    async def slow(self: Registration, lease: int) -> tuple[int, int]:
        taken = await take(self, lease)
        await client.revoke(lease)
        await until(lambda: self._lease.id != lease)
        return taken

    monkeypatch.setattr(Registration, "_take", slow)
    with pytest.raises(EtcdUnavailable, match="slower"):
        await own.start()
    assert not own.held
    assert own.own == (0, 0)
    assert not (await client.list(f"{client.section.prefix}nodes/".encode())).keys


async def test_an_id_under_which_somebody_writes_something_else_is_lost(client: EtcdClient) -> None:
    said: list[str] = []
    own = Registration(client, "a")
    own.on_taken(said.append)
    await own.start()
    node = own.fence().key
    key = await client.get(node)
    assert key is not None
    await client.txn([], [Put(node.replace(b"nodes/", b"ids/"), b"nonsense")])
    await client.revoke(key.lease)
    await client.put(node, b"nonsense")
    await until(lambda: said == ["somebody"])
    assert not own.held
    await own.stop()
    assert await client.get(node) is not None


async def test_two_clusters_of_one_etcd_do_not_see_each_other(etcd: EtcdCluster, client: EtcdClient) -> None:
    other = await connect(etcd.section(prefix="elsewhere/"))
    async with held(client, "a") as one, held(other, "b") as two:
        assert one.own[0] == two.own[0] == 1
    await other.close()


async def test_documents_of_an_owner_change_only_while_it_holds_its_id(client: EtcdClient) -> None:
    async with held(client, "a") as own:
        documents = EtcdDocuments(client, owner=own)
        first = await documents.put("a", b"1")
        node = own.fence().key
        await client.delete(node)
        for expected in (None, first.revision):
            with pytest.raises(DocumentsUnavailable, match=r"not hold its node id|not held now"):
                await documents.put("a", b"2", expected)
        with pytest.raises(Conflict):
            await documents.put("a", b"2", first.revision + 1)
        assert await documents.get("a") == first
    with pytest.raises(DocumentsUnavailable, match="not held now"):
        await documents.delete("a")
    assert await EtcdDocuments(client).delete("a") > first.revision
