"""The `qianwan` program. Commands import what they need when they run, so that `--help` answers at once."""

from program.cli.main import main

__all__ = ["main"]
