"""What operators ask of the owner of an endpoint, over the bus as at home."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from control.bus.memory import MemoryBus
from control.coordination.sqlite_documents import SqliteDocuments
from control.im.api import ApiResponder
from control.outbox.delivery import Sent
from control.outbox.desk import METHOD, Desk, Kept, Looked, OwnersDesk, Question, Resent, gather_looks
from control.outbox.endpoints import Endpoint
from control.outbox.keeper import Outbox
from control.outbox.sink import Outcome, Verdict
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.outbox.ports import Event
from im_service.ports import SystemClock
from im_service.storage.errors import StoreUnavailable
from im_service.storage.event_records import NewEvent
from im_service.storage.records import DeadLetter
from tests.support.sdk_client import until
from tests.unit.control.outbox.test_keeper import Shared, begun, beyond, ended


class Letters:
    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []
        self.away = False

    async def bury(self, letter: DeadLetter) -> int:
        self.kept.append(letter)
        return len(self.kept)

    async def tell(self, *new: NewEvent) -> None:
        return

    async def dead_letters(self, endpoint: str, after: int, limit: int) -> list[tuple[int, DeadLetter]]:
        return [(n, each) for n, each in enumerate(self.kept, 1) if n > after and each.endpoint == endpoint][
            :limit
        ]

    async def count_letters(self, endpoint: str) -> int:
        if self.away:
            raise StoreUnavailable("away")
        return len(await self.dead_letters(endpoint, 0, 1_000))

    async def drop_letters(self, endpoint: str, event_id: str | None) -> None:
        self.kept = [e for e in self.kept if e.endpoint != endpoint or event_id not in (None, e.event_id)]


class Taken:
    """A sink that takes what is not in `refused`."""

    def __init__(self, got: list[str], refused: set[str]) -> None:
        self._got, self._refused = got, refused

    async def send(self, batch: Sequence[Event], again: str) -> Outcome:
        if any(event.event_id in self._refused for event in batch):
            return Outcome(Verdict.REFUSED, "status: answered 400", 400)
        self._got += [event.kind if event.kind == "endpoint.test" else event.event_id for event in batch]
        return Outcome(Verdict.DELIVERED, status=204, request=b"{}")

    async def close(self) -> None:
        return


class Api:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> object:
        assert method == METHOD
        return await self._desk.answer(arguments)


class Scene:
    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.letters = Letters()
        self.got: list[str] = []
        self.refused: set[str] = set()
        self.outbox = Outbox(
            shared.documents,
            shared.log,
            self.letters,
            SystemClock(),
            self.sink,
            1,
            lambda: [1],
            beyond,
            1 << 40,
        )
        self.desk = Desk(self.outbox, shared.log, self.letters, SystemClock(), self.sink, 1)

    def sink(self, name: str, endpoint: Callable[[], Endpoint]) -> Taken:
        return Taken(self.got, self.refused)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    documents = SqliteDocuments(tmp_path / "documents.sqlite3")
    await documents.start()
    made = Scene(Shared(documents))
    await begun(made.outbox)
    await made.shared.put("shop")
    yield made
    await ended(made.outbox)
    await documents.stop(0.0)


@pytest.fixture(params=["bus", "home"])
async def owners(request: pytest.FixtureRequest, scene: Scene) -> OwnersDesk:
    api = Api(scene.desk)
    if request.param == "home":
        return OwnersDesk(None, lambda: [1], (1, api))
    bus = MemoryBus()
    await bus.start()
    responder = ApiResponder(bus, 1, api)
    await responder.start()
    return OwnersDesk(bus, lambda: [1], None)


async def test_a_look_a_test_and_places_of_the_log(scene: Scene, owners: OwnersDesk) -> None:
    for _ in range(5):
        scene.shared.log.put("message.single", "s/1")
    await until(lambda: len(scene.got) == 5)
    looked = (await gather_looks(owners, ["shop"]))["shop"]
    assert (looked.node, looked.running, looked.delivered) == (1, True, 5)
    tested = msgspec.convert(await owners.ask(Question(what="test", endpoint="shop")), Sent)
    assert (tested.verdict, tested.status) == ("delivered", 204)
    assert scene.got[-1] == "endpoint.test"
    assert await owners.ask(Question(what="place", endpoint="shop")) == ["c5", "c5"]
    assert await owners.ask(Question(what="place", endpoint="shop", time_ms=3000)) == ["c2", "c5"]
    scene.shared.log.expired = 3
    with pytest.raises(ImError, match="c3"):
        await owners.ask(Question(what="place", endpoint="shop", after="c1"))


async def test_how_far_it_is_behind_and_what_is_kept_of_it_and_what_is_not_known(
    scene: Scene, owners: OwnersDesk
) -> None:
    await until(lambda: bool(scene.shared.log.kept))
    await scene.shared.put("shop", state="paused")
    await until(lambda: scene.outbox.delivery("shop") is None)
    scene.shared.log.put("message.single", "s/1")
    scene.letters.kept.append(DeadLetter("shop", "e0", "message.single", "s/1", "c0", "refused", 1))
    looked = (await gather_looks(owners, ["shop"]))["shop"]
    assert (looked.lag_events, looked.dead_letters) == (1, 1), "of the store, whoever owned it before"
    scene.shared.log.broken = scene.letters.away = True
    await scene.outbox.tick()
    looked = (await gather_looks(owners, ["shop"]))["shop"]
    assert (looked.lag_events, looked.dead_letters) == (1, None), "the last that was known"
    assert scene.outbox.sources()["endpoints"]()["lag_events"] == {"shop": 1}
    await scene.shared.put("bank")
    await until(lambda: scene.outbox.endpoint("bank") is not None)
    looked = (await gather_looks(owners, ["bank"]))["bank"]
    assert (looked.lag_events, looked.lag_seconds, looked.dead_letters) == (None, None, None)


async def test_dead_letters_are_given_again_until_one_is_not_taken(scene: Scene, owners: OwnersDesk) -> None:
    scene.shared.log.expired = 0
    for number in range(1, 5):
        scene.shared.log.put("message.single", "s/1")
        scene.letters.kept.append(
            DeadLetter("shop", f"e{number}", "message.single", "s/1", f"c{number - 1}", "refused", number)
        )
    scene.letters.kept.insert(0, DeadLetter("shop", "gone", "message.single", "s/1", "c0", "refused", 0))
    await until(lambda: len(scene.got) == 4)
    scene.got.clear()
    scene.refused.add("e3")
    listed = msgspec.convert(await owners.ask(Question(what="letters", endpoint="shop")), list[Kept])
    assert [each.event_id for each in listed] == ["gone", "e1", "e2", "e3", "e4"]
    resent = msgspec.convert(await owners.ask(Question(what="resend", endpoint="shop")), Resent)
    assert (resent.delivered, resent.lost, resent.left) == (2, 1, 2)
    assert "400" in resent.reason
    assert scene.got == ["e1", "e2"]
    await owners.ask(Question(what="drop", endpoint="shop"))
    assert not scene.letters.kept


async def test_what_is_not_there_is_said(scene: Scene, owners: OwnersDesk) -> None:
    with pytest.raises(ImError) as refused:
        await owners.ask(Question(what="test", endpoint="bank"))
    assert refused.value.code == Code.NOT_FOUND
    with pytest.raises(ImError):
        await owners.ask(Question(what="dance", endpoint="shop"))
    nobody = OwnersDesk(None, list, None)
    assert await gather_looks(nobody, ["shop"]) == {}
    assert msgspec.to_builtins(Looked(node=1))["node"] == 1
