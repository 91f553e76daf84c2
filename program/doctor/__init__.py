"""Can this machine run a server, and would one start with these settings? What to do stands beside it."""

from __future__ import annotations

from control.settings import Settings
from program.doctor.finding import GREEN, RED, YELLOW, Finding

__all__ = ["GREEN", "RED", "YELLOW", "Finding", "examine"]


def examine(settings: Settings) -> list[Finding]:
    """All findings. Changes nothing; asks the bus and the store, as a start would."""
    from program.doctor.machine import machine
    from program.doctor.start import start

    return [*machine(), *start(settings)]
