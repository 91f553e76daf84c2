"""kill -9 of each process amid messages and changes: who consumes the event copy has every committed event at
least once, in order, and nothing else. `make faults` does it with large numbers (tools/faults_copy.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from control.outgoing.signing import Signer, make_secret
from tests.support.event_copy.places import Example
from tests.support.event_copy.run import Size, run
from tests.support.event_copy.truth import Fact, Judgement, Truth, judge
from tests.support.server_process import ROOT


@pytest.mark.slow
async def test_every_consumer_has_what_was_committed_though_all_is_killed(tmp_path: Path) -> None:
    """A webhook of thirty lines, a consumer group, a stream; the server has all roles."""
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    outcome = await run(tmp_path, "", Size(total=300, people=4, kills=1), seed)
    print(outcome)
    assert outcome.complaints == []
    assert {name: one.had for name, one in outcome.consumers.items()} == dict.fromkeys(
        ("webhook", "pull", "jetstream"), outcome.committed
    )
    assert set(outcome.faults) == {"server killed", "receiver killed", "puller killed", "nats killed"}


def test_the_receiver_of_the_docs_has_thirty_lines() -> None:
    assert len((ROOT / "examples/webhook_receiver.py").read_text().splitlines()) <= 30


async def listening(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_the_receiver_of_the_docs_answers_what_it_does_not_know(tmp_path: Path) -> None:
    place, secret, now = Example(tmp_path), make_secret(), int(time.time())
    place.receive(secret)
    try:
        await listening(place.port)
        body = json.dumps({"events": [{"event_id": "1"}]}).encode()
        good = Signer([secret]).headers("m1", now, body)
        cases = {
            "another secret": Signer([make_secret()]).headers("m1", now, body),
            "long ago": Signer([secret]).headers("m1", now - 3600, body),
            "no ASCII": good | {"webhook-signature": "v1,é"},
            "no signature": {},
        }
        async with httpx.AsyncClient() as client:
            for case, headers in cases.items():
                sent = {name: text.encode() for name, text in headers.items()}
                assert (await client.post(place.url, content=body, headers=sent)).status_code == 401, case
            assert place.events() == []
            assert (await client.post(place.url, content=body, headers=good)).status_code == 204
        assert place.events() == [{"event_id": "1"}]
    finally:
        place.kill()


FACTS = {
    "1": Fact("s/a:b", (1, 0), "message.single", 1, "a-1", b""),
    "2": Fact("s/a:b", (2, 0), "message.single", 2, "a-2", b"", released=(4, 9)),
    "3": Fact("s/a:b", (3, 0), "message.single", 3, "a-3", b""),
    "4": Fact("s/a:b", (3, 5), "message.reaction", 0, "", b"{}"),
    "5": Fact("s/a:b", (5, 0), "message.single", 4, "a-4", b""),
}
TRUTH = Truth(FACTS, {"9"})


def event(number: str, **other: Any) -> dict[str, Any]:
    fact = FACTS.get(number, FACTS["1"])
    data = {"seq": fact.seq, "client_id": fact.client_id}
    return {"event_id": number, "kind": fact.kind, "subject": fact.subject, "data": data, **other}


def judged(*numbers: str) -> Judgement:
    return judge([event(number) for number in numbers], TRUTH, TRUTH)


@pytest.mark.parametrize("order", ["12345", "13425"])
def test_a_released_message_may_come_at_either_of_its_places(order: str) -> None:
    assert judged(*order).clean


@pytest.mark.parametrize(
    ("order", "what"),
    [("1245", "lost"), ("123459", "uncommitted"), ("123457", "uncommitted"), ("12435", "swapped"),
     ("13452", "swapped"), ("21345", "swapped"), ("32145", "swapped")],
)  # fmt: skip
def test_a_judge_sees_what_is_wrong(order: str, what: str) -> None:
    assert [name for name, found in judged(*order)._asdict().items() if found] == [what]


def test_a_judge_sees_another_text_under_a_known_id() -> None:
    events = [event(number) for number in "12345"]
    events[2]["data"]["client_id"] = "a-9"
    assert len(judge(events, TRUTH, TRUTH).wrong) == 1
