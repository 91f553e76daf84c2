"""What it costs to look for the words of lists on the path of a send: for 100,000 of them in ordinary texts,
and in the longest texts that are made to cost much, for lists that help them."""

from __future__ import annotations

import os
import random

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from im_service.moderation.judge import Moderation
from im_service.moderation.lists import WordList
from im_service.moderation.matcher import Matcher
from im_service.ports import SystemClock
from im_service.sending.hooks import Draft

WORDS = 2_000 if os.environ.get("QIANWAN_BENCH_BRIEF") else 100_000
TEXTS = {
    "Han, 60 characters": (
        "今天天气很好我们去公园玩吧一起去吃饭然后看电影怎么样呢你们几点有空"
        "我可以开车来接你们记得带伞因为下午可能会下雨哦好的没问题那就这样吧"
    ),
    "Latin, 60 characters": "see you at the station tomorrow morning, please bring tickets",
}


@pytest.fixture(scope="module", params=[False, True], ids=["", "pinyin"])
def moderation(request: pytest.FixtureRequest) -> Moderation:
    chance = random.Random(1)
    lengths = [chance.randrange(3, 7) for _ in range(WORDS)]
    words = ["".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(length)) for length in lengths]
    made = Moderation(SystemClock())
    made.use(Matcher({"all": WordList(action="reject", words=words, pinyin=request.param)}))
    return made


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_message(benchmark: BenchmarkFixture, moderation: Moderation, text: str) -> None:
    draft = Draft(
        "s/ann:bob", "ann", "phone", "1", 0, msgspec.msgpack.encode({"text": text[:60]}), None, None
    )
    benchmark(moderation.judge, draft)


PHONES = [rf"{digit}[3-9]\d{{9}}" for digit in range(10)] * 10
WORST = {
    "a word and nothing else": (
        {"words": ["赌", "博", "赌博", "操", "操你", "操你妈", "发票"]},
        "赌博" * 2500,
    ),
    "nested words": ({"words": ["a" * length for length in range(1, 200)]}, "a" * 20_000),
    "nested Han words": ({"words": ["哈" * length for length in range(1, 20)]}, "哈" * 5000),
    "sounds": ({"words": ["发票", "西安", "赌博"], "pinyin": True}, "dubo xian " * 500),
    "a pattern often": ({"patterns": [r"\d"]}, "a1" * 2500),
    "100 patterns": ({"patterns": PHONES}, "1391234567 " * 450),
    "100 patterns in 5,000 texts": ({"patterns": PHONES}, ["1"] * 5000),
}


@pytest.mark.parametrize("action", ["mask", "reject"])
@pytest.mark.parametrize(("members", "text"), WORST.values(), ids=WORST)
def test_the_worst_message(
    benchmark: BenchmarkFixture, members: dict[str, object], text: object, action: str
) -> None:
    moderation = Moderation(SystemClock())
    moderation.use(Matcher({"all": msgspec.convert({"action": action, **members}, WordList)}))
    draft = Draft("s/ann:bob", "ann", "phone", "1", 0, msgspec.msgpack.encode({"text": text}), None, None)
    benchmark(moderation.judge, draft)
