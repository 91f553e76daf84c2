"""What is sent to one target arrives in the order in which it was sent, whatever is answered; one target
holds up no other.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from qianwan import Backoff
from qianwan.errors import RequestTimeout, Unavailable

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client, until


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qianwan.delivery.outbox.RETRY_S", 0.01)
    monkeypatch.setattr("qianwan.delivery.insist.RETRY_S", 0.01)


@pytest.mark.parametrize("code", [503, 504])
async def test_messages_answered_503_keep_their_order(code: int) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with ScriptedGateway() as gateway, client(gateway, refused_s=60.0) as alice:
        gateway.send_code = lambda target, text: code if rng.random() < 0.4 else 0
        sends = [alice.send(f"bob{n % 3}", str(n)) for n in range(60)]
        await asyncio.gather(*sends)
        for who in range(3):
            stored = [entry[7]["text"] for entry in gateway.log[f"s/alice:bob{who}"]]
            assert stored == [str(n) for n in range(who, 60, 3)]


async def test_order_survives_refusals_and_cuts_together() -> None:
    async with ScriptedGateway() as gateway, client(gateway, refused_s=60.0) as alice:
        tries: Counter[str] = Counter()

        def code(target: str, text: str) -> int:
            tries[text] += 1
            if tries[text] == 1 and int(text) % 7 == 3:
                next(iter(gateway.peers)).transport.abort()
            return 503 if tries[text] < 3 and int(text) % 5 == 0 else 0

        gateway.send_code = code
        await asyncio.gather(*(alice.send_group("team", str(n)) for n in range(40)))
        assert [entry[7]["text"] for entry in gateway.log["g/team"]] == [str(n) for n in range(40)]


async def test_a_target_that_is_refused_holds_up_no_other() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        gateway.send_code = lambda target, text: 503 if target == "u/bob" else 0
        stuck = [asyncio.ensure_future(alice.send("bob", str(n))) for n in range(5)]
        await until(lambda: gateway.sends.count(("u/bob", "0")) >= 2)
        assert [(await alice.send("carol", str(n))).seq for n in range(5)] == [1, 2, 3, 4, 5]
        assert {text for target, text in gateway.sends if target == "u/bob"} == {"0"}
        gateway.send_code = lambda target, text: 0
        assert [ack.seq for ack in await asyncio.gather(*stuck)] == [1, 2, 3, 4, 5]


async def test_a_lasting_refusal_of_one_message_lets_the_next_one_pass() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        gateway.send_code = lambda target, text: 403 if text == "1" else 0
        answers = await asyncio.gather(*(alice.send("bob", str(n)) for n in range(4)), return_exceptions=True)
        assert isinstance(answers[1], Exception)
        assert [entry[7]["text"] for entry in gateway.log["s/alice:bob"]] == ["0", "2", "3"]


async def test_a_service_that_refuses_for_too_long_is_given_up_and_the_refusal_is_told() -> None:
    async with ScriptedGateway() as gateway, client(gateway, refused_s=0.1) as alice:
        gateway.send_code = lambda target, text: 503
        sends = [asyncio.ensure_future(alice.send("bob", str(n))) for n in range(3)]
        for answer in await asyncio.gather(*sends, return_exceptions=True):
            assert type(answer) is Unavailable
        assert len({text for _, text in gateway.sends}) == 3
        gateway.send_code = lambda target, text: 0
        assert (await alice.send("bob", "again")).seq == 1


@pytest.mark.parametrize("how", ["504", "cut"])
async def test_a_refusal_after_a_try_without_an_answer_is_an_unknown_outcome(how: str) -> None:
    async with ScriptedGateway() as gateway, client(gateway, refused_s=0.1) as alice:
        tries: list[str] = []

        def code(target: str, text: str) -> int:
            tries.append(text)
            if len(tries) == 1 and how == "cut":
                next(iter(gateway.peers)).transport.abort()
            return 504 if len(tries) == 1 else 503

        gateway.send_code = code
        with pytest.raises(RequestTimeout, match="may be stored or not"):
            await alice.send("bob", "who knows")


async def test_a_retry_after_is_obeyed_within_reason() -> None:
    async with ScriptedGateway() as gateway:
        backoff = Backoff(base_s=0.01, cap_s=0.05, settled_s=0.0, believe_s=0.1)
        gateway.send_detail = {"retry_after_ms": 2**62}
        async with client(gateway, backoff=backoff) as alice:
            gateway.send_code = lambda target, text: 503 if len(gateway.sends) < 3 else 0
            async with asyncio.timeout(5):
                assert (await alice.send("bob", "in a while")).seq == 1


async def test_a_wider_window_is_a_choice() -> None:
    async with ScriptedGateway() as gateway, client(gateway, pipeline=5) as alice:
        gateway.answers = lambda payload: False
        sends = [asyncio.ensure_future(alice.send("bob", str(n))) for n in range(8)]
        await until(lambda: len(gateway.sends) == 5)
        gateway.answers = lambda payload: True
        next(iter(gateway.peers)).transport.abort()
        assert [ack.seq for ack in await asyncio.gather(*sends)] == list(range(1, 9))


async def test_a_room_that_was_forgotten_is_entered_again_before_anybody_overtakes() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        room = await alice.join_room("hall")
        for seconds in range(3):
            next(iter(gateway.peers)).rooms.clear()
            gateway.refusals = [("room.join", 503)] * seconds
            await asyncio.gather(*(room.send(f"{seconds}-{n}") for n in range(10)))
        told = [(await anext(room)).text for _ in range(30)]
        assert told == [f"{seconds}-{n}" for seconds in range(3) for n in range(10)]
