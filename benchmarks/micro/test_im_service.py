"""Cost of each check and option on the way of a message, without store and network.

Run: pytest benchmarks/micro/test_im_service.py --benchmark-only. Figures are per message; the batch
figures divide by the size of the batch. Compare runs on the same machine only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from im_service.calls import Args
from im_service.context import Ports
from im_service.models import decode_send, message_bytes, pack_payload
from im_service.options import DEFAULT, Options, OptionTable
from im_service.ports import Reply, SendItem, Session, SystemClock
from im_service.rates import Bucket, Limiter, Rate
from im_service.sending.admission import PASSED, Admission
from im_service.sending.bodies import check_body
from im_service.sending.hooks import Draft, Hook, Moderator, Verdict
from im_service.service import ImService
from im_service.settings import ImSettings
from im_service.storage.records import AppendResult, AppendStatus, NewMessage
from im_service.storage.sqlite import SqliteStore

BATCH = 500
SENDERS = 100
FREE = Rate(0)
WIDE = Rate(1e9, 10**9)
Given = dict[str, object] | None
OPTIONS: dict[str, tuple[str, Given]] = {
    "none": ("u", None),
    "onlineOnly": ("u", {"onlineOnly": True}),
    "history": ("u", {"history": False}),
    "roam": ("u", {"roam": False}),
    "persistent": ("u", {"persistent": False}),
    "sendersync": ("u", {"sendersync": False}),
    "push": ("u", {"push": False}),
    "badge": ("u", {"badge": False}),
    "route": ("u", {"route": False}),
    "env": ("u", {"env": "test"}),
    "sessionUpdate": ("u", {"sessionUpdate": False}),
    "checkFriend": ("u", {"checkFriend": True}),
    "needPushNick": ("u", {"needPushNick": False}),
    "pushContent": ("u", {"pushContent": "look"}),
    "payload": ("u", {"payload": "{}"}),
    "forcePush": ("u", {"forcePush": {"all": True}}),
    "expire": ("u", {"expire": 60}),
    "senderNoSense": ("u", {"senderNoSense": True}),
    "receiverNoSense": ("u", {"receiverNoSense": True}),
    "antispam": ("u", {"antispam": {"scene": "chat"}}),
    "none in a group": ("g", None),
    "receipt": ("g", {"receipt": True}),
    "target": ("g", {"target": {"ids": ["user1", "user2"]}}),
    "none in a room": ("r", None),
    "highPriority": ("r", {"highPriority": True}),
    "abandonRatio": ("r", {"abandonRatio": 1}),
    "skipHistory": ("r", {"skipHistory": True}),
    "tag": ("r", {"tag": "blue"}),
}


class CountingDownlink:
    """Takes everything, keeps nothing: what is measured is the service."""

    def __init__(self) -> None:
        self.replies = 0

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.replies += 1

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        self.replies += len(replies)

    def ignore(self, *_: object) -> None:
        return

    publish = publish_many = budget = join = leave = join_user = leave_user = kick = ignore


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

    def __init__(
        self,
        path: Path,
        settings: ImSettings,
        target: str = "u",
        moderation: Moderator | None = None,
        callback: Hook | None = None,
    ) -> None:
        self.hooks = moderation, callback
        self.runner = asyncio.Runner()
        self.downlink = CountingDownlink()
        self.target = target
        self.runner.run(self._open(path, settings))

    async def _open(self, path: Path, settings: ImSettings) -> None:
        self.store = SqliteStore(path / "im.sqlite3", readers=1, cache_bytes=8 << 20)
        await self.store.start()
        moderation, callback = self.hooks
        ports = Ports(self.downlink, moderation=moderation, callback=callback)
        self.im = ImService(self.store, ports, settings)
        self.sessions = [Session(1, n + 1, f"user{n}", "phone") for n in range(SENDERS)]
        for number, session in enumerate(self.sessions):
            self.im.on_login(session, 1, number + 1)
        await self.im.settle()
        if self.target == "g":
            args = {"group": "team", "owner": "user0", "members": [f"user{n}" for n in range(1, SENDERS)]}
            await self.im.invoke("group.create", args)
        if self.target == "r":
            await self.im.invoke("room.create", {"room": "hall"})
            for number, session in enumerate(self.sessions):
                self.im.on_call(session, number, "room.join", msgspec.msgpack.encode({"room": "hall"}))
            await self.im.settle()
        self.im.on_sends([self.item(n, "warm", None) for n in range(SENDERS)])
        await self.im.settle()
        vars(self.im.messages)["_store"] = InstantLog()

    def item(self, n: int, client_id: str, options: Given) -> SendItem:
        sender = n % SENDERS
        target = {"u": f"u/user{(sender + 1) % SENDERS}", "g": "g/team", "r": "r/hall"}[self.target]
        payload = msgspec.msgpack.encode([f"{client_id}{n}", 0, {"text": "hello there " * 5}, options, None])
        return (self.sessions[sender], n, target, payload)

    def close(self) -> None:
        self.runner.run(self.im.stop())
        self.runner.run(self.store.stop())
        self.runner.close()


def run_batches(benchmark: BenchmarkFixture, stage: Stage, options: Given) -> None:
    batch = [stage.item(n, "b", options) for n in range(BATCH)]

    async def turn() -> None:
        stage.im.on_sends(batch)
        await stage.im.messages.close()  # what waits in lanes

    before = stage.downlink.replies
    benchmark(lambda: stage.runner.run(turn()))
    assert stage.downlink.replies - before >= BATCH
    if benchmark.stats is not None:  # None when measuring is switched off
        benchmark.extra_info["us_per_message"] = benchmark.stats.stats.min / BATCH * 1e6
    stage.close()


UNLIMITED = ImSettings(
    account_rate=FREE,
    device_rate=FREE,
    conversation_rate=FREE,
    room_sender_rate=FREE,
    room_normal_per_s=0,
    room_high_per_s=0,
)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_message_with_the_option(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    kind, options = OPTIONS[name]
    stage = Stage(tmp_path, UNLIMITED, kind)
    if options == {"checkFriend": True}:
        for state in map(stage.im.sessions.get, stage.sessions):
            assert state is not None
            for route in state.routes.values():
                assert route.pair is not None
                route.pair.friend = True
    run_batches(benchmark, stage, options)


def test_no_option_is_left_out() -> None:
    assert {name for name in OPTIONS if not name.startswith("none")} == set(Options.__struct_fields__)


class Agree:
    """A hook that looks at everything and passes it; `later`: its verdict is awaited."""

    def __init__(self, later: bool) -> None:
        self.instant = not later
        self._later = later

    def wants(self, kind: str, type: int) -> bool:
        return True

    async def _soon(self) -> Verdict:
        return Verdict()

    def judge(self, draft: Draft) -> Verdict | Awaitable[Verdict]:
        return self._soon() if self._later else Verdict()

    def say(self, user: str, name: str, args: Args) -> Args:
        return args


@pytest.mark.parametrize("hook", ["moderation", "callback"])
@pytest.mark.parametrize("later", [False, True])
def test_a_message_before_the_hook(
    benchmark: BenchmarkFixture, tmp_path: Path, hook: str, later: bool
) -> None:
    moderation = Agree(later) if hook == "moderation" else None
    callback = Agree(later) if hook == "callback" else None
    run_batches(benchmark, Stage(tmp_path, UNLIMITED, moderation=moderation, callback=callback), None)


@pytest.mark.parametrize("kind", ["u", "g", "r"])
def test_a_message_of_each_kind_with_all_default_checks(
    benchmark: BenchmarkFixture, tmp_path: Path, kind: str
) -> None:
    wide = Rate(1e9, 10**9)
    settings = ImSettings(
        account_rate=wide,
        device_rate=wide,
        conversation_rate=wide,
        room_normal_per_s=10**9,
        room_high_per_s=10**9,
    )
    run_batches(benchmark, Stage(tmp_path, settings, kind), None)


@pytest.mark.parametrize("name", ["account_rate", "device_rate", "conversation_rate", "stranger_rate"])
def test_the_cost_of_one_limit(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    rates = {"account_rate": FREE, "device_rate": FREE, "conversation_rate": FREE, "stranger_rate": FREE}
    rates[name] = Rate(1e9, 10**9)
    run_batches(benchmark, Stage(tmp_path, msgspec.structs.replace(ImSettings(), **rates)), None)


CHECKS: dict[str, tuple[str, ImSettings]] = {
    "account, module mute": ("u", UNLIMITED),  # and that there is no block: the least a single message has
    "friend": ("u", msgspec.structs.replace(UNLIMITED, friend_only=True)),
    "blacklist": ("u", UNLIMITED),
    "membership, group mute": ("g", UNLIMITED),
    "membership, room mute": ("r", UNLIMITED),
    "all rates": (
        "u",
        ImSettings(account_rate=WIDE, device_rate=WIDE, conversation_rate=WIDE, stranger_rate=WIDE),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_check_alone(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    """All checks of such a message; beyond account and mute only the named one has work. The blacklist
    refuses."""
    kind, settings = CHECKS[name]
    stage = Stage(tmp_path, settings, kind)
    state = stage.im.sessions.get(stage.sessions[0])
    assert state is not None
    (route,) = state.routes.values()
    if route.pair is not None:
        route.pair.friend, route.pair.black = name == "friend", name == "blacklist"
    admission = Admission(settings)
    clock = SystemClock()
    verdict = benchmark(admission.check, state, route, DEFAULT, clock.now_ms(), clock.elapsed_ms())
    assert verdict == (settings.blacklist_answer if name == "blacklist" else PASSED)
    stage.close()


def test_decoding_a_send(benchmark: BenchmarkFixture) -> None:
    benchmark(decode_send, msgspec.msgpack.encode(["c-123", 0, {"text": "hello " * 10}, None, None]))


def test_checking_a_text_body(benchmark: BenchmarkFixture) -> None:
    benchmark(check_body, 0, msgspec.msgpack.encode({"text": "hello " * 10}))


def test_resolving_a_known_option_set(benchmark: BenchmarkFixture) -> None:
    table, raw = OptionTable(), msgspec.msgpack.encode({"badge": False, "push": False})
    benchmark(table.resolve, raw, "s")


def test_putting_a_message_together(benchmark: BenchmarkFixture) -> None:
    payload = pack_payload(msgspec.msgpack.encode({"text": "hello " * 10}))
    benchmark(message_bytes, "s/alice:bob", 7, 1 << 60, 1_700_000_000_000, "alice", "c-123", 0, payload)


def test_one_rate_limit(benchmark: BenchmarkFixture) -> None:
    limiter, bucket = Limiter(Rate(1e9, 10**9)), Bucket()
    benchmark(limiter.take, bucket, 1_700_000_000_000)
