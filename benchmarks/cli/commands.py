"""Every command of `qianwan bench` in one app: importing the modules registers their commands."""

from __future__ import annotations

from benchmarks.cli import figures, sets, sizes
from benchmarks.cli.options import app

__all__ = ["app", "figures", "sets", "sizes"]

sets.add_to(app)
