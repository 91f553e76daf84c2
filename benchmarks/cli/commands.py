"""Every command of `qianwan bench` in one app: importing the modules registers their commands."""

from __future__ import annotations

from benchmarks.cli import figures, sets, sizes, weak
from benchmarks.cli.options import app

__all__ = ["app", "figures", "sets", "sizes", "weak"]

sets.add_to(app)
