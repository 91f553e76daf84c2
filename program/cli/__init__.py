"""The `qianwan` program. Commands import what they need when they run, so that `--help` answers at once."""

import gc

LOADED = 100_000
"""Objects, as many as a command loads: they stay until its end, so looking through them again and again while
they come would take a third of the time."""


def main() -> None:
    """Entry point."""
    gc.set_threshold(LOADED)
    from program.cli.commands import run

    run()


__all__ = ["main"]
