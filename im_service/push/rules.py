"""What a user says of pushes, for all devices."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

DAY_MINUTES = 24 * 60


class PushRules(Struct, omit_defaults=True):
    """Quiet hours go from a minute of the day up to another one, over midnight if that is earlier; none where
    both are the same."""

    on: bool = True
    preview: bool = True  # off: no word of the message, nor who sent it
    desktop: bool | None = None  # on: pushed while only desktops are online; None: as the settings say
    quiet_from: int = 0
    quiet_to: int = 0
    zone: str = ""  # IANA name; "": UTC

    def quiet(self, now_ms: int) -> bool:
        """Whether nothing is to be pushed at this moment."""
        if self.quiet_from == self.quiet_to:
            return False
        local = datetime.fromtimestamp(now_ms / 1000, zone_of(self.zone) or UTC)
        minute = local.hour * 60 + local.minute
        if self.quiet_from < self.quiet_to:
            return self.quiet_from <= minute < self.quiet_to
        return minute >= self.quiet_from or minute < self.quiet_to


_decode = msgspec.msgpack.Decoder(PushRules).decode
NO_RULES = PushRules()


def read_rules(rules: bytes) -> PushRules:
    return _decode(rules) if rules else NO_RULES


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo | None:
    """None for a name that nobody knows here."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None
