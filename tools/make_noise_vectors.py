"""Makes tests/conformance/noise/vectors/qw1.json with `noiseprotocol` and PyNaCl, none of our own code.

All keys are fixed, so the file is the same every time; `--check` compares instead of writing. The form is
that of the cacophony vectors with three more fields: `suite` (QW1 number), `rekey` on a transport message
(its sender rekeys after it) and, for suite 3, `transport` (AEGIS-128L under the first 16 bytes of the Split()
keys).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_aead_aegis128l_encrypt, crypto_scalarmult_base
from noise.connection import Keypair, NoiseConnection

TARGET = Path(__file__).resolve().parent.parent / "tests/conformance/noise/vectors/qw1.json"
PATTERNS = {"NK": 1, "NKpsk0": 2, "NNpsk0": 3}
CIPHERS = {1: "ChaChaPoly", 2: "AESGCM", 3: "ChaChaPoly"}
PAYLOADS = (  # of message 1, of message 2, then of the transport messages in turn
    (b"", b"", b"", b"a"),
    (b"\x01\x02ab", b"\x01\x06\xff\xff\xff\xff\xff\x0f", b"AUTH" * 40, b"AUTH_OK", b"ping", b"pong"),
    (bytes(512), bytes(range(100)), bytes(300), b"room" * 50, b"x", b"y", b"late", b"later"),
)
REKEY_AFTER = (3, 4)  # of the transport messages, counted from 0, where there are so many


def fixed(name: str) -> bytes:
    """32 bytes that depend on the name only."""
    return hashlib.sha256(b"qianwan noise vector " + name.encode()).digest()


class Aegis:
    """The transport of suite 3 from one side's sending key."""

    def __init__(self, key: bytes) -> None:
        self.key, self.n = key[:16], 0

    def seal(self, plain: bytes) -> bytes:
        sealed = self._encrypt(plain, self.n)
        self.n += 1
        return sealed

    def rekey(self) -> None:
        self.key = self._encrypt(bytes(16), 2**64 - 1)[:16]

    def _encrypt(self, plain: bytes, n: int) -> bytes:
        return bytes(crypto_aead_aegis128l_encrypt(plain, None, bytes(8) + struct.pack("<Q", n), self.key))


def peer(pattern: str, suite: int, initiator: bool, prologue: bytes, tag: str) -> NoiseConnection:
    """One side with every key fixed."""
    side = NoiseConnection.from_name(f"Noise_{pattern}_25519_{CIPHERS[suite]}_SHA256".encode())
    side.set_as_initiator() if initiator else side.set_as_responder()
    side.set_prologue(prologue)
    name = "initiator" if initiator else "responder"
    side.set_keypair_from_private_bytes(Keypair.EPHEMERAL, fixed(f"{tag} {name} ephemeral"))
    if "psk" in pattern:
        side.set_psks(fixed(f"{tag} psk"))
    if pattern.startswith("NK") and initiator:
        public = crypto_scalarmult_base(fixed(f"{tag} static"))
        side.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
    elif pattern.startswith("NK"):
        side.set_keypair_from_private_bytes(Keypair.STATIC, fixed(f"{tag} static"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of fixed ephemeral keys, which are the point here
        side.start_handshake()
    return side


def transport(sides: list[NoiseConnection], suite: int, payloads: tuple[bytes, ...]) -> list[dict[str, Any]]:
    """Transport messages in turn, the initiator first."""
    aegis = [Aegis(side.noise_protocol.cipher_state_encrypt.k) for side in sides]
    messages = []
    for index, payload in enumerate(payloads):
        sender = index % 2
        sealed = aegis[sender].seal(payload) if suite == 3 else sides[sender].encrypt(payload)
        message: dict[str, Any] = {"payload": payload.hex(), "ciphertext": sealed.hex()}
        if index in REKEY_AFTER:
            message["rekey"] = True
            aegis[sender].rekey()
            sides[sender].rekey_outbound_cipher()
        messages.append(message)
    return messages


def vector(pattern: str, suite: int, number: int) -> dict[str, Any]:
    """One session: handshake, transport."""
    tag = f"{pattern} {suite} {number}"
    prologue = struct.pack(">2sBBBBH", b"QW", 1, PATTERNS[pattern], suite, number & 1, 0x0100 + number)
    payloads = PAYLOADS[number]
    sides = [peer(pattern, suite, True, prologue, tag), peer(pattern, suite, False, prologue, tag)]
    messages = []
    for index in range(2):
        ciphertext = bytes(sides[index].write_message(payloads[index]))
        sides[1 - index].read_message(ciphertext)
        messages.append({"payload": payloads[index].hex(), "ciphertext": ciphertext.hex()})
    static = fixed(f"{tag} static")
    keys: dict[str, Any] = {
        "init_prologue": prologue.hex(),
        "resp_prologue": prologue.hex(),
        "init_ephemeral": fixed(f"{tag} initiator ephemeral").hex(),
        "resp_ephemeral": fixed(f"{tag} responder ephemeral").hex(),
    }
    if "psk" in pattern:
        keys["init_psks"] = keys["resp_psks"] = [fixed(f"{tag} psk").hex()]
    if pattern.startswith("NK"):
        keys |= {"resp_static": static.hex(), "init_remote_static": crypto_scalarmult_base(static).hex()}
    return {
        "protocol_name": f"Noise_{pattern}_25519_{CIPHERS[suite]}_SHA256",
        "suite": suite,
        **({"transport": "AEGIS-128L"} if suite == 3 else {}),
        **keys,
        "handshake_hash": bytes(sides[0].get_handshake_hash()).hex(),
        "messages": messages + transport(sides, suite, payloads[2:]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail when the file is not what would be written"
    )
    arguments = parser.parse_args()
    vectors = [
        vector(pattern, suite, number)
        for pattern in PATTERNS
        for suite in CIPHERS
        for number in range(len(PAYLOADS))
    ]
    text = json.dumps({"source": "tools/make_noise_vectors.py", "vectors": vectors}, indent=1) + "\n"
    if arguments.check:
        fresh = TARGET.exists() and TARGET.read_text() == text
        if not fresh:
            print(f"{TARGET.name} is stale: run tools/make_noise_vectors.py")
        return 0 if fresh else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
