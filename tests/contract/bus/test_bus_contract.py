"""What control/bus/base.py promises, kept by both buses: in memory, and over a real NATS server."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from control.bus.base import Bus, BusError, NobodyThere
from control.bus.memory import MemoryBus, MemoryHub
from control.bus.nats import NatsBus
from control.settings.values import SecretUrl
from control.streams.links import StreamLinks
from tests.support.nats_process import NatsProcess


class Words(msgspec.Struct, array_like=True, tag=1):
    """A batch."""

    operations: list[str]


def words(*texts: str) -> bytes:
    return msgspec.msgpack.encode(Words(list(texts)))


MakeBus = Callable[[], Awaitable[Bus]]


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> object:
    with NatsProcess(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=["memory", "nats"])
async def make_bus(request: pytest.FixtureRequest) -> AsyncIterator[MakeBus]:
    opened: list[Bus] = []
    hub = MemoryHub()
    url = request.getfixturevalue("nats_server").url if request.param == "nats" else ""
    prefix = f"t{id(opened)}"

    async def make() -> Bus:
        bus: Bus = MemoryBus(hub) if request.param == "memory" else NatsBus(SecretUrl(url), prefix)
        await bus.start()
        opened.append(bus)
        return bus

    yield make
    for bus in opened:
        await bus.close()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    for _ in range(int(timeout_s / 0.002)):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition did not come true")


async def test_messages_of_one_publisher_arrive_in_order_at_every_subscriber(make_bus: MakeBus) -> None:
    one, two = await make_bus(), await make_bus()
    seen: list[list[bytes]] = [[], []]
    await one.subscribe("topic", seen[0].append)
    await two.subscribe("topic", seen[1].append)
    sent = [str(number).encode() for number in range(2000)]
    for payload in sent:
        one.publish("topic", payload)
    await until(lambda: len(seen[0]) == len(seen[1]) == len(sent))
    assert seen[0] == sent
    assert seen[1] == sent
    assert one.dropped == 0


async def test_subjects_are_apart_and_the_absent_get_nothing(make_bus: MakeBus) -> None:
    bus = await make_bus()
    seen: list[bytes] = []
    bus.publish("late", b"before")
    await bus.flush()
    await bus.subscribe("late", seen.append)
    bus.publish("other", b"elsewhere")
    bus.publish("late", b"after")
    await until(lambda: bool(seen))
    await bus.flush()
    assert seen == [b"after"]


async def test_who_is_subscribed_hears_what_another_says_next(make_bus: MakeBus) -> None:
    """The first message to a subject is the one that overtakes a subscription that is only on its way."""
    speaker, hearer = await make_bus(), await make_bus()
    heard: list[bytes] = []
    for number in range(300):
        await hearer.subscribe(f"next.{number}", heard.append)
        speaker.publish(f"next.{number}", str(number).encode())
    await until(lambda: len(heard) == 300)


async def test_a_failing_handler_harms_no_other_message(make_bus: MakeBus) -> None:
    bus = await make_bus()
    seen: list[bytes] = []

    def handler(payload: bytes) -> None:
        seen.append(payload)
        if payload == b"bad":
            raise RuntimeError("on purpose")

    await bus.subscribe("topic", handler)
    for payload in (b"bad", b"good"):
        bus.publish("topic", payload)
    await until(lambda: len(seen) == 2)


async def test_requests_are_answered_later_and_once_or_time_out(make_bus: MakeBus) -> None:
    server, client = await make_bus(), await make_bus()

    def handler(payload: bytes, answer: Callable[[bytes], None]) -> None:
        if payload != b"silence":
            asyncio.get_running_loop().call_later(0.01, answer, payload.upper())

    await server.respond("ask", handler)
    assert await client.request("ask", b"hello", 5.0) == b"HELLO"
    with pytest.raises(BusError):
        await client.request("ask", b"silence", 0.1)
    with pytest.raises(BusError):
        await client.request("nobody", b"hello", 0.2)
    async with asyncio.timeout(30):
        with pytest.raises(NobodyThere):
            await client.request("nobody", b"hello", 600.0, 0.0)


async def test_the_largest_message_is_carried_and_a_larger_one_harms_no_other(make_bus: MakeBus) -> None:
    one, two = await make_bus(), await make_bus()
    seen: list[int] = []
    await two.subscribe("topic", lambda payload: seen.append(len(payload)))
    for size in (one.max_payload, one.max_payload + 1, 3):
        one.publish("topic", bytes(size))
    await until(lambda: len(seen) == 2)
    assert seen == [one.max_payload, 3]
    assert one.dropped == 1


async def test_a_batch_as_large_as_the_bus_carries_arrives(make_bus: MakeBus) -> None:
    one, two = await make_bus(), await make_bus()
    sender, receiver = StreamLinks(one, (1, 1 << 47)), StreamLinks(two, (2, 1 << 47), beacon_s=0.1)
    heard: list[str] = []
    receiver.on(Words, lambda _, batch: heard.extend(batch.operations), print)
    await receiver.start()
    largest = words("x" * (sender.max_batch() - len(words("x" * 70_000)) + 70_000))
    assert len(largest) == sender.max_batch()
    sender.sender(2, 1 << 47).push(largest)
    sender.sender(2, 1 << 47).push(words("next"))
    await until(lambda: len(heard) == 2)
    await receiver.stop()


async def test_streams_over_the_bus_survive_a_lossy_publisher(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender_bus, receiver_bus = await make_bus(), await make_bus()
    applied: list[str] = []
    lost: list[int] = []
    sender = StreamLinks(sender_bus, (1, 10), beacon_s=0.2)
    receiver = StreamLinks(receiver_bus, (2, 20), beacon_s=0.2)
    for end in (sender, receiver):
        end.on(Words, lambda peer, batch: applied.extend(batch.operations), lost.append)
    await sender.start()
    await receiver.start()
    real = sender_bus.publish
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance, dropped = random.Random(seed), set[bytes]()

    def lossy(subject: str, payload: bytes) -> None:
        """A third of all does not arrive; what is said again does, within the receiver's patience."""
        if payload in dropped or chance.randrange(3):
            real(subject, payload)
        else:
            dropped.add(payload)

    monkeypatch.setattr(sender_bus, "publish", lossy)
    sent = [str(number) for number in range(300)]
    stream = sender.sender(2, 20)
    for number, text in enumerate(sent):
        stream.push(words(text))
        if number % 20 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(applied) == len(sent))
    assert applied == sent
    assert lost == []
    assert receiver.stats()["gaps"] > 0
    await sender.stop()
    await receiver.stop()


