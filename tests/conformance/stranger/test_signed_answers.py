"""Answers of the LBS, verified by what the page says and nothing else: the vectors, and a real server's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

from control.lbs.sealed import unseal
from crypto.base64url import b64url_decode
from tests.conformance.stranger.stranger_client import read_key_set, read_placement
from tests.support.tree import ROOT

VECTORS = json.loads((ROOT / "docs" / "vectors" / "lbs.json").read_text())


def test_the_vectors_are_what_their_tool_makes() -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools" / "make_lbs_vectors.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_a_stranger_believes_what_is_to_be_believed(case: dict[str, Any]) -> None:
    def believe() -> dict[str, Any]:
        return read_placement(case["signed"], VECTORS["root_text"], case["question"], case["now"])

    if not case["believed"]:
        with pytest.raises(ValueError, match="."):  # noqa: RUF043
            believe()
        return
    found = [
        (one["transport"], one["host"] or VECTORS["asked_at"], one["port"]) for one in believe()["gateways"]
    ]
    assert found == [_split(text) for text in case["addresses"]]


def _split(text: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(text)
    assert parts.hostname
    assert parts.port
    return parts.scheme, parts.hostname, parts.port


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_the_server_reads_its_own_kind(case: dict[str, Any]) -> None:
    root = bytes.fromhex(VECTORS["root_public"])
    if case["believed"]:
        told = unseal(b64url_decode(case["signed"]), root)
        assert told.asked.device == case["question"].get("device", "")


@pytest.mark.parametrize(
    "more", [{}, {"transport": "ws"}, {"nonce": "0123456789abcdef"}, {"zone": "z", "isp": "i"}]
)
def test_a_real_answer_is_believed_and_holds_the_key_set(realm: Any, more: dict[str, str]) -> None:
    asked = {"user": "stranger", "device": "d-1", **more}
    with urllib.request.urlopen(f"{realm.server.url}/v1/lbs?{urllib.parse.urlencode(asked)}") as answer:
        told = json.load(answer)
    found = read_placement(told["signed"], realm.root, asked, time.time())
    assert found["gateways"] == told["gateways"]
    key_set = found["key_set"]
    assert read_key_set(b64url_decode(key_set), realm.root).keys
    with pytest.raises(ValueError, match="another question"):
        read_placement(told["signed"], realm.root, {**asked, "user": "bob"}, time.time())
