"""Noise vectors in the form of cacophony, and a player of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crypto.noise import HandshakeState

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests/conformance/noise/vectors/qw1.json"
PUBLISHED = ROOT.parent / "shared/vectors/noise-cacophony-25519-sha256.json"
PATTERNS = ("NK", "NKpsk0", "NNpsk0")
CIPHERS = {"ChaChaPoly": 1, "AESGCM": 2}


def load(path: Path) -> list[dict[str, Any]]:
    """Vectors of what we implement, each with its QW1 `suite`; none when the file is absent."""
    if not path.exists():
        return []
    chosen = []
    for vector in json.loads(path.read_text())["vectors"]:
        _, pattern, dh, cipher, digest = vector["protocol_name"].split("_")
        if pattern in PATTERNS and cipher in CIPHERS and (dh, digest) == ("25519", "SHA256"):
            chosen.append({"pattern": pattern, "suite": CIPHERS[cipher], **vector})
    return chosen


def sides(vector: dict[str, Any]) -> list[HandshakeState]:
    """Our initiator and our responder with the keys of the vector."""

    def key(name: str) -> bytes | None:
        return bytes.fromhex(vector[name]) if name in vector else None

    made = []
    for side, initiator in (("init", True), ("resp", False)):
        psks = vector.get(f"{side}_psks") or [None]
        made.append(
            HandshakeState(
                vector["pattern"],
                vector["suite"],
                initiator,
                key(f"{side}_prologue") or b"",
                s=key(f"{side}_static"),
                rs=key(f"{side}_remote_static"),
                e=key(f"{side}_ephemeral"),
                psk=bytes.fromhex(psks[0]) if psks[0] else None,
            )
        )
    return made


def play(vector: dict[str, Any]) -> None:
    """Both roles at once, byte by byte what the vector says: messages, hash, transport in both directions."""
    pair = sides(vector)
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"]), m) for m in vector["messages"]]
    for index, (payload, ciphertext, _) in enumerate(messages[:2]):
        assert pair[index].write_message(payload) == ciphertext
        assert pair[1 - index].read_message(ciphertext) == payload
    channels = [side.split() for side in pair]
    for channel in channels:
        assert channel.handshake_hash.hex() == vector["handshake_hash"]
    for index, (payload, ciphertext, message) in enumerate(messages[2:]):
        sender, receiver = channels[index % 2], channels[1 - index % 2]
        assert sender.tx.seal(payload) == ciphertext
        assert receiver.rx.open(ciphertext) == payload
        if message.get("rekey"):
            sender.tx.rekey()
            receiver.rx.rekey()
    assert all(side.wiped for side in pair)