@pytest.mark.parametrize("newer", [11, 9], ids=["a higher number", "a lower number"])
async def test_each_epoch_of_a_sender_is_a_stream_of_its_own_and_the_old_tail_counts_as_lost(
    make_bus: MakeBus, newer: int
) -> None:
    bus = await make_bus()
    applied: list[tuple[int, str]] = []
    lost: list[int] = []
    receiver = StreamLinks(bus, (2, 20), beacon_s=0.05)
    receiver.on(
        Words, lambda peer, batch: applied.extend((peer[1], text) for text in batch.operations), lost.append
    )
    await receiver.start()
    ends = {epoch: StreamLinks(await make_bus(), (1, epoch)) for epoch in (10, newer)}
    said = [(10, "first"), (newer, "second"), (10, "still here"), (newer, "third")]
    for number, (epoch, text) in enumerate(said, 1):
        ends[epoch].sender(2, 20).push(words(text))
        await until(lambda wanted=number: len(applied) == wanted)
    assert applied == said, "who is heeded is not for the stream to say"
    assert lost == [1]
    await receiver.stop()


async def test_nats_away_blocks_nobody_and_comes_back_without_what_was_said_meanwhile(tmp_path: Path) -> None:
    """What was said when others had given up waiting for it must not come late, behind what is newer."""
    with NatsProcess(tmp_path) as server:
        bus = NatsBus(SecretUrl(server.url), "away")
        await bus.start()
        seen: list[bytes] = []
        asked: list[bytes] = []
        await bus.subscribe("topic", seen.append)
        await bus.respond("question", lambda payload, answer: asked.append(payload))
        server.kill()
        bus.publish("topic", b"as it went")
        await until(lambda: not bus.connected)
        bus.publish("topic", b"while away")
        with pytest.raises(NobodyThere):
            await bus.request("question", b"while away", 0.2)
        server.start()
        await until(lambda: bus.connected, 20)

        def ping() -> bool:
            bus.publish("topic", b"back")
            return b"back" in seen

        await until(ping)
        assert {*seen} == {b"back"}
        assert asked == []
        await bus.close()


async def test_an_absent_server_is_told_at_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BusError, match=r"cannot reach NATS at nats://127.0.0.1:9: .*(refused|failed)"):
        await NatsBus(SecretUrl("nats://127.0.0.1:9")).start()
    assert capsys.readouterr().err == "", "the reason stands in one line, not in a warning for each try too"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BusError, match="no answer within 5 s"):
            await NatsBus(SecretUrl(f"nats://127.0.0.1:{port}")).start()
