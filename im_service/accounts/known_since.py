"""From when on messages count as offline messages of a device."""

from __future__ import annotations

from collections.abc import Sequence

from im_service.storage.records import (
    Device,
)


def known_since(device: str, devices: Sequence[Device]) -> int:
    """First login of a device in milliseconds; 0 for the first device of a user, which finds all that
    waits."""
    first = {row.device: row.first_login_ms for row in devices}
    mine = first.pop(device, 0)
    return mine if first and min(first.values()) < mine else 0
