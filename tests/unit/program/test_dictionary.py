"""Dictionaries from samples: what is no sample is named with its line, and a short message is halved."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from crypto.zstd import dictionary_id
from program.dictionary import TooFewSamples, measured, samples_of, train

WORDS = "see you at the station tomorrow morning please bring some coffee and the tickets thanks"


def talk(folder: Path, count: int) -> Path:
    chance = random.Random(5)
    file = folder / "talk.jsonl"
    lines = [
        json.dumps(" ".join(chance.choices(WORDS.split(), k=chance.randint(3, 12)))) for _ in range(count)
    ]
    file.write_text("\n".join(lines) + "\n\n", "utf-8")
    return file


def test_a_short_message_gets_shorter_by_a_third_and_training_again_gives_the_same(tmp_path: Path) -> None:
    samples = samples_of([talk(tmp_path, 3000)])
    assert len(samples) == 3000
    dictionary = train(samples, 8192)
    found = measured(dictionary, samples)
    assert found["id"] == dictionary_id(dictionary) >= 0x8000
    assert len(dictionary) <= 8192
    assert float(str(found["median_by_it"])) < 0.7 * float(str(found["median_without"]))
    assert train(samples, 8192) == dictionary
    assert dictionary_id(train(samples, 8192, 77)) == 77


def test_bodies_are_samples_too(tmp_path: Path) -> None:
    file = tmp_path / "bodies.jsonl"
    file.write_text('{"url": "https://a.example/1.png", "size": 3}\n"text"\n', "utf-8")
    assert [b"https" in sample for sample in samples_of([file])] == [True, False]


def test_too_few_samples_are_told(tmp_path: Path) -> None:
    with pytest.raises(TooFewSamples, match="99 samples are too few"):
        train(samples_of([talk(tmp_path, 99)]), 1024)
    with pytest.raises(TooFewSamples, match="make no dictionary"):
        train([b""] * 200, 8192)


@pytest.mark.parametrize("line", ["no json", "[1]", "7", '{"a":'])
def test_what_is_no_sample_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(f'"good"\n{line}\n', "utf-8")
    with pytest.raises(ValueError, match="line 2"):
        samples_of([file])
