"""Certificates, users and passwords, and what is said of those that are wrong."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.coordination.documents import DocumentsUnavailable
from control.coordination.etcd.client import EtcdClient, connect
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.errors import Denied, EtcdError, EtcdUnavailable, RequestTooLarge
from control.coordination.etcd.registration import Registration
from tests.support.etcd_certificates import Certificates
from tests.support.etcd_cluster import EtcdCluster
from tests.support.sdk_client import until
from tests.support.tree import ROOT

TOKEN_S = 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[EtcdCluster]:
    folder = tmp_path_factory.mktemp("mutual")
    with EtcdCluster(folder, certificates=certificates, mutual=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """With the user and the role of docs/OPERATIONS.md, made by the commands that stand there."""
    folder = tmp_path_factory.mktemp("users")
    with EtcdCluster(folder, 3, extra=("--auth-token-ttl", str(TOKEN_S), "--bcrypt-cost", "4")) as cluster:
        page = (ROOT / "docs/OPERATIONS.md").read_text()
        lines = [line.strip() for line in page.splitlines() if line.strip().startswith("etcdctl ")]
        assert lines
        for line in lines:
            words = line.replace("ROOT_PASSWORD", "root-pw").replace("PASSWORD", "app-pw").split()
            cluster.control(*words[1:])
        yield cluster


async def test_tls_both_ways(tmp_path: Path, certificates: Certificates, mutual: EtcdCluster) -> None:
    pair = certificates.client
    client = await connect(mutual.section(cert=str(pair.cert), key=str(pair.key)))
    documents = EtcdDocuments(client)
    put = await documents.put("a", b"1")
    assert await anext(documents.watch("", put.revision - 1))
    await client.close()
    other = Certificates(tmp_path / "other")
    none, foreign, authority = await asyncio.gather(
        connect(mutual.section()),
        connect(mutual.section(cert=str(other.client.cert), key=str(other.client.key))),
        connect(mutual.section(ca=str(other.ca), cert=str(pair.cert), key=str(pair.key))),
        return_exceptions=True,
    )
    assert {type(none), type(foreign), type(authority)} == {EtcdUnavailable}
    assert "CERTIFICATE_VERIFY_FAILED" in str(authority)
    with pytest.raises(EtcdError, match=r"no-such\.pem"):
        await connect(mutual.section(ca=str(tmp_path / "no-such.pem")))


async def test_certificates_that_were_replaced_are_taken_without_a_restart(
    tmp_path: Path, certificates: Certificates, mutual: EtcdCluster
) -> None:
    wrong = Certificates(tmp_path / "wrong")
    paths = {"ca": wrong.ca, "cert": wrong.client.cert, "key": wrong.client.key}
    client_of = mutual.section(**{name: str(path) for name, path in paths.items()})
    client = EtcdClient(client_of)
    with pytest.raises(EtcdUnavailable):
        await client.get(b"qianwan/a")
    for source, target in (
        (certificates.ca, wrong.ca),
        (certificates.client.cert, wrong.client.cert),
        (certificates.client.key, wrong.client.key),
    ):
        shutil.copyfile(source, target)
    assert await client.get(b"qianwan/none") is None
    await client.close()


async def test_passwords_and_rights_that_are_wrong_are_refused_and_named(users: EtcdCluster) -> None:
    for more, match in (
        ({}, "user name is empty"),
        ({"user": "qianwan", "password": "wrong-pw"}, "authentication failed"),
        ({"user": "nobody", "password": "app-pw"}, "authentication failed"),
        ({"user": "qianwan", "password": "app-pw", "prefix": "foreign/"}, "permission denied"),
    ):
        at = time.monotonic()
        with pytest.raises(Denied, match=match):
            await connect(users.section(**more))
        assert time.monotonic() - at < 2
    client = await connect(users.section(user="qianwan", password="app-pw"))
    foreign = EtcdDocuments(client, "foreign/")
    with pytest.raises(DocumentsUnavailable, match="permission denied"):
        await foreign.put("a", b"1")
    with pytest.raises(DocumentsUnavailable, match="permission denied"):
        async with asyncio.timeout(10):
            await anext(foreign.watch("", 0))
    await client.close()


async def test_a_right_that_is_missing_is_told_in_the_log_and_by_a_metric(
    users: EtcdCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await connect(users.section(user="qianwan", password="app-pw"))
    assert not client.numbers()["max_denied"]
    root = "--user=root:root-pw"
    await asyncio.to_thread(
        users.control, root, "role", "revoke-permission", "qianwan", "--prefix", "qianwan/"
    )
    try:
        for _ in range(3):
            with pytest.raises(Denied, match="permission denied"):
                await client.put(b"qianwan/a", b"1")
            await client.keep_alive(await _lease(client))  # which asks for no right
        assert client.numbers()["max_denied"]
        words = (root, "role", "grant-permission", "qianwan", "--prefix=true", "read", "qianwan/")
        await asyncio.to_thread(users.control, *words)
        with pytest.raises(Denied, match="permission denied"):
            await connect(users.section(user="qianwan", password="app-pw"))  # a start, or the doctor
    finally:
        words = (root, "role", "grant-permission", "qianwan", "--prefix=true", "readwrite", "qianwan/")
        await asyncio.to_thread(users.control, *words)
    await client.put(b"qianwan/a", b"1")
    assert not client.numbers()["max_denied"]
    await client.close()
    told = [line for line in capsys.readouterr().out.splitlines() if "KV/Put" in line]
    assert len(told) == 1, "three times within a minute"
    assert "give etcd.user the right to read and write below etcd.prefix" in told[0]


async def _lease(client: EtcdClient) -> int:
    await client.grant(77, 30)
    return 77


async def test_tokens_that_expire_are_renewed_and_watches_stay(users: EtcdCluster) -> None:
    slow = users.section(user="qianwan", password="app-pw", ttl_s=30)  # its renewals keep no token alive
    client = await connect(slow)
    documents, own = EtcdDocuments(client), Registration(client, "a")
    await own.start()
    watch = documents.watch("", (await documents.list("")).revision)
    for n in range(4):
        put = await documents.put("a", b"%d" % n)
        told = await anext(watch)
        assert (told.value, told.revision) == (put.value, put.revision)
        await asyncio.sleep(TOKEN_S * 0.8 if n % 2 else TOKEN_S * 1.6)  # used before it ends, and not
    assert own.held
    assert client.numbers()["logins_total"] >= 2
    assert client.numbers()["reconnects_total"] == 0
    late = documents.watch("", put.revision - 1)  # with a token that has ended
    await asyncio.sleep(TOKEN_S * 1.6)
    async with asyncio.timeout(10):
        assert (await anext(late)).revision == put.revision
    await own.stop()
    await client.close()


async def test_many_calls_with_a_token_that_ended_wait_once_for_a_member_that_stands_still(
    users: EtcdCluster,
) -> None:
    client = await connect(users.section(user="qianwan", password="app-pw"))
    members = client.calls.members
    leader = await asyncio.to_thread(users.leader)
    if leader.endpoint.endswith(members.current.endpoint):  # the others are to go on at once
        await members.leave(members.current)
    member = next(each for each in users.members if each.endpoint.endswith(members.current.endpoint))
    client.calls.forget()
    member.freeze()
    try:
        found = await asyncio.gather(*(client.get(b"qianwan/none") for _ in range(30)))
        assert set(found) == {None}
    finally:
        member.go_on()
        await asyncio.to_thread(users.wait)
    await client.close()


async def test_a_password_where_nobody_asks_for_one_does_no_harm(etcd: EtcdCluster, prefix: str) -> None:
    client = await connect(etcd.section(prefix=prefix, user="qianwan", password="app-pw"))
    await EtcdDocuments(client).put("a", b"1")
    await client.close()


async def fill(documents: EtcdDocuments) -> None:
    for n in range(20):
        await documents.put(f"a{n}", bytes(500_000))


async def test_what_is_too_large_and_a_full_etcd_are_told_apart_from_one_that_is_away(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "full", extra=("--quota-backend-bytes", str(1 << 20))) as cluster:
        client = await connect(cluster.section())
        documents = EtcdDocuments(client)
        with pytest.raises(RequestTooLarge):
            await client.put(b"qianwan/a", b"x" * (2 << 20))
        assert documents.problem() is None
        with pytest.raises(DocumentsUnavailable, match=r"space exceeded \(compact, defragment and disarm it"):
            await fill(documents)
        assert (client.numbers()["max_full"], client.numbers()["up"]) == (True, True)
        reader = await connect(cluster.section())
        await reader.look()
        assert (reader.numbers()["max_full"], reader.numbers()["up"]) == (True, True), (
            "who writes nothing knows it"
        )
        assert "space exceeded" in (documents.problem() or "")
        assert (await documents.list("a")).documents
        assert "space exceeded" in (documents.problem() or ""), "reads do not heal it"
        told = await client.health()
        assert "NOSPACE" in (told[0].problem or "")
        cluster.control("del", "--prefix", "qianwan/")
        cluster.control("compact", "--physical", str((await client.list(b"qianwan/")).revision))
        cluster.control("defrag")
        cluster.control("alarm", "disarm")
        await until(lambda: cluster.members[0].well())
        await documents.put("a", b"1")
        assert documents.problem() is None
        await reader.look()
        assert not reader.numbers()["max_full"]
        await reader.close()
        await client.close()
