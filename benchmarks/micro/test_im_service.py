"""Cost of each check and option on the way of a message, without store and network.

Run: pytest benchmarks/micro/test_im_service.py --benchmark-only. Figures are per message; the batch
figures divide by the size of the batch. Compare runs on the same machine only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.limits import Bucket, Limiter, Rate, Settings
from im_service.models import decode_send, message_bytes, pack_payload
from im_service.options import OptionTable
from im_service.ports import Session, SystemClock
from im_service.sending.admission import Admission
from im_service.sending.bodies import check_body
from im_service.service import ImService
from im_service.storage.records import AppendResult, AppendStatus, NewMessage
from im_service.storage.sqlite import SqliteStore

BATCH = 500
SENDERS = 100
FREE = Rate(0)
OPTIONS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "onlineOnly": {"onlineOnly": True},
    "history": {"history": False},
    "roam": {"roam": False},
    "persistent": {"persistent": False},
    "sendersync": {"sendersync": False},
    "push": {"push": False},
    "badge": {"badge": False},
    "route": {"route": False},
    "sessionUpdate": {"sessionUpdate": False},
    "pushContent": {"pushContent": "look", "payload": "{}"},
    "expire": {"expire": 60},
    "senderNoSense": {"senderNoSense": True},
    "receiverNoSense": {"receiverNoSense": True},
    "forcePush": {"forcePush": {"all": True}},
}


class CountingDownlink:
    """Takes everything, keeps nothing: what is measured is the service."""

    def __init__(self) -> None:
        self.replies = 0

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.replies += 1

    def reply_many(self, node: int, replies: Sequence[Any]) -> None:
        self.replies += len(replies)

    def ignore(self, *_: Any) -> None:
        return

    publish = publish_many = join = leave = join_user = leave_user = kick = ignore


class InstantLog:
    """Commits at once: seqs count, nothing is kept."""

    def __init__(self) -> None:
        self.seq = 0

    def append(self, batch: Sequence[NewMessage], done: Callable[[list[AppendResult]], None]) -> None:
        seq, self.seq = self.seq, self.seq + len(batch)
        done(
            [AppendResult(AppendStatus.NEW, m.server_id, seq + i, m.time_ms) for i, m in enumerate(batch, 1)]
        )


class Stage:
    """A service with logged-in senders whose routes are resolved."""

    def __init__(self, path: Path, settings: Settings, target: str = "u") -> None:
        self.runner = asyncio.Runner()
        self.downlink = CountingDownlink()
        self.target = target
        self.runner.run(self._open(path, settings))

    async def _open(self, path: Path, settings: Settings) -> None:
        self.store = SqliteStore(path / "im.sqlite3", readers=1, cache_bytes=8 << 20)
        await self.store.start()
        self.im = ImService(self.store, self.downlink, SystemClock(), settings)
        self.sessions = [Session(1, n + 1, f"user{n}", "phone") for n in range(SENDERS)]
        for number, session in enumerate(self.sessions):
            self.im.on_login(session, 1, number + 1)
        await self.im.settle()
        if self.target == "g":
            args = {"group": "team", "owner": "user0", "members": [f"user{n}" for n in range(1, SENDERS)]}
            await self.im.invoke("group.create", args)
        if self.target == "r":
            for number, session in enumerate(self.sessions):
                self.im.on_call(session, number, "room.join", msgspec.msgpack.encode({"room": "hall"}))
            await self.im.settle()
        self.im.on_sends([self.item(n, "warm", None) for n in range(SENDERS)])
        await self.im.settle()
        vars(self.im.messages)["_store"] = InstantLog()

    def item(self, n: int, client_id: str, options: dict[str, Any] | None) -> tuple[Session, int, str, bytes]:
        sender = n % SENDERS
        target = {"u": f"u/user{(sender + 1) % SENDERS}", "g": "g/team", "r": "r/hall"}[self.target]
        payload = msgspec.msgpack.encode([f"{client_id}{n}", 0, {"text": "hello there " * 5}, options, None])
        return (self.sessions[sender], n, target, payload)

    def close(self) -> None:
        self.runner.run(self.im.stop())
        self.runner.run(self.store.stop())
        self.runner.close()


def run_batches(benchmark: Any, stage: Stage, options: dict[str, Any] | None) -> None:
    batch = [stage.item(n, "b", options) for n in range(BATCH)]

    async def turn() -> None:
        stage.im.on_sends(batch)

    before = stage.downlink.replies
    benchmark(lambda: stage.runner.run(turn()))
    assert stage.downlink.replies - before >= BATCH
    if benchmark.stats is not None:  # None when measuring is switched off
        benchmark.extra_info["us_per_message"] = benchmark.stats.stats.min / BATCH * 1e6
    stage.close()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_single_message_with(benchmark: Any, tmp_path: Path, name: str) -> None:
    settings = Settings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE)
    run_batches(benchmark, Stage(tmp_path, settings), OPTIONS[name])


@pytest.mark.parametrize("kind", ["u", "g", "r"])
def test_a_message_of_each_kind_with_all_default_checks(benchmark: Any, tmp_path: Path, kind: str) -> None:
    wide = Rate(1e9, 10**9)
    settings = Settings(
        account_rate=wide,
        device_rate=wide,
        conversation_rate=wide,
        room_normal_rate=wide,
        room_high_rate=wide,
    )
    run_batches(benchmark, Stage(tmp_path, settings, kind), None)


@pytest.mark.parametrize("name", ["account_rate", "device_rate", "conversation_rate", "stranger_rate"])
def test_the_cost_of_one_limit(benchmark: Any, tmp_path: Path, name: str) -> None:
    rates = {"account_rate": FREE, "device_rate": FREE, "conversation_rate": FREE, "stranger_rate": FREE}
    rates[name] = Rate(1e9, 10**9)
    run_batches(benchmark, Stage(tmp_path, msgspec.structs.replace(Settings(), **rates)), None)


def test_the_checks_alone(benchmark: Any, tmp_path: Path) -> None:
    stage = Stage(tmp_path, Settings())
    state = stage.im.sessions.get(stage.sessions[0])
    assert state is not None
    route = state.routes["u/user1"]
    options = OptionTable().resolve(b"\xc0", "s")
    admission = Admission(Settings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE))
    benchmark(admission.check, state, route, options, 0)
    stage.close()


def test_decoding_a_send(benchmark: Any) -> None:
    benchmark(decode_send, msgspec.msgpack.encode(["c-123", 0, {"text": "hello " * 10}, None, None]))


def test_checking_a_text_body(benchmark: Any) -> None:
    benchmark(check_body, 0, msgspec.msgpack.encode({"text": "hello " * 10}))


def test_resolving_a_known_option_set(benchmark: Any) -> None:
    table, raw = OptionTable(), msgspec.msgpack.encode({"badge": False, "push": False})
    benchmark(table.resolve, raw, "s")


def test_putting_a_message_together(benchmark: Any) -> None:
    payload = pack_payload(msgspec.msgpack.encode({"text": "hello " * 10}))
    benchmark(message_bytes, "s/alice:bob", 7, 1 << 60, 1_700_000_000_000, "alice", "c-123", 0, payload)


def test_one_rate_limit(benchmark: Any) -> None:
    limiter, bucket = Limiter(Rate(1e9, 10**9)), Bucket()
    benchmark(limiter.take, bucket, 1_700_000_000_000)
