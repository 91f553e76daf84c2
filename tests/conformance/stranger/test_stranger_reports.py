"""A client written from docs/PROTOCOL.md alone says what it is and is told the policy for that."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.conformance.stranger.conftest import Realm
from tests.conformance.stranger.stranger_client import PING, PONG, REPORT, Stranger, frame, read_uv, uv
from tests.support.gateway_client import wait_for


def ask(realm: Realm, method: str, path: str, body: object) -> Any:
    headers = {
        "X-API-Key": (realm.server.data_dir / "first-api-key").read_text().strip(),
        "Content-Type": "application/json",
        "If-Match": "*",
    }
    request = urllib.request.Request(
        realm.server.admin_url + path, json.dumps(body).encode(), headers, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def rev(realm: Realm) -> int:
    """A policy for phones on 3g."""
    constants = {"ping_interval_s": 251.0, "adaptive": False, "resume": False}
    ask(realm, "PUT", "/policies/slow/draft", {"match": {"net": ["3g"]}, "constants": constants})
    published = ask(realm, "POST", "/policies/slow/publish", {"share": 100.0})
    return int(published["current"]["rev"])


def pong(one: Stranger, next_interval_s: int = 0) -> int:
    one.write(frame(PING, b"\0" + uv(next_interval_s) if next_interval_s else b""))
    while (got := one.read()).type != PONG:
        one.keep(got)
    return read_uv(got.body)[0]


@pytest.mark.parametrize("websocket", [False, True])
def test_what_it_reports_chooses_its_policy(realm: Realm, rev: int, websocket: bool) -> None:
    one = realm.meet("rita", websocket=websocket)
    one.report(
        net="3g",
        carrier="46000",
        region="north",
        app=1,
        version="1.4.2",
        policy_rev=0,
        interval_s=240,
        last={"cause": 1, "gap_ms": 300_000, "lived_ms": 900_000, "alive_ms": 240_000},
    )
    policy = one.policy()
    assert (policy["rev"], policy["ping_interval_s"], policy["resume"]) == (rev, 251, False)
    assert pong(one, 251) == rev
    one.report(net="wifi", policy_rev=rev)
    assert one.call("time")


def test_how_its_last_connection_ended_is_counted_once(realm: Realm, rev: int) -> None:
    one = realm.meet("rosa")
    one.report(net="3g", policy_rev=rev, last={"cause": 1, "gap_ms": 130_000, "alive_ms": 100_000})
    one.report(net="3g", policy_rev=rev, last={"cause": 1, "gap_ms": 130_000, "alive_ms": 100_000})

    def deaths() -> int:
        with urllib.request.urlopen(
            urllib.request.Request(
                realm.server.admin_url + "/heartbeat/stats",
                headers={"X-API-Key": (realm.server.data_dir / "first-api-key").read_text().strip()},
            ),
            timeout=30,
        ) as answer:
            arms = json.load(answer)["arms"]
        return sum(int(arm["deaths"]) for arm in arms if arm["policy"] == "slow")

    wait_for(lambda: deaths() == 1, what="one death")


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa3net\xa1\x80", b"\x91" * 500, bytes(513)])
def test_a_report_that_cannot_be_read_harms_nobody(realm: Realm, body: bytes) -> None:
    one = realm.meet("ruth")
    one.write(frame(REPORT, body))
    assert one.call("time")
    assert "could not be handled" not in realm.server.log()
