"""The sample settings file and the reference table, generated from the model so that they cannot drift."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from control.settings.model import Settings

TITLES = {
    "server": "the process itself",
    "gateway": "the client port",
    "im": "what messages mean",
    "control": "the HTTP API and LBS",
    "bus": "how processes are joined",
    "store": "where messages are kept",
    "auth": "tokens and API keys",
    "limits": "bounds of the HTTP API",
    "log": "logs",
}


def sample_toml() -> str:
    """The whole `qianwan.toml` with every default as a comment: an untouched copy changes nothing."""
    lines = [
        "# Settings of `qianwan serve`. Every line that is commented out shows the default.",
        "# Environment: QIANWAN_<SECTION>__<KEY>, e.g. QIANWAN_GATEWAY__LISTEN; it wins over this file.",
        "# `qianwan config check` prints each effective setting and where it came from.",
    ]
    for section, fields in _sections():
        lines += ["", f"[{section}]  # {TITLES[section]}"]
        for name, field in fields.items():
            lines += [""] + [f"# {line}" for line in wrap(field.description or "", 106)]
            lines.append(f"#{name} = {_toml(field.get_default(call_default_factory=True))}")
    return "\n".join(lines) + "\n"


def reference_table() -> str:
    """The settings as Markdown tables, one per section."""
    lines: list[str] = []
    for section, fields in _sections():
        lines += [f"### [{section}] {TITLES[section]}", "", "| key | default | meaning |", "|---|---|---|"]
        for name, field in fields.items():
            default = _toml(field.get_default(call_default_factory=True))
            meaning = (field.description or "").replace("|", "\\|")
            lines.append(f"| `{name}` | `{default}` | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _sections() -> list[tuple[str, dict[str, FieldInfo]]]:
    found: list[tuple[str, dict[str, FieldInfo]]] = []
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        found.append((section, dict(model.model_fields)))
    return found


def _toml(value: Any) -> str:
    if value is None or isinstance(value, SecretStr):
        return '""'
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)
