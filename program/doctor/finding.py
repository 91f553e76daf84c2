"""What the doctor found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class Finding:
    level: str
    check: str
    found: str
    advice: str = ""
