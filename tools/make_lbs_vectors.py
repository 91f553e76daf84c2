"""Writes docs/vectors/lbs.json: signed answers of the LBS, true ones and such as a client must refuse.

Made without any of our codecs; `--check` only compares. The root is that of qw1-sessions.json.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parent.parent
JSON_FILE = ROOT / "docs" / "vectors" / "lbs.json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
AT = 1_700_000_000
HEAD = b"QWLB\x01"
QUESTION = {"user": "alice", "device": "phone-1"}


def content(**other: object) -> dict[str, object]:
    """What is signed, with these members in place of the usual ones."""
    key_set = json.loads((ROOT / "docs" / "vectors" / "qw1-sessions.json").read_text())["key_set"]
    return {
        "issued_at": AT,
        "ttl_s": 300,
        "keep_s": 604800,
        "for": {**QUESTION, "transport": "tcp"},
        "gateways": [
            {"host": "192.0.2.7", "port": 7801, "transport": "tcp", "node": "node-1", "path": None},
            {"host": "2001:db8::7", "port": 7801, "transport": "tcp", "node": "node-1", "path": None},
            {"host": "", "port": 7801, "transport": "tcp", "node": "node-2", "path": None},
        ],
        "key_set": b64url(bytes.fromhex(key_set)),
        "suites": [3, 1, 2],
    } | other


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sealed(told: dict[str, object], key: Ed25519PrivateKey = KEY, head: bytes = HEAD) -> bytes:
    body = head + json.dumps(told, separators=(",", ":")).encode()
    return body + key.sign(body)


def cases() -> list[dict[str, object]]:
    true = sealed(content())
    changed = bytearray(true)
    changed[40] ^= 1
    web = content() | {
        "for": {"device": "tab-1", "transport": "ws"},
        "gateways": [{"host": "chat.example", "port": 443, "transport": "wss", "node": "n", "path": "/qw1"}],
    }
    nonce = content() | {"for": {**QUESTION, "transport": "tcp", "nonce": "0123456789abcdef"}}
    asked_again = {**QUESTION, "nonce": "0123456789abcdef"}
    here = ["tcp://192.0.2.7:7801", "tcp://[2001:db8::7]:7801", "tcp://asked.example:7801"]
    found: list[tuple[str, bytes, dict[str, str], int, list[str]]] = [
        ("true", true, QUESTION, AT + 10, here),
        ("at the end of its time", true, QUESTION, AT + 300, here),
        (
            "for WebSocket",
            sealed(web),
            {"device": "tab-1", "transport": "ws"},
            AT,
            ["wss://chat.example:443"],
        ),
        ("with the nonce, whatever the clock says", sealed(nonce), asked_again, AT + 10**8, here),
        ("a replay", true, QUESTION, AT + 1000, []),
        ("from the future", true, QUESTION, AT - 1000, []),
        ("of another user", true, {**QUESTION, "user": "bob"}, AT, []),
        ("to a question without a user", true, {"device": "phone-1"}, AT, []),
        ("for another transport", true, {**QUESTION, "transport": "ws"}, AT, []),
        ("without the nonce", true, asked_again, AT, []),
        ("a bit is changed", bytes(changed), QUESTION, AT, []),
        ("of another root", sealed(content(), OTHER), QUESTION, AT, []),
        ("signed, and a key set", sealed(content(), head=b"QWKS\x01"), QUESTION, AT, []),
        ("of a later version", sealed(content(), head=b"QWLB\x02"), QUESTION, AT, []),
        ("cut short", true[:-1], QUESTION, AT, []),
        ("empty", b"", QUESTION, AT, []),
    ]
    return [
        {
            "name": name,
            "signed": b64url(data),
            "question": question,
            "now": now,
            "believed": bool(addresses),
            "addresses": addresses,
        }
        for name, data, question, now, addresses in found
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    check = parser.parse_args().check
    root = KEY.public_key().public_bytes_raw()
    made = {
        "root_public": root.hex(),
        "root_text": "qwroot1." + b64url(root),
        "asked_at": "asked.example",
        "skew_s": 60,
        "cases": cases(),
    }
    text = json.dumps(made, indent=1) + "\n"
    if not check:
        JSON_FILE.write_text(text)
    elif not JSON_FILE.exists() or JSON_FILE.read_text() != text:
        print(f"{JSON_FILE.relative_to(ROOT)} is stale: run tools/make_lbs_vectors.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
