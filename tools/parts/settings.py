"""The sample settings file, and the settings as tables of docs/OPERATIONS.md."""

from __future__ import annotations

from pathlib import Path

from control.settings.sample import reference_table, sample_toml
from tools.parts.made import Made


def make(root: Path) -> Made:
    return Made(
        {"deploy/qianwan.toml": sample_toml()}, {"docs/OPERATIONS.md": {"settings": reference_table()}}
    )
