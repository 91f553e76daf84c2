"""sdk/web/lbs.js in Node: what it believes, what it falls back on, in which order it asks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lbs_server import Lbs
from tests.support.scripted_gateway import KeyRing
from tests.support.tree import ROOT

SCRIPT = """
import * as lbs from "MODULE";
const told = JSON.parse(process.argv[1]);
const kept = new Map(Object.entries(told.kept ?? {}));
const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text) };
const found = { finds: [] };
const clock = told.at && { now: () => told.at };
const places = new lbs.Places({ device: "d", storage, ...told.places, ...clock });
for (const asked of told.finds ?? [{}]) {
  try {
    found.finds.push(await places.find(asked));
  } catch (error) {
    const causes = (error.causes ?? []).map((cause) => cause.constructor.name);
    found.finds.push(`${error.constructor.name} ${error.message} ${causes}`);
  }
}
found.kept = Object.fromEntries(kept);
console.log(JSON.stringify(found));
process.exit(0);
""".replace("MODULE", (ROOT / "sdk/web/lbs.js").as_uri())
VECTORS = """
import { readFileSync } from "node:fs";
import * as lbs from "MODULE";
const { root_text, asked_at, cases } = JSON.parse(readFileSync(process.argv[1]));
const answers = {};
for (const { name, signed, question, now } of cases) {
  try {
    const found = await lbs.openSigned(signed, lbs.parseRoot(root_text), asked_at);
    lbs.judge(found, question, now);
    answers[name] = true;
  } catch { answers[name] = false; }
}
console.log(JSON.stringify(answers));
""".replace("MODULE", (ROOT / "sdk/web/lbs.js").as_uri())
DEAD = "http://127.0.0.1:1"


def node(script: str, argument: str) -> Any:
    command = ["node", "--no-warnings", "--input-type=module", "-e", script, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def find(*urls: str, keys: KeyRing | None = None, **told: Any) -> dict[str, Any]:
    places = {
        "urls": urls,
        "root": keys.root_text if keys else "",
        "staggerMs": 400,
        **told.pop("places", {}),
    }
    answer: dict[str, Any] = node(SCRIPT, json.dumps({"places": places, **told}))
    return answer


@pytest.fixture
def lbs() -> Iterator[Lbs]:
    running = Lbs()
    with contextlib.ExitStack() as stack:
        stack.callback(running.stop)
        yield running


def point(lbs: Lbs, keys: KeyRing, *hosts: str, **told: object) -> None:
    lbs.point_to(
        keys,
        gateways=[
            {"host": host, "port": 443, "transport": "wss", "node": "n", "path": "/deep"} for host in hosts
        ],
        **told,
    )


def test_the_vectors_of_the_page() -> None:
    path = ROOT / "docs/vectors/lbs.json"
    cases = json.loads(path.read_text())["cases"]
    assert node(VECTORS, str(path)) == {case["name"]: case["believed"] for case in cases}


def test_a_signed_answer_is_believed_kept_and_fallen_back_on(lbs: Lbs) -> None:
    keys = KeyRing()
    point(lbs, keys, "a.example", "")
    lbs.extra = {"gateways": []}
    first = find(lbs.url, keys=keys, finds=[{"user": "alice"}, {"user": "alice"}])
    assert first["finds"] == [["wss://a.example/deep", "wss://127.0.0.1/deep"]] * 2
    assert [path.split("?")[1] for path in lbs.asked] == ["transport=ws&user=alice&device=d"]
    lbs.keys = None
    again = find(lbs.url, keys=keys, kept=first["kept"], places={"builtIn": ["wss://built.in/qw1"]})
    assert again["finds"][0][0] == "wss://a.example/deep"
    assert again["finds"][0][-1] == "wss://built.in/qw1"
    late = (time.time() + 90_000) * 1000
    assert find(lbs.url, keys=keys, kept=first["kept"], at=late)["finds"][0].startswith("NoPlace")
    assert find(lbs.url, keys=KeyRing(), kept=first["kept"])["finds"][0].startswith("NoPlace")
    assert find(DEAD, places={"builtIn": ["wss://built.in/qw1"]})["finds"] == [["wss://built.in/qw1"]]


@pytest.mark.parametrize(
    "told", [{"for": {"transport": "ws", "device": "other"}}, {"for": {}}, {"gateways": 3}, {"gateways": []}]
)
def test_what_was_not_meant_for_here_is_refused(lbs: Lbs, told: dict[str, object]) -> None:
    keys = KeyRing()
    point(lbs, keys, "a.example")
    lbs.told |= told
    assert find(lbs.url, keys=keys)["finds"][0].startswith("NoPlace")


def test_another_root_and_no_signature_are_not_believed(lbs: Lbs) -> None:
    keys = KeyRing()
    point(lbs, KeyRing(), "a.example")
    assert "NotBelieved" in find(lbs.url, keys=keys)["finds"][0]
    point(lbs, keys, "a.example")
    lbs.signs = False
    assert "NotBelieved" in find(lbs.url, keys=keys)["finds"][0]
    assert find(lbs.url, keys=keys, places={"unsigned": True})["finds"] == [["wss://a.example/deep"]]


def test_a_clock_that_is_wrong_by_days_keeps_nobody_out(lbs: Lbs) -> None:
    keys = KeyRing()
    point(lbs, keys, "a.example")
    lbs.age_s = 3 * 86400
    assert find(lbs.url, keys=keys)["finds"] == [["wss://a.example/deep"]]
    assert "nonce=" in lbs.asked[1]


def test_a_silent_lbs_costs_a_moment_and_the_next_one_answers(lbs: Lbs) -> None:
    other, keys = Lbs(), KeyRing()
    try:
        point(lbs, keys, "a.example")
        point(other, keys, "b.example")
        lbs.silent.clear()
        assert find(lbs.url, other.url, keys=keys)["finds"] == [["wss://b.example/deep"]]
        assert find(DEAD, other.url, keys=keys)["finds"] == [["wss://b.example/deep"]]
    finally:
        other.stop()
