"""The session vectors of tools/make_session_vectors.py, as a person reads them in docs/PROTOCOL.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.parts.made import Made


def _wrapped(text: str, width: int = 96) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width)) or "(empty)"


def page(made: dict[str, Any]) -> str:
    """The vectors as a person reads them; long hex in lines of 48 bytes."""
    lines = ["Fixed inputs (hex):", "", "```"]
    lines += [f"{name:26} {value}" for name, value in made["fixed"].items()]
    for name in ("root_public", "server_static_public"):
        lines.append(f"{name:26} {made[name]}")
    lines += ["```", "", f"Key id {made['key_id']}. The root as text: `{made['root_text']}`.", ""]
    for title, name in (
        ("The signed key set", "key_set"),
        ("REJECT UNKNOWN_KEY with it", "reject_unknown_key"),
        ("REJECT OVERLOADED, 1500 ms", "reject_overloaded"),
    ):
        lines += [f"{title}:", "", "```", _wrapped(made[name]), "```", ""]
    lines += ["The token (ASCII):", "", "```", _wrapped(made["token"]), "```", ""]
    web = made["websocket"]
    lines += [
        f"WebSocket: `Sec-WebSocket-Key: {web['key']}` is answered by",
        f"`Sec-WebSocket-Accept: {web['accept']}`; the preamble of suite 1 as one masked",
        f"binary message is `{web['first_message']}`.",
        "",
    ]
    for session in [*made["sessions"], *made["resumptions"]]:
        about = "A session is taken up, suite" if session in made["resumptions"] else "Suite"
        lines += [
            f"#### {about} {session['suite']}: {session['title']}",
            "",
            f"`{session['noise']}`",
            "",
            "```",
        ]
        lines.append(f"handshake hash    {session['handshake_hash']}")
        lines.append(f"key client->server {session['keys']['client_to_server']}")
        lines.append(f"key server->client {session['keys']['server_to_client']}")
        lines += ["```", ""]
        for number, step in enumerate(session["steps"], 1):
            lines += [f"{number}. {step['name']} (from the {step['from']})", "", "```"]
            if step["plain"] != step["wire"]:
                lines += ["plain", _wrapped(step["plain"]), "wire"]
            lines += [_wrapped(step["wire"]), "```", ""]
    return "\n".join(lines).rstrip()


def make(root: Path) -> Made:
    made = json.loads((root / "docs/vectors/qw1-sessions.json").read_text(encoding="utf-8"))
    return Made({}, {"docs/PROTOCOL.md": {"vectors": page(made)}})
