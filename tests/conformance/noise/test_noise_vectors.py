"""Every byte of published and own vectors, in both roles."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from crypto.noise import Initiator, respond
from tests.support.noise_vectors import CIPHERS, OWN, PATTERNS, PUBLISHED, ROOT, load, play
from tests.support.untested import untested_here


def name(vector: dict[str, Any]) -> str:
    return f"{vector['protocol_name']}-{vector['suite']}-{len(vector['messages'])}"


def test_published_cacophony_vectors_hold_for_every_pattern_and_cipher() -> None:
    vectors = load(PUBLISHED)
    where = f"the published vectors are not at ../{PUBLISHED.relative_to(ROOT.parent)}"
    if untested_here("" if PUBLISHED.exists() else where):
        return
    assert {(v["pattern"], v["suite"]) for v in vectors} == {
        (p, s) for p in PATTERNS for s in CIPHERS.values()
    }
    for vector in vectors:
        play(vector)
    print(f"{len(vectors)} published vectors")


@pytest.mark.parametrize("vector", load(OWN), ids=name)
def test_own_vectors_hold(vector: dict[str, Any]) -> None:
    play(vector)


def test_own_vectors_cover_every_pattern_and_suite() -> None:
    covered = {(v["pattern"], v["suite"]) for v in load(OWN)}
    assert covered == {(pattern, suite) for pattern in PATTERNS for suite in (1, 2, 3)}
    assert any(m.get("rekey") for v in load(OWN) if v["suite"] == 3 for m in v["messages"])


def test_own_vectors_are_what_noiseprotocol_makes() -> None:
    check = subprocess.run(
        [sys.executable, "tools/make_noise_vectors.py", "--check"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("vector", [v for v in load(OWN) + load(PUBLISHED) if v["pattern"] == "NK"], ids=name)
def test_nk_in_one_call_writes_the_same_bytes(vector: dict[str, Any]) -> None:
    """noise_respond, noise_start and noise_finish, which the wire uses, against the same vectors."""
    key = {k: bytes.fromhex(v) for k, v in vector.items() if k.startswith(("init_", "resp_"))}
    payloads = [bytes.fromhex(m["payload"]) for m in vector["messages"]]
    sealed = [bytes.fromhex(m["ciphertext"]) for m in vector["messages"]]
    first = Initiator(
        vector["suite"], key["init_prologue"], key["init_remote_static"], payloads[0], key["init_ephemeral"]
    )
    assert first.message == sealed[0]
    second = respond(
        vector["suite"],
        key["resp_prologue"],
        key["resp_static"],
        sealed[0],
        payloads[1],
        key["resp_ephemeral"],
    )
    assert (second.payload, second.message) == (payloads[0], sealed[1])
    payload, channel = first.finish(sealed[1])
    assert payload == payloads[1]
    assert channel.handshake_hash.hex() == second.channel.handshake_hash.hex() == vector["handshake_hash"]
    assert channel.tx.seal(payloads[2]) == sealed[2]
    assert second.channel.rx.open(sealed[2]) == payloads[2]
    assert second.channel.tx.seal(payloads[3]) == sealed[3]
    assert channel.rx.open(sealed[3]) == payloads[3]
