"""Nothing but a listed refusal ends a client: not its application's faults, not garbage, not a full disk."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from qianwan import ConnectFailed, FileCursor, MemoryCursor, State, StateChange, TooBig
from qianwan.delivery.store import Position

from tests.support.qw1_responder import frame
from tests.support.scripted_gateway import ScriptedGateway, pack
from tests.support.sdk_client import client, take, until

LONG = "x" * 70_000


async def test_a_message_above_a_frame_is_refused_to_its_caller_and_harms_nothing() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        for text in (LONG, "".join(map(chr, range(0x4E00, 0x9FA5)))):
            with pytest.raises(TooBig):
                await alice.send("bob", text)
        with pytest.raises(TooBig):
            await alice.call("time", {"text": LONG})
        with pytest.raises(ValueError, match="255 bytes"):
            await alice.send("b" * 300, "hello")
        assert len(alice.engine.outbox) == 0
        next(iter(gateway.peers)).transport.abort()
        await until(lambda: gateway.logins == 2)
        assert (await alice.send("bob", "still here")).seq == 1


class Faults:
    """What a token source of an application may do instead of giving a token."""

    @staticmethod
    async def key_error() -> str:
        raise KeyError("access_token")

    @staticmethod
    async def cancelled() -> str:
        raise asyncio.CancelledError

    @staticmethod
    async def group() -> str:
        raise ExceptionGroup("both", [OSError(), ValueError()])

    @staticmethod
    def at_once() -> Awaitable[str]:
        raise RuntimeError("not even awaitable")

    @staticmethod
    async def nothing() -> Any:
        return None

    @staticmethod
    async def never() -> str:
        await asyncio.Event().wait()
        return ""


@pytest.mark.parametrize("name", [name for name in vars(Faults) if not name.startswith("_")])
async def test_a_token_source_that_fails_once_is_asked_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qianwan.tokens.TOKEN_S", 0.05)
    fault: Callable[[], Awaitable[str]] = getattr(Faults, name)
    asked = itertools.count()

    async def good() -> str:
        return "alice"

    def source() -> Awaitable[str]:
        return fault() if next(asked) == 1 else good()

    async with ScriptedGateway() as gateway, client(gateway, token=source) as alice:
        next(iter(gateway.peers)).transport.abort()
        await until(lambda: gateway.logins == 2)
        assert (await alice.send("bob", "back")).seq == 1
        assert next(asked) == 3


async def test_a_token_source_that_always_fails_is_the_reason_of_the_end() -> None:
    async with ScriptedGateway() as gateway:
        with pytest.raises(ConnectFailed, match="access_token") as caught:
            await client(gateway, token=Faults.key_error, login_timeout_s=0.2).open()
        assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_on_state_may_raise(error: type[BaseException]) -> None:
    heard: list[State] = []

    def on_state(change: StateChange) -> None:
        heard.append(change.state)
        raise error

    async with ScriptedGateway() as gateway, client(gateway, on_state=on_state) as alice:
        next(iter(gateway.peers)).transport.abort()
        await until(lambda: gateway.logins == 2)
        assert (await alice.send("bob", "hello")).seq == 1
    assert heard[-1] is State.CLOSED


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11, b"\x80\x00", b"x" * 300])
@pytest.mark.parametrize("code", [2, 3, 4])
async def test_a_rejection_with_garbage_is_waited_for(code: int, data: bytes) -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        known, gateway.keys.key_id = gateway.keys.key_id, 9
        gateway.reject, gateway.reject_data = code, data
        next(iter(gateway.peers)).transport.abort()
        await until(lambda: len(gateway.greetings) >= 5)
        assert alice.state is not State.CLOSED
        gateway.keys.key_id, gateway.reject, gateway.reject_data = known, None, None
        await until(lambda: gateway.logins == 2)
        assert (await alice.send("bob", "hello")).seq == 1


async def test_garbage_before_the_first_login_is_tried_again_too() -> None:
    async with ScriptedGateway() as gateway:
        gateway.reject, gateway.reject_data = 3, b"no key set"
        opening = asyncio.ensure_future(client(gateway).open())
        await until(lambda: len(gateway.greetings) >= 3)
        gateway.reject = gateway.reject_data = None
        await opening


@pytest.mark.parametrize(
    "body",
    [
        b"\x05" + b"\xc1",  # AUTH_OK twice, unreadable
        b"\x0c" + b"\xc0",  # a POLICY that is no map
        b"\x06" + b"\x91" * 5000,  # a MSG too deep for anybody
        b"\x0b" + b"\x80" * 11,  # a RETURN whose number never ends
        b"\x0f" + b"",  # a GOAWAY of nothing
        b"\x0f" + b"\0\0\0\x09",  # ... with too many addresses
        b"\x0f" + b"\0\0\0\x01\x05tcp",  # ... with one that is cut off
    ],
)
async def test_frames_that_cannot_be_read_cost_the_connection_only(body: bytes) -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        peer = next(iter(gateway.peers))
        peer.say(frame(body[0], body[1:]))
        peer.say(frame(body[0], body[1:]))
        await until(lambda: gateway.logins == 2 or body[0] == 5)
        assert (await alice.send("bob", "hello")).seq == 1


async def test_a_cursor_file_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qianwan.engine.TICK_S", 0.02)
    folder = tmp_path / "place"
    async with ScriptedGateway() as gateway:
        async with client(gateway, "bob", store=FileCursor(folder / "cursor")) as bob:
            (folder / "cursor").unlink()
            folder.rmdir()
            folder.write_text("in the way")
            for number in range(3):
                gateway.deliver("bob", gateway.store("s/alice:bob", "alice", str(number)))
            assert await take(bob, 3) == ["0", "1", "2"]
            await until(lambda: isinstance(bob.cursor_error, OSError))
            await until(lambda: gateway.acks.get("s/alice:bob") == 2)  # maintenance lives
            folder.unlink()
            await until(lambda: bob.cursor_error is None)
            assert (folder / "cursor").exists()
            folder.joinpath("cursor").unlink()
            folder.rmdir()
            folder.write_text("in the way again")
        assert bob.state is State.CLOSED  # and closing does not trip over it
        folder.unlink()


async def test_a_store_of_the_application_may_raise_anything() -> None:
    class Broken(MemoryCursor):
        def save(self, position: Position) -> None:
            raise KeyError("table gone")

    async with ScriptedGateway() as gateway, client(gateway, "bob", store=Broken()) as bob:
        gateway.deliver("bob", gateway.store("s/alice:bob", "alice", "hello"))
        assert await take(bob, 1) == ["hello"]
        assert isinstance(bob.cursor_error, KeyError)


async def test_a_cursor_file_that_cannot_be_read_is_an_error_of_open(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with ScriptedGateway() as gateway:
        with pytest.raises(OSError, match="folder"):
            await client(gateway, store=FileCursor(tmp_path / "folder")).open()


async def test_a_sync_that_cannot_be_read_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)
    async with ScriptedGateway() as gateway:
        gateway.store("s/alice:bob", "alice", "hello")
        gateway.garbage = ["sync"] * 3
        async with client(gateway, "bob") as bob:
            assert await take(bob, 1) == ["hello"]
        assert gateway.garbage == []


def some_value(rng: random.Random, depth: int = 0) -> Any:
    """Anything that msgpack can say, mostly of wrong types and sizes."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, 1, -1, 2**32, 2**62, 2**64 - 1, -(2**63)]),
        lambda: rng.choice([0.5, float("nan"), float("inf"), -1e308]),
        lambda: rng.choice(["", "s/alice:bob", "g/team", "r/hall", "hall", "\x00", "x" * 500]),
        lambda: rng.randbytes(rng.randrange(20)),
        lambda: [some_value(rng, depth + 1) for _ in range(rng.randrange(12))],
        lambda: {str(some_value(rng, 9)): some_value(rng, depth + 1) for _ in range(rng.randrange(4))},
    ]
    return rng.choice(kinds[: 6 if depth > 3 else 8])()


async def test_a_server_that_says_anything_but_close_ends_nobody() -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        await alice.join_room("hall")
        for _ in range(400):
            await until(lambda: gateway.peers and alice.state is State.ONLINE)
            kind = rng.choice([kind for kind in range(1, 32) if kind not in (15, 16)])
            body = rng.randbytes(rng.randrange(30)) if rng.random() < 0.3 else pack(some_value(rng))
            if kind == 7:
                body = bytes((rng.randrange(6),)) + body
            for peer in list(gateway.peers):
                peer.say(frame(kind, body))
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert (await alice.send("bob", "still here")).seq == 1, f"seed {seed}"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"user":"\x80"}', b'{"x":' + b"[" * 100_000])
def test_a_damaged_read_position_counts_as_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cursor"
    path.write_bytes(data)
    assert FileCursor(path).load() == Position()
