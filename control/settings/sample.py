"""The sample settings file and the reference table, generated from the tree so that they cannot drift."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from control.settings.keys import Key, all_keys
from control.settings.values import Secret

TITLES = {
    "server": "the process itself",
    "gateway": "the client port",
    "gateway.core": "bounds of the gateway core",
    "im.service": "what messages mean",
    "control": "the HTTP API",
    "control.lbs": "where clients are sent",
    "control.policy": "heartbeat policies",
    "bus": "how processes are joined",
    "etcd": "who is who, and what the cluster shares",
    "store": "where messages are kept",
    "auth": "tokens and API keys",
    "limits": "bounds of the HTTP API",
    "outgoing": "where the application's servers may be reached",
    "callbacks": "what the application's server is asked before it happens",
    "engines.text": "an engine that judges texts before others have them",
    "engines.media": "an engine that looks at media after they were delivered",
    "push": "vendors of push",
    "audit": "the log of changes",
    "log": "logs",
}


def sample_toml() -> str:
    """The whole `qianwan.toml` with every default as a comment: an untouched copy changes nothing."""
    lines = [
        "# Settings of `qianwan serve`. Every line that is commented out shows the default.",
        "# Environment: QIANWAN_<SECTION>__<KEY>, e.g. QIANWAN_GATEWAY__LISTEN; it wins over this file.",
        "# `qianwan config check` says what is wrong, `qianwan config print` where each value comes from.",
    ]
    for section, keys in _sections():
        lines += ["", f"[{section}]  # {TITLES[section]}"]
        for name, key in keys:
            page = f"{key.reason} Beyond: {key.beyond}" if key.beyond else key.reason
            unit = f"[{', '.join(filter(None, (key.unit, key.bounds, 'live' if key.live else '')))}]"
            lines += ["", *(f"# {line}" for line in wrap(f"{page} {unit}", 106))]
            lines.append(f"#{name} = {toml(key.default)}")
    return "\n".join(lines) + "\n"


def reference_table() -> str:
    """The settings as Markdown tables, one per section."""
    lines: list[str] = []
    for section, keys in _sections():
        lines += [f"### [{section}] {TITLES[section]}", ""]
        lines += [
            "| key | unit | default | within | what it is, and why | beyond |",
            "|---" * 6 + "|",
        ]
        for name, key in keys:
            unit = ", ".join(filter(None, (key.unit, "live" if key.live else "")))
            cells = [f"`{name}`", unit, f"`{toml(key.default)}`", key.bounds, key.reason, key.beyond]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def section_of(name: str) -> str:
    """The table of the file in which a key stands: small groups inside one are written with a dot."""
    return max((title for title in TITLES if name.startswith(f"{title}.")), key=len)


def _sections() -> Iterator[tuple[str, list[tuple[str, Key]]]]:
    for section, keys in groupby(all_keys(), lambda key: section_of(key.name)):
        yield section, [(key.name.removeprefix(f"{section}."), key) for key in keys]


def toml(value: Any) -> str:
    if isinstance(value, Secret):
        value = value.reveal()
    return json.dumps(str(value) if isinstance(value, Path) else value)
