"""What the doctor found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.bus.base import BusError
from control.errors import StartError
from control.keys.errors import ApiKeyError, KeyFileError, NotYours
from im_service.storage.errors import StoreError

REFUSED = (OSError, StartError, KeyFileError, ApiKeyError, StoreError, BusError)
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class Finding:
    level: str
    check: str
    found: str
    advice: str = ""


def refusal(check: str, work: Callable[[], str], advice: str) -> Finding:
    """Green with what the work says; red with why it was refused."""
    try:
        return Finding(GREEN, check, work())
    except NotYours as error:
        return Finding(RED, check, str(error), "nothing is wrong with what is there: ask as that user")
    except REFUSED as error:
        return Finding(RED, check, str(error) or type(error).__name__, advice)
