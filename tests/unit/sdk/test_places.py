"""Where a client connects when the LBS tells the truth, lies, is slow, empty, old, or not there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qianwan import Client, FileCursor
from qianwan.connection import lbs as protocol
from qianwan.connection.dial import Dialer, DialSettings
from qianwan.errors import ConnectFailed, KeySetError
from qianwan.transport import Address

from tests.support.lbs_server import Lbs, sealed
from tests.support.scripted_gateway import KeyRing, ScriptedGateway
from tests.support.sdk_client import FAST
from tests.support.tree import ROOT

TOKEN = "e30.eyJzdWIiOiJhbGljZSJ9.sig"
BUILT_IN = (Address("tcp", "built-in", 7801),)


@pytest.fixture
def lbs() -> Iterator[Lbs]:
    with contextlib.closing(_Stopping(Lbs())) as running:
        yield running.lbs


@pytest.fixture
def other() -> Iterator[Lbs]:
    with contextlib.closing(_Stopping(Lbs())) as running:
        yield running.lbs


class _Stopping:
    def __init__(self, lbs: Lbs) -> None:
        self.lbs = lbs

    def close(self) -> None:
        self.lbs.stop()


def dialer(keys: KeyRing | None, *urls: str, clock: Any = time.monotonic, **settings: Any) -> Dialer:
    root = keys.root_text if keys else None
    given = DialSettings(lbs_urls=urls, root_key=root, **settings)
    return Dialer(given, device="d", rng=random.Random(1), clock=clock)


async def ports(one: Dialer, elsewhere: bool = False) -> list[int]:
    return [address.port for address in await one.addresses_for(TOKEN, elsewhere)]


async def test_a_signed_answer_is_believed_whatever_stands_beside_it(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001, 7002)
    lbs.extra = {"gateways": [{"host": "evil.example", "port": 1}], "root": KeyRing().root_text, "ttl_s": 1e9}
    assert await ports(dialer(keys, lbs.url)) == [7001, 7002]
    assert len(lbs.asked) == 1


LIES: list[tuple[dict[str, object], str]] = [
    ({"for": {"transport": "tcp", "user": "bob", "device": "d"}}, "another question"),
    ({"for": {"transport": "tcp", "user": "alice", "device": "other"}}, "another question"),
    ({"for": {"transport": "ws", "user": "alice", "device": "d"}}, "another question"),
    ({"for": {}}, "another question"),
    ({"gateways": 3}, "something else"),
    ({"gateways": [{"host": "x", "port": "many"}]}, "something else"),
    ({"gateways": []}, "names no gateway"),
    ({"issued_at": "yesterday"}, "something else"),
]


@pytest.mark.parametrize(("told", "reason"), LIES)
async def test_an_answer_that_was_not_meant_for_here_is_refused(
    lbs: Lbs, told: dict[str, object], reason: str
) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001, **told)
    with pytest.raises((KeySetError, ConnectFailed), match=reason):
        await ports(dialer(keys, lbs.url))


async def test_an_answer_that_is_refused_leaves_no_root_behind(lbs: Lbs, other: Lbs) -> None:
    keys, foreign = KeyRing(), KeyRing()
    lbs.point_to(foreign, 7001, **{"for": {"transport": "tcp", "user": "bob", "device": "d"}})
    one = dialer(None, lbs.url, other.url)
    other.point_to(keys, 7002)
    assert await ports(one) == [7002]
    lbs.point_to(foreign, 7001)
    assert await ports(one, elsewhere=True) == [7002], "the root of the first that was believed holds"


async def test_an_answer_of_another_root_a_changed_one_and_none_at_all_are_refused(lbs: Lbs) -> None:
    keys, foreign = KeyRing(), KeyRing()
    lbs.point_to(foreign, 7001)
    with pytest.raises(KeySetError, match="not signed by the pinned root"):
        await ports(dialer(keys, lbs.url))
    lbs.point_to(keys, 7001)
    true = str(lbs.answer({"user": "alice", "device": "d"})["signed"])
    middle = len(true) // 2
    lbs.extra = {"signed": true[:middle] + ("A" if true[middle] != "A" else "B") + true[middle + 1 :]}
    with pytest.raises(KeySetError, match="not signed by the pinned root"):
        await ports(dialer(keys, lbs.url))
    lbs.extra = {"signed": sealed(keys, {"gateways": []}, b"QWKS\x01")}
    with pytest.raises(ConnectFailed, match="no answer"):
        await ports(dialer(keys, lbs.url))
    lbs.extra = {"signed": "!"}
    with pytest.raises(KeySetError, match="base64url"):
        await ports(dialer(keys, lbs.url))


async def test_an_unsigned_answer_is_taken_only_when_told_to(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001)
    lbs.signs = False
    with pytest.raises(KeySetError, match="unsigned_lbs"):
        await ports(dialer(keys, lbs.url))
    assert await ports(dialer(keys, lbs.url, unsigned_lbs=True)) == [7001]


async def test_a_replay_past_its_lifetime_is_refused(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001)
    old = lbs.answer({"user": "alice", "device": "d"})
    lbs.extra = {"signed": sealed(keys, {**_signed(old), "issued_at": int(time.time()) - 400})}
    with pytest.raises(KeySetError, match="another question"):  # asked again with a nonce that it lacks
        await ports(dialer(keys, lbs.url))
    assert "nonce=" in lbs.asked[1]
    assert len(lbs.asked) == 2


async def test_a_clock_that_is_wrong_by_days_keeps_nobody_out(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001)
    for lbs.age_s in (-3 * 86400.0, 3 * 86400.0):
        assert await ports(dialer(keys, lbs.url)) == [7001]
        assert "nonce=" in lbs.asked.pop()


async def test_a_silent_lbs_costs_a_moment_and_the_next_one_answers(lbs: Lbs, other: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001)
    lbs.silent.clear()
    other.point_to(keys, 7002)
    begun = time.monotonic()
    assert await ports(dialer(keys, lbs.url, other.url)) == [7002]
    assert time.monotonic() - begun < 4.5, "less than the time-out of one"
    assert await ports(dialer(keys, "http://127.0.0.1:1", other.url)) == [7002]


async def test_a_lying_lbs_is_passed_over_for_an_honest_one(lbs: Lbs, other: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(KeyRing(), 6666)
    other.point_to(keys, 7002)
    assert await ports(dialer(keys, lbs.url, other.url)) == [7002]


async def test_without_any_lbs_the_last_answer_then_what_is_built_in(lbs: Lbs) -> None:
    keys, now = KeyRing(), [1000.0]
    lbs.point_to(keys, 7001, keep_s=600)
    one = dialer(keys, lbs.url, addresses=BUILT_IN, clock=lambda: now[0])
    assert await ports(one) == [7001]
    lbs.keys = None
    now[0] += 301
    assert await ports(one) == [7001, 7801], "its time is over, but nobody knows better"
    now[0] += 300
    assert await ports(one) == [7801]
    with pytest.raises(ConnectFailed, match="503"):
        await ports(dialer(keys, lbs.url))


async def test_an_answer_is_kept_for_the_next_run_and_forgotten_when_it_is_too_old(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001, keep_s=1000)
    first = dialer(keys, lbs.url)
    await ports(first)
    lbs.keys = None
    second = dialer(keys, lbs.url)
    second.remember_placement(first.placement_text)
    assert await ports(second) == [7001]
    for text, ring in ((first.placement_text, KeyRing()), ("nonsense", keys), ("", keys)):
        third = dialer(ring, lbs.url)
        third.remember_placement(text)
        with pytest.raises(ConnectFailed):
            await ports(third)
    lbs.point_to(keys, 7001)
    old = _signed(lbs.answer({"device": "d"})) | {"issued_at": int(time.time()) - 1001, "keep_s": 1000}
    lbs.keys = None
    fourth = dialer(keys, lbs.url)
    fourth.remember_placement(sealed(keys, old))
    with pytest.raises(ConnectFailed):
        await ports(fourth)


async def test_a_client_starts_without_any_lbs_from_what_its_file_kept(lbs: Lbs, tmp_path: Path) -> None:
    path = tmp_path / "alice.json"
    async with ScriptedGateway() as gateway:
        root = gateway.keys.root_text
        lbs.point_to(gateway.keys, gateway.port)
        async with Client(lbs.url, token=TOKEN, root_key=root, store=FileCursor(path), backoff=FAST):
            pass
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["placement"]
        lbs.keys = None
        async with Client(lbs.url, token=TOKEN, root_key=root, store=FileCursor(path), backoff=FAST) as me:
            assert me.user


async def test_an_address_without_a_host_is_where_the_lbs_is_and_a_path_is_kept(lbs: Lbs) -> None:
    keys = KeyRing()
    expected = [Address("tcp", "127.0.0.1", 7), Address("wss", "2001:db8::1", 443, "/deep/qw1")]
    lbs.point_to(
        keys,
        gateways=[
            {"host": "", "port": 7, "transport": "tcp", "node": "n", "path": None},
            {"host": "2001:db8::1", "port": 443, "transport": "wss", "node": "n", "path": "/deep/qw1"},
        ],
    )
    one = dialer(keys, lbs.url)
    assert list(await one.addresses_for(TOKEN, False)) == expected
    lbs.keys = None
    later = dialer(keys, lbs.url)
    later.remember_placement(one.placement_text)
    assert list(await later.addresses_for(TOKEN, False)) == expected


async def test_an_lbs_that_redirects_is_not_followed(lbs: Lbs) -> None:
    keys = KeyRing()
    lbs.point_to(keys, 7001)

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 302 Found\r\nLocation: {lbs.url}/v1/lbs\r\nContent-Length: 0\r\n\r\n".encode()
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    with pytest.raises(ConnectFailed, match="302"):
        await ports(dialer(keys, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert lbs.asked == []
    server.close()


VECTORS = json.loads((ROOT / "docs/vectors/lbs.json").read_text())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_the_vectors_of_the_page(case: dict[str, Any]) -> None:
    root = bytes.fromhex(VECTORS["root_public"])

    def believe() -> protocol.Placement:
        found = protocol.open_signed(case["signed"], root, "asked.example")
        protocol.judge(found, {"transport": "tcp", **case["question"]}, case["now"])
        return found

    if case["believed"]:
        assert [str(address) for address in believe().addresses] == case["addresses"]
    else:
        with pytest.raises((KeySetError, ConnectFailed)):
            believe()


def _signed(answer: dict[str, object]) -> dict[str, object]:
    text = str(answer["signed"])
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    found: dict[str, object] = json.loads(data[5:-64])
    return found
